"""Health: every edge and worker says on NATS how it is; the api listens and answers /readyz and /metrics with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import nats.errors
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg

EVERY_S = 1.0
STALE_S = 5.0


async def report(client: Client, role: str, status: Callable[[], dict[str, Any]]) -> None:
    """Publishes ``status()`` every second, for ever."""
    while True:
        with contextlib.suppress(nats.errors.Error):  # without a log nobody is ready, and the api sees our silence
            await client.publish(f"health.{role}", orjson.dumps({"pid": os.getpid(), **status()}))
        await asyncio.sleep(EVERY_S)


class Health:
    """What the api knows of the others, from their last words. ``roles``: those without which it is not ready."""

    def __init__(self, client: Client, roles: tuple[str, ...] = ("edge", "worker")) -> None:
        self._client = client
        self._roles = roles
        self._heard: dict[tuple[str, int], tuple[float, dict[str, Any]]] = {}

    async def listen(self) -> None:
        await self._client.subscribe("health.*", cb=self._on_report)

    async def _on_report(self, message: Msg) -> None:
        status = orjson.loads(message.data)
        self._heard[message.subject.rsplit(".", 1)[1], status["pid"]] = (time.monotonic(), status)

    def statuses(self) -> list[tuple[str, dict[str, Any]]]:
        """(role, status) of every process that spoke within STALE_S."""
        now = time.monotonic()
        self._heard = {who: said for who, said in self._heard.items() if now - said[0] < STALE_S}
        return [(role, status) for (role, _), (_, status) in sorted(self._heard.items())]

    def reasons(self) -> list[str]:
        """Why the gateway is not ready; empty when it is."""
        if not self._client.is_connected:
            return ["log: not connected | 日志服务未连接"]
        statuses = self.statuses()
        reasons = [f"{role}: {_both_ways(status['reason'])}" for role, status in statuses if not status["ready"]]
        reasons += [f"{role}: none is running | 没有运行中的 {role} 进程"
                    for role in self._roles if role not in {role for role, _ in statuses}]  # fmt: skip
        return reasons + [
            f"worker: nobody owns partition {partition} of the log | 日志分区 {partition} 没有处理进程负责"
            for partition in _unowned([status for role, status in statuses if role == "worker"])
        ]


def _both_ways(reason: str | None) -> str:
    """In two languages, where it is only what some library said."""
    return reason if reason and " | " in reason else f"not ready: {reason or 'unknown'} | 未就绪，原因见前文"


def _unowned(workers: list[dict[str, Any]]) -> list[str]:
    """Partitions that every worker knows and none has."""
    told = [partition for worker in workers for partition in worker.get("partitions", {}).items()]
    owned = {number for number, partition in told if partition.get("owned")}
    return sorted({number for number, _ in told} - owned, key=int)
