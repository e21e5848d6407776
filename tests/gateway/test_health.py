"""Readiness as the api sees it: who must run, what must be owned, said in two languages."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from types import SimpleNamespace

import orjson
import pytest

from gateway.health import Health, report


class Room:
    def __init__(self, **options) -> None:
        self.health = Health(**options)

    async def connects(self) -> Room:
        client = SimpleNamespace(is_connected=True, stats={"reconnects": 2}, subscribe=self._subscribe)
        await self.health.listen(client)
        return self

    async def _subscribe(self, subject: str, cb) -> None:
        assert subject == "health.*"

    async def hears(self, role: str, pid: int, *, ready=True, reason=None, **more) -> None:
        data = orjson.dumps({"pid": pid, "ready": ready, "reason": reason, **more})
        await self.health._on_report(SimpleNamespace(subject=f"health.{role}", data=data))

    async def hears_worker(self, pid: int, *owned: bool) -> None:
        await self.hears("worker", pid, partitions={str(i): {"owned": one} for i, one in enumerate(owned)})


@pytest.fixture
async def room():
    one = await Room().connects()
    await one.hears("edge", 1)
    return one


def none_runs(role: str, command: str) -> str:
    return (
        f"{role}: none is running; start `{command}`, or look into its log why it ends"
        f" | 没有运行中的 {role} 进程：请启动 {command}，或查看其日志"
    )


async def test_every_partition_must_be_owned(room):
    """Two workers share the partitions; one that nobody has is named."""
    await room.hears_worker(2, True, False, False)
    await room.hears_worker(3, False, True, False)
    assert room.health.reasons() == [
        "worker: nobody owns partition 2 of the log | 日志分区 2 没有处理进程负责",
    ]
    await room.hears_worker(3, False, True, True)
    assert room.health.reasons() == []


async def test_who_is_missing_is_named(room):
    """No worker is a reason; no mqtt process is one only where it is asked for."""
    assert room.health.reasons() == [none_runs("worker", "lezgate worker")]
    other = await Room(roles=("edge", "worker", "mqtt")).connects()
    await other.hears("edge", 1)
    await other.hears_worker(2, True)
    assert [one.split(":")[0] for one in other.health.reasons()] == ["mqtt"]
    await other.hears("mqtt", 3)
    assert other.health.reasons() == []


async def test_an_mqtt_process_does_not_stand_in_for_an_edge():
    """It reports under a name of its own: a dead edge for sockets is seen."""
    room = await Room().connects()
    await room.hears("mqtt", 1)
    await room.hears_worker(2, True)
    assert room.health.reasons() == [none_runs("edge", "lezgate edge")]


async def test_reasons_are_in_two_languages(room):
    """Also where a process only passes on what a library said."""
    await room.hears_worker(2, True)
    await room.hears("edge", 1, ready=False, reason="reading is paused | 已暂停接入")
    await room.hears("mqtt", 3, ready=False, reason="TimeoutError()\nDETAIL:  Failing row contains (116123456).")
    assert room.health.reasons() == [
        "edge: reading is paused | 已暂停接入",
        "mqtt: not ready: TimeoutError() | 未就绪，原因见前文",
    ]


async def test_a_trouble_of_many_partitions_is_one_reason(room):
    """With all of them named, in both languages; two workers that say the same are one reason."""
    owned = {"owned": True, "trouble": None}
    stopped = {"owned": False, "trouble": "the log is another one | 日志已被更换"}
    refused = {"owned": False, "trouble": "connection refused"}
    for pid in (2, 3):
        await room.hears("worker", pid, ready=False, reason="...", partitions={"0": owned, "1": stopped, "2": stopped})
    await room.hears("worker", 4, ready=False, reason="...", partitions={"1": owned, "2": owned, "3": refused})
    await room.hears("worker", 5, partitions={"3": owned})
    assert room.health.reasons() == [
        "worker: partition 1, 2: the log is another one | 分区 1、2：日志已被更换",
        "worker: partition 3: not ready: connection refused | 分区 3：未就绪，原因见前文",
    ]


async def test_a_warning_names_its_server(room):
    """What is wrong and keeps nobody from being served is no reason; several edges of a server say it once."""
    for pid in (1, 7):
        await room.hears("edge", pid, host="a", warning="the server's clock is 90 s ahead | 服务器时钟偏快")
    await room.hears_worker(2, True)
    assert room.health.reasons() == []
    assert room.health.warnings() == ["edge a: the server's clock is 90 s ahead | 服务器时钟偏快"]


async def test_without_a_log_that_alone_is_said():
    """Nobody can be heard without NATS, so nobody is called missing; what to look at is named."""
    room = Room()
    (reason,) = room.health.reasons()
    assert reason.startswith("log: not connected to NATS; start nats-server, or check LEZGATE_NATS_URL | ")
    assert room.health.own()["nats_reconnects"] == 0


async def test_processes_of_two_hosts_may_have_one_pid(room):
    """In containers every pid is 1: host and pid together name a process."""
    await room.hears("edge", 1, host="a", connections=3)
    await room.hears("edge", 1, host="b", connections=4)
    told = [status["connections"] for _, status in room.health.statuses() if "connections" in status]
    assert sorted(told) == [3, 4]


async def test_everybody_says_who_it_is():
    """Host, pid, start, memory, CPU and reconnects of the process go with whatever it says."""
    said: list[tuple[str, bytes]] = []

    async def publish(subject: str, data: bytes) -> None:
        said.append((subject, data))

    client = SimpleNamespace(publish=publish, stats={"reconnects": 2})
    task = asyncio.create_task(report(client, "edge", lambda: {"ready": True}))
    async with asyncio.timeout(5):
        while not said:  # noqa: ASYNC110  nothing to wait for but the call
            await asyncio.sleep(0.01)
    task.cancel()
    subject, status = said[0][0], orjson.loads(said[0][1])
    assert (subject, status["pid"], status["host"]) == ("health.edge", os.getpid(), socket.gethostname())
    assert status["nats_reconnects"] == 2
    assert 1e6 < status["resident_bytes"] < 1e11
    assert status["cpu_s"] > 0
    assert status["started"] <= time.time()
