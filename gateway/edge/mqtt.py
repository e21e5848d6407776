"""MQTT: JT/T 808 packets as payloads of our own topics, since the standard defines no binding.

    nrmm/v1/{terminal}/up     what the terminal says: one or more packets, framed, or one without its frame
    nrmm/v1/{terminal}/down   what it is answered, framed

A topic is a connection: the same session, the same columns, the same acknowledgement. MQTT's own PUBACK says only that the
broker's message reached us; that a report is on disk is said by 0x8001, as over TCP. One edge process reads all topics.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import aiomqtt
import structlog

from gateway.edge.connection import Connection
from protocols.jt808.framing import FLAG, MAX_WIRE, escape

if TYPE_CHECKING:
    from gateway.edge.hub import Hub

UP = "nrmm/v1/+/up"
PLAIN_PORT, TLS_PORT = 1883, 8883
RETRY_S = 1.0
MOST_PAYLOAD = 64 * 1024  # some thirty of the longest packets; a larger message is not a terminal's
MOST_QUEUED = 10_000  # replies that wait for the broker: a second of a province; beyond, terminals send again
MOST_TOPICS = 100_000
log = structlog.get_logger()
_FLAG = bytes([FLAG])


class Topic:
    """The transport of one topic, as far as a Connection and the hub use one."""

    def __init__(self, binding: MqttBinding, terminal: str) -> None:
        self._binding = binding
        self._terminal = terminal

    def write(self, data: bytes) -> None:
        self._binding.reply(self._terminal, data)

    def abort(self) -> None:
        self._binding.forget(self._terminal)

    def pause_reading(self) -> None:
        """All topics are read together: see MqttBinding._pause."""

    def resume_reading(self) -> None:
        """As pause_reading."""


class MqttBinding:
    """Reads a broker's topics for ever; ``connected`` says whether it does so now."""

    def __init__(self, hub: Hub, url: str) -> None:
        self.connected = False
        self.reading = asyncio.Event()
        self.reading.set()
        self._hub = hub
        hub.paused_hooks.append(self._pause)
        self._url = urlsplit(url)
        self._tls = ssl.create_default_context() if self._url.scheme == "mqtts" else None
        self._connections: dict[str, Connection] = {}
        self._replies: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MOST_QUEUED)

    def _pause(self, paused: bool) -> None:
        (self.reading.clear if paused else self.reading.set)()

    async def run(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as error:
                for cause in error.exceptions if isinstance(error, ExceptionGroup) else [error]:
                    if isinstance(cause, aiomqtt.MqttError):
                        log.warning("mqtt broker not reachable", error=str(cause))
                    else:
                        log.exception("mqtt failed; connecting again", exc_info=cause)
            self.connected = False
            await asyncio.sleep(RETRY_S)

    async def _serve(self) -> None:
        url = self._url
        async with (
            aiomqtt.Client(
                url.hostname or "127.0.0.1",
                url.port or (PLAIN_PORT if self._tls is None else TLS_PORT),
                username=unquote(url.username) if url.username else None,
                password=unquote(url.password) if url.password else None,
                max_queued_incoming_messages=MOST_QUEUED,
                tls_context=self._tls,
            ) as client,
            asyncio.TaskGroup() as both,  # neither goes on without the other
        ):
            await client.subscribe(UP, qos=1)
            self.connected = True
            log.info("mqtt topics read", broker=url.hostname, topic=UP)
            both.create_task(self._read(client))
            both.create_task(self._send(client))

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            await self.reading.wait()
            self._take(str(message.topic).split("/")[2], bytes(message.payload or b""))

    def _take(self, terminal: str, payload: bytes) -> None:
        if not payload or len(payload) > MOST_PAYLOAD:
            self._hub.counts["mqtt_payload"] += 1
            return
        connection = self._connections.get(terminal)
        if connection is None:
            if len(self._connections) >= MOST_TOPICS:
                self._hub.counts["mqtt_topics"] += 1
                return
            connection = Connection(self._hub)
            connection.connection_made(Topic(self, terminal))
            self._connections[terminal] = connection
        if payload[0] != FLAG and len(payload) <= MAX_WIRE:
            payload = _FLAG + escape(payload) + _FLAG
        elif payload[-1] != FLAG:
            payload += _FLAG  # a message is whole: what is cut off in it will not be continued in the next
        connection.data_received(payload)

    def reply(self, terminal: str, data: bytes) -> None:
        try:
            self._replies.put_nowait((terminal, data))
        except asyncio.QueueFull:
            self._hub.counts["mqtt_replies_dropped"] += 1

    def forget(self, terminal: str) -> None:
        connection = self._connections.pop(terminal, None)
        if connection is not None:  # never inside the linger that ended it: its slot would have a new tenant there
            asyncio.get_running_loop().call_soon(connection.connection_lost, None)

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            terminal, data = await self._replies.get()
            await client.publish(f"nrmm/v1/{terminal}/down", data, qos=0)
