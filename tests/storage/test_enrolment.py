"""What refused, replaced and quarantined terminals leave in the database, and what edges are told of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import enrolment, load
from storage.commit import commit
from tests.storage.rows import NOON, SECOND, work

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from tests.storage.conftest import Scene

KNOWN = "13800000007"
MINUTE = 60 * SECOND


def refused(identity: str, at: int = NOON, **more: Any) -> dict[str, Any]:
    return {"event": "refused", "identity": identity, "phone": f"0{identity}", "time": at, "edition": "2013",
            "province": 37, "city": 1502, "maker": "ACME", "model": "M", "terminal_id": "T", "plate_colour": 2,
            "plate": "鲁A", "result": 4, **more}  # fmt: skip


class Steps:
    """Commits one step of the log after the other."""

    def __init__(self, worker: AsyncConnection) -> None:
        self.worker = worker
        self.at = 0

    async def __call__(self, *sessions: dict[str, Any]) -> None:
        await commit(self.worker, work(previous=self.at, sequence=self.at + 1, sessions=sessions))
        self.at += 1


@pytest.fixture
def step(worker: AsyncConnection) -> Steps:
    return Steps(worker)


def run(scene: Scene, statement: str) -> None:
    with psycopg.connect(scene.conninfo, autocommit=True) as conn:
        conn.execute(statement)


@pytest.mark.asyncio
async def test_a_refusal_is_one_row_a_terminal(scene: Scene, step: Steps) -> None:
    """First and last time by the edge's clock, attempts added up over batches, what it said last, what it was answered."""
    await step(refused("666", NOON + MINUTE), refused("666", NOON + 2 * MINUTE, plate="鲁B", result=2))
    await step(refused("666", NOON), refused("667"))
    assert scene.query(
        "SELECT phone, header_phone, attempts, first_seen, last_seen, plate, result, province, city, plate_colour"
        " FROM terminal_refused WHERE phone = '666'"
    ) == [("666", "0666", 3, _utc(NOON), _utc(NOON + 2 * MINUTE), "鲁A", 4, 37, 1502, 2)]  # fmt: skip
    assert scene.value("SELECT count(*) FROM event") == 0, "strangers must not fill the stream"


@pytest.mark.asyncio
async def test_who_registers_waits_no_more(scene: Scene, step: Steps) -> None:
    """In a later batch or in the same one; who was refused after it registered waits again."""
    ok = {"event": "registered", "identity": "666", "device": 666}
    await step(refused("666"))
    await step(ok)
    assert scene.query("SELECT phone FROM terminal_refused") == []
    await step(refused("667"), {**ok, "identity": "667", "device": 667})
    assert scene.query("SELECT phone FROM terminal_refused") == []
    await step({**ok, "identity": "668", "device": 668}, refused("668", result=2))
    assert scene.query("SELECT phone, result FROM terminal_refused") == [("668", 2)]


@pytest.mark.asyncio
async def test_a_bound_terminals_old_refusal_is_no_news(scene: Scene, step: Steps) -> None:
    """A refusal that was still in the log when staff bound the terminal does not bring it back; a dismissed one stays so."""
    await step(refused(KNOWN), refused("666"))
    assert scene.query("SELECT phone FROM terminal_refused") == [("666",)]
    run(scene, "UPDATE terminal_refused SET dismissed_at = now()")
    await step(refused("666"))
    assert scene.query("SELECT attempts, dismissed_at IS NOT NULL FROM terminal_refused") == [(2, True)]


@pytest.mark.asyncio
async def test_the_queue_is_bounded(scene: Scene, step: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound those that were silent longest are dropped and counted; who asks again stays."""
    monkeypatch.setattr(enrolment, "MOST_REFUSED", 3)
    for i in range(5):
        await step(refused("real", NOON + i * MINUTE), refused(f"fake{i}", NOON + i * MINUTE))
    assert scene.query("SELECT phone FROM terminal_refused ORDER BY phone") == [("fake3",), ("fake4",), ("real",)]
    assert scene.value("SELECT dropped FROM enrolment_queue") == 3


@pytest.mark.asyncio
async def test_a_quarantine_is_kept_and_told(scene: Scene, worker: AsyncConnection, step: Steps) -> None:
    """The terminal is held back until then, edges hear of it, staff see it; the longest counts; its replacements too."""
    hour = 3600 * SECOND
    future = int(datetime(2099, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    before = await load.registry(worker)
    swap = {"event": "replaced", "identity": KNOWN, "time": NOON}
    held = {"event": "quarantined", "identity": KNOWN, "time": NOON, "swaps": 3, "until": future}
    await step(swap, held, {**held, "until": future - hour})
    await step({**held, "until": future - hour}, {**held, "identity": "nobody"})
    after = await load.registry(worker)
    assert after.version > before.version
    assert after.terminals == [(KNOWN, 1, "registered", "LJ-1", "strict", future - hour)]
    assert [row[0] for row in scene.query("SELECT data FROM event WHERE kind = 'terminal' ORDER BY id")][:2] == [
        {"event": "replaced", "phone": KNOWN, "time": "2026-03-01T12:00:00+00:00"},
        {"event": "quarantined", "phone": KNOWN, "time": "2026-03-01T12:00:00+00:00", "swaps": 3,
         "until": "2099-01-01T00:00:00+00:00"},
    ]  # fmt: skip


@pytest.mark.asyncio
async def test_a_release_outlives_what_was_seen_before_it(scene: Scene, step: Steps) -> None:
    """A record of before the release sets no quarantine any more; one of after it does."""
    future = int(datetime(2099, 1, 1, tzinfo=UTC).timestamp()) * SECOND
    held = {"event": "quarantined", "identity": KNOWN, "swaps": 3, "until": future}
    run(scene, "UPDATE terminal SET released_at = '2026-03-01 12:00:00Z'")
    await step({**held, "time": NOON - SECOND})
    assert scene.value("SELECT quarantined_until FROM terminal") is None
    await step({**held, "time": NOON + SECOND})
    assert scene.value("SELECT quarantined_until FROM terminal") is not None


@pytest.mark.asyncio
async def test_what_edges_are_told(scene: Scene, worker: AsyncConnection) -> None:
    """A terminal's machine now or next, its maker's trust, and which machines wait for a terminal; a past binding is none."""
    run(scene, "INSERT INTO maker_trust (maker, trust) VALUES ('OLD', 'legacy')")
    run(scene, "INSERT INTO machine (registration_number, machine_type) VALUES ('环3-abc', 'loader'), (NULL, 'loader')")
    run(scene, "INSERT INTO terminal (device, phone, maker) VALUES (8, '8', 'OLD'), (9, '9', NULL), (10, '10', NULL)")
    for device, during in ((8, "[2020-01-01,2020-01-02)"), (9, "[2099-01-01,)")):
        run(scene, f"INSERT INTO binding (device, machine, during) SELECT {device}, id, '{during}' FROM machine"
                   " WHERE registration_number IS NULL")  # fmt: skip
    told = await load.registry(worker)
    assert told.terminals == [
        ("10", 1, "registered", None, "strict", None), (KNOWN, 1, "registered", "LJ-1", "strict", None),
        ("8", 1, "registered", None, "legacy", None), ("9", 1, "registered", "", "strict", None),
    ]  # fmt: skip
    assert told.vacant == ["3-ABC"]
    run(scene, "UPDATE terminal SET state = 'revoked', trust = 'legacy' WHERE device = 7")
    told = await load.registry(worker)
    assert (KNOWN, 1, "revoked", "LJ-1", "legacy", None) in told.terminals
    assert sorted(told.vacant) == ["3-ABC", "LJ-1"], "who is revoked holds no machine"


@pytest.mark.plain("it looks at the clock, and WebAssembly is slow")
async def test_a_citys_registry_is_read_without_statistics(scene: Scene, worker: AsyncConnection) -> None:
    """Right after an import nothing is known of the tables, and a plan must not compare every machine with every other."""
    run(scene, "ALTER TABLE machine SET (autovacuum_enabled = off)")
    run(scene, "INSERT INTO machine (registration_number, machine_type)"
               " SELECT '3-X' || i, 'loader' FROM generate_series(1, 20000) i")  # fmt: skip
    run(
        scene, "INSERT INTO terminal (device, phone) SELECT 1000 + i, (1000 + i)::text FROM generate_series(1, 20000) i"
    )
    run(scene, "INSERT INTO binding (device, machine, during) SELECT 1000 + substr(registration_number, 4)::int, id,"
               " '[2026-01-01,)' FROM machine WHERE registration_number LIKE '3-X%'")  # fmt: skip
    begun = time.monotonic()
    told = await load.registry(worker)
    assert time.monotonic() - begun < 5, "some 10 s with a nested loop, 0.3 s without"
    assert (len(told.terminals), told.vacant) == (20_001, [])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE binding SET during = '[2026-01-01,2026-02-01)'",
        "DELETE FROM binding",
        "UPDATE machine SET registration_number = 'LJ-2'",
        "INSERT INTO machine (machine_type) VALUES ('loader')",
        "UPDATE terminal SET generation = 2",
        "UPDATE terminal SET state = 'revoked'",
        "UPDATE terminal SET trust = 'legacy'",
        "UPDATE terminal SET quarantined_until = now()",
        "INSERT INTO maker_trust VALUES ('m', 'legacy')",
    ],
)
def test_edges_hear_of(scene: Scene, statement: str) -> None:
    """Whatever an edge must know takes the registry's next version."""
    before = scene.value("SELECT version FROM registry")
    run(scene, statement)
    assert scene.value("SELECT version FROM registry") == before + 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE terminal SET maker = 'm', model = 'x'", "UPDATE machine SET brand = 'x'", "UPDATE terminal SET trust = NULL",
     "UPDATE terminal SET released_at = now()"],
)  # fmt: skip
def test_edges_do_not_hear_of(scene: Scene, statement: str) -> None:
    """What makes no difference to an edge does not send the whole registry round."""
    before = scene.value("SELECT version FROM registry")
    run(scene, statement)
    assert scene.value("SELECT version FROM registry") == before


_VALUES = st.one_of(st.none(), st.integers(), st.text("ab\x00", max_size=3), st.floats(), st.booleans())
_KINDS = ("refused", "replaced", "quarantined", "closed")
_NAMES = ("event", "identity", "time", "until", "swaps", "province", "plate_colour", "result", "plate", "phone")


@given(st.lists(st.tuples(st.sampled_from(_KINDS), *[_VALUES] * (len(_NAMES) - 1)), max_size=4))
def test_any_record_is_read(values: list[tuple[Any, ...]]) -> None:
    """A log may hold anything: no record makes a batch unreadable, and what is read is JSON with one row a terminal."""
    records = [dict(zip(_NAMES, row, strict=True)) for row in values]
    found = enrolment.read(records)
    for rows in (found.refused, found.quarantined):
        assert len({row["phone"] for row in rows}) == len(rows)
    for row in found.refused:
        assert row["plate_colour"] is None or 0 <= row["plate_colour"] < 256
        assert row["attempts"] == sum(r["event"] == "refused" and r["identity"] == row["phone"] for r in records)
    orjson.dumps([found.refused, found.quarantined, found.events])


def _utc(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1_000_000, UTC)
