"""Statistics by day: whose they are, what is counted, and who may see which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.admin_api.conftest import BRANCH, OTHER, TOWNSHIP

if TYPE_CHECKING:
    from tests.admin_api.conftest import Facts

pytestmark = pytest.mark.asyncio

DAYS = "/api/v1/statistics/days"
SPAN = {"from": "2026-03-01", "to": "2026-03-03"}


def rolled_up(facts: Facts, device: int, day: str, reports: int, quarantined: int = 0) -> None:
    facts.run(
        "INSERT INTO terminal_day (terminal, day, reports, moving_s, quarantined) VALUES (%s, %s, %s, 60, %s)",
        device, day, reports, quarantined,
    )  # fmt: skip


def visited(facts: Facts, alarm: int, entered_at: str, district: str, **changes: Any) -> None:
    sets = "".join(f", {name} = {value}" for name, value in changes.items())
    facts.run(
        f"UPDATE visit SET entered_at = %s, district = %s, alarming = true{sets} WHERE id = (SELECT visit FROM alarm WHERE id = %s)",
        entered_at, district, alarm,
    )  # fmt: skip


async def asked(client: Any, headers: dict[str, str], **query: str) -> dict[str, tuple[int, ...]]:
    answer = await client.get(DAYS, params=SPAN | query, headers=headers)
    assert answer.status_code == 200, answer.text
    names = ("terminals", "reports", "quarantined", "moving_s", "visits", "alarming_visits", "visiting_machines")
    return {item["day"]: tuple(item[name] for name in names) for item in answer.json()["items"]}


async def test_days(client, facts):
    """Every day has a row; a day is China's; merged and withdrawn visits count no more; districts are trees."""
    own, free = facts.terminal("13900000001", facts.machine()), facts.terminal("13900000002")
    rolled_up(facts, own, "2026-03-01", 10, 2)
    rolled_up(facts, own, "2026-02-28", 99)
    rolled_up(facts, free, "2026-03-01", 5)
    rolled_up(facts, free, "2026-03-02", 0, 7)
    visited(facts, facts.alarm(BRANCH), "2026-02-28T23:30:00+08:00", BRANCH)
    visited(facts, facts.alarm(TOWNSHIP), "2026-03-01T00:30:00+08:00", TOWNSHIP)
    visited(facts, facts.alarm(OTHER), "2026-03-03T23:59:59+08:00", OTHER)
    visited(facts, facts.alarm(OTHER), "2026-03-03T12:00:00+08:00", OTHER, withdrawn_at="now()")
    assert await asked(client, facts.bearer()) == {
        "2026-03-01": (2, 15, 2, 120, 1, 1, 1), "2026-03-02": (0, 0, 7, 60, 0, 0, 0), "2026-03-03": (0, 0, 0, 0, 1, 1, 1),
    }  # fmt: skip
    assert (await asked(client, facts.bearer(), district=BRANCH))["2026-03-01"] == (1, 10, 2, 60, 1, 1, 1)
    assert (await asked(client, facts.bearer(), district=OTHER))["2026-03-01"] == (0, 0, 0, 0, 0, 0, 0)
    township = facts.bearer("township_handler", TOWNSHIP)
    assert (await asked(client, township))["2026-03-01"] == (0, 0, 0, 0, 1, 1, 1)


async def test_a_day_says_whether_it_is_complete(client, facts):
    facts.run("UPDATE terminal_day_state SET through = '2026-03-02'")
    items = (await client.get(DAYS, params=SPAN, headers=facts.bearer())).json()["items"]
    assert [(item["day"], item["complete"]) for item in items] == [
        ("2026-03-01", True), ("2026-03-02", True), ("2026-03-03", False),
    ]  # fmt: skip


async def test_what_is_refused(client, facts):
    """No sign-in, no permission, no days, too many days, another's district."""
    assert (await client.get(DAYS, params=SPAN)).status_code == 401
    assert (await client.get(DAYS, params=SPAN, headers=facts.bearer("engineer"))).status_code == 403
    for query in (
        {},
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "2020-01-01", "to": "2026-03-01"},
        {**SPAN, "to": "x"},
    ):
        assert (await client.get(DAYS, params=query, headers=facts.bearer())).status_code == 422, query
    township = facts.bearer("township_handler", TOWNSHIP)
    assert (await client.get(DAYS, params=SPAN | {"district": OTHER}, headers=township)).status_code == 404
