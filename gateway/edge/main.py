"""The edge process: sockets in, log out."""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

import nats.errors
import orjson
import structlog

from gateway.disk_floor import DiskFloor
from gateway.edge.asking import Asking
from gateway.edge.deadlines import sweep
from gateway.edge.enrolment import check_enrolment
from gateway.edge.gate import BACKLOG, Gate, Listener, listening
from gateway.edge.hub import Hub
from gateway.edge.mqtt import MqttBinding
from gateway.edge.poller import Poller
from gateway.edge.registry import Registry
from gateway.edge.registry_sync import RegistrySync
from gateway.edge.rivals import SUBJECT
from gateway.edge.sessions import Sessions
from gateway.ending import end
from gateway.health import report
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nodes import auth_key, nats_url
from gateway.position_query import SUBJECT as QUERY
from gateway.trace_order import FOLLOW, derive_key
from storage.blobs import open_store

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from gateway.config import Settings

log = structlog.get_logger()


class Edge:
    """Owns the hub and what feeds it: the listening socket, or with ``mqtt`` the broker's topics.

    ``stopping`` is set when it must end; ``failed`` where that is because a job of it raised. Reports that are not
    acknowledged come back, so a new process is better than one that works in part.
    """

    def __init__(self, settings: Settings, client: Client, *, mqtt: bool = False) -> None:
        self.settings = settings
        self.client = client
        # A log of your own is watched where it is: its server's disk is none that we see.
        floor = None if settings.nats_url else DiskFloor(settings.data / "nats", settings.disk_floor_bytes)
        self.log = Log(client, floor)
        path = settings.data / "edge" / "registry.json"
        self.registry = Registry(path, auth_key(settings), enrol=settings.enrolment == "open")
        self.sync = RegistrySync(client, self.registry, self._withdrawn)
        self.sessions = Sessions()
        self.stopping = asyncio.Event()
        self.failed = False
        self.mqtt: MqttBinding | None = None
        self._role = "mqtt" if mqtt else "edge"
        self.poller: Poller | None = None
        self._doors: list[asyncio.Server | Listener] = []
        self._joined = self._listening = False
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Joins the log and begins to keep the registry and deadlines; opens nothing to the outside yet.

        How it is it says from the beginning: a stream that nobody has made yet is waited for.
        """
        self.keep(report(self.client, self._role, self.status))
        stream = await self.log.stream()
        linger_s = self.settings.linger_ms / 1000
        self.hub = Hub(
            self.log,
            self.registry,
            self.sessions,
            stream.partitions,
            linger_s,
            self._publish_soon,
            self._ended,
            open_store(self.settings.blobs),
            self.keep,
        )
        if self._role == "mqtt":
            self.mqtt = MqttBinding(self.hub, self.settings.mqtt_url)
        self.hub.tracer.open(derive_key(auth_key(self.settings)), self._publish_soon)
        await self.client.subscribe(SUBJECT, cb=self.hub.rivals.hear)
        await self.client.subscribe(FOLLOW, cb=self._on_trace)
        await self.client.subscribe(QUERY, cb=Asking(self.hub).hear)
        self._joined = True
        for job in (self.sync.run(), sweep(self.hub)):
            self.keep(job)

    def keep(self, job: Coroutine[Any, Any, None]) -> None:
        """Runs until the edge stops, which it does too where the job raises."""
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a job of the edge failed; ending | 接入进程内部任务失败，进程退出", exc_info=error)
            self.failed = True
            self.stopping.set()

    async def listen(self) -> None:
        """Opens the port: with a certificate to TLS alone, which asyncio carries, otherwise to polled sockets."""
        settings = self.settings
        loop, tls, gate = asyncio.get_running_loop(), None, Gate(self.hub)
        if settings.jt808_tls_cert:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(settings.jt808_tls_cert, settings.jt808_tls_key)
        sockets = listening(settings.jt808_host, settings.jt808_port)
        if tls is None:
            self.poller = poller = Poller(loop, self.hub, gate.files)
            self._doors += [Listener(loop, gate, poller, sock) for sock in sockets]
        else:
            for sock in sockets:
                self._doors.append(await loop.create_server(gate.protocol, sock=sock, backlog=BACKLOG, ssl=tls))
        self._listening = True
        log.info("edge listens", host=settings.jt808_host, port=settings.jt808_port, tls=tls is not None,
                 terminals=len(self.registry.known))  # fmt: skip

    def close(self) -> None:
        """Takes no more connections, and nothing more from those it has."""
        for door in self._doors:
            door.close()
        if self.poller is not None:
            self.poller.stop()

    def _publish_soon(self, subject: str, data: bytes) -> None:
        self.keep(self._publish(subject, data))

    async def _publish(self, subject: str, data: bytes) -> None:
        try:
            await self.client.publish(subject, data)
        except nats.errors.Error as error:  # the older connection ends by its silence
            log.warning("not published", subject=subject, error=repr(error))

    async def _on_trace(self, message: Msg) -> None:
        self.hub.tracer.order(message.data)

    def _withdrawn(self, identities: set[str]) -> None:
        self.hub.rivals.withdrawn(identities)

    def _reason(self) -> str | None:
        """Why terminals are not served now, or None."""
        # Asked here too: an edge to which nobody reports appends nothing, and would hear of a full disk too late.
        trouble = self.log.trouble or (None if self.log.floor is None else self.log.floor.reason())
        if not self._joined:
            return trouble or "starting | 正在启动"
        if self.hub.paused:
            why, why_zh = "reading is paused: the log takes no batches", "日志不接收数据，已暂停接入"
            return _said(why, why_zh, trouble)
        if trouble:
            return _said("the log takes no batches", "日志不接收数据，正在重试", trouble)
        if self.settings.enrolment == "strict" and not self.sync.known.is_set():
            return (
                "no registry yet: start an api (`lezgate api`) that reaches the database; without it no terminal is let in"
                " | 尚未取得终端登记表：请启动能连接数据库的 api 进程（lezgate api），在此之前不接入终端"
            )
        if self.mqtt is None and not self._listening:
            return "not listening yet | 尚未开始监听"
        if self.mqtt is not None and not self.mqtt.connected:
            return (
                "the MQTT broker is not connected; start it, or check LEZGATE_MQTT_URL"
                " | 未连接 MQTT 服务器：请启动它，或检查 LEZGATE_MQTT_URL"
            )
        return None

    def status(self) -> dict[str, Any]:
        reason = self._reason()
        if not self._joined:
            return {"ready": False, "reason": reason, "counts": {}}
        hub = self.hub
        slowest, hub.appender.slowest_s = hub.appender.slowest_s, 0.0
        return {
            "ready": reason is None,
            "reason": reason,
            "connections": self.sessions.connected,
            "appended_batches": hub.appender.appended_batches,
            "appended_rows": hub.appender.appended_rows,
            "append_slowest_s": round(slowest, 4),
            "pending_bytes": hub.appender.pending,
            "pending_parts": hub.appender.waiting,
            "paused": hub.paused,
            "paused_s": round(hub.paused_s, 3),
            "ack_latency": hub.latency.to_json(),
            "append_latency": hub.appender.latency.to_json(),
            # Law 8, of this process: taken = appended + refused + in_flight. Packets that hold no report are in counts.
            "reports": {
                "taken": hub.telemetry.taken,
                "appended": hub.appender.appended_rows,
                "refused": hub.telemetry.refused,
            },
            "in_flight": hub.appender.queued_rows,
            **(
                {}
                if (floor := self.log.floor) is None
                else {"disk_free_bytes": floor.free(), "disk_floor_bytes": floor.floor}
            ),
            "registry_version": self.registry.version,
            "counts": dict(hub.counts),
            "warning": hub.clock.reason,
            "clock_ahead_s": hub.clock.ahead / 1e6,
            **({"connected": self.mqtt.connected} if self.mqtt is not None else {}),
        }

    async def stop(self) -> None:
        await end(*self._tasks)
        if not self._joined:
            return
        self.hub.flush()
        try:
            await asyncio.wait_for(self.hub.appender.close(), 5)
        except TimeoutError:
            log.warning("stopped with batches that are not on disk; their terminals will send them again")


def _said(why: str, why_zh: str, trouble: str | None) -> str:
    """In two languages, with what the log says of it, which may be a library's word."""
    english, _, chinese = (trouble or "").partition(" | ")
    return f"{why}{f' ({english})' if english else ''} | {why_zh}{f'（{chinese}）' if chinese else ''}"


async def _first(waits: set[Coroutine[Any, Any, Any]]) -> None:
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()


async def run(settings: Settings, *, mqtt: bool = False) -> None:
    """Runs until SIGTERM or SIGINT: over TCP, or, with ``mqtt``, over the broker's topics."""
    check_enrolment(settings)
    client = await connect(partial(nats_url, settings, "edge"), "edge")
    edge = Edge(settings, client, mqtt=mqtt)
    stopping = edge.stopping
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await _first({edge.start(), stopping.wait()})
    if settings.enrolment == "strict":
        # Without any registry every known terminal would be told that it is unknown, and some never ask again.
        await _first({edge.sync.known.wait(), stopping.wait()})
    # What is loaded by now stays, as do a registry's entries. A full collection over it stops the loop for 50 ms with 30,000
    # terminals, and for less than 1 ms once it is frozen.
    gc.collect()
    gc.freeze()
    if stopping.is_set():
        log.info("edge stopped before it had a log and a registry")
    elif edge.mqtt is not None:
        edge.keep(edge.mqtt.run())
    else:
        await edge.listen()
    await stopping.wait()
    edge.close()
    await edge.stop()
    await client.close()
    log.info("edge stopped", **orjson.loads(orjson.dumps(edge.status()["counts"])))
    if edge.failed:
        raise SystemExit(1)
