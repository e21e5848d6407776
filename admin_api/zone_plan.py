"""What a file of zones would change, and then changes: new, changed, unchanged or refused, zone by zone.

A zone is known by its district and name. It is compared with its version in force, else with its newest, and is unchanged
too where a version that waits says the same. All of a file is taken in, or nothing: a notice that is half in force is
worse than one that is refused.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from admin_api.zone_editing import draw, put_in_force
from geofence.errors import ZoneError
from geofence.feature_values import missing
from geofence.importing.differences import Difference, area_m2, differences
from geofence.zones import Zone
from storage.queries import districts, zone_import, zones

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from admin_api.permissions import Account
    from admin_api.state import Connection
    from geofence.importing.reading import Incoming
    from geofence.zones import ZoneDraft

    Written = Callable[[str, str, dict[str, Any]], Awaitable[None]]
    """Writes an audit row: action, object, detail."""

KINDS = ("new", "changed", "unchanged", "refused")
# Faults of the shape itself, for which a repair may be looked at.
REPAIRABLE = frozenset({"ring_open", "geometry_invalid"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHINA_SECONDS = 8 * 3600
_LAW = ("active", "approved")
_WAITING = ("draft", "in_review")
_OF_ZONE = (
    "version", "name", "district", "tier", "guard_m", "halo_m", "unknown_policy", "doc_no", "merge_s", "lost_s",
    "lost_merge_s", "slow_terminals",
)  # fmt: skip


@dataclass(slots=True)
class Planned:
    """kind: one of KINDS; zone, version: what is there, and once it was applied what was made."""

    incoming: Incoming
    kind: str
    draft: ZoneDraft | None = None
    zone: int | None = None
    version: int | None = None
    differences: list[Difference] = field(default_factory=list)
    faults: list[ZoneError] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON; see docs/api.md."""
        draft = self.draft
        properties = self.incoming.feature["properties"]
        return {
            "number": self.incoming.number,
            "layer": self.incoming.layer,
            "change": self.kind,
            "name": draft.name if draft else properties.get("name"),
            "district": draft.district if draft else properties.get("district"),
            "zone": self.zone,
            "version": self.version,
            "crs": draft.crs if draft else self.incoming.crs,
            "area_m2": round(area_m2(draft.geometry)) if draft else None,
            "differences": [_difference(each) for each in self.differences],
            "reasons": [_reason(fault) for fault in self.faults],
        }


def counts(planned: Sequence[Planned]) -> dict[str, int]:
    found = Counter(each.kind for each in planned)
    return {kind: found[kind] for kind in KINDS}


async def plan(
    connection: Connection, incoming: Sequence[Incoming], *, publish: bool, account: Account | None, hold: bool = False
) -> list[Planned]:
    """The diff. ``account``: whose districts bound it, None for the owner; ``hold``: other editors wait until the
    transaction ends, so that what is applied is what was compared.
    """
    if hold:
        await zone_import.alone(connection)
    names = _codes(await districts.all_of(connection))
    seen: dict[tuple[str, str], int] = {}
    planned = []
    for place, each in enumerate(incoming, 1):
        draft = each.draft
        if draft is not None and draft.district in names:
            draft = replace(draft, district=names[draft.district])
        faults = list(each.faults)
        if draft is not None:
            first = seen.setdefault((draft.district, draft.name), place)
            faults += _faults(draft, account, publish=publish, twin=None if first == place else first)
        if draft is None or faults:
            planned.append(Planned(each, "refused", draft, faults=faults))
        else:
            planned.append(await _compared(connection, each, draft, publish=publish, hold=hold))
    return planned


async def apply(
    connection: Connection, planned: Sequence[Planned], written: Written, *, author: str, publish: bool, note: str
) -> None:
    """Takes in a plan that was made with ``hold`` and has nothing refused, in the caller's transaction.

    ``note``: who answered for it where it is published at once. Raises the Problems of `draw` and `put_in_force`.
    """
    for each in planned:
        if each.draft is None or each.kind not in {"new", "changed"}:
            continue
        drawn = await draw(connection, each.draft, author=author, zone=each.zone, over_review=publish)
        each.zone, each.version = drawn.zone, drawn.version
        detail: dict[str, Any] = {"version": drawn.version, "doc_no": each.draft.doc_no, "ended": drawn.ended}
        if publish:
            row = await zones.find(connection, drawn.zone, drawn.version)
            assert row is not None  # noqa: S101 - drawn just now
            detail["ended"] = sorted([*drawn.ended, *await put_in_force(connection, row)])
            detail["note"] = note
        await written("zone.publish" if publish else "zone.draft", f"zone/{drawn.zone}", detail)


def _codes(rows: list[dict[str, Any]]) -> dict[str, str]:
    """District names that only one district has, to its code: other programs' tables name districts."""
    named = Counter(row["name"] for row in rows)
    taken = {row["code"] for row in rows}
    return {row["name"]: row["code"] for row in rows if named[row["name"]] == 1 and row["name"] not in taken}


def _faults(draft: ZoneDraft, account: Account | None, *, publish: bool, twin: int | None) -> list[ZoneError]:
    faults = []
    if account is not None and account.handles is not None and draft.district not in account.handles:
        faults.append(
            ZoneError(
                "other_district",
                f"your account edits zones of its own district only, and this is {draft.district}'s",
                f"只能编辑本辖区的禁用区,而该区属于 {draft.district}",
                "properties.district",
            )
        )
    if publish and not draft.doc_no:
        faults.append(missing("doc_no", "; publishing needs the number of the notice", ";发布须有公告文号"))
    if twin is not None:
        faults.append(
            ZoneError(
                "duplicate",
                f"the file's zone {twin} has the same district and name",
                f"与文件中第 {twin} 个禁用区的辖区和名称相同",
                "properties.name",
            )
        )
    return faults


async def _compared(
    connection: Connection, incoming: Incoming, draft: ZoneDraft, *, publish: bool, hold: bool
) -> Planned:
    there = await zones.named(connection, draft.district, draft.name)
    if there is None:
        return Planned(incoming, "new", draft)
    zone = int(there["zone"])
    if hold:
        await zones.lock(connection, zone)
    rows = [row for row in await zones.versions(connection, zone) if row["state"] in {*_LAW, *_WAITING}]
    base = next((row for row in rows if row["state"] == "active"), rows[0] if rows else there)
    found = await asyncio.to_thread(differences, draft, _stored(base))
    planned = Planned(incoming, "changed", draft, zone, int(base["version"]), found)
    good_enough = _LAW if publish else (*_LAW, *_WAITING)
    for row in rows:
        same = not (found if row is base else await asyncio.to_thread(differences, draft, _stored(row)))
        if same and row["state"] in good_enough:
            return Planned(incoming, "unchanged", draft, zone, int(row["version"]))
    waiting = next((row["version"] for row in rows if row["state"] == "in_review"), None)
    if waiting is not None and not publish:
        planned.kind = "refused"
        planned.faults.append(
            ZoneError(
                "in_review",
                f"version {waiting} of this zone is in review: withdraw it first, or wait for the decision",
                f"该禁用区第 {waiting} 版正在审核:请先撤回,或等待审核结果",
            )
        )
    elif not found:
        planned.differences.append(Difference("state", base["state"], "active"))
    return planned


def _stored(row: dict[str, Any]) -> Zone:
    return Zone.stored(
        id=row["zone"], geometry=row["geometry"], rules=row["rules"], valid_from=_us(row["valid_from"]),
        valid_to=_us(row["valid_to"]), **{name: row[name] for name in _OF_ZONE},
    )  # fmt: skip


def _us(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // timedelta(microseconds=1)


def _difference(each: Difference) -> dict[str, Any]:
    before, after = each.before, each.after
    if each.field in {"valid_from", "valid_to"}:
        before, after = _iso(before), _iso(after)
    found = {"field": each.field, "before": before, "after": after}
    if each.area_m2 is not None and each.shift_m is not None:
        found |= {"before": round(before), "after": round(after)}
        found |= {"area_m2": round(each.area_m2, 1), "shift_m": round(each.shift_m, 3)}
    return found


def _iso(us: int | None) -> str | None:
    """In China's time."""
    if us is None:
        return None
    local = (_EPOCH + timedelta(microseconds=us, seconds=_CHINA_SECONDS)).replace(tzinfo=None)
    return local.isoformat() + "+08:00"


def _reason(fault: ZoneError) -> dict[str, Any]:
    found: dict[str, Any] = {
        "code": fault.code,
        "where": fault.where,
        "message": fault.message_en,
        "message_zh": fault.message_zh,
        "repair": fault.code in REPAIRABLE,
    }
    if fault.place is not None:
        found["place"] = list(fault.place)
    return found
