"""Ending tasks: each is cancelled until it has ended.

Once is not always enough. Before Python 3.12 asyncio.wait_for swallows a cancellation that comes in the turn of the loop in
which what it waits for is done (gh-86296), and libraries wait that way: such a task goes on as if nothing had been said.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

AGAIN_S = 1.0  # cleaning up takes less, and a further cancellation would cut it short


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Returns when all have ended, whatever they raised."""
    left: Iterable[asyncio.Task[Any]] = tasks
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)  # heard of
