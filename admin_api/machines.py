"""Machines: the registry that verdicts are made from. What a verdict asks about is dated, and the past is kept."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import psycopg
from fastapi import APIRouter, Path, Query, Request, UploadFile
from pydantic import BaseModel, ConfigDict

from admin_api import machine_import, parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.machine_values import ValueFault, read
from admin_api.parameters import Cursor, Id, Limit
from admin_api.permissions import Permission
from admin_api.problems import Problem, invalid, not_found
from admin_api.records import record
from admin_api.state import Connection, Here
from columns.identity import device_of
from storage.queries import bindings, machines, terminals
from storage.queries import machine_import as import_queries

router = APIRouter(prefix=PREFIX + "/machines", tags=["machines"])

# What is said about a change, and is no field of a machine.
_ABOUT = {"source", "effective_from"}
_NEVER_EMPTY = {"machine_type", "registration_type", "emission_stage", "smoke_class", "status", "terminal_phone"}


class Machine(BaseModel):
    """A machine's fields; values in English or Chinese (3, 国三, 国Ⅲ). With PUT, a field that is left out stays."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    registration_number: str | None = None
    terminal_phone: str | None = None
    machine_type: str | None = None
    registration_type: str | None = None
    emission_stage: str | None = None
    power_kw: str | None = None
    energy: str | None = None
    smoke_class: str | None = None
    smoke_tested_on: str | None = None
    project: str | None = None
    purpose: str | None = None
    status: str | None = None
    district: str | None = None
    owner_name: str | None = None
    owner_phone: str | None = None
    brand: str | None = None
    model: str | None = None
    source: Literal["declared", "label", "engine_change", "verified"] | None = None


class MachineChange(Machine):
    """`effective_from`: since when, or from when on, the dated fields are so (default: now); `source`: on what ground."""

    effective_from: str | None = None


@router.get("", dependencies=[require(Permission.MACHINES_READ)])
async def list_machines(
    here: Here,
    wanted: Annotated[str | None, Query(alias="q", description="Part of a number, a phone or an owner's name")] = None,
    district: Annotated[str | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Json:
    """Machines, with the phone of the terminal that sits on each now."""
    async with here.database() as connection:
        rows = await machines.page(
            connection,
            wanted=wanted or None,
            district=district or None,
            after=parameters.last_id(cursor),
            limit=limit,
        )
    return page(rows, [rows[-1]["id"]] if len(rows) == limit else None)


@router.post("", status_code=201, dependencies=[require(Permission.MACHINES_WRITE)])
async def create(request: Request, account: Asker, here: Here, machine: Machine) -> Json:
    """A new machine; with `terminal_phone` its terminal is enrolled and bound too."""
    values = _values(machine)
    if "machine_type" not in values:
        raise invalid("body.machine_type", "machine_type is missing.", "缺少机械类型。")
    if not {"registration_number", "terminal_phone"} & values.keys():
        raise invalid(
            "body.registration_number",
            "Give a registration number, or the phone of its terminal.",
            "请填写环保登记号码或终端手机号。",
        )
    async with here.database() as connection:
        await machines.sign(connection, account.actor, machine.source)
        try:
            id_ = await machines.create(connection, values)
        except psycopg.errors.UniqueViolation:
            raise _taken() from None
        await _put_terminal(connection, id_, values)
        await record(connection, request, account, "machine.create", f"machine/{id_}")
        document = await machines.find(connection, id_)
    return Json(document, 201, headers={"Location": f"{PREFIX}/machines/{id_}"})


@router.post("/import", dependencies=[require(Permission.MACHINES_WRITE)])
async def import_table(
    request: Request, account: Asker, here: Here, file: UploadFile, *, dry_run: Annotated[bool, Query()] = False
) -> Json:
    """A table of machines, XLSX or CSV: counts, and one reason for each row that was refused."""
    data = await file.read()
    try:
        table = await asyncio.to_thread(machine_import.parse, data)
    except machine_import.TableError as error:
        raise invalid("body.file", error.message, error.message_zh, "table-unreadable") from None
    counts: dict[str, int] = {"rows": len(table.rows)}
    if not dry_run:
        async with here.database() as connection:
            counts = await import_queries.take_in(connection, table.rows, account.actor)
            await record(connection, request, account, "machine.import", file.filename or "-", detail=dict(counts))
    return Json(
        {
            **counts,
            "dry_run": dry_run,
            "refused": [refusal.document() for refusal in table.refused],
            "unknown_columns": table.unknown_columns,
        }
    )


@router.get("/{id}", dependencies=[require(Permission.MACHINES_READ)])
async def get_machine(here: Here, machine: Annotated[Id, Path(alias="id")]) -> Json:
    """One machine."""
    async with here.database() as connection:
        document = await machines.find(connection, machine)
    if document is None:
        raise not_found("machine", "机械")
    return Json(document)


@router.get("/{id}/versions", dependencies=[require(Permission.MACHINES_READ)])
async def list_versions(here: Here, machine: Annotated[Id, Path(alias="id")]) -> Json:
    """What the machine was from when on, and will be, newest first; the eldest counts from ever."""
    async with here.database() as connection:
        rows = await machines.versions(connection, machine)
    if not rows:
        raise not_found("machine", "机械")
    return page(rows, None)


@router.put("/{id}", dependencies=[require(Permission.MACHINES_WRITE)])
async def change(
    request: Request, account: Asker, here: Here, machine: Annotated[Id, Path(alias="id")], fields: MachineChange
) -> Json:
    """Sets the fields that are given; a null empties one. Another `terminal_phone` ends the terminal that it had.

    Dated fields are set from `effective_from` on. A past date is the truth for what is judged from now on, late reports
    among it; visits that were decided stay as they are. A future date changes the machine when it has come.
    """
    values = _values(fields)
    emptied = {name for name in fields.model_fields_set - _ABOUT if getattr(fields, name) is None}
    if kept := emptied & _NEVER_EMPTY:
        name = min(kept)
        raise invalid(f"body.{name}", f"{name} cannot be emptied.", f"{name} 不能为空。")
    sets = values | dict.fromkeys(emptied)
    effective_from = parameters.time(fields.effective_from, "body.effective_from")
    _check_dates(fields, sets, effective_from)
    async with here.database() as connection:
        if not await machines.lock(connection, machine, values.get("terminal_phone")):
            raise not_found("machine", "机械")
        await machines.sign(connection, account.actor, fields.source)
        try:
            await machines.update(connection, machine, sets, effective_from, always=fields.source is not None)
        except psycopg.errors.UniqueViolation:
            raise _taken() from None
        await _put_terminal(connection, machine, values)
        await record(
            connection, request, account, "machine.update", f"machine/{machine}",
            detail={
                "fields": sorted(fields.model_fields_set),
                "effective_from": None if effective_from is None else effective_from.isoformat(),
                "source": fields.source,
                "dated": {name: value for name, value in sets.items() if name in machines.DATED},
            },
        )  # fmt: skip
        return Json(await machines.find(connection, machine))


def _values(machine: Machine) -> dict[str, Any]:
    given = machine.model_dump(exclude_none=True, exclude=_ABOUT)
    try:
        return dict(read(given))
    except ValueFault as fault:
        raise invalid(f"body.{fault.field}", fault.message + ".", fault.message_zh + "。") from None


def _check_dates(fields: MachineChange, sets: dict[str, Any], effective_from: datetime | None) -> None:
    if not sets.keys() & set(machines.DATED):
        for name in _ABOUT:
            if getattr(fields, name) is not None:
                raise invalid(
                    f"body.{name}",
                    f"{name} is about a dated field, and none is set: {', '.join(machines.DATED)}.",
                    f"{name} 须与有生效日期的字段同时填写：{'、'.join(machines.DATED)}。",
                )
    if effective_from is not None and effective_from > datetime.now(UTC) and "registration_number" in sets:
        raise invalid(
            "body.registration_number",
            "A registration number is given at once, not from a later day: somebody else might have it by then.",
            "环保登记号码须即时生效，不能指定将来的日期。",
        )


def _taken() -> Problem:
    return Problem(
        409, "number-taken", "Another machine has this registration number.", "该环保登记号码已被其他机械使用。"
    )


async def _put_terminal(connection: Connection, machine: int, values: dict[str, Any]) -> None:
    phone = values.get("terminal_phone")
    if phone is not None:
        await terminals.enrol(connection, phone, {})
        await bindings.bind(connection, device_of(phone), machine)
