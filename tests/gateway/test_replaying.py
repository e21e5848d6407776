"""Dead letters are read by today's code, and go back through the log once, whatever is cut off in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
import pytest
import pytest_asyncio

from columns.batch import Batch, DeadLetters, encode
from columns.identity import device_of
from columns.ragged import Ragged
from columns.reason import Reason
from gateway import replaying
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nats_server import NatsServer
from gateway.replaying import read, replay
from gateway.secrets import load_secrets
from gateway.worker import decision as deciding
from protocols.jt808 import framing, intake, terminal
from storage import dead_letters
from storage.commit import commit
from storage.dead_letters import Letter
from storage.load import own_offset
from storage.work import Work
from tests.storage.rows import NOON, SECOND, positions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from columns.positions import Positions

PHONE = "13800000007"
DEVICE = device_of(PHONE)
BCD = bytes.fromhex("013800000007")
REPORT = terminal.location(NOON // SECOND, 117.12, 36.65)
WIRE = framing.encode(0x0200, REPORT, BCD, "2013", 9)
RAW = framing.unescape(WIRE[1:-1])


def letter(reason: str, data: bytes, **changes: Any) -> Letter:
    values: dict[str, Any] = {
        "id": 1, "partition": 0, "device": DEVICE, "phone": PHONE, "received": NOON + SECOND, "reason": reason, "data": data,
        "batch": None,
    }  # fmt: skip
    return Letter(**{**values, **changes})


def heard() -> Positions:
    """The report as an edge takes it in."""
    found = intake.read([WIRE], NOON + SECOND).positions
    return found.with_columns(device=np.full(1, DEVICE))


@pytest.mark.parametrize(("reason", "data"), [("body", RAW), ("length", WIRE[1:-1]), ("checksum", WIRE[1:-1])])
def test_a_packet_that_reads_now_is_the_report_that_it_always_was(reason: str, data: bytes) -> None:
    """Its key above all: a resend that was stored meanwhile is the same report."""
    found, live = read(letter(reason, data)), heard()
    assert found.problem is None
    for name in ("device", "time", "fingerprint", "received", "lon", "lat", "serial", "source", "quality"):
        assert getattr(found.positions, name).tolist() == getattr(live, name).tolist(), name


def test_an_item_of_a_batch_has_the_key_that_it_has_alone() -> None:
    found = read(letter("item", len(REPORT).to_bytes(2, "big") + REPORT))
    assert found.positions.fingerprint.tolist() == heard().fingerprint.tolist()
    assert found.positions.device.tolist() == [DEVICE]


def test_a_message_that_is_known_now_is_kept() -> None:
    """As the edge records it: the worker reads the body."""
    raw = framing.unescape(framing.encode(0x0301, b"\x03", BCD, "2013", 4)[1:-1])
    (record,) = read(letter("unsupported", raw)).sessions
    assert (record["event"], record["device"], record["message"], record["body"]) == ("message", DEVICE, 0x0301, "03")
    assert record["time"] == NOON + SECOND


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (letter("checksum", WIRE[1:-2] + b"\x00"), "still checksum"),
        (letter("noise", b"\x01"), "still noise"),
        (letter("body", framing.unescape(framing.encode(0x0200, b"\x00" * 5, BCD, "2013", 1)[1:-1])), "still body"),
        (letter("item", b"\x00\x05hello"), "still body"),
        (letter("unsupported", framing.unescape(framing.encode(0x0FFF, b"", BCD, "2013", 1)[1:-1])), "still unsupported"),
        (letter("body", RAW, device=5), "it names another terminal than the one that sent it"),
        (letter("unreadable_batch", b"LZB1 torn and cut"), "the batch's CRC does not match its bytes"),
        (letter("body", framing.unescape(framing.encode(0x0002, b"", BCD, "2013", 1)[1:-1])), "nothing that is kept"),
    ],
)  # fmt: skip
def test_what_does_not_read_says_why(given: Letter, problem: str) -> None:
    assert read(given).problem == problem


@pytest.mark.parametrize("reason", ["unreadable_batch", "failed", "refused"])
def test_a_batch_is_taken_as_it_is(reason: str) -> None:
    """Positions, records and letters; what its edge had refused counts where nobody has counted it yet."""
    letters = DeadLetters(np.array([5]), np.array([NOON]), np.array([Reason.ITEM], "<u1"), Ragged.of([b"x"]))
    batch = Batch("b00t", 3, "jt808", positions(2), letters, [{"event": "left"}], {"noise": 4})
    found = read(letter(reason, encode(batch)))
    assert (len(found.positions), list(found.sessions), found.dead_letters.data[0]) == (2, [{"event": "left"}], b"x")
    assert dict(found.rejected) == ({"noise": 4} if reason == "unreadable_batch" else {})


# ---- through the log ----


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats", load_secrets(tmp_path), 2**26)
    server.start()
    yield server
    server.stop()


class Road:
    """A log and a database, and a worker of few words between them."""

    def __init__(self, conn: psycopg.AsyncConnection[Any], edge: Log, worker: Log) -> None:
        self.conn, self.edge, self.worker = conn, edge, worker

    async def put(self, reason: str, data: bytes, device: int = DEVICE) -> int:
        cursor = await self.conn.execute(
            "INSERT INTO dead_letter (partition, sequence, device, received, reason, data)"
            " VALUES (0, 1, %s, at_us(%s), %s, %s) RETURNING id",
            [device, NOON + SECOND, reason, data],
        )
        return (await cursor.fetchone() or [0])[0]

    async def replay(self, **wanted: Any) -> list[tuple[int, bool, str]]:
        return await replay(self.conn, self.edge, by="me", **wanted)

    async def messages(self) -> list[tuple[int, bytes]]:
        stream = await self.worker.stream()
        reader = self.worker.reader(0, 0, stream)
        found, more = [], await reader.gather(0.05, 2**20)
        while more:
            found += more
            more = await reader.gather(0.05, 2**20)
        await reader.close()
        return found

    async def take(self, messages: list[tuple[int, bytes]]) -> None:
        """Decides nothing and stores."""
        gathered = deciding.gather(messages, {})
        offset = await own_offset(self.conn, 0, "S")
        work = Work(
            partition=0, stream="S", previous=offset.sequence, sequence=gathered.sequence, epoch=await self.value("SELECT epoch FROM ruleset"),
            boots=gathered.boots, positions=gathered.positions, dead_letters=gathered.dead_letters,
        )  # fmt: skip
        await commit(self.conn, work, owner=offset.owner)

    async def value(self, query: str) -> Any:
        return (await (await self.conn.execute(query)).fetchone() or [None])[0]


@pytest_asyncio.fixture
async def road(server: NatsServer, database: str) -> AsyncIterator[Road]:
    edge, worker = await connect(server.url("edge"), "edge"), await connect(server.url("worker"), "worker")
    await Log(worker).create(1, 2**24)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as conn:
        yield Road(conn, Log(edge), Log(worker))
    await edge.close()
    await worker.close()


async def test_what_reads_is_stored_and_marked(road: Road) -> None:
    """Once, with who did it; what does not read stays and says why; a second run finds only that."""
    good = await road.put("body", RAW)
    bad = await road.put("noise", b"\x01")
    parked = await road.put("failed", encode(Batch("b", 1, "", positions(3), DeadLetters.empty())), device=7)
    assert await replaying.preview(road.conn) == [
        (good, True, "1 positions, 0 records, 0 dead letters"), (bad, False, "still noise"),
        (parked, True, "3 positions, 0 records, 0 dead letters"),
    ]  # fmt: skip
    assert await road.messages() == []
    told = await road.replay()
    assert [(each, done) for each, done, _ in told] == [(good, True), (bad, False), (parked, True)]
    assert [done for _, done, _ in await road.replay()] == [False]
    await road.take(await road.messages())
    assert await road.value("SELECT count(*) FROM position") == 4
    rows = await (await road.conn.execute("SELECT id, replayed_by, outcome FROM dead_letter ORDER BY id")).fetchall()
    assert [row[:2] for row in rows] == [(good, "me"), (bad, None), (parked, "me")]
    assert rows[1][2] == "still noise"


async def test_only_what_was_asked_for(road: Road) -> None:
    first, second, third = [await road.put(reason, RAW) for reason in ("body", "length", "body")]
    assert [each for each, *_ in await road.replay(ids=[third])] == [third]
    assert [each for each, *_ in await road.replay(reason="body")] == [first]
    assert await road.value("SELECT array_agg(id) FROM dead_letter WHERE replayed_at IS NULL") == [second]


@pytest.mark.parametrize("cut", ["_append", "done"])
async def test_a_replay_that_is_cut_off_is_finished(road: Road, monkeypatch: pytest.MonkeyPatch, cut: str) -> None:
    """Before the append or after it: the next run appends the same batch, and every report is stored once."""
    parts = [encode(Batch("b", 1, "", positions(1, start=n), DeadLetters.empty())) for n in range(3)]
    letters = [await road.put("failed", part, device=7) for part in parts]

    async def crash(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(replaying if cut == "_append" else dead_letters, cut, crash)
        with pytest.raises(ZeroDivisionError):
            await road.replay()
    assert [each for each, done, _ in await road.replay() if done] == letters
    messages = await road.messages()
    assert len(messages) == 3
    # As after minutes, when the log itself no longer knows the append: the number tells.
    await road.take([*messages, (messages[-1][0] + 1, messages[0][1])])
    assert await road.value("SELECT count(*) FROM position") == 3
    assert await road.value("SELECT stored FROM log_offset") == 3
    assert await road.value("SELECT duplicate FROM log_offset") == 0


async def test_a_claimed_letter_that_reads_no_more_leaves_no_gap(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number is appended all the same, with nothing in it; it stays to be replayed."""
    one, two = [
        await road.put("failed", encode(Batch("b", 1, "", positions(1, start=n), DeadLetters.empty())))
        for n in range(2)
    ]

    async def crash(*_: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(replaying, "_append", crash)
        with pytest.raises(ZeroDivisionError):
            await road.replay()
    await road.conn.execute("UPDATE dead_letter SET data = 'LZB1' WHERE id = %s", [one])
    told = await road.replay(ids=[two])
    assert [(each, done) for each, done, _ in told] == [(one, False), (two, True)]
    assert len(await road.messages()) == 2


async def test_one_replays_at_a_time(road: Road, database: str) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as other:
        await other.execute("SELECT pg_advisory_lock(808006)")
        with pytest.raises(replaying.BusyError):
            await road.replay()
