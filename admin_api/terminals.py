"""Terminals: who may register, who was refused and waits, whose code is checked, who is held back."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Cursor, Limit
from admin_api.permissions import Permission
from admin_api.phones import Phone, PhoneText
from admin_api.problems import Problem, invalid, not_found
from admin_api.records import record
from admin_api.state import Connection, Here
from columns.plate import plate_key, spellings
from storage.queries import bindings, events, machines, terminals

router = APIRouter(prefix=PREFIX + "/terminals", tags=["terminals"])

Trust = Literal["strict", "legacy"]
_SHOWN = (
    "phone", "state", "protocol", "edition", "maker", "model", "terminal_id", "source", "enrolled_at", "last_seen_at",
    "generation", "trust", "trust_of", "quarantined_until",
)  # fmt: skip
_MACHINE = ("id", "registration_number", "machine_type", "emission_stage")
_REFUSAL = (
    "result",
    "plate",
    "plate_colour",
    "province",
    "city",
    "attempts",
    "first_seen",
    "last_seen",
    "dismissed_at",
)


class Terminal(BaseModel):
    """A terminal to enrol; a phone is the same with and without leading zeros."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    phone: PhoneText
    edition: str | None = Field(None, max_length=10)
    maker: str | None = Field(None, max_length=64)
    model: str | None = Field(None, max_length=64)
    terminal_id: str | None = Field(None, max_length=64)
    trust: Trust | None = None


class Change(BaseModel):
    """What staff decide about a terminal; a field that is left out stays, `trust` null is its maker's."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["registered", "revoked"] | None = None
    trust: Trust | None = None


@router.get("", dependencies=[require(Permission.TERMINALS_READ)])
async def list_terminals(
    here: Here,
    state: Annotated[
        str | None, Query(description=f"{', '.join(terminals.STATES)}; default: all that are enrolled")
    ] = None,
    wanted: Annotated[str | None, Query(alias="q", description="Part of a phone")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Json:
    """Terminals. `unbound` is the queue 待绑定终端: enrolled ones without a machine, and refused strangers."""
    if state is not None and state not in terminals.STATES:
        known = terminals.STATES
        raise invalid("query.state", f"state is one of {', '.join(known)}.", f"state 应为 {'、'.join(known)} 之一。")
    key = parameters.place(cursor, 1)
    async with here.database() as connection:
        rows = await terminals.page(
            connection, state=state, wanted=wanted or None, after=str(key[0]) if key else None, limit=limit
        )
        items = await _items(connection, rows)
        dropped = await terminals.dropped(connection)
    return page(items, [rows[-1]["phone"]] if len(rows) == limit else None, dropped=dropped)


@router.post("", status_code=201, dependencies=[require(Permission.TERMINALS_WRITE)])
async def create(request: Request, account: Asker, here: Here, terminal: Terminal) -> Json:
    """Enrols a terminal: it may register once it sits on a machine."""
    async with here.database() as connection:
        if not await terminals.enrol(connection, terminal.phone, terminal.model_dump()):
            raise Problem(409, "phone-taken", "This terminal is enrolled already.", "该终端已登记。")
        await record(connection, request, account, "terminal.create", f"terminal/{terminal.phone}")
        answer = await document(connection, terminal.phone)
    return Json(answer, 201, headers={"Location": f"{PREFIX}/terminals/{terminal.phone}"})


@router.get("/{phone}", dependencies=[require(Permission.TERMINALS_READ)])
async def get_terminal(here: Here, phone: Phone) -> Json:
    """One terminal with its dated `bindings`, newest first."""
    async with here.database() as connection:
        return Json(await document(connection, phone))


@router.put("/{phone}", dependencies=[require(Permission.TERMINALS_WRITE)])
async def change(request: Request, account: Asker, here: Here, phone: Phone, fields: Change) -> Json:
    """Sets `state` (revoked: it may neither register nor report) and `trust`."""
    given = fields.model_dump(include=fields.model_fields_set)
    if "state" in given and given["state"] is None:
        raise invalid("body.state", "state cannot be emptied.", "state 不能为空。")
    async with here.database() as connection:
        if not await terminals.change(connection, phone, given):
            raise not_found("terminal", "终端")
        await record(connection, request, account, "terminal.update", f"terminal/{phone}", detail=given)
        return Json(await document(connection, phone))


@router.post("/{phone}/revoke", dependencies=[require(Permission.TERMINALS_WRITE)])
async def revoke(request: Request, account: Asker, here: Here, phone: Phone) -> Json:
    """Gives its authentication code a new generation: the old code ends, and the session that it opened."""
    async with here.database() as connection:
        generation = await terminals.revoke(connection, phone)
        if generation is None:
            raise not_found("terminal", "终端")
        await record(
            connection, request, account, "terminal.revoke", f"terminal/{phone}", detail={"generation": generation}
        )
        answer = await document(connection, phone)
        await events.terminal(connection, "revoked", phone)
    return Json(answer)


@router.post("/{phone}/release", dependencies=[require(Permission.TERMINALS_WRITE)])
async def release(request: Request, account: Asker, here: Here, phone: Phone) -> Json:
    """Ends a quarantine before its time."""
    async with here.database() as connection:
        if not await terminals.release(connection, phone):
            await document(connection, phone)
            raise Problem(409, "not-quarantined", "This terminal is not in quarantine.", "该终端未被隔离。")
        await record(connection, request, account, "terminal.release", f"terminal/{phone}")
        answer = await document(connection, phone)
        await events.terminal(connection, "released", phone)
    return Json(answer)


@router.post("/{phone}/dismiss", status_code=204, dependencies=[require(Permission.TERMINALS_WRITE)])
async def dismiss(request: Request, account: Asker, here: Here, phone: Phone) -> None:
    """Takes a refused terminal that is not ours out of the queue; it may still be bound later."""
    async with here.database() as connection:
        if await terminals.find(connection, phone) is not None:
            raise Problem(
                409, "enrolled",
                "This terminal is enrolled: bind it, or set its state to revoked.",
                "该终端已登记：请绑定机械，或将其状态设为 revoked。",
            )  # fmt: skip
        if not await terminals.dismiss(connection, phone):
            raise not_found("terminal", "终端")
        await record(connection, request, account, "terminal.dismiss", f"terminal/{phone}")


async def document(connection: Connection, phone: str) -> dict[str, Any]:
    """One terminal of the registry as the API shows it. Raises a 404 Problem."""
    row = await terminals.find(connection, phone)
    if row is None:
        raise not_found("terminal", "终端")
    [item] = await _items(connection, [row])
    return item | {"bindings": await bindings.of_terminal(connection, row["device"])}


async def _items(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One shape, enrolled or refused. The machine of a refusal is the one that its plate names."""
    numbers = sorted({number for row in rows if row["plate"] for number in spellings(row["plate"])})
    found = await machines.numbered_any(connection, numbers) if numbers else []
    named = {
        plate_key(machine["registration_number"]): {name: machine[name] for name in (*_MACHINE, "terminal_phone")}
        for machine in found
    }
    return [_item(row, named) for row in rows]


def _item(row: dict[str, Any], named: dict[str, dict[str, Any]]) -> dict[str, Any]:
    machine = None
    if row["machine_id"] is not None:
        machine = {"id": row["machine_id"], **{name: row[name] for name in _MACHINE[1:]}}
    refusal = None
    if row["attempts"] is not None:
        refusal = {name: row[name] for name in _REFUSAL} | {"machine": named.get(plate_key(row["plate"] or ""))}
    return {name: row[name] for name in _SHOWN} | {
        "enrolled": row["device"] is not None,
        "bound": machine is not None,
        "machine": machine,
        "refusal": refusal,
    }
