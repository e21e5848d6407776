"""The log: JetStream as a plain append-only log. One adapter with three methods: append, read (Reader.gather), trim.

- append() returns only after the server has fsynced the message; it retries for ever under one Nats-Msg-Id, so a lost
  acknowledgement makes no second copy within the server's window, and the batch's own number catches the rest. It sends
  nothing while the log's disk has less room than its floor (embedded; see gateway.disk_floor).
- A Reader keeps no state in the engine: AckNone, from our own offset + 1, rebuilt after any trouble.
- The stream has no age limit. Only trim() removes, and only what the caller says is safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import nats.errors
import orjson
import structlog
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from gateway.logs import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js.api import StreamInfo

    from gateway.disk_floor import DiskFloor

NAME = "POS"
APPEND_TIMEOUT_S = 3.0  # elections in a cluster take 4-9 s: a few tries
API_TIMEOUT_S = 3.0
RETRY_S = 0.1
LONGEST_RETRY_S = 1.0  # a log that has room again is used within 5 s
PULL_BATCH = 64  # at most 64 x 256 KiB = 16 MiB on their way to a worker
PULL_EXPIRES_S = 10.0
BEAT_S = 1.0
SILENT_S = 3.0  # a consumer on a server of the cluster that died says nothing more, and no connection of ours is lost
CATCH_UP_S = 10.0  # a new leader may tell of a stream before it has read on to its own end
CONSUMER_IDLE_S = 300.0
PARTITIONS = "lezgate-partitions"
_FULL = "maximum bytes exceeded"
_TELL_FULL = (
    "the log is full: LEZGATE_LOG_MAX_BYTES is reached; it empties as workers store, so look at the workers and the database,"
    " or raise the setting | 日志已写满（LEZGATE_LOG_MAX_BYTES）：处理进程入库后自动恢复，请检查处理进程与数据库，或调大该配置"
)
_LOST = "NATS is not connected; it is tried for ever | NATS 连接已断开，正在重连"
_SENT = "Nats-Last-Consumer"
_ALL = -1  # no partition: the stream as a whole
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stream:
    """Which log this is: an offset names it, so a database never follows a log that it does not know."""

    identity: str
    partitions: int


class StreamChangedError(Exception):
    """The log under us is another one, or has lost its end: reading on would skip acknowledged reports."""


def retry_s(key: str, tries: int) -> float:
    """How long to wait before a further try: longer each time, and other than others wait, who failed in the same moment."""
    most = min(LONGEST_RETRY_S, RETRY_S * 2.0 ** min(tries, 10))
    return most * (0.5 + zlib.crc32(f"{key}/{tries}".encode()) / 2**33)


class Log:
    """The log of one process. ``floor``: of the embedded log's disk; None where that is another's to watch."""

    def __init__(self, client: Client, floor: DiskFloor | None = None) -> None:
        self.client = client
        self.floor = floor
        self._troubles: dict[int, str] = {}
        self._jetstream = client.jetstream(timeout=API_TIMEOUT_S)

    @property
    def trouble(self) -> str | None:
        """Why something of the log does not go through now, or None."""
        return next(iter(self._troubles.values()), None)

    async def create(self, partitions: int, max_bytes: int, replicas: int = 1, first_sequence: int = 1) -> Stream:
        """The stream, made if it is missing. An existing one keeps all that it is but its size limit, which follows ours.

        first_sequence: of a new one, so that one made for a restored database counts on from the lost one.
        """
        config = StreamConfig(
            name=NAME,
            subjects=["pos.*"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=max_bytes,
            num_replicas=replicas,
            duplicate_window=120,
            metadata={PARTITIONS: str(partitions)},
            first_seq=first_sequence if first_sequence > 1 else None,
        )
        while True:
            try:
                try:
                    found = await self._jetstream.stream_info(NAME)
                except NotFoundError:
                    await self._jetstream.add_stream(config)
                else:
                    if found.config.max_bytes != max_bytes:  # its replicas and placement are the operator's
                        await self._jetstream.update_stream(found.config.evolve(max_bytes=max_bytes))
            except (TimeoutError, nats.errors.Error, APIError) as error:
                # Another process made it in this moment, or the cluster has no leader yet, or it refuses for good.
                said = str(error) or repr(error)  # of a refusal, str() alone has the server's reason
                if self._troubles.get(_ALL) != said:
                    self._troubles[_ALL] = said
                    log.warning("log not made yet | 日志尚未建立，正在重试", error=said)
                await asyncio.sleep(RETRY_S)
            else:
                return await self.stream()

    async def stream(self) -> Stream:
        """The stream as it is; waits until there is one."""
        while True:
            try:
                info = await self._jetstream.stream_info(NAME)
            except (TimeoutError, nats.errors.Error, APIError) as error:
                self._troubles[_ALL] = (
                    f"the log's stream {NAME} is not there yet ({error!r}); `lezgate serve` makes it"
                    f" | 日志流 {NAME} 尚未建立，由 lezgate serve 创建"
                )
                await asyncio.sleep(RETRY_S)
            else:
                self._troubles.pop(_ALL, None)
                partitions = int((info.config.metadata or {}).get(PARTITIONS, "1"))
                return Stream(f"{NAME}@{info.created}", partitions)

    async def append(self, partition: int, data: bytes, message_id: str) -> int:
        """The batch's sequence number, once it is on disk. Never gives up; see ``trouble`` for why it takes long.

        Raises MaxPayloadError, having sent nothing, where the batch is larger than the server takes.
        """
        subject, headers, tries = f"pos.{partition}", {"Nats-Msg-Id": message_id}, 0
        while True:
            trouble = (None if self.floor is None else self.floor.reason()) if self.client.is_connected else _LOST
            if trouble is None:
                try:
                    reply = await self.client.request(subject, data, timeout=APPEND_TIMEOUT_S, headers=headers)
                except nats.errors.MaxPayloadError:
                    raise
                except (TimeoutError, nats.errors.Error, OSError) as error:
                    trouble = repr(error)
                else:
                    answer = orjson.loads(reply.data)
                    if "error" not in answer:
                        self._troubles.pop(partition, None)
                        return int(answer["seq"])
                    trouble = answer["error"].get("description", "append refused")
                    if trouble == _FULL:
                        trouble = _TELL_FULL
            self._troubles[partition] = trouble
            await asyncio.sleep(retry_s(message_id, tries))
            tries += 1

    async def trim(self, partition: int, upto: int) -> None:
        """Removes this partition's messages up to and including ``upto``; best effort, tried again at the next call."""
        if upto < 1:  # a purge up to nothing would be a purge of everything
            raise ValueError(f"trim up to {upto}")
        try:
            await self._jetstream.purge_stream(NAME, subject=f"pos.{partition}", seq=upto + 1)
        except (TimeoutError, nats.errors.Error, APIError) as error:
            log.warning("trim", partition=partition, error=repr(error))

    async def ends(self, partition: int) -> tuple[int, int]:
        """Sequences of the partition's first and last message; (0, 0) where the log has none. Raises what NATS does."""
        subject = f"pos.{partition}"
        try:
            first = await self._jetstream.get_msg(NAME, 1, subject, next=True)
            last = await self._jetstream.get_last_msg(NAME, subject)
        except NotFoundError:
            return 0, 0
        return first.seq or 0, last.seq or 0

    async def exists(self) -> bool:
        """Has it been made? Raises what NATS does."""
        try:
            await self._jetstream.stream_info(NAME)
        except NotFoundError:
            return False
        return True

    async def last(self) -> int:
        """The sequence that was given last, whatever became of its message. Raises what NATS does."""
        return int((await self._jetstream.stream_info(NAME)).state.last_seq)

    def reader(self, partition: int, after: int, stream: Stream) -> Reader:
        return Reader(self.client, partition, after, stream)


class Reader:
    """Messages of one partition in order, from ``after`` + 1. One pull request is kept open at the server."""

    def __init__(
        self,
        client: Client,
        partition: int,
        after: int,
        stream: Stream,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.after = after
        self._stream = stream
        self._client = client
        self._jetstream = client.jetstream(timeout=API_TIMEOUT_S)
        self._partition = partition
        self._clock = clock
        self._tell = Seldom(5.0)
        self._messages: list[tuple[int, bytes]] = []
        self._size = 0
        self._enough = 0
        """Bytes at which whoever gathers is woken: each wake-up costs more than taking in a message."""
        self._arrived = asyncio.Event()
        self._consumer: str | None = None
        self._inbox = ""
        self._delivered = 0
        self._open_until = 0.0
        self._heard = 0.0
        self._behind: float | None = None
        self._wanted = 0
        self._received = after
        self._subscription: Subscription | None = None
        self._reconnects = client.stats["reconnects"]

    async def gather(self, seconds: float, size: int) -> list[tuple[int, bytes]]:
        """(sequence, data) of what arrives within ``seconds`` of the first message or makes up ``size`` bytes.

        Returns an empty list after a while without any message, so that the caller can do its chores. Raises
        StreamChangedError where the log is not the one that ``after`` counts in.
        """
        self._enough = 0
        self._arrived.clear()
        await self._pull()
        if not self._messages:
            await self._wait(1.0)
            if not self._messages:
                return []
        self._enough = size
        end = self._clock() + seconds
        while self._size < size and (left := end - self._clock()) > 0:
            self._arrived.clear()
            await self._pull()
            await self._wait(left)
        taken, self._messages, self._size = self._messages, [], 0
        self.after = taken[-1][0]
        return taken

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._arrived.wait()

    async def _pull(self) -> None:
        if self._client.stats["reconnects"] != self._reconnects:  # a restarted server forgot our consumer
            self._reconnects = self._client.stats["reconnects"]
            await self._reset()
        if self._wanted > 0 and self._clock() < self._open_until:
            if self._clock() - self._heard < SILENT_S:
                return
            await self._reset()
        try:
            if self._consumer is None:
                await self._subscribe()
            expires = int(PULL_EXPIRES_S * 1e9)
            request = orjson.dumps({"batch": PULL_BATCH, "expires": expires, "idle_heartbeat": int(BEAT_S * 1e9)})
            await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{NAME}.{self._consumer}", request, self._inbox)
        except (TimeoutError, nats.errors.Error, APIError, OSError) as error:
            self._tell(log.warning, "log read", partition=self._partition, error=repr(error))
            await self._reset()
            await asyncio.sleep(RETRY_S)
            return
        self._wanted = PULL_BATCH
        self._heard = self._clock()
        self._open_until = self._heard + PULL_EXPIRES_S + 2

    async def _subscribe(self) -> None:
        self._received = self._messages[-1][0] if self._messages else self.after
        self._check(await self._jetstream.stream_info(NAME))
        self._delivered = 0
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(self._inbox, cb=self._on_message)
        consumer = await self._jetstream.add_consumer(
            NAME,
            ConsumerConfig(
                filter_subject=f"pos.{self._partition}",
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._received + 1,
                ack_policy=AckPolicy.NONE,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=CONSUMER_IDLE_S,
            ),
        )
        self._consumer = consumer.name

    def _check(self, info: StreamInfo) -> None:
        identity, after = f"{NAME}@{info.created}", self._received
        if identity != self._stream.identity:
            raise StreamChangedError(
                f"the log was {self._stream.identity} and is {identity} | 日志已被更换，已停止处理"
            )
        if info.state.last_seq >= after:
            self._behind = None
            return
        now = self._clock()
        self._behind = now if self._behind is None else self._behind
        if (info.config.num_replicas or 1) > 1 and now - self._behind < CATCH_UP_S:
            raise nats.errors.TimeoutError
        raise StreamChangedError(
            f"the log ends at {info.state.last_seq}, but {after} is stored already | 日志末尾缺失，已停止处理"
        )

    async def _on_message(self, message: Msg) -> None:
        self._heard = self._clock()
        if message.subject == self._inbox:  # a status: 404 and 408 end the request, 409 says the consumer went away
            headers = message.headers or {}
            status = headers.get("Status", "")
            if status == "100":
                # The consumer has sent more than came: with no message behind it to show the gap, this alone tells.
                if int(headers.get(_SENT, self._delivered)) > self._delivered:
                    await self._reset()
                    self._arrived.set()
            else:
                self._wanted = 0
                gone = status == "409" and "Exceeded" not in headers.get("Description", "")
                if gone or status == "503":
                    self._consumer = None
                self._arrived.set()
            return
        meta = message.metadata
        if meta.sequence.consumer != self._delivered + 1:  # one was lost on the way: read again from our own offset
            await self._reset()
            self._arrived.set()
            return
        self._delivered += 1
        self._wanted -= 1
        self._messages.append((meta.sequence.stream, message.data))
        self._size += len(message.data)
        if self._size >= self._enough or self._wanted <= 0:  # or the request is used up: the next one is due
            self._arrived.set()

    async def _reset(self) -> None:
        self._consumer, self._wanted = None, 0
        if self._subscription is not None:
            with contextlib.suppress(nats.errors.Error):
                await self._subscription.unsubscribe()
            self._subscription = None

    async def close(self) -> None:
        await self._reset()
