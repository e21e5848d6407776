"""What a back-test found, as a document: who, when, how often, and what the version in force would have done."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from admin_api.parameters import CHINA
from geofence.backtest import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_api.backtesting import Outcome
    from geofence.visits import Visit

MOST_VISITS = 1000
MOST_MACHINES = 100
MOST_DIFFERING = 100

_VERDICTS = {"violation": "violations", "unknown": "unknown", "exempt": "exempt"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def document(found: Outcome) -> dict[str, Any]:
    """The answer of `POST /api/v1/zones/backtest` (docs/api.md)."""
    visits = found.visits
    of_machine = _of_machine(visits)
    answer = {
        "from": _time(found.since),
        "to": _time(found.until),
        "points": found.points,
        "terminals": found.terminals,
        "near": {"points": found.judged, "terminals": found.near, "machines": found.machines},
        "totals": {
            **_counts(visits),
            "visits": len(visits),
            "alarms": sum(visit.alarming for visit in visits),
            "machines": len(of_machine),
            "machines_again": sum(len(own) > 1 for own in of_machine.values()),
        },
        "visits": [_visit(visit) for visit in visits[:MOST_VISITS]],
        "by_machine": _by_machine(of_machine),
        "by_day": _by_day(visits),
        "rules_never_in_force": [
            index
            for index, rule in enumerate(found.draft.rules)
            if (rule.schedule.valid_from or found.since) >= found.until
            or (rule.schedule.valid_to or found.until) <= found.since
        ],
    }
    return answer | {"difference": _difference(found)}


def _time(us: int) -> datetime:
    return (_EPOCH + timedelta(microseconds=us)).astimezone(CHINA)


def _counts(visits: Sequence[Visit]) -> dict[str, int]:
    counted = Counter(visit.verdict for visit in visits)
    return {name: counted[verdict] for verdict, name in _VERDICTS.items()}


def _minutes(visit: Visit) -> float:
    """Until it ended, or was last seen."""
    end = visit.last_inside_at if visit.exited_at is None else visit.exited_at
    return (end - visit.entered_at) / 60_000_000


def _machine(visit: Visit) -> dict[str, Any]:
    return {
        name: visit.snapshot[name] for name in ("id", "registration_number", "machine_type", "emission_stage")
    }  # fmt: skip


def _visit(visit: Visit) -> dict[str, Any]:
    return {
        "machine": _machine(visit),
        "entered_at": _time(visit.entered_at),
        "exited_at": None if visit.exited_at is None else _time(visit.exited_at),
        "exit_reason": visit.exit_reason,
        "last_inside_at": _time(visit.last_inside_at),
        "minutes": round(_minutes(visit), 1),
        "grade": visit.grade,
        "verdict": visit.verdict,
        "alarm": visit.alarming,
        "rule": visit.rule,
        "longitude": round(visit.lon, 6),
        "latitude": round(visit.lat, 6),
    }


def _of_machine(visits: Sequence[Visit]) -> dict[int, list[Visit]]:
    of_machine: dict[int, list[Visit]] = defaultdict(list)
    for visit in visits:
        of_machine[visit.machine].append(visit)
    return of_machine


def _by_machine(of_machine: dict[int, list[Visit]]) -> list[dict[str, Any]]:
    """Who came most often, and of those who stayed longest."""
    stays = [(sum(map(_minutes, own)), own) for own in of_machine.values()]
    stays.sort(key=lambda stay: (-len(stay[1]), -stay[0], stay[1][0].machine))
    return [
        {"machine": _machine(own[-1]), "visits": len(own), **_counts(own), "minutes": round(minutes, 1)}
        for minutes, own in stays[:MOST_MACHINES]
    ]


def _by_day(visits: Sequence[Visit]) -> list[dict[str, Any]]:
    """China's days on which visits began."""
    days: dict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        days[_time(visit.entered_at).date().isoformat()].append(visit)
    return [
        {"day": day, "visits": len(own), **_counts(own), "machines": len({visit.machine for visit in own})}
        for day, own in sorted(days.items())
    ]


def _difference(found: Outcome) -> dict[str, Any] | None:
    current = found.current
    if current is None:
        return None
    told = compare(found.visits, found.current_visits)
    return {
        "zone": current.id,
        "version": current.version,
        "only_draft": _part(told.only_draft),
        "only_current": _part(told.only_current),
        "both": {"visits": len(told.both), "machines": len({visit.machine for visit in told.both})},
    }


def _part(visits: Sequence[Visit]) -> dict[str, Any]:
    return {
        "visits": len(visits),
        "machines": len({visit.machine for visit in visits}),
        "items": [_visit(visit) for visit in visits[:MOST_DIFFERING]],
    }
