"""The broadcaster: reads each event once and hands it to every open stream.

One connection LISTENs on `event`. A notification only wakes it: what is true is `event WHERE id > last ORDER BY id`,
whose ids follow commit order, so nothing is skipped. It also looks once a second, should a notification be lost, and
after the database was away it goes on from the last id that it handed out.

A subscription starts at `last`: what is up to there its stream reads from the database, what comes after is queued.
No gap and no repetition, because both happen on one event loop. A queue that is full belongs to a reader who is too
slow: the subscription is cut, the connection closes, and the reader resumes by id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from psycopg.rows import dict_row

from admin_api.fleet import Fleet
from storage.queries import events, positions

if TYPE_CHECKING:
    from collections.abc import Callable

    from admin_api.state import Connection, Pool

log = logging.getLogger(__name__)

# A shift's worth of alarms of a city, or some seconds of a reconnect storm's terminal events.
QUEUE_EVENTS = 1000
# Streams of one process: each costs a socket and a queue of references to shared bytes.
MOST_STREAMS = 500
_PAGE = 500
_POLL_SECONDS = 1.0
_LONGEST_PAUSE = 10.0


def encode(event: dict[str, Any]) -> bytes:
    """One event as server-sent event."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event["id"], event["kind"].encode(), orjson.dumps(event["data"]))


class Subscription:
    """One open stream's share: queued events, and whether frames are wanted."""

    def __init__(self, wants: Callable[[dict[str, Any]], bool], since: int, *, frames: bool) -> None:
        self.wants = wants
        self.since = since
        self.frames = frames
        self.queue: deque[bytes] = deque()
        self.wake = asyncio.Event()
        self.cut = False

    def offer(self, event: dict[str, Any], encoded: bytes) -> None:
        if self.cut or not self.wants(event):
            return
        if len(self.queue) >= QUEUE_EVENTS:
            self.cut = True
        else:
            self.queue.append(encoded)
        self.wake.set()

    def close(self) -> None:
        self.cut = True
        self.wake.set()

    def take(self) -> bytes:
        """All that is queued."""
        taken = b"".join(self.queue)
        self.queue.clear()
        return taken


class Broadcaster:
    def __init__(self, conninfo: str, pool: Pool) -> None:
        self.conninfo = conninfo
        self.pool = pool
        self.fleet = Fleet()
        self.last: int | None = None
        """Id of the newest event handed out; None before the database was first seen."""
        self.subscriptions: set[Subscription] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch_fleet())]

    async def stop(self) -> None:
        self.end_streams()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def works(self) -> bool:
        """Whether events are read: the database was seen, and neither task died of a fault of ours."""
        return self.last is not None and not any(task.done() for task in self._tasks)

    def end_streams(self) -> None:
        """Cuts every stream: a server that stops calls this first, or it would wait for them."""
        for subscription in self.subscriptions:
            subscription.close()

    def subscribe(self, wants: Callable[[dict[str, Any]], bool], *, frames: bool) -> Subscription | None:
        """None where the database was never seen, or there are too many streams."""
        if self.last is None or len(self.subscriptions) >= MOST_STREAMS:
            return None
        subscription = Subscription(wants, self.last, frames=frames)
        self.subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self.subscriptions.discard(subscription)

    async def _listen(self) -> None:
        pause = 0.1
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self.conninfo, autocommit=True, row_factory=dict_row
                ) as connection:
                    await connection.execute(f"LISTEN {events.CHANNEL}")
                    newest = await events.newest(connection)
                    # Below `last` only where the database was put back to an earlier day.
                    self.last = newest if self.last is None else min(self.last, newest)
                    pause = 0.1
                    while True:
                        await self._read(connection)
                        async for _ in connection.notifies(timeout=_POLL_SECONDS, stop_after=1):
                            pass
            except (psycopg.Error, OSError) as error:
                log.warning("the event stream lost the database, trying again in %.1f s: %s", pause, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _read(self, connection: Connection) -> None:
        while True:
            assert self.last is not None  # noqa: S101 - set on connecting
            found = await events.between(connection, self.last, None, _PAGE)
            for event in found:
                encoded = encode(event)
                for subscription in self.subscriptions:
                    subscription.offer(event, encoded)
                self.last = event["id"]
            if len(found) < _PAGE:
                return

    async def _watch_fleet(self) -> None:
        """Once a second, while somebody watches: what moved."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            watchers = [each for each in self.subscriptions if each.frames]
            if not watchers:
                self.fleet.forget()
                continue
            with contextlib.suppress(psycopg.Error):
                async with self.pool.connection() as connection:
                    rows = await positions.received_since(connection, self.fleet.reread_from)
                if self.fleet.update(rows):
                    for watcher in watchers:
                        watcher.wake.set()
