"""Readiness as the api sees it: who must run, what must be owned, said in two languages."""

from __future__ import annotations

from types import SimpleNamespace

import orjson
import pytest

from gateway.health import Health


class Room:
    def __init__(self, **options) -> None:
        self.health = Health(SimpleNamespace(is_connected=True), **options)

    async def hears(self, role: str, pid: int, *, ready=True, reason=None, **more) -> None:
        data = orjson.dumps({"pid": pid, "ready": ready, "reason": reason, **more})
        await self.health._on_report(SimpleNamespace(subject=f"health.{role}", data=data))

    async def hears_worker(self, pid: int, *owned: bool) -> None:
        await self.hears("worker", pid, partitions={str(i): {"owned": one} for i, one in enumerate(owned)})


@pytest.fixture
async def room():
    one = Room()
    await one.hears("edge", 1)
    return one


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
    assert room.health.reasons() == ["worker: none is running | 没有运行中的 worker 进程"]
    other = Room(roles=("edge", "worker", "mqtt"))
    await other.hears("edge", 1)
    await other.hears_worker(2, True)
    assert [one.split(":")[0] for one in other.health.reasons()] == ["mqtt"]
    await other.hears("mqtt", 3)
    assert other.health.reasons() == []


async def test_an_mqtt_process_does_not_stand_in_for_an_edge():
    """It reports under a name of its own: a dead edge for sockets is seen."""
    room = Room()
    await room.hears("mqtt", 1)
    await room.hears_worker(2, True)
    assert room.health.reasons() == ["edge: none is running | 没有运行中的 edge 进程"]


async def test_reasons_are_in_two_languages(room):
    """Also where a process only passes on what a library said."""
    await room.hears_worker(2, True)
    await room.hears("edge", 1, ready=False, reason="reading is paused | 已暂停接入")
    await room.hears("mqtt", 3, ready=False, reason="TimeoutError()")
    assert room.health.reasons() == [
        "edge: reading is paused | 已暂停接入",
        "mqtt: not ready: TimeoutError() | 未就绪，原因见前文",
    ]
