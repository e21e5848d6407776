"""Terminals: who may register, who was refused, and which machine each sits on."""

from typing import Annotated, Any

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
from storage.queries import machines, terminals

router = APIRouter(prefix=PREFIX + "/terminals", tags=["terminals"])


class Terminal(BaseModel):
    """A terminal to enrol; a phone is the same with and without leading zeros."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    phone: PhoneText
    edition: str | None = Field(None, max_length=10)
    maker: str | None = Field(None, max_length=40)
    model: str | None = Field(None, max_length=40)
    terminal_id: str | None = Field(None, max_length=40)


class NewBinding(BaseModel):
    """The machine, by id or by registration number, and since when it sits there (default: now)."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    machine: int | str | None = None
    machine_id: int | None = None
    registration_number: str | None = None
    since: str | None = Field(None, alias="from")


@router.get("", dependencies=[require(Permission.TERMINALS_READ)])
async def list_terminals(
    here: Here,
    state: Annotated[str | None, Query(description="unbound, bound or refused; default: all that are enrolled")] = None,
    wanted: Annotated[str | None, Query(alias="q", description="Part of a phone")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Json:
    """Terminals, or with `state=refused` those that asked to register and are not in the registry."""
    if state not in {None, "unbound", "bound", "refused"}:
        raise invalid("query.state", "state is unbound, bound or refused.", "state 应为 unbound、bound 或 refused。")
    key = parameters.place(cursor, 1)
    after = str(key[0]) if key else None
    async with here.database() as connection:
        if state == "refused":
            rows = await terminals.refused(connection, wanted=wanted or None, after=after, limit=limit)
            items = [{**row, "state": "refused"} for row in rows]
        else:
            rows = await terminals.page(
                connection,
                bound=None if state is None else state == "bound",
                wanted=wanted or None,
                after=after,
                limit=limit,
            )
            items = [_item(row) for row in rows]
    return page(items, [rows[-1]["phone"]] if len(rows) == limit else None)


@router.post("", status_code=201, dependencies=[require(Permission.TERMINALS_WRITE)])
async def create(request: Request, account: Asker, here: Here, terminal: Terminal) -> Json:
    """Enrols a terminal: it may register from now on."""
    async with here.database() as connection:
        if not await terminals.enrol(connection, terminal.phone, terminal.model_dump()):
            raise Problem(409, "phone-taken", "This terminal is enrolled already.", "该终端已登记。")
        await record(connection, request, account, "terminal.create", f"terminal/{terminal.phone}")
        document = await _document(connection, terminal.phone)
    return Json(document, 201, headers={"Location": f"{PREFIX}/terminals/{terminal.phone}"})


@router.get("/{phone}", dependencies=[require(Permission.TERMINALS_READ)])
async def get_terminal(here: Here, phone: Phone) -> Json:
    """One terminal with its dated `bindings`, newest first."""
    async with here.database() as connection:
        return Json(await _document(connection, phone))


@router.post("/{phone}/bindings", status_code=201, dependencies=[require(Permission.TERMINALS_WRITE)])
async def bind(request: Request, account: Asker, here: Here, phone: Phone, binding: NewBinding) -> Json:
    """Puts the terminal on a machine; what both had before ends then, and its track stays with the old machine."""
    since = parameters.time(binding.since, "body.from")
    async with here.database() as connection:
        row = await terminals.find(connection, phone)
        if row is None and await terminals.was_refused(connection, phone):
            await terminals.enrol(connection, phone, {})
            row = await terminals.find(connection, phone)
        if row is None:
            raise not_found("terminal", "终端")
        machine = await _machine(connection, binding)
        if await terminals.bind(connection, row["device"], machine, since) == "past":
            raise Problem(
                409,
                "binding-in-the-past",
                "`from` is before the present binding began: the past is not rewritten.",
                "开始时间早于现有安装关系，不能改写历史。",
            )
        await record(
            connection, request, account, "binding.create", f"terminal/{phone}",
            detail={"machine": machine, "from": binding.since},
        )  # fmt: skip
        return Json(await _document(connection, phone), 201)


def _item(row: dict[str, Any]) -> dict[str, Any]:
    machine = None
    if row["machine_id"] is not None:
        machine = {
            "id": row["machine_id"],
            "registration_number": row["registration_number"],
            "machine_type": row["machine_type"],
            "emission_stage": row["emission_stage"],
        }
    shown = (
        "phone",
        "state",
        "protocol",
        "edition",
        "maker",
        "model",
        "terminal_id",
        "source",
        "enrolled_at",
        "last_seen_at",
    )
    return {name: row[name] for name in shown} | {"bound": machine is not None, "machine": machine}


async def _document(connection: Connection, phone: str) -> dict[str, Any]:
    row = await terminals.find(connection, phone)
    if row is None:
        raise not_found("terminal", "终端")
    return _item(row) | {"bindings": await terminals.bindings(connection, row["device"])}


async def _machine(connection: Connection, binding: NewBinding) -> int:
    """The machine that the body names. A text in `machine` is a registration number, a number is an id."""
    id_, number = binding.machine_id, binding.registration_number
    if isinstance(binding.machine, int):
        id_ = binding.machine
    elif isinstance(binding.machine, str):
        number = binding.machine
    if id_ is None and number:
        id_ = await machines.numbered(connection, number.upper())
        if id_ is None and number.isdecimal():
            id_ = int(number)
    if id_ is None and not number:
        raise invalid("body.machine", "Name a machine, by id or registration number.", "请填写机械编号或环保登记号码。")
    if id_ is None or not 0 < id_ < 1 << 63 or await machines.find(connection, id_) is None:
        raise not_found("machine", "机械")
    return id_
