"""A rolling restart: every process is replaced by a new one, one at a time, while terminals go on reporting.

The order is that of an upgrade. The schema first, with the code that is on disk now (migrations expand before they
contract, so the old code runs on); then the stores; then workers and the api, which read, before edges, which write.
A worker or an edge ends only after its successor works: a new version that does not come up leaves the old one running.
The supervisor itself stays as it is, until `lezgate serve` is started again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import TYPE_CHECKING

import structlog

from gateway.health import Health
from gateway.nats_connection import connect
from gateway.nodes import nats_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.child import Child
    from gateway.config import Settings

log = structlog.get_logger()


async def replace_all(
    settings: Settings, children: Sequence[Child], migration: Sequence[str], stores: Callable[[], Awaitable[None]]
) -> None:
    """``migration``: the command that brings the schema up; ``stores``: restarts the embedded ones. Gives up at the first
    trouble, and says so; what has not been replaced runs on.
    """
    begun = time.monotonic()
    log.info("rolling restart begins | 开始滚动重启", children=[child.name for child in children])
    if not await _runs(migration, settings):
        log.error("rolling restart ends: the schema cannot be brought up to date, nothing was replaced"
                  " | 滚动重启中止：数据库结构无法升级，未替换任何进程")  # fmt: skip
        return
    await stores()
    client = await connect(nats_url(settings, "api"), "api")
    try:
        health = Health()
        await health.listen(client)
        for child in children:
            works = _answers(settings) if child.name == "api" else _is_ready(health)
            replaced = time.monotonic()
            if not await child.replace(works):
                log.error("rolling restart ends: the new process does not become ready; its log says why"
                          " | 滚动重启中止：新进程未能就绪，原因见其日志", child=child.name)  # fmt: skip
                return
            log.info(
                "replaced | 已替换", child=child.name, pid=child.pid, seconds=round(time.monotonic() - replaced, 2)
            )
    finally:
        await client.close()
    log.info("rolling restart done | 滚动重启完成", seconds=round(time.monotonic() - begun, 1))


async def _runs(command: Sequence[str], settings: Settings) -> bool:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **settings.environment()},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await process.wait() == 0


def _is_ready(health: Health) -> Callable[[int], bool]:
    here = socket.gethostname()
    return lambda pid: any(
        status["ready"] and (status["host"], status["pid"]) == (here, pid) for _, status in health.statuses()
    )


def _answers(settings: Settings) -> Callable[[int], bool]:
    """The api says nothing on the log: it works when its own address takes connections, whatever its certificate."""

    def works(_: int) -> bool:
        try:
            socket.create_connection((settings.http_host, settings.http_port), timeout=0.5).close()
        except OSError:
            return False
        return True

    return works
