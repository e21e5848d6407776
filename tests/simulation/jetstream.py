"""A NATS server with one stream, as far as gateway/log.py and the edges' talk use one, and its clients.

A message that is stored stays (the real server has fsynced it). What may happen to it on the way: a request or its answer is
lost, late by minutes, or there twice; a delivery is lost; the server is away for a while and has forgotten its consumers
afterwards, and what was on its way. Message ids are remembered for WINDOW_S.

``archive`` is what the model looks at: every message that was ever stored, trimmed or not.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import nats.errors
import orjson

from gateway.log import NAME
from tests.simulation.loop import PROCESS
from tests.simulation.weather import LATE_COPY_S, Channel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.simulation.loop import Process
    from tests.simulation.weather import Weather

WINDOW_S = 120.0
CREATED = "2025-10-09T00:00:00Z"


class Stored(NamedTuple):
    sequence: int
    partition: int
    data: bytes
    at: float


class _Sequence(NamedTuple):
    consumer: int
    stream: int


class _Metadata(NamedTuple):
    sequence: _Sequence


@dataclass(frozen=True, slots=True)
class Message:
    subject: str
    data: bytes
    headers: dict[str, str] | None = None
    metadata: _Metadata | None = None


@dataclass(slots=True)
class Consumer:
    subject: str
    next: int
    delivered: int = 0
    wanted: int = 0
    inbox: str = ""
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Config:
    metadata: dict[str, str]
    max_bytes: int = 1 << 30
    num_replicas: int = 1


@dataclass(frozen=True, slots=True)
class _State:
    last_seq: int


@dataclass(frozen=True, slots=True)
class _Info:
    created: str
    config: _Config
    state: _State


@dataclass(frozen=True, slots=True)
class _Made:
    name: str


@dataclass(slots=True, eq=False)
class Subscription:
    client: Client
    subject: str
    channel: Channel
    callback: Callable[[Any], Awaitable[None]]
    queue: deque[Message] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    async def unsubscribe(self) -> None:
        self.ended, self.channel.open = True, False
        self.client.server.subscriptions.pop(self, None)
        self.arrived.set()

    def arrive(self, message: Message) -> None:
        self.queue.append(message)
        self.client.process.call(self.arrived.set)

    async def run(self) -> None:
        while not self.ended:
            await self.arrived.wait()
            self.arrived.clear()
            while self.queue and not self.ended:
                await self.callback(self.queue.popleft())


class Server:
    def __init__(self, weather: Weather, partitions: int) -> None:
        self.weather, self.loop = weather, weather.loop
        self.partitions = partitions
        self.archive: list[Stored] = []
        self.kept: dict[int, deque[Stored]] = {partition: deque() for partition in range(partitions)}
        self.trimmed = dict.fromkeys(range(partitions), 0)
        self.down = self.full = False
        self.subscriptions: dict[Subscription, None] = {}
        self.clients: list[Client] = []
        self.consumers: dict[str, Consumer] = {}
        self.counts: Counter[str] = Counter()
        self.on_trim: Callable[[int, int], None] = lambda partition, upto: None
        self._ids: dict[str, tuple[int, float]] = {}
        self._made = 0

    @property
    def last(self) -> int:
        return self.archive[-1].sequence if self.archive else 0

    def last_of(self, partition: int) -> int:
        return next((stored.sequence for stored in reversed(self.archive) if stored.partition == partition), 0)

    # ---- what clients ask, when it has arrived ------------------------------------------------------------------

    def append(self, partition: int, data: bytes, message_id: str) -> dict[str, Any]:
        now = self.loop.time()
        known = self._ids.get(message_id)
        if known is not None and now - known[1] < WINDOW_S:
            self.counts["known_id"] += 1
            return {"stream": NAME, "seq": known[0], "duplicate": True}
        if self.full:
            self.counts["refused"] += 1
            return {"error": {"code": 503, "description": "maximum bytes exceeded"}}
        if known is not None:
            self.counts["stored_twice"] += 1
        stored = Stored(self.last + 1, partition, data, now)
        self._ids[message_id] = stored.sequence, now
        self.archive.append(stored)
        self.kept[partition].append(stored)
        self.weather.say(f"log: {message_id} is {stored.sequence} of {partition}, {len(data)} bytes")
        for consumer in self.consumers.values():
            self.pump(consumer)
        return {"stream": NAME, "seq": stored.sequence}

    def trim(self, partition: int, first: int) -> None:
        kept = self.kept[partition]
        self.on_trim(partition, first - 1)
        while kept and kept[0].sequence < first:
            kept.popleft()
        self.trimmed[partition] = max(self.trimmed[partition], first - 1)

    def make_consumer(self, subject: str, start: int) -> str:
        self._made += 1
        self.consumers[f"c{self._made}"] = Consumer(subject, start)
        return f"c{self._made}"

    def pull(self, name: str, wanted: int, seconds: float, beat: float, inbox: str) -> None:
        consumer = self.consumers.get(name)
        if consumer is None:
            self.publish(Message(inbox, b"", {"Status": "503"}))
            return
        consumer.wanted, consumer.inbox = wanted, inbox
        consumer.until = until = self.loop.time() + seconds
        self.loop.after(seconds, self._expire, name, until)
        self.loop.after(beat, self._beat, name, until, beat)
        self.pump(consumer)

    def _expire(self, name: str, until: float) -> None:
        consumer = self.consumers.get(name)
        if consumer is not None and consumer.wanted and consumer.until == until:
            consumer.wanted = 0
            self.publish(Message(consumer.inbox, b"", {"Status": "408", "Description": "Request Timeout"}))

    def _beat(self, name: str, until: float, beat: float) -> None:
        """That it is there, and how much it has sent so far."""
        consumer = self.consumers.get(name)
        if consumer is not None and consumer.wanted and consumer.until == until:
            told = {"Status": "100", "Nats-Last-Consumer": str(consumer.delivered)}
            self.publish(Message(consumer.inbox, b"", told))
            self.loop.after(beat, self._beat, name, until, beat)

    def pump(self, consumer: Consumer) -> None:
        if not consumer.wanted or self.down:
            return
        for stored in self.kept[int(consumer.subject.removeprefix("pos."))]:
            if not consumer.wanted:
                return
            if stored.sequence < consumer.next:
                continue
            consumer.delivered += 1
            consumer.wanted -= 1
            consumer.next = stored.sequence + 1
            place = _Metadata(_Sequence(consumer.delivered, stored.sequence))
            self.publish(Message(consumer.subject, stored.data, None, place), consumer.inbox)

    def publish(self, message: Message, subject: str | None = None) -> None:
        """To all who have subscribed."""
        for subscription in list(self.subscriptions):
            if subscription.subject != (subject or message.subject):
                continue
            if self.down or self.weather.bad("lose_delivery", 0.005):
                self.counts["lost_delivery"] += 1
                continue
            subscription.channel.send(subscription.arrive, message)

    def fall(self) -> None:
        """It is gone, with its consumers and all that was on its way."""
        self.down = True
        self.consumers.clear()
        for subscription in self.subscriptions:
            subscription.channel.open = False

    def rise(self) -> None:
        self.down = False
        for client in self.clients:
            client.stats["reconnects"] += 1
        for subscription in self.subscriptions:
            subscription.channel.open = False
            subscription.channel = Channel(self.weather)


class Client:
    """Of one process: what gateway/log.py and an edge use of nats-py's."""

    def __init__(self, server: Server, process: Process) -> None:
        self.server, self.process = server, process
        self.stats = {"reconnects": 0}
        self._inboxes = 0
        server.clients.append(self)
        process.at_death.append(self._gone)

    @property
    def is_connected(self) -> bool:
        return not self.server.down

    def _gone(self) -> None:
        self.server.clients.remove(self)
        for subscription in list(self.server.subscriptions):
            if subscription.client is self:
                subscription.channel.open = False
                del self.server.subscriptions[subscription]

    def alive(self) -> None:
        """A process that is dead asks nothing any more: it may only unwind."""
        if self.process.dead:
            raise asyncio.CancelledError
        assert PROCESS.get() is self.process

    def jetstream(self, timeout: float) -> _JetStream:
        return _JetStream(self, timeout)

    def new_inbox(self) -> str:
        self._inboxes += 1
        return f"_inbox.{self.process.name}.{self._inboxes}"

    async def subscribe(self, subject: str, cb: Callable[[Any], Awaitable[None]]) -> Subscription:
        self.alive()
        one = Subscription(self, subject, Channel(self.server.weather), cb)
        self.server.subscriptions[one] = None
        self.process.start(one.run())
        return one

    async def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        self.alive()
        if self.server.down or self.server.weather.bad("drop", 0.01):
            return
        self.server.loop.after(self.server.weather.latency(), self._published, subject, data, reply)

    def _published(self, subject: str, data: bytes, reply: str) -> None:
        prefix = f"$JS.API.CONSUMER.MSG.NEXT.{NAME}."
        if self.server.down:
            return
        if subject.startswith(prefix):
            asked = orjson.loads(data)
            seconds, beat = asked["expires"] / 1e9, asked["idle_heartbeat"] / 1e9
            self.server.pull(subject.removeprefix(prefix), asked["batch"], seconds, beat, reply)
        else:
            self.server.publish(Message(subject, data))

    async def request(self, subject: str, data: bytes, timeout: float, headers: dict[str, str]) -> Message:  # noqa: ASYNC109
        """An append: the one request that gateway/log.py makes."""
        partition, message_id = int(subject.removeprefix("pos.")), headers["Nats-Msg-Id"]
        answer = await self.ask(timeout, self.server.append, partition, data, message_id, slow=True)
        return Message(subject, orjson.dumps(answer))

    async def ask(self, seconds: float, what: Callable[..., Any], *args: Any, slow: bool = False) -> Any:
        """Has the server do something, and waits for the answer. It may do it and the answer be lost, or do it later."""
        self.alive()
        weather, loop = self.server.weather, self.server.loop
        self.process.endanger(weather)
        answered: asyncio.Future[Any] = loop.create_future()

        def arrive() -> None:
            if self.server.down:
                return
            result = what(*args)
            if not weather.bad("drop", 0.02):
                loop.after(weather.latency(), answer, result)

        def answer(result: Any) -> None:
            if not answered.done() and not self.server.down:
                answered.set_result(result)

        if not weather.bad("drop", 0.02):
            late = slow and weather.bad("late_copy", 0.01)
            loop.after(weather.random.uniform(0, LATE_COPY_S) if late else weather.latency(), arrive)
        if slow and weather.bad("duplicate", 0.05):
            loop.after(weather.latency() * 3, arrive)
        try:
            async with asyncio.timeout(seconds):
                return await answered
        except TimeoutError:
            raise nats.errors.TimeoutError from None


class _JetStream:
    def __init__(self, client: Client, timeout: float) -> None:
        self._client, self._timeout = client, timeout

    async def stream_info(self, name: str) -> _Info:
        server = self._client.server
        last = await self._client.ask(self._timeout, lambda: server.last)
        return _Info(CREATED, _Config({"lezgate-partitions": str(server.partitions)}), _State(last))

    async def purge_stream(self, name: str, subject: str, seq: int) -> bool:
        partition = int(subject.removeprefix("pos."))
        await self._client.ask(self._timeout, self._client.server.trim, partition, seq)
        return True

    async def add_consumer(self, name: str, config: Any) -> _Made:
        server = self._client.server
        made = await self._client.ask(self._timeout, server.make_consumer, config.filter_subject, config.opt_start_seq)
        return _Made(made)
