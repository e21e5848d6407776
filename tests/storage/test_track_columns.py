"""Stored fixes as columns: what is there, cut into slices, and each row once, as it was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from columns.positions import Positions, Quality, concatenate
from storage.copy import COPY, rows
from storage.dated_machines import bindings, exemptions, versions
from storage.track_columns import DAY_US, Slice, Tally, read, slices, tally
from tests.storage.rows import NOON, SECOND, positions

if TYPE_CHECKING:
    from tests.storage.conftest import Scene

MIDNIGHT = NOON + DAY_US // 2
SINCE, UNTIL = NOON, NOON + 2 * DAY_US
EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)
READ = ("device", "time", "fingerprint", "lon", "lat", "speed", "status", "quality")


def store(conninfo: str, *parts: Positions) -> None:
    with psycopg.connect(conninfo, prepare_threshold=None) as conn:
        for part in parts:
            with conn.cursor() as cursor, cursor.copy(COPY) as copy:
                for piece in rows(part):
                    copy.write(piece)


def tracks() -> list[Positions]:
    """Terminals 7, 8 and -9 over midnight; extremes of every column that is read."""
    edges = positions(4, device=-9, time=NOON).with_columns(
        lon=np.array([-180.0, 180, 0, 2147.483647]), lat=np.array([-90.0, 90, 0, 1e-6]),
        status=np.array([0, 2**32 - 1, 2**31, 3], np.uint32), speed=np.array([0, 65535, 1, 2], np.uint16),
        fingerprint=np.array([-(2**63), 2**63 - 1, 0, 1]),
        quality=np.array([0, Quality.DISPUTED, Quality.UNVERIFIED, 511], np.uint16),
    )  # fmt: skip
    return [
        edges, positions(5, time=MIDNIGHT - 2 * SECOND),
        positions(3, device=8, time=MIDNIGHT).with_columns(lon=np.array([118.0, 118, 117.2])),
    ]  # fmt: skip


def in_order(found: Positions) -> list[tuple[float, ...]]:
    return sorted(zip(*(getattr(found, name).tolist() for name in READ), strict=True))


async def everything(conninfo: str, most: int, box: tuple[float, float, float, float] = EVERYWHERE) -> list[Positions]:
    async with await psycopg.AsyncConnection.connect(conninfo, prepare_threshold=None) as conn:
        found = await tally(conn, SINCE, UNTIL, box)
        return [await read(conn, each) for each in slices(found, SINCE, UNTIL, most)]


@pytest.mark.parametrize("most", [1, 3, 1000])
async def test_rows_come_back_as_they_were_stored(scene: Scene, api_database: str, most: int) -> None:
    """Every row once, in the api's role, of however many slices; what deciding does not need is zero."""
    stored = tracks()
    store(scene.conninfo, *stored)
    found = await everything(api_database, most)
    assert in_order(concatenate(found)) == in_order(concatenate(stored))
    assert len(found) == {1: 4, 3: 3, 1000: 2}[most]
    assert all(len(np.unique(part.time // DAY_US)) == 1 for part in found)
    assert [part.time.min() // DAY_US for part in found] == sorted(part.time.min() // DAY_US for part in found)
    assert not concatenate(found).received.any()


async def test_the_range_is_half_open(scene: Scene, worker_database: str) -> None:
    """From is in it, to is not."""
    store(scene.conninfo, positions(1, time=SINCE - 1), positions(1, time=SINCE), positions(1, time=UNTIL - 1),
          positions(1, time=UNTIL))  # fmt: skip
    found = concatenate(await everything(worker_database, 10))
    assert sorted(found.time.tolist()) == [SINCE, UNTIL - 1]


async def test_who_was_never_in_the_box_is_left_out_whole(scene: Scene, worker_database: str) -> None:
    """Terminal 8 was there once, so all its rows are read; the others only count."""
    store(scene.conninfo, *tracks())
    box = (117.15, 36.0, 117.3, 37.0)
    async with await psycopg.AsyncConnection.connect(worker_database) as conn:
        found = await tally(conn, SINCE, UNTIL, box)
    assert (found.terminals.tolist(), found.visitors.tolist(), found.points.sum()) == ([-9, 7, 8], [8], 12)
    (part,) = await everything(worker_database, 1000, box)
    assert sorted(part.lon.tolist()) == [117.2, 118.0, 118.0]


async def test_nothing_is_there(worker_database: str) -> None:
    """An empty range is an empty tally, and no slice."""
    assert await everything(worker_database, 10) == []


async def test_rows_that_went_meanwhile_are_an_empty_slice(worker_database: str) -> None:
    """Retention may drop a day between the tally and its reading."""
    async with await psycopg.AsyncConnection.connect(worker_database) as conn:
        found = await read(conn, Slice(SINCE, UNTIL, np.array([7]), 3))
    assert len(found) == 0


async def test_on_timescaledb(timescaledb: str) -> None:
    """Chunks, compressed ones too."""
    from storage.migrate import migrate  # noqa: PLC0415

    migrate(timescaledb)
    stored = tracks()
    store(timescaledb, *stored)
    with psycopg.connect(timescaledb, autocommit=True, prepare_threshold=None) as conn:
        conn.execute("SELECT compress_chunk(c) FROM show_chunks('position') c LIMIT 1")
    assert in_order(concatenate(await everything(timescaledb, 3))) == in_order(concatenate(stored))


counts = st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3), st.integers(1, 9), st.booleans()), max_size=30)


@given(counts=counts, most=st.integers(1, 20))
def test_slices_hold_each_visitors_day_once(counts: list[tuple[int, int, int, bool]], most: int) -> None:
    """Days ascend; a slice is of one day, and holds at most what was asked for and one terminal's day more."""
    once = {(day, terminal): (points, near) for day, terminal, points, near in counts}
    columns = np.array([(day, terminal, *rest) for (day, terminal), rest in once.items()], np.int64).reshape(-1, 4)
    found = Tally(columns[:, 1], columns[:, 0], columns[:, 2], columns[:, 3] != 0)
    near = {terminal for (_, terminal), (_, near) in once.items() if near}
    made = list(slices(found, 0, 6 * DAY_US, most))
    assert [each.since for each in made] == sorted(each.since for each in made)
    assert all(each.until == each.since + DAY_US for each in made)
    seen = [(each.since // DAY_US, terminal) for each in made for terminal in each.terminals.tolist()]
    assert sorted(seen) == sorted(key for key in once if key[1] in near)
    assert all(each.points < most + 9 for each in made)
    assert sum(each.points for each in made) == sum(once[key][0] for key in seen)


async def test_machines_as_they_were(scene: Scene, worker_database: str) -> None:
    """Bindings that ended years ago count in a range of years ago; so do exemptions until they were revoked."""
    m = scene.machine
    scene.query(
        f"WITH a AS (INSERT INTO binding (device, machine, during) VALUES (7, {m}, '[2020-01-01Z,2020-03-01Z)')),"
        f" b AS (INSERT INTO exemption (kind, machine, zone, during, approver, reason, created_by, revoked_by, revoked_at,"
        f" revocation) VALUES ('machine', {m}, {scene.zone}, '[2020-01-01Z,2021-01-01Z)', 'a', 'r', 'b', 'c',"
        f" '2020-02-01Z', 'd')) SELECT 1"
    )
    february = 1_580_515_200 * SECOND
    async with await psycopg.AsyncConnection.connect(worker_database) as conn:
        old = await bindings(conn, np.array([7, 8]), february - SECOND, february)
        assert [(each["device"], each["machine"], each["phone"]) for each in old] == [(7, m, "13800000007")]
        assert old[0]["until"] == 1_583_020_800 * SECOND
        (new,) = await bindings(conn, np.array([7]), NOON, NOON + 1)
        assert (new["since"], new["until"]) == (1_767_225_600 * SECOND, None)
        (granted,) = await exemptions(conn, scene.zone, february - SECOND, february)
        assert (granted["value"], granted["until"]) == (m, february)
        assert await exemptions(conn, scene.zone, february, february + SECOND) == []
        assert await exemptions(conn, scene.zone + 1, february - SECOND, february) == []
        (version,) = await versions(conn, [m])
    assert (version["registration_number"], version["since"]) == ("LJ-1", None)


async def test_a_version_has_every_field_of_a_machine(scene: Scene, worker_database: str) -> None:
    """A new attribute that is not read here would be judged as unknown."""
    from geofence.exemptions import Exemption  # noqa: PLC0415
    from geofence.machines import Binding, Machine  # noqa: PLC0415

    scene.query(
        "INSERT INTO exemption (kind, owner, during, approver, reason, created_by)"
        " VALUES ('owner', '一建', '[2026-01-01Z,)', '局长', '民生', 'b') RETURNING 1"
    )
    async with await psycopg.AsyncConnection.connect(worker_database) as conn:
        for found, kind in (
            (await versions(conn, [scene.machine]), Machine),
            (await bindings(conn, np.array([7]), NOON, NOON + 1), Binding),
            (await exemptions(conn, 0, NOON, NOON + 1), Exemption),
        ):
            assert set(found[0]) == set(kind.__slots__)
