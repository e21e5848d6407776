"""The supervisor: starts the embedded stores, edges, workers and the api, and starts again whatever ends.

Invariants: one supervisor per data directory (a lock); a child never outlives it (PR_SET_PDEATHSIG); a dependency that is
away, at the start or later, is waited for; stores stop last, so that children can finish. How processes are replaced one
at a time (SIGHUP): gateway/rolling.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import structlog
from psycopg.conninfo import make_conninfo

from gateway.child import LONGEST_WAIT_S, Child
from gateway.data_lock import alone
from gateway.log import Log
from gateway.logs import Seldom
from gateway.nats_connection import connect
from gateway.nodes import database_url, nats_server, nats_url, postgres
from gateway.pauses import Pauses
from gateway.ports import check_free
from gateway.rolling import replace_all
from storage.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Settings

WATCH_S = 0.25
TELL_S = 10.0
# Columns of a batch are allocated and freed many times a second. glibc's defaults give the pages back each time: about 120
# page faults, a quarter of a microsecond per report, at 1,000 reports per linger.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(256 * 1024**2), "MALLOC_MMAP_THRESHOLD_": str(256 * 1024**2)}
LEZGATE = [sys.executable, str(Path(sysconfig.get_path("scripts")) / "lezgate")]
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
        self._children: list[Child] = []
        self._stores: list[Any] = []
        self._rolling: asyncio.Task[None] | None = None
        # PR_SET_PDEATHSIG counts the death of the thread that forked: the stores are started from one that stays.
        self._store_thread = ThreadPoolExecutor(1, "stores")

    async def run(self) -> None:
        """Returns after a clean stop. Raises what kept the stores from starting, DataInUseError, or click.ClickException for a port."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        with alone(self.settings.data):
            await asyncio.to_thread(check_free, self.settings)
            await self._run(loop)

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        tasks: list[asyncio.Task[None]] = []
        keeping: list[asyncio.Task[None]] = []
        stopping = loop.create_task(self._stopping.wait())
        try:
            starting = loop.create_task(self._start(tasks, keeping))
            tasks.append(starting)
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
        finally:
            self._stopping.set()
            for task in [*tasks, *([self._rolling] if self._rolling else [])]:
                task.cancel()
            for child in self._children:
                child.stop()
            await asyncio.gather(*tasks, *keeping, return_exceptions=True)
            for store in reversed(self._stores):
                await loop.run_in_executor(self._store_thread, store.stop)

    async def _start(self, tasks: list[asyncio.Task[None]], keeping: list[asyncio.Task[None]]) -> None:
        """Children load their code, most of a start's time, while PostgreSQL comes up: they wait for it.

        They need the log's address before. The first start makes the cluster, for which they would only wait in vain and
        ever longer; and a demo is seeded before anybody looks.
        """
        loop, settings = asyncio.get_running_loop(), self.settings
        early, late = self._family()
        first = not settings.database_url and not postgres(settings).cluster.exists()
        if first or self._on_ready is not None:
            early, late = [], early + late

        async def bring_up(store: Any) -> None:
            self._stores.append(store)
            await loop.run_in_executor(self._store_thread, store.start)
            tasks.append(loop.create_task(self._watch_store(store)))

        def begin(children: list[Child]) -> None:
            self._children += children
            keeping.extend(loop.create_task(child.keep()) for child in children)

        if not settings.nats_url:
            await bring_up(nats_server(settings))
        begin(early)
        if not settings.database_url:
            await bring_up(postgres(settings))
        await self._migrate()
        await self._make_stream()
        if self._on_ready is not None:
            await loop.run_in_executor(None, self._on_ready)
        begin(late)

    def _family(self) -> tuple[list[Child], list[Child]]:
        """The children, and those that are told to talk to them."""
        settings = self.settings
        environment = {**MALLOC, **os.environ, **settings.environment()}

        def child(name: str, *words: str, overlaps: bool = False) -> Child:
            return Child(name, [*LEZGATE, *words], environment, overlaps=overlaps)

        children = [child(f"worker-{i}", "worker", overlaps=True) for i in range(settings.workers)]
        children.append(child("api", "api", *(["--demo"] if self.demo else [])))
        children += [child(f"edge-{i}", "edge", overlaps=True) for i in range(settings.edges)]
        if settings.mqtt_url:  # two of them would each hear everything
            children.append(child("edge-mqtt", "edge", "--mqtt"))
        return children, [child(name, *words) for name, words in self.extra]

    async def _migrate(self) -> None:
        """Waits for a database that is away. Raises what waiting does not mend."""
        url = make_conninfo(database_url(self.settings, "owner"), connect_timeout=5)
        pauses, tell = Pauses(), Seldom(TELL_S)
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(None, migrate, url)
            except psycopg.OperationalError as error:
                tell(log.warning, "waiting for the database; check LEZGATE_DATABASE_URL, and that the server runs"
                     " | 等待数据库：请检查 LEZGATE_DATABASE_URL 以及数据库是否在运行", error=str(error).strip())  # fmt: skip
                await asyncio.sleep(pauses.next())
            else:
                return

    async def _make_stream(self) -> None:
        client = await connect(nats_url(self.settings, "worker"), "worker")
        settings = self.settings
        await Log(client).create(settings.log_partitions, settings.log_max_bytes, settings.log_replicas)
        await client.close()

    def _hang_up(self) -> None:
        """SIGHUP: from an operator it asks for a rolling restart; from a terminal that was closed, for the end."""
        if self.demo or sys.stdin.isatty():
            self._stopping.set()
        elif self._rolling is None or self._rolling.done():
            self._rolling = asyncio.get_running_loop().create_task(self._roll())
        else:
            log.warning("a rolling restart is under way already | 滚动重启正在进行")

    async def _roll(self) -> None:
        try:
            await replace_all(self.settings, self._children, [*LEZGATE, "db", "migrate"], self._restart_stores)
        except Exception:
            log.exception("rolling restart failed; what runs goes on | 滚动重启失败，现有进程继续运行")

    async def _restart_stores(self) -> None:
        """Ended in order, one after the other; _watch_store starts each again."""
        loop = asyncio.get_running_loop()
        for store in self._stores:
            log.info("restarting store | 正在重启存储服务", store=type(store).__name__)
            await loop.run_in_executor(self._store_thread, store.stop)
            while not store.alive():  # noqa: ASYNC110  a look at a process and a file
                await asyncio.sleep(WATCH_S)

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
                log.error("store is down; starting it again | 存储服务已停止，正在重新启动", store=name)
                await loop.run_in_executor(self._store_thread, store.start)
                before, address = address, store.url("worker")
            except Exception:  # whatever it is (a full disk, a lock, no memory), the next try may go through
                log.exception("store does not start; trying again", store=name, wait_s=LONGEST_WAIT_S)
                await asyncio.sleep(LONGEST_WAIT_S)
                continue
            if address != before:
                log.warning("store has another address; restarting the children", store=name)
                if self._rolling is not None:  # a successor that is being tried knows the old address, too
                    self._rolling.cancel()
                for child in self._children:
                    child.restart()
