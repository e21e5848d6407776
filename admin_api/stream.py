"""The live stream: server-sent events `alarm`, `digest` and `terminal` that resume by id, `position` frames that don't."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from admin_api.authentication import PREFIX, Asker, require
from admin_api.broadcast import Broadcaster, Subscription, encode
from admin_api.permissions import Account, Permission
from admin_api.problems import Problem, invalid, unavailable
from admin_api.records import PurposeText, record, stated
from admin_api.state import Here, State
from storage.queries import alarms, events, tokens

log = logging.getLogger(__name__)
router = APIRouter(prefix=PREFIX, tags=["stream"])

HEARTBEAT_SECONDS = 15.0
# A send that takes longer belongs to a reader who is gone or stuck: its socket's buffers are full.
_SEND_SECONDS = 30.0
_LAST_SEND_SECONDS = 1.0
_BACKLOG_PAGE = 500
# A township's alarms change what it may follow.
_SCOPE_SECONDS = 10.0
_RETRY_MS = 1000


def may_see(account: Account, event: dict[str, Any]) -> bool:
    """An event is for those who may read its kind and whose read scope holds a district of it (None: whole city only)."""
    needed = Permission.TERMINALS_READ if event["kind"] == "terminal" else Permission.ALARMS_READ
    return account.may(needed) and account.sees(event["district"], event["copied_to"])


class EventStream(Response):
    """Writes until the reader goes, is too slow, or may no longer read."""

    media_type = "text/event-stream"

    def __init__(self, state: State, account: Account, subscription: Subscription, resume_from: int | None) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.state = state
        self.account = account
        self.subscription = subscription
        self.resume_from = resume_from

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        writer = asyncio.create_task(self._write(send))
        reader = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.state.broadcaster.unsubscribe(self.subscription)
            for task in (writer, reader):
                task.cancel()
            results = await asyncio.gather(writer, reader, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                log.info("a stream ended: %r", result)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LAST_SEND_SECONDS):  # a stuck reader's buffers are still full
                await send({"type": "http.response.body", "body": b""})

    async def _write(self, send: Send) -> None:
        async for chunk in self._chunks():
            async with asyncio.timeout(_SEND_SECONDS):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _chunks(self) -> AsyncIterator[bytes]:
        since = self.subscription.since
        start = since if self.resume_from is None else min(self.resume_from, since)
        # An id without data is remembered by the reader, so that it can resume before its first event.
        yield b"retry: %d\nid: %d\n\n" % (_RETRY_MS, start)
        async for chunk in self._backlog(start, since):
            yield chunk
        loop = asyncio.get_running_loop()
        heartbeat, tick, scoped = loop.time() + HEARTBEAT_SECONDS, 0, 0.0
        devices: set[int] | None = None
        if self.subscription.frames:
            self.subscription.wake.set()  # what the fleet holds already is the first frame
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(heartbeat):
                    await self.subscription.wake.wait()
            self.subscription.wake.clear()
            if chunk := self.subscription.take():
                yield chunk
            if self.subscription.cut:
                return
            fleet = self.state.broadcaster.fleet
            if self.subscription.frames and fleet.tick > tick:
                if self.account.reads is not None and loop.time() >= scoped:
                    devices, scoped = await self._followed(), loop.time() + _SCOPE_SECONDS
                frame, tick = fleet.frame(tick, devices), fleet.tick
                if frame is not None:
                    yield frame
            if loop.time() >= heartbeat:
                if not await self._still_allowed():
                    return
                heartbeat = loop.time() + HEARTBEAT_SECONDS
                yield b": still here\n\n"

    async def _backlog(self, start: int, until: int) -> AsyncIterator[bytes]:
        while start < until:
            async with self.state.database() as connection:
                found = await events.between(connection, start, until, _BACKLOG_PAGE)
            if not found:
                return
            start = found[-1]["id"]
            if chunk := b"".join(encode(event) for event in found if may_see(self.account, event)):
                yield chunk

    async def _followed(self) -> set[int]:
        async with self.state.database() as connection:
            return set(await alarms.machines_in(connection, self.account.districts))

    async def _still_allowed(self) -> bool:
        """False once the token was revoked or is over. A database that is away ends no stream."""
        try:
            async with self.state.database() as connection:
                kinds = [await tokens.find(connection, kind, self.account.token) for kind in ("session", "bearer")]
        except (psycopg.OperationalError, psycopg.InterfaceError):
            return True
        return any(row is not None and row["role"] == self.account.role for row in kinds)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _resume_id(text: str | None) -> int | None:
    if text is None or not text.strip():
        return None
    if not text.strip().isdecimal() or len(text) > 18:
        raise invalid("Last-Event-ID", "Last-Event-ID is a number.", "Last-Event-ID 应为数字。")
    return int(text)


def _subscribe(broadcaster: Broadcaster, account: Account, *, frames: bool) -> Subscription:
    if broadcaster.last is None:
        raise unavailable()
    subscription = broadcaster.subscribe(lambda event: may_see(account, event), frames=frames)
    if subscription is None:
        raise Problem(
            503,
            "too-many-streams",
            "Too many streams are open.",
            "实时连接数已达上限，请稍后重试。",
            headers={"Retry-After": "10"},
        )
    return subscription


@router.get(
    "/stream",
    dependencies=[require(Permission.ALARMS_READ, Permission.TERMINALS_READ)],
    response_class=EventStream,
    status_code=200,
)
async def stream(
    request: Request,
    account: Asker,
    state: Here,
    purpose: PurposeText = None,
    last_event_id: Annotated[str | None, Header()] = None,
    last_event_id_query: Annotated[str | None, Query(alias="last_event_id")] = None,
) -> Response:
    """Server-sent events `alarm` and `terminal`; with a purpose also `position`, one frame a second."""
    resume_from = _resume_id(last_event_id or last_event_id_query)
    frames = purpose is not None
    if frames:
        if not account.may(Permission.TRACKS_READ):
            raise Problem(403, "forbidden", "This role may not see positions.", "当前角色不能查看位置数据。")
        purpose = stated(purpose)
        async with state.database() as connection:
            await record(connection, request, account, "stream.open", "positions", purpose=purpose)
    return EventStream(state, account, _subscribe(state.broadcaster, account, frames=frames), resume_from)
