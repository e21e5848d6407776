"""Exemptions 豁免: whom a zone's rules spare, from when to when, on whose word and why.

One person approves, another enters it: both are named. A branch exempts in the zones of its own district, the city in any
zone or in all. Nothing is edited: a wrong one is revoked, which ends it and keeps it.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.machine_values import plain
from admin_api.parameters import Cursor, Id, Limit
from admin_api.permissions import Account, Permission
from admin_api.problems import Problem, invalid, not_found
from admin_api.records import record
from admin_api.state import Connection, Here
from storage.queries import exemptions

router = APIRouter(prefix=PREFIX + "/exemptions", tags=["exemptions"])

Kind = Literal["machine", "owner", "project", "purpose"]
State = Literal["in_force", "coming", "ended", "revoked"]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class NewExemption(BaseModel):
    """`kind` says which of the four names who is spared; without `zone` it counts in every zone, without `to` for good."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    kind: Kind
    machine: Id | None = None
    owner: Text | None = None
    project: Text | None = None
    purpose: Text | None = None
    zone: Id | None = None
    since: str = Field(alias="from")
    until: str | None = Field(None, alias="to")
    approver: Text
    reason: Text
    doc_no: Text | None = None


class Revocation(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Text


@router.get("", dependencies=[require(Permission.MACHINES_READ)])
async def list_exemptions(
    here: Here,
    zone: Annotated[Id | None, Query(description="Those that count in this zone")] = None,
    machine: Annotated[Id | None, Query(description="Those that name this machine")] = None,
    state: Annotated[State | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Json:
    """Exemptions, eldest first, those that have ended too."""
    async with here.database() as connection:
        rows = await exemptions.page(
            connection, zone=zone, machine=machine, state=state, after=parameters.last_id(cursor), limit=limit
        )
    return page(rows, [rows[-1]["id"]] if len(rows) == limit else None)


@router.post("", status_code=201, dependencies=[require(Permission.ZONES_WRITE)])
async def create(request: Request, account: Asker, here: Here, exemption: NewExemption) -> Json:
    """A new exemption. One that begins in the past is the truth for what is judged from now on, not for older visits."""
    value = _value(exemption)
    since, until = parameters.time(exemption.since, "body.from"), parameters.time(exemption.until, "body.to")
    if since is None:
        raise invalid("body.from", "Say from when on: `from`.", "请填写开始时间。")
    if until is not None and until <= since:
        raise invalid("body.to", "`to` is not after `from`.", "结束时间须晚于开始时间。")
    approver = plain(exemption.approver)
    if approver.casefold() == account.actor.casefold():
        raise Problem(
            422, "second-person", "Whoever enters an exemption is not its approver.", "录入人与批准人不能为同一人。"
        )
    async with here.database() as connection:
        await _check_zone(connection, account, exemption.zone)
        if exemption.machine is not None and not await exemptions.has_machine(connection, exemption.machine):
            raise not_found("machine", "机械")
        id_ = await exemptions.create(
            connection, kind=exemption.kind, value=value, zone=exemption.zone, since=since, until=until,
            approver=approver, reason=exemption.reason, doc_no=exemption.doc_no, created_by=account.actor,
        )  # fmt: skip
        await record(
            connection, request, account, "exemption.create", f"exemption/{id_}",
            detail=exemption.model_dump(by_alias=True, exclude_none=True),
        )  # fmt: skip
        document = await exemptions.find(connection, id_)
    return Json(document, 201, headers={"Location": f"{PREFIX}/exemptions/{id_}"})


@router.get("/{id}", dependencies=[require(Permission.MACHINES_READ)])
async def get_exemption(here: Here, exemption: Annotated[Id, Path(alias="id")]) -> Json:
    """One exemption."""
    async with here.database() as connection:
        document = await exemptions.find(connection, exemption)
    if document is None:
        raise not_found("exemption", "豁免")
    return Json(document)


@router.post("/{id}/revoke", dependencies=[require(Permission.ZONES_WRITE)])
async def revoke(
    request: Request, account: Asker, here: Here, exemption: Annotated[Id, Path(alias="id")], revocation: Revocation
) -> Json:
    """Ends an exemption now, for good; what was judged under it stays so."""
    async with here.database() as connection:
        document = await exemptions.find(connection, exemption)
        if document is None:
            raise not_found("exemption", "豁免")
        await _check_zone(connection, account, document["zone"])
        if not await exemptions.revoke(connection, exemption, account.actor, revocation.reason):
            raise Problem(409, "exemption-ended", "It has ended, or was revoked already.", "该豁免已到期或已被撤销。")
        await record(
            connection, request, account, "exemption.revoke", f"exemption/{exemption}",
            detail={"reason": revocation.reason},
        )  # fmt: skip
        return Json(await exemptions.find(connection, exemption))


def _value(exemption: NewExemption) -> int | str:
    names = exemption.model_dump(include={"machine", "owner", "project", "purpose"}, exclude_none=True)
    if names.keys() != {exemption.kind}:
        raise invalid(
            f"body.{exemption.kind}",
            f"An exemption of kind {exemption.kind} names {exemption.kind}, and nothing else of machine, owner, project, purpose.",
            f"豁免类型为 {exemption.kind} 时，须且仅须填写 {exemption.kind}。",
        )
    value: int | str = names[exemption.kind]
    return value if isinstance(value, int) else plain(value)  # as the registry spells it


async def _check_zone(connection: Connection, account: Account, zone: int | None) -> None:
    """Raises a Problem where there is no such zone, or the account does not decide about it."""
    district = None
    if zone is not None:
        district = await exemptions.zone_district(connection, zone)
        if district is None:
            raise not_found("zone", "禁用区")
    if account.handles is not None and district not in account.handles:
        raise Problem(
            403,
            "other-district",
            "Your account exempts in zones of its own district only: name one.",
            "只能为本辖区的禁用区办理豁免，请指定禁用区。",
        )
