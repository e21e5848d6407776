"""Looks at the log's stream once in a while: how many batches wait in each partition, how full it is, its replicas.

It asks with the api's own right (STREAM.INFO) and reads no message. ``trouble`` is why nobody can append now, as far as
the stream itself says so; that NATS is away is the connection's business.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import nats.errors
import orjson

from gateway.log import NAME, PARTITIONS

if TYPE_CHECKING:
    from nats.aio.client import Client

EVERY_S = 2.0
STALE_S = 10.0
PATIENCE = 3  # a leader that is being elected answers nothing for some seconds: not every silence is a trouble
_ASK = f"$JS.API.STREAM.INFO.{NAME}"
_SUBJECTS = orjson.dumps({"subjects_filter": "pos.*"})
_NOT_FOUND = 10059


class LogWatch:
    def __init__(self) -> None:
        self.trouble: str | None = None
        self._seen: dict[str, Any] | None = None
        self._seen_at = 0.0
        self._failed = 0

    @property
    def seen(self) -> dict[str, Any] | None:
        """The last look; None where it is older than STALE_S."""
        return self._seen if time.monotonic() - self._seen_at < STALE_S else None

    async def run(self, client: Client) -> None:
        while True:
            await self.look(client)
            await asyncio.sleep(EVERY_S)

    async def look(self, client: Client) -> None:
        try:
            answer = orjson.loads((await client.request(_ASK, _SUBJECTS, timeout=2)).data)
        except (TimeoutError, OSError, nats.errors.Error) as error:
            self._failed += 1
            if self._failed >= PATIENCE:
                self.trouble = (
                    f"log: JetStream does not answer ({type(error).__name__}); look into nats-server's log, and in a cluster"
                    " whether most of its servers run | 日志服务（JetStream）无响应：请查看 nats-server 日志；集群须有多数节点在线"
                )
            return
        self._failed = 0
        if "error" in answer:
            self._seen, self.trouble = None, _refused(answer["error"])
            return
        self._seen, self._seen_at = _figures(answer), time.monotonic()
        self.trouble = None


def _refused(error: dict[str, Any]) -> str:
    if error.get("err_code") == _NOT_FOUND:
        return (
            "log: there is no stream yet; `lezgate serve` or the first `lezgate worker` makes it"
            " | 日志流尚未建立：lezgate serve 或首个 lezgate worker 会创建"
        )
    said = error.get("description", "")
    return f"log: JetStream refuses: {said}; look into nats-server's log | 日志服务拒绝访问，请查看 nats-server 日志"


def _figures(answer: dict[str, Any]) -> dict[str, Any]:
    """The part of a STREAM.INFO answer that operators watch."""
    state, config = answer["state"], answer["config"]
    peers = (answer.get("cluster") or {}).get("replicas") or []
    current = 1 + sum(
        bool(peer.get("current")) for peer in peers
    )  # the leader, who answers, and who has all that it has
    return {
        "bytes": state["bytes"],
        "max_bytes": max(config.get("max_bytes", 0), 0),
        "last_sequence": state["last_seq"],
        "batches": {subject.rsplit(".", 1)[1]: n for subject, n in (state.get("subjects") or {}).items()},
        "partitions": int((config.get("metadata") or {}).get(PARTITIONS, "1")),
        "replicas": {"current": current, "missing": 1 + len(peers) - current},
    }
