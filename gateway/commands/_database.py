"""What the commands that work on the registry share: one asynchronous connection as the owner, and its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from gateway.config import load
from gateway.database import running_database

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg import AsyncConnection

    Connection = AsyncConnection[dict[str, Any]]

T = TypeVar("T")


def with_database(config: str | None, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Does ``work`` in one transaction: committed at its end, rolled back where it raises."""

    async def run(conninfo: str) -> T:
        # The time zone of what is printed.
        connection = await psycopg.AsyncConnection.connect(
            conninfo, row_factory=dict_row, options="-c timezone=Asia/Shanghai", application_name="lezgate-command"
        )
        async with connection:
            return await work(connection)

    with running_database(load(config)) as conninfo:
        return asyncio.run(run(conninfo))
