"""Late data in the database: visits that move, join, part and vanish, and what becomes of their alarms and pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from geofence.presences import Cause
from tests.storage.rows import MINUTE, NOON, SECOND, ended, page, presence, visits

if TYPE_CHECKING:
    from tests.storage.conftest import Scene, Steps

pytestmark = pytest.mark.asyncio


async def test_late_data_moves_a_visit_and_its_alarm_with_it(scene: Scene, steps: Steps) -> None:
    """The old visit stays and names its successor; the alarm is the same one, annotated, and pages once."""
    known = presence(scene.zone, scene.machine)
    earlier = replace(known, began_at=NOON - MINUTE, entered_at=NOON - MINUTE)
    (alarm,) = await steps.take(visits(known, pages=(page(known),)))
    assert await steps.take(visits(earlier, gone=(known,), pages=(page(earlier),))) == (alarm,)
    old, new = f"{scene.machine}-{NOON}", f"{scene.machine}-{NOON - MINUTE}"
    assert scene.query("SELECT id, merged_into FROM visit ORDER BY entered_at DESC") == [(old, new), (new, None)]
    assert scene.alarms() == [(new, True, True, None, False)]
    assert scene.query("SELECT alarm, action, payload FROM alarm_action") == [
        (alarm, "corrected", {"entered_at": [NOON, NOON - MINUTE]})
    ]


async def test_late_data_joins_two_visits(scene: Scene, steps: Steps) -> None:
    """The earlier alarm goes on, the other is closed and names it."""
    one = ended(presence(scene.zone, scene.machine), 5)
    begin = NOON + 60 * MINUTE
    two = presence(scene.zone, scene.machine, began_at=begin, entered_at=begin, confirmed_at=begin + SECOND)
    (first,) = await steps.take(visits(one))
    (second,) = await steps.take(visits(two))
    middle = NOON + 4 * MINUTE
    between = ended(presence(scene.zone, scene.machine, began_at=middle, entered_at=middle, device=9), 59)
    assert await steps.take(visits(between)) == (first, second)
    assert scene.query("SELECT id, state, merged_into, exited_at IS NULL FROM alarm ORDER BY id") == [
        (first, "new", None, True), (second, "closed", first, True),
    ]  # fmt: skip


@pytest.mark.parametrize("told", [(), (0,), (1,), (2,), (1, 2), (0, 2), (2, 1)])
async def test_what_is_one_visit_is_paged_once(scene: Scene, steps: Steps, told: tuple[int, ...]) -> None:
    """Late data joins three visits that no border crossing began: the alarm that goes on has the page that it had, else
    the earliest that one of the others had, with its reason; a page of the same visit adds none.
    """
    hours = [NOON + i * 60 * MINUTE for i in range(3)]
    three = [
        presence(scene.zone, scene.machine, cause=Cause.ZONE_EFFECTIVE, began_at=at, entered_at=at, confirmed_at=at,
                 received=at + SECOND)
        for at in hours
    ]  # fmt: skip
    alarms = []
    for number, found in enumerate(three):
        alarms += await steps.take(visits(found if number == 2 else ended(found, 60 * number + 5)))
    pages = {number: page(three[number], after_late=number == 2, received=NOON + i * SECOND)
             for i, number in enumerate(told)}  # fmt: skip
    for each in pages.values():
        await steps.take(visits(pages=(each,)))
    middle = NOON + 4 * MINUTE
    between = ended(presence(scene.zone, scene.machine, device=9, began_at=middle, entered_at=middle), 125)
    assert await steps.take(visits(between)) == tuple(alarms)
    heir = pages.get(0) or min(pages.values(), key=lambda page: page.received, default=None)
    expected = (None, None, "page" if told else "digest") if heir is None else (
        heir.received, "after_late_data" if heir.after_late else "prompt", "page"
    )  # fmt: skip
    statement = f"SELECT us_of(paged_at), page_reason, notice FROM alarm WHERE id = {alarms[0]}"
    assert scene.query(statement) == [expected]
    again = await steps.take(visits(pages=(page(three[2], at=hours[2] + MINUTE, received=hours[2] + MINUTE),)))
    assert again == (() if told else (alarms[0],))


async def test_a_part_of_a_joined_visit_may_be_all_that_is_left(scene: Scene, steps: Steps) -> None:
    """Two visits are joined, and then what began the first was none: the second is a visit again, with one open alarm."""
    one = ended(presence(scene.zone, scene.machine), 5)
    begin = NOON + 60 * MINUTE
    two = presence(scene.zone, scene.machine, began_at=begin, entered_at=begin, confirmed_at=begin + SECOND)
    middle = NOON + 4 * MINUTE
    between = ended(presence(scene.zone, scene.machine, device=9, began_at=middle, entered_at=middle), 59)
    (first,) = await steps.take(visits(one))
    (second,) = await steps.take(visits(two))
    await steps.take(visits(between))
    assert await steps.take(visits(gone=(one, between))) == (first,)
    live = scene.query("SELECT id FROM visit WHERE merged_into IS NULL AND withdrawn_at IS NULL")
    assert live == [(f"{scene.machine}-{begin}",)]
    assert scene.query("SELECT id, visit, merged_into FROM alarm ORDER BY id") == [
        (first, live[0][0], None), (second, f"{scene.machine}-{NOON}", first),
    ]  # fmt: skip
    assert await steps.take(visits(one)) == (second,)
    assert scene.query("SELECT id, visit, merged_into, state FROM alarm ORDER BY id") == [
        (first, live[0][0], None, "new"), (second, f"{scene.machine}-{NOON}", None, "new"),
    ]  # fmt: skip


async def test_late_data_withdraws_a_visit(scene: Scene, steps: Steps) -> None:
    """Nothing is deleted: visit and alarm say that they were withdrawn, and can come back."""
    found = presence(scene.zone, scene.machine)
    (alarm,) = await steps.take(visits(found))
    assert await steps.take(visits(gone=(found,))) == (alarm,)
    assert scene.alarms() == [(f"{scene.machine}-{NOON}", True, False, None, True)]
    assert scene.query("SELECT withdrawn_at IS NOT NULL FROM visit") == [(True,)]
    assert await steps.take(visits(found)) == (alarm,)
    assert scene.alarms() == [(f"{scene.machine}-{NOON}", True, False, None, False)]
