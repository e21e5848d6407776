"""Ending tasks, also those that a library keeps from hearing that they are to end."""

from __future__ import annotations

import asyncio

import pytest

from gateway import ending
from gateway.ending import end


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "AGAIN_S", 0.05)


async def test_a_cancellation_that_is_swallowed() -> None:
    """It is said again: nobody waits for ever."""
    heard = 0

    async def deaf() -> None:
        nonlocal heard
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                heard += 1
                if heard == 3:
                    raise

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(task)
    assert heard == 3
    assert task.cancelled()


async def test_cleaning_up_is_waited_for_and_failures_are_the_tasks_own() -> None:
    """One cleans up, one has ended, one fails: end() returns after all of them."""
    cleaned = False

    async def tidy() -> None:
        nonlocal cleaned
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned = True

    async def fails() -> None:
        raise ValueError

    tasks = [asyncio.create_task(one) for one in (tidy(), fails(), asyncio.sleep(0))]
    await asyncio.sleep(0.01)
    await end(*tasks)
    assert cleaned
    assert all(task.done() for task in tasks)
    await end()
