"""The supervisor: starts the embedded stores, then edges, workers and the api, and starts again whatever ends.

Invariants: one supervisor per data directory (a lock); a child never outlives it (PR_SET_PDEATHSIG); a child that keeps
failing is tried again ever more slowly, never given up; stores stop last, so that children can finish.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from gateway.child import die_with_parent
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nodes import database_url, nats_server, nats_url, postgres
from gateway.ports import check_free
from storage.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Settings

WATCH_S = 0.25
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
STEADY_S = 30.0  # a child that ran this long has failed for a new reason
STOP_S = 8.0
# Columns of a batch are allocated and freed many times a second. glibc's defaults give the pages back each time: about 120
# page faults, a quarter of a microsecond per report, at 1,000 reports per linger.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(256 * 1024**2), "MALLOC_MMAP_THRESHOLD_": str(256 * 1024**2)}
log = structlog.get_logger()


class Supervisor:
    """run() until stopped; ``ready`` is set when every child has been started."""

    def __init__(self, settings: Settings, *, demo: bool = False, on_ready: Callable[[], None] | None = None) -> None:
        self.settings = settings
        self.demo = demo
        self.extra: list[tuple[str, list[str]]] = []
        """More children, (name, arguments of `lezgate`): the demo's terminals."""
        self._on_ready = on_ready
        self._stopping = asyncio.Event()
        self._moved = asyncio.Event()
        """Set, and replaced, when a store came back under another address: children know only the old one."""
        # PR_SET_PDEATHSIG counts the death of the thread that forked: the stores are started from one that stays.
        self._stores = ThreadPoolExecutor(1, "stores")

    async def run(self) -> None:
        """Returns after a clean stop. Raises what kept the stores from starting, or click.ClickException for a port."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self.settings.data.mkdir(parents=True, exist_ok=True)
        with (self.settings.data / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SystemExit(
                    f"{self.settings.data}: another lezgate is running there | 该数据目录已有 lezgate 在运行"
                ) from None
            lock.write(str(os.getpid()))
            lock.flush()
            await asyncio.to_thread(check_free, self.settings)
            await self._run(loop)

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        stores: list[Any] = []
        tasks: list[asyncio.Task[None]] = []
        children: list[asyncio.Task[None]] = []
        try:
            if not self.settings.nats_url:
                stores.append(nats_server(self.settings))
            if not self.settings.database_url:
                stores.append(postgres(self.settings))
            for store in stores:
                await loop.run_in_executor(self._stores, store.start)
            await loop.run_in_executor(None, migrate, database_url(self.settings, "owner"))
            await self._make_stream()
            tasks = [loop.create_task(self._watch_store(store)) for store in stores]
            if self._on_ready is not None:
                await loop.run_in_executor(None, self._on_ready)
            children = [loop.create_task(self._keep(name, words)) for name, words in self._children()]
            await self._stopping.wait()
        finally:
            self._stopping.set()
            await asyncio.gather(*children, return_exceptions=True)
            for task in tasks:
                task.cancel()
            for store in reversed(stores):
                await loop.run_in_executor(self._stores, store.stop)

    def _children(self) -> list[tuple[str, list[str]]]:
        api = ["api", "--demo"] if self.demo else ["api"]
        return [
            *((f"edge-{i}", ["edge"]) for i in range(self.settings.edges)),
            *((f"worker-{i}", ["worker"]) for i in range(self.settings.workers)),
            *([("edge-mqtt", ["edge", "--mqtt"])] if self.settings.mqtt_url else []),
            ("api", api),
            *self.extra,
        ]

    async def _make_stream(self) -> None:
        client = await connect(nats_url(self.settings, "worker"), "worker")
        settings = self.settings
        await Log(client).create(settings.log_partitions, settings.log_max_bytes, settings.log_replicas)
        await client.close()

    async def _watch_store(self, store: Any) -> None:
        """Starts a store again as soon as it is gone, and the children too if it is somewhere else then."""
        loop = asyncio.get_running_loop()
        name = type(store).__name__
        address = store.url("worker")
        while not self._stopping.is_set():
            await asyncio.sleep(WATCH_S)
            try:
                if store.alive():  # a look at a process and a file
                    continue
                log.error("store died; starting it again", store=name)
                await loop.run_in_executor(self._stores, store.start)
                before, address = address, store.url("worker")
            except Exception:  # whatever it is (a full disk, a lock, no memory), the next try may go through
                log.exception("store does not start; trying again", store=name, wait_s=LONGEST_WAIT_S)
                await asyncio.sleep(LONGEST_WAIT_S)
                continue
            if address != before:
                log.warning("store has another address; restarting the children", store=name)
                self._moved.set()
                self._moved = asyncio.Event()

    async def _keep(self, name: str, words: list[str]) -> None:
        wait = FIRST_WAIT_S
        environment = {**MALLOC, **os.environ, **self.settings.environment()}
        command = [sys.executable, str(Path(sysconfig.get_path("scripts")) / "lezgate"), *words]
        while not self._stopping.is_set():
            begun, moved = time.monotonic(), self._moved
            child = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
                preexec_fn=die_with_parent(),
            )  # fmt: skip
            ended = asyncio.ensure_future(child.wait())
            ending = [asyncio.ensure_future(event.wait()) for event in (self._stopping, moved)]
            await asyncio.wait({ended, *ending}, return_when=asyncio.FIRST_COMPLETED)
            for task in ending:
                task.cancel()
            if not ended.done():
                child.terminate()
                try:
                    await asyncio.wait_for(asyncio.shield(ended), STOP_S)
                except TimeoutError:
                    child.kill()
            await ended
            if self._stopping.is_set():
                return
            wait = FIRST_WAIT_S if time.monotonic() - begun > STEADY_S else min(2 * wait, LONGEST_WAIT_S)
            log.error("child ended; starting it again", child=name, status=ended.result(), wait_s=wait)
            await asyncio.wait({asyncio.ensure_future(self._stopping.wait())}, timeout=wait)
