"""Health: every edge and worker says on NATS how it is; the api listens and answers /readyz and /metrics with it.

The api starts before its log and without it: until `listen` it says that the log is missing. What a process said is
forgotten after STALE_S, so the dead are missed and not believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import nats.errors
import orjson

from gateway.disk_floor import MIB, DiskFloor
from gateway.log_watch import LogWatch
from gateway.logs import cut_contents
from storage.errors import FULL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nats.aio.client import Client
    from nats.aio.msg import Msg

EVERY_S = 1.0
AT_FIRST_S, FIRST_S = 0.2, 10.0  # who starts, or starts again, is awaited
STALE_S = 5.0
DATABASE_NEEDS = 20 * MIB  # a segment of its log has 16 MiB: without room for one PostgreSQL ends, and does not start
_STARTED = time.time()
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_NO_LOG = (
    "log: not connected to NATS; start nats-server, or check LEZGATE_NATS_URL"
    " | 日志服务（NATS）未连接：请启动 nats-server，或检查 LEZGATE_NATS_URL"
)


def vitals(client: Client | None) -> dict[str, Any]:
    """What every process says of itself. host and pid name it: in containers every pid is 1."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  a memory file, once a second
        pages = int(file.read().split()[1])
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": round(_STARTED, 3),
        "resident_bytes": pages * _PAGE_BYTES,
        "cpu_s": round(time.process_time(), 3),
        "nats_reconnects": client.stats["reconnects"] if client is not None else 0,
    }


async def report(client: Client, role: str, status: Callable[[], dict[str, Any]]) -> None:
    """Publishes ``status()`` every second, at first more often, for ever."""
    begun = time.monotonic()
    while True:
        with contextlib.suppress(nats.errors.Error):  # without a log nobody is ready, and the api sees our silence
            await client.publish(f"health.{role}", orjson.dumps({**vitals(client), **status()}))
        await asyncio.sleep(AT_FIRST_S if time.monotonic() - begun < FIRST_S else EVERY_S)


class Health:
    """What the api knows of the others, from their last words. ``roles``: those without which it is not ready."""

    def __init__(self, roles: tuple[str, ...] = ("edge", "worker"), database: Path | None = None) -> None:
        """database: where the embedded PostgreSQL keeps its data, if there is one."""
        self._database = None if database is None else DiskFloor(database, DATABASE_NEEDS)
        self._client: Client | None = None
        self._roles = roles
        self._heard: dict[tuple[str, str, int], tuple[float, dict[str, Any]]] = {}
        self._watch = LogWatch()

    async def listen(self, client: Client) -> None:
        self._client = client
        await client.subscribe("health.*", cb=self._on_report)

    async def watch_log(self) -> None:
        """Looks at the log itself, for ever; after `listen`."""
        assert self._client is not None  # noqa: S101  the caller's mistake
        await self._watch.run(self._client)

    async def _on_report(self, message: Msg) -> None:
        status = orjson.loads(message.data)
        who = message.subject.rsplit(".", 1)[1], str(status.get("host", "")), status["pid"]
        self._heard[who] = (time.monotonic(), status)

    def statuses(self) -> list[tuple[str, dict[str, Any]]]:
        """(role, status) of every process that spoke within STALE_S."""
        now = time.monotonic()
        self._heard = {who: said for who, said in self._heard.items() if now - said[0] < STALE_S}
        return [(who[0], status) for who, (_, status) in sorted(self._heard.items())]

    def own(self) -> dict[str, Any]:
        """The api's own figures."""
        return vitals(self._client)

    def log(self) -> dict[str, Any] | None:
        """What LogWatch last saw of the log; None where that is too long ago."""
        return self._watch.seen

    def warnings(self) -> list[str]:
        """What is wrong and keeps nobody from being served, such as a server's clock."""
        told = [(role, status.get("host", ""), status.get("warning")) for role, status in self.statuses()]
        return sorted({f"{role} {host}: {cut_contents(warning)}" for role, host, warning in told if warning})

    def reasons(self) -> list[str]:
        """Why the gateway is not ready; empty when it is."""
        if self._client is None or not self._client.is_connected:
            return [_NO_LOG]
        if self._watch.trouble is not None:
            return [self._watch.trouble]
        statuses = self.statuses()
        unready = [(role, status) for role, status in statuses if not status["ready"]]
        reasons = list(dict.fromkeys(f"{role}: {said}" for role, status in unready for said in _said(status)))
        reasons += [_none_runs(role) for role in self._roles if role not in {role for role, _ in statuses}]
        if self._database is not None and self._database.reason() is not None:
            reasons.append(f"database: {FULL}")
        return reasons + [
            f"worker: nobody owns partition {partition} of the log | 日志分区 {partition} 没有处理进程负责"
            for partition in _unowned([status for role, status in statuses if role == "worker"])
        ]


def _none_runs(role: str) -> str:
    command = "lezgate edge --mqtt" if role == "mqtt" else f"lezgate {role}"
    return (
        f"{role}: none is running; start `{command}`, or look into its log why it ends"
        f" | 没有运行中的 {role} 进程：请启动 {command}，或查看其日志"
    )


def _said(status: dict[str, Any]) -> list[str]:
    """Why this process is not ready: of a worker, each trouble once, with the partitions that have it."""
    told: dict[str, list[str]] = {}
    for number, partition in status.get("partitions", {}).items():
        if trouble := partition.get("trouble"):
            told.setdefault(trouble, []).append(number)
    if not told:
        return [_both_ways(status["reason"])]
    reasons = []
    for trouble, numbers in told.items():
        text, _, text_zh = _both_ways(trouble).partition(" | ")
        reasons.append(f"partition {', '.join(numbers)}: {text} | 分区 {'、'.join(numbers)}：{text_zh}")
    return reasons


def _both_ways(reason: str | None) -> str:
    """In two languages, where it is only what some library said. /readyz is open to all, so no row's contents."""
    reason = reason and cut_contents(reason)
    return reason if reason and " | " in reason else f"not ready: {reason or 'unknown'} | 未就绪，原因见前文"


def _unowned(workers: list[dict[str, Any]]) -> list[str]:
    """Partitions that every worker knows and none has."""
    told = [partition for worker in workers for partition in worker.get("partitions", {}).items()]
    owned = {number for number, partition in told if partition.get("owned")}
    return sorted({number for number, _ in told} - owned, key=int)
