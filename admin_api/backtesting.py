"""Back-tests: a draft over stored history, and beside it the version that is in force. The API and the command line share it.

Read slice by slice, judged in a thread: the event loop and the memory are spared. What is stored meanwhile may count or not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from admin_api import parameters
from admin_api.parameters import CHINA
from admin_api.problems import Problem, invalid
from geofence.backtest import NO_ZONE, Backtest, bounds
from geofence.exemptions import Exemption
from geofence.machines import Binding, Machine, Machines
from geofence.zones import Zone
from storage import dated_machines
from storage.track_columns import read, slices, tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from admin_api.state import Connection
    from geofence.visits import Visit
    from geofence.zones import ZoneDraft

    Progress = Callable[[int, int], None]
    """Is told how many points were judged, of how many."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MOST_DAYS = 93
MOST_POINTS = 100_000_000
"""To be judged: some minutes of a core."""
DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """since, until: us UTC; points, terminals: in the range; judged: points of terminals that came near the zone.

    machines: that these terminals sat on; visits: of the draft; current: the version beside it, None without one;
    current_visits: what that would have caught in the same range, had it been in force all the time.
    """

    since: int
    until: int
    points: int
    judged: int
    terminals: int
    near: int
    machines: int
    draft: Zone
    visits: list[Visit]
    current: Zone | None
    current_visits: list[Visit]


def window(start: str | None, end: str | None) -> tuple[datetime, datetime]:
    """The range that was asked for, or the last 30 days. Raises a 422 Problem."""
    until = parameters.time(end, "query.to") or datetime.now(CHINA)
    since = parameters.time(start, "query.from") or until - timedelta(days=DEFAULT_DAYS)
    if since >= until:
        raise invalid("query.from", "`from` is not before `to`.", "开始时间须早于结束时间。")
    if until - since > timedelta(days=MOST_DAYS):
        raise invalid(
            "query.from", f"A back-test goes over {MOST_DAYS} days at most.", f"单次回测最多 {MOST_DAYS} 天。"
        )
    return since, until


async def backtest(
    connection: Connection, draft: ZoneDraft, row: dict[str, Any] | None, begin: datetime, end: datetime,
    progress: Progress = lambda _done, _all: None,
) -> Outcome:  # fmt: skip
    """The draft over [begin, end). row: the version of a zone that it is to replace, as stored.

    Raises a 422 Problem where there is too much to judge.
    """
    since, until = ((edge - _EPOCH) // timedelta(microseconds=1) for edge in (begin, end))
    current = None if row is None else stored(row)
    zone = draft.publish(NO_ZONE if current is None else current.id, 0)
    edges = [bounds(each) for each in (zone, current) if each is not None]
    west, south, east, north = zip(*edges, strict=True)
    found = await tally(connection, since, until, (min(west), min(south), max(east), max(north)))
    parts = list(slices(found, since, until))
    total, done = sum(part.points for part in parts), 0
    if total > MOST_POINTS:
        raise Problem(
            422,
            "too-many-points",
            f"{total:,} positions are to be judged, and a back-test takes {MOST_POINTS:,} at most: shorten the range.",
            f"需判定 {total:,} 个定位点，超过单次回测上限 {MOST_POINTS:,}：请缩短时间范围。",
            points=total,
        )
    machines, known = await _machines(connection, found.visitors, since, until)
    granted = [Exemption(**each) for each in await dated_machines.exemptions(connection, zone.id, since, until)]
    tests = [Backtest(each, machines, granted) for each in (zone, current) if each is not None]
    for part in parts:
        positions = await read(connection, part)
        for test in tests:
            await asyncio.to_thread(test.take, positions)
        done += part.points
        progress(done, total)
    visits = [await asyncio.to_thread(test.visits) for test in tests]
    return Outcome(
        since, until, int(found.points.sum()), tests[0].points, len(found.terminals), len(found.visitors), known, zone,
        visits[0], current, [] if current is None else visits[1],
    )  # fmt: skip


def stored(row: dict[str, Any]) -> Zone:
    """A version as `storage.queries.zones` found it, as if it were in force at any time."""
    names = (
        "version", "name", "district", "tier", "geometry", "rules", "guard_m", "halo_m", "unknown_policy", "doc_no",
        "merge_s", "lost_s", "lost_merge_s", "slow_terminals",
    )  # fmt: skip
    return Zone.stored(id=row["zone"], **{name: row[name] for name in names})


async def _machines(connection: Connection, devices: NDArray[Any], since: int, until: int) -> tuple[Machines, int]:
    """What the terminals sat on in that time, and how many machines these are."""
    bindings = await dated_machines.bindings(connection, devices, since, until)
    ids = sorted({each["machine"] for each in bindings})
    versions = await dated_machines.versions(connection, ids)
    made = Machines((Binding(**each) for each in bindings), (Machine(**each) for each in versions))
    return made, len(ids)
