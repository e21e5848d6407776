"""How a draft becomes law: submitted by who draws zones, approved or rejected by a second person; and its papers."""

from collections import defaultdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request

from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Id
from admin_api.permissions import Account, Permission
from admin_api.problems import Problem, invalid
from admin_api.records import record
from admin_api.state import Connection, Here
from admin_api.zone_editing import check_district, check_publishable, feature, locked, no_zone, put_in_force
from admin_api.zone_states import ACTIONS, STATES, allowed
from storage.queries import zone_steps, zones

router = APIRouter(prefix=PREFIX + "/zones", tags=["zones"])

Version = Annotated[
    int | None, Body(ge=1, lt=1 << 31, description="The version that was looked at; another one's turn is a 409")
]
Note = Annotated[str | None, Body(max_length=2000, description="Kept in the version's papers")]


@router.post("/{id}/submit", dependencies=[require(Permission.ZONES_WRITE)])
async def submit(
    request: Request,
    account: Asker,
    here: Here,
    zone: Annotated[Id, Path(alias="id")],
    version: Version = None,
    note: Note = None,
) -> Json:
    """Hands the draft in for review. It needs its notice's number: the reviewer cannot write it in."""
    async with here.database() as connection:
        row = await _turn(connection, account, zone, "submit", version)
        check_publishable(row["doc_no"])
        await zone_steps.submit(connection, zone, row["version"], account.actor)
        return await _done(connection, request, account, row, "submit", note)


@router.post("/{id}/withdraw", dependencies=[require(Permission.ZONES_WRITE)])
async def withdraw(
    request: Request,
    account: Asker,
    here: Here,
    zone: Annotated[Id, Path(alias="id")],
    version: Version = None,
    note: Note = None,
) -> Json:
    """Takes the version out of review: a draft again."""
    async with here.database() as connection:
        row = await _turn(connection, account, zone, "withdraw", version)
        await zone_steps.withdraw(connection, zone, row["version"])
        return await _done(connection, request, account, row, "withdraw", note)


@router.post("/{id}/approve", dependencies=[require(Permission.ZONES_PUBLISH)])
async def approve(
    request: Request,
    account: Asker,
    here: Here,
    zone: Annotated[Id, Path(alias="id")],
    version: Version = None,
    note: Note = None,
) -> Json:
    """Publishes the version in review: in force from its `valid_from` on, in its predecessor's place."""
    async with here.database() as connection:
        row = await _turn(connection, account, zone, "approve", version)
        ended = await put_in_force(connection, row, reviewer=account.actor, note=_text(note))
        return await _done(connection, request, account, row, "approve", note, ended=ended)


@router.post("/{id}/reject", dependencies=[require(Permission.ZONES_PUBLISH)])
async def reject(
    request: Request,
    account: Asker,
    here: Here,
    zone: Annotated[Id, Path(alias="id")],
    version: Version = None,
    note: Note = None,
) -> Json:
    """Sends the version in review back, with the reason: who mends it draws the next version."""
    reason = _text(note)
    if reason is None:
        raise invalid("body.note", "Say what is to be mended: note.", "退回修改须说明原因（note）。", "note-required")
    async with here.database() as connection:
        row = await _turn(connection, account, zone, "reject", version)
        await zone_steps.reject(connection, zone, row["version"], account.actor, reason)
        return await _done(connection, request, account, row, "reject", note)


@router.get("/{id}/versions", dependencies=[require(Permission.ZONES_READ)])
async def list_versions(here: Here, zone: Annotated[Id, Path(alias="id")]) -> Json:
    """Every version, newest first, each with its papers: who did what, when, and with which note."""
    async with here.database() as connection:
        rows = await zones.versions(connection, zone)
        papers = _papers(await zones.papers(connection, zone))
    if not rows:
        raise no_zone()
    features = [feature(row) for row in rows]
    for each in features:
        each["properties"]["papers"] = papers[each["properties"]["version"]]
    return page(features, None)


def _text(note: str | None) -> str | None:
    return (note or "").strip() or None


async def _turn(connection: Connection, account: Account, zone: int, name: str, version: int | None) -> dict[str, Any]:
    """The version whose turn it is for the action, its zone held. Raises a 404, 403 or 409 Problem."""
    action = ACTIONS[name]
    current = await locked(connection, account, zone)
    found = await zone_steps.unpublished(connection, zone, action.of)
    if found is None or version not in (None, found):
        asked = current if version is None else await zones.find(connection, zone, version)
        if asked is None:
            raise no_zone()
        raise Problem(
            409,
            "not-now",
            f"Version {asked['version']} is {asked['state']}: {name} needs one that is {action.of}.",
            f"第 {asked['version']} 版为“{STATES[asked['state']]}”，不能“{action.name_zh}”。",
            version=asked["version"],
            state=asked["state"],
            allowed=allowed(asked["state"]),
        )
    row = await zones.find(connection, zone, found)
    assert row is not None  # noqa: S101 - found just now, and held
    check_district(account, row["district"])
    if action.second_person and account.actor in (row["author"], row["submitted_by"]):
        raise Problem(
            403,
            "second-person-required",
            f"{account.actor} drew or submitted this version: a second person reviews it.",
            f"{account.actor} 是该版本的绘制人或提交人，须由另一人审核。",
        )
    return row


async def _done(
    connection: Connection,
    request: Request,
    account: Account,
    before: dict[str, Any],
    name: str,
    note: str | None,
    *,
    ended: list[int] | None = None,
) -> Json:
    """Writes the step down, and answers with the version as it is now."""
    row = await zones.find(connection, before["zone"], before["version"])
    assert row is not None  # noqa: S101 - versions are never deleted
    detail = {"version": row["version"], "doc_no": row["doc_no"], "note": _text(note), "ended": ended or []}
    await record(connection, request, account, f"zone.{name}", f"zone/{row['zone']}", detail=detail)
    return Json(feature(row))


def _papers(steps: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """By version, oldest first. A step that ended other versions is in theirs too, and names the one it was about."""
    by_version: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for step in steps:
        detail = step["detail"]
        paper = {
            "action": step["action"].removeprefix("zone."),
            "version": detail.get("version"),
            "actor": step["actor"],
            "role": step["role"],
            "at": step["at"],
            "note": detail.get("note"),
        }
        for version in {detail.get("version"), *detail.get("ended", ())}:
            by_version[version].append(paper)
    return by_version
