"""Bindings: puts a terminal on a machine, in one step from the queue of refused ones, and takes it off."""

import time
from typing import Any

import psycopg
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from admin_api import parameters
from admin_api.answers import Json
from admin_api.authentication import PREFIX, Asker, require
from admin_api.permissions import Permission
from admin_api.phones import Phone
from admin_api.problems import Problem, invalid, not_found
from admin_api.records import record
from admin_api.state import Connection, Here
from admin_api.terminals import document
from storage.queries import bindings, events, machines, terminals

router = APIRouter(prefix=PREFIX + "/terminals", tags=["terminals"])

_CONFLICTS = {
    "past": (
        "binding-in-the-past",
        "`from` is before the present binding began: the past is not rewritten.",
        "开始时间早于现有安装关系，不能改写历史。",
    ),
    "overlap": (
        "binding-overlap",
        "The terminal sits on a machine for part of that time: a terminal is on one machine at a time.",
        "该时间段内此终端已安装在其他机械上：同一时间一个终端只能绑定一台机械。",
    ),
    "raced": (
        "binding-raced",
        "Somebody has just bound this terminal, or another terminal to this machine: look again, then decide.",
        "刚刚已有人绑定该终端，或将其他终端绑定到这台机械：请刷新后再操作。",
    ),
}


class NewBinding(BaseModel):
    """The machine, by id or by registration number, and from when (default: now) to when (default: open) it sits there."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    machine: int | str | None = None
    machine_id: int | None = None
    registration_number: str | None = None
    since: str | None = Field(None, alias="from")
    until: str | None = Field(None, alias="to")
    beside: bool = False


class Unbinding(BaseModel):
    """When the terminal was taken off (default: now)."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    at: str | None = None


async def _note_when(request: Request) -> None:
    """When the request came, before anything is waited for: two that come at one moment race, however long each waits."""
    request.state.heard = time.monotonic()


@router.post(
    "/{phone}/bindings", status_code=201, dependencies=[Depends(_note_when), require(Permission.TERMINALS_WRITE)]
)
async def bind(request: Request, account: Asker, here: Here, phone: Phone, binding: NewBinding) -> Json:
    """Puts the terminal on a machine; a refused one is enrolled. Its track of before stays with the old machine."""
    since, until = parameters.time(binding.since, "body.from"), parameters.time(binding.until, "body.to")
    if until is not None and (since is None or until <= since):
        raise invalid("body.to", "`to` needs a `from` before it.", "填写结束时间时，须填写更早的开始时间。")
    async with here.database() as connection:
        row = await terminals.find(connection, phone)
        if row is None:
            if await terminals.was_refused(connection, phone):
                await terminals.enrol(connection, phone, {})
            row = await terminals.find(connection, phone)  # or somebody else has just enrolled it
        if row is None:
            raise not_found("terminal", "终端")
        machine = await _machine(connection, binding)
        try:
            conflict = await bindings.bind(
                connection, row["device"], machine, since, until=until, beside=binding.beside, heard=request.state.heard
            )
        except psycopg.errors.ExclusionViolation:
            raise _conflict("overlap") from None
        if conflict is not None:
            raise _conflict(conflict, bindings=await bindings.of_terminal(connection, row["device"]))
        await record(
            connection, request, account, "binding.create", f"terminal/{phone}",
            detail={"machine": machine, "from": binding.since, "to": binding.until},
        )  # fmt: skip
        answer = await document(connection, phone)
        await events.terminal(connection, "bound", phone)
    return Json(answer, 201)


@router.post("/{phone}/unbind", dependencies=[require(Permission.TERMINALS_WRITE)])
async def unbind(request: Request, account: Asker, here: Here, phone: Phone, unbinding: Unbinding) -> Json:
    """Ends the binding that is open; the terminal waits in the queue again."""
    at = parameters.time(unbinding.at, "body.at")
    async with here.database() as connection:
        row = await terminals.find(connection, phone)
        if row is None:
            raise not_found("terminal", "终端")
        if not await bindings.unbind(connection, row["device"], at):
            raise Problem(409, "not-bound", "The terminal sits on no machine then.", "该终端在该时间未绑定机械。")
        await record(connection, request, account, "binding.end", f"terminal/{phone}", detail={"to": unbinding.at})
        answer = await document(connection, phone)
        await events.terminal(connection, "unbound", phone)
    return Json(answer)


def _conflict(why: str, **more: Any) -> Problem:
    code, detail, detail_zh = _CONFLICTS[why]
    return Problem(409, code, detail, detail_zh, **more)


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
