"""What the commands that work on the database share: one asynchronous connection as the owner, its end, and its troubles."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click
import psycopg
from psycopg.rows import dict_row

from gateway.config import load
from gateway.data_lock import DataInUseError
from gateway.database import running_database
from gateway.nats_server import NatsServerError
from storage.embedded import EmbeddedPostgresError
from storage.major import ClusterError
from storage.migrate import MigrationError
from storage.service_user import UnreachablePathError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from psycopg import AsyncConnection

    Connection = AsyncConnection[dict[str, Any]]

T = TypeVar("T")


@contextmanager
def troubles_told() -> Iterator[None]:
    """A database that is away, or not to be used, is a message that says what to do; a fault of ours stays a traceback."""
    try:
        yield
    except (
        MigrationError,
        NatsServerError,
        DataInUseError,
        ClusterError,
        UnreachablePathError,
    ) as error:  # these say it themselves, in both languages
        raise click.ClickException(str(error)) from error
    except EmbeddedPostgresError as error:
        raise click.ClickException(
            "the embedded PostgreSQL is not up: mend what its log says, or set LEZGATE_DATABASE_URL | "
            f"内嵌 PostgreSQL 未能启动：请按其日志排除故障，或设置 LEZGATE_DATABASE_URL\n{error}"
        ) from error
    except psycopg.Error as error:
        if not isinstance(error, psycopg.OperationalError) and error.sqlstate is not None:
            raise
        raise click.ClickException(
            "the database cannot be reached: check LEZGATE_DATABASE_URL, and that the server runs | "
            f"无法连接数据库：请检查 LEZGATE_DATABASE_URL 以及数据库是否在运行\n{str(error).strip()}"
        ) from error


def with_database(config: str | None, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Does ``work`` in one transaction: committed at its end, rolled back where it raises."""

    async def run(conninfo: str) -> T:
        # The time zone of what is printed.
        connection = await psycopg.AsyncConnection.connect(
            conninfo, row_factory=dict_row, options="-c timezone=Asia/Shanghai", application_name="lezgate-command"
        )
        async with connection:
            return await work(connection)

    with troubles_told(), running_database(load(config)) as conninfo:
        return asyncio.run(run(conninfo))
