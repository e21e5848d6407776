"""Visiting: what was decided as the plain rows that storage writes, and back. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from geofence.grades import GRADES, Grade
from geofence.presences import Cause, End, Page, Presence
from geofence.visits import Known, Visit, ZoneFacts, form, revise
from storage.work import Revised, VisitChanges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from geofence.ruleset import Ruleset
    from geofence.visits import Revision
    from storage.work import Row, Span

DELAYED_US = 60 * 1_000_000  # decided - received: our own outage, which a page must own up to
_SECOND = 1_000_000
_FOREVER = 4_102_444_800_000_000  # 2100-01-01


def visit_changes(
    changed: Iterable[Presence], before: Iterable[Presence], gone: Iterable[Presence], pages: Iterable[Page],
    rules: Ruleset, now: int,
) -> VisitChanges | None:  # fmt: skip
    """What a commit writes of these; None where it is nothing.

    before: what presences that were judged anew were like; now: us UTC, when this is decided.
    """
    presences = {presence.key: presence for presence in changed}
    gone = list(gone)
    rows = [
        {"machine": page.machine, "at": page.at, "received": page.received, "reason": _reason(page, now)}
        for page in pages
    ]
    if not (presences or gone or rows):
        return None
    spans: dict[int, Span] = {}
    for presence in (*presences.values(), *before, *gone):
        if presence.machine is not None and presence.reported:
            until = _FOREVER if presence.ended_at is None else presence.ended_at
            since, latest = spans.get(presence.machine, (presence.began_at, until))
            spans[presence.machine] = min(since, presence.began_at), max(latest, until)
    longest = max((max(zone.merge_s, zone.lost_merge_s) for zone in rules.fence.zones), default=0.0)
    return VisitChanges(
        form=formed, presences=[presence_row(presence) for presence in presences.values()],
        gone=[presence.key for presence in gone], spans=spans, merge=int(longest * _SECOND), pages=rows,
    )  # fmt: skip


def _reason(page: Page, now: int) -> str:
    if now - page.received > DELAYED_US:
        return "delayed"
    return "after_late_data" if page.after_late else "prompt"


def presence_row(presence: Presence) -> Row:
    return {**{name: getattr(presence, name) for name in Presence.__slots__}, **_place(presence)}


def presence_of(row: Row) -> Presence:
    values = {name: row[name] for name in Presence.__slots__}
    return Presence(**_read(values, end=None if row["end"] is None else End(row["end"])))


def formed(presences: Sequence[Row], visits: Sequence[Row]) -> Revised:
    """`VisitChanges.form`: visits as the presences make them, machine by machine, against those that are stored."""
    facts = {
        (row["zone"], row["zone_version"]): ZoneFacts(
            row["tier"], row["district"], int(row["merge_s"] * _SECOND), int(row["lost_merge_s"] * _SECOND)
        )
        for row in presences
    }
    its: dict[int, list[Presence]] = defaultdict(list)
    stored: dict[int, list[Known]] = defaultdict(list)
    for row in presences:
        its[row["machine"]].append(presence_of(row))
    for row in visits:
        stored[row["machine"]].append(Known(_visit_of(row), row["alarm"]))
    revisions = [
        (stored[machine], revise(stored[machine], form(its[machine], facts)))
        for machine in sorted({*its, *stored})
    ]  # fmt: skip
    return Revised(
        visits=[row for _, revision in revisions for row in _visit_rows(revision)],
        merged={old: new for _, revision in revisions for old, new in revision.merged.items()},
        withdrawn=[visit for _, revision in revisions for visit in revision.withdrawn],
        merged_alarms={old: new for _, revision in revisions for old, new in revision.merged_alarms.items()},
        withdrawn_alarms=[alarm for _, revision in revisions for alarm in revision.withdrawn_alarms],
        annotations=[note for known, revision in revisions for note in _annotations(known, revision)],
    )


def _visit_rows(revision: Revision) -> list[Row]:
    alarms = {visit: alarm for alarm, visit in revision.kept.items()}
    return [
        {
            **{name: getattr(visit, name) for name in Visit.__slots__},
            **_place(visit),
            "alarm": alarms.get(visit.id),
        }
        for visit in revision.visits
    ]


def _annotations(stored: Sequence[Known], revision: Revision) -> list[Row]:
    """What the record of an alarm says of its visit: a higher grade, a correction by late data, a union, a withdrawal."""
    before = {known.alarm: known.visit for known in stored if known.alarm is not None}
    now = {visit.id: visit for visit in revision.visits}
    notes: list[Row] = []
    for alarm, visit_id in revision.kept.items():
        old, new = before[alarm], now[visit_id]
        if GRADES.index(new.grade) > GRADES.index(old.grade):
            notes.append(_note(alarm, "grade_rose", {"from": old.grade, "to": new.grade, "at_us": new.grade_at}))
        moved = {
            name: [getattr(old, name), getattr(new, name)]
            for name in ("entered_at", "exited_at")
            if getattr(old, name) is not None and getattr(old, name) != getattr(new, name)
        }
        if moved:
            notes.append(_note(alarm, "corrected", moved))
    notes += [_note(old, "merged", {"alarm": new}) for old, new in revision.merged_alarms.items()]
    return [*notes, *(_note(alarm, "withdrawn", {}) for alarm in revision.withdrawn_alarms)]


def _note(alarm: int, action: str, payload: dict[str, Any]) -> Row:
    return {"alarm": alarm, "action": action, "payload": payload}


def _visit_of(row: Row) -> Visit:
    values = {name: row[name] for name in Visit.__slots__ if name != "crossed"}
    end = None if row["exit_reason"] is None else End(row["exit_reason"])
    return Visit(**_read(values, exit_reason=end, crossed=False))


def _read(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        **values, "cause": Cause(values["cause"]), "grade": Grade(values["grade"]), "lon": values["lon"] / 1e6,
        "lat": values["lat"] / 1e6, **more,
    }  # fmt: skip


def _place(found: Presence | Visit) -> dict[str, int]:
    return {"lon": round(found.lon * 1e6), "lat": round(found.lat * 1e6)}
