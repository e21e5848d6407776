"""Alarms: the list, one with its record, and what staff do about it."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from admin_api import parameters
from admin_api.alarm_states import (
    ACTIONS,
    ALLOWED,
    ALLOWED_MERGED,
    KINDS,
    MEASURES,
    RESULTS,
    STATES,
    Action,
    next_state,
)
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Cursor, Id, Limit
from admin_api.permissions import Account, Permission
from admin_api.problems import Problem, invalid, not_found
from admin_api.records import record
from admin_api.state import Connection, Here
from storage.queries import alarms, districts

router = APIRouter(prefix=PREFIX + "/alarms", tags=["alarms"])

_LONGEST_NOTE = 2000


if TYPE_CHECKING:
    ActionName = str
else:
    ActionName = Literal[tuple(ACTIONS)]


class AlarmAction(BaseModel):
    """One step of an alarm's handling; further fields are kept with it."""

    model_config = ConfigDict(extra="allow", str_strip_whitespace=True)

    action: ActionName
    note: str | None = Field(None, max_length=_LONGEST_NOTE)
    result: str | None = Field(None, description="Result on site, with `feedback`: " + ", ".join(RESULTS))
    measures: list[str] = Field([], max_length=len(MEASURES), description=", ".join(MEASURES))
    district: str | None = Field(None, max_length=20, description="Whom to `assign` or `transfer` it to")


@router.get("", dependencies=[require(Permission.ALARMS_READ)])
async def list_alarms(
    account: Asker,
    here: Here,
    state: Annotated[str | None, Query(description="States, comma between them; `open`: all but closed")] = None,
    kind: Annotated[str | None, Query(description="Kinds, comma between them")] = None,
    district: Annotated[str | None, Query(description="This district and those below it")] = None,
    since: Annotated[str | None, Query(description="Raised at or after this time")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Json:
    """Alarms, newest first."""
    async with here.database() as connection:
        rows = await alarms.page(
            connection,
            scope=account.reads,
            states=_states(state),
            kinds=_kinds(kind),
            district=district or None,
            since=parameters.time(since, "query.since"),
            before=parameters.last_id(cursor),
            limit=limit,
        )
    return page([row["document"] for row in rows], [rows[-1]["id"]] if len(rows) == limit else None)


@router.get("/{id}", dependencies=[require(Permission.ALARMS_READ)])
async def get_alarm(account: Asker, here: Here, alarm: Annotated[Id, Path(alias="id")]) -> Json:
    """One alarm with `actions`, its record, and `allowed`, what this account may do about it now."""
    async with here.database() as connection:
        return Json(await _whole(connection, account, alarm))


@router.post("/{id}/actions", status_code=201, dependencies=[require(Permission.ALARMS_HANDLE)])
async def act(
    request: Request, account: Asker, here: Here, alarm: Annotated[Id, Path(alias="id")], step: AlarmAction
) -> Json:
    """Appends an action and moves the alarm; answers with the alarm as it is then."""
    action = ACTIONS[step.action]
    _may(account, action)
    payload = _payload(step, action)
    async with here.database() as connection:
        row = await alarms.lock(connection, alarm)
        if row is None or not account.sees(row["district"], row["copied_to"]):
            raise _no_alarm()
        if account.handles is not None and row["district"] not in account.handles:
            raise Problem(
                403,
                "other-district",
                f"This alarm is handled by district {row['district']}.",
                f"该报警由辖区 {row['district']} 处理。",
            )
        if row["merged_into"] is not None and step.action not in ALLOWED_MERGED:
            raise _merged(row["merged_into"])
        after = next_state(row["state"], step.action)
        if after is None:
            raise _not_now(row["state"], step.action, account)
        district = row["district"]
        if action.needs_district:
            district = await _receiver(connection, account, step)
            payload |= {"district": district, "from_district": row["district"]}
        await alarms.act(
            connection,
            alarm,
            action=step.action,
            before=row["state"],
            after=after,
            actor=account.actor,
            note=step.note or None,
            payload=payload,
            district=district,
        )
        await record(
            connection, request, account, f"alarm.{step.action}", f"alarm/{alarm}",
            detail={"from": row["state"], "to": after},
        )  # fmt: skip
        whole = await _whole(connection, account, alarm, whatever_scope=True)
        await alarms.announce(connection, alarm)  # last: it takes the events' lock until the commit
    return Json(whole, 201)


def _states(text: str | None) -> list[str] | None:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if "open" in names:
        names = [*names, *(state for state in STATES if state != "closed")]
    names = [name for name in names if name != "open"]
    if unknown := [name for name in names if name not in STATES]:
        raise invalid(
            "query.state",
            f"{unknown[0]!r} is no state; known are open, {', '.join(STATES)}.",
            f"没有“{unknown[0]}”这种状态；可用：open、{'、'.join(STATES)}。",
        )
    return names or None


def _kinds(text: str | None) -> list[str] | None:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if unknown := [name for name in names if name not in KINDS]:
        raise invalid(
            "query.kind",
            f"{unknown[0]!r} is no kind of alarm; known are {', '.join(KINDS)}.",
            f"没有“{unknown[0]}”这种报警类型；可用：{'、'.join(KINDS)}。",
        )
    return names or None


def _no_alarm() -> Problem:
    return not_found("alarm", "报警")


async def _whole(
    connection: Connection, account: Account, alarm: int, *, whatever_scope: bool = False
) -> dict[str, Any]:
    document = await alarms.document(connection, alarm)
    if document is None or not (whatever_scope or account.sees(document["district"], document["copied_to"])):
        raise _no_alarm()
    mine = account.handles is None or document["district"] in account.handles
    document["actions"] = await alarms.actions(connection, alarm)
    steps = ALLOWED[document["state"]] if document["merged_into"] is None else ALLOWED_MERGED
    document["allowed"] = _allowed(steps, account) if mine else []
    return document


def _allowed(steps: tuple[str, ...], account: Account) -> list[str]:
    return [name for name in steps if account.may(ACTIONS[name].permission)]


def _may(account: Account, action: Action) -> None:
    if not account.may(action.permission):
        raise Problem(
            403, "forbidden", f"The role {account.role} may not do this.", f"当前角色不能执行“{action.name_zh}”。"
        )


def _not_now(state: str, action: str, account: Account) -> Problem:
    allowed = _allowed(ALLOWED[state], account)
    return Problem(
        409,
        "not-allowed-now",
        f"An alarm that is {state} cannot be given {action}; allowed now: {', '.join(allowed) or 'nothing'}.",
        f"报警当前状态为“{STATES[state]}”，不能执行“{ACTIONS[action].name_zh}”；"
        f"现在可以：{'、'.join(ACTIONS[name].name_zh for name in allowed) or '无'}。",
        state=state,
        allowed=allowed,
    )


def _merged(into: int) -> Problem:
    return Problem(
        409,
        "merged",
        f"This alarm was joined to alarm {into}, where it is handled.",
        f"该报警已并入报警 {into}，请在其中处理。",
        merged_into=into,
    )


def _code(text: str, table: dict[str, str], where: str, what_zh: str) -> str:
    """A code of the table, given as code or as its Chinese term."""
    for code, term in table.items():
        if text in {code, term}:
            return code
    raise invalid(
        where,
        f"{text!r} is not one of {', '.join(table)}.",
        f"{what_zh}应为以下之一：{'、'.join(table.values())}。",
    )


def _payload(step: AlarmAction, action: Action) -> dict[str, Any]:
    if action.needs_note and not step.note:
        raise invalid("body.note", "This action needs a note that says why.", f"“{action.name_zh}”必须填写说明。")
    payload: dict[str, Any] = dict(step.model_extra or {})
    if action.result:
        payload["result"] = action.result
    elif action.needs_result:
        if not step.result:
            raise invalid(
                "body.result",
                f"Feedback needs a result: {', '.join(RESULTS)}.",
                f"反馈必须选择现场结果：{'、'.join(RESULTS.values())}。",
            )
        payload["result"] = _code(step.result, RESULTS, "body.result", "现场结果")
    if step.measures:
        payload["measures"] = [_code(measure, MEASURES, "body.measures", "措施") for measure in step.measures]
    return payload


async def _receiver(connection: Connection, account: Account, step: AlarmAction) -> str:
    """The district that an alarm is handed to: a branch assigns within itself and transfers to anyone."""
    known = {row["code"] for row in await districts.all_of(connection)}
    district = step.district or ""
    if district not in known:
        raise invalid("body.district", "Name a district that exists.", "请填写已有的辖区代码。")
    if step.action == "assign" and account.handles is not None and district not in account.handles:
        raise invalid(
            "body.district",
            "Assigning is within your own district; use transfer for another.",
            "派发仅限本辖区；转给其他辖区请用“转办”。",
        )
    return district
