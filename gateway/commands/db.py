"""lezgate db: the database's schema."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Settings
    from storage.migrate import Report


@click.group()
def db() -> None:
    """The database's schema. 数据库结构。"""


@db.command()
@click.option("--data-dir", help="Where everything embedded lives. 数据目录")
@click.option("--database-url", help="PostgreSQL or TimescaleDB; empty: the embedded one. 数据库地址")
@click.pass_obj
def migrate(config: str | None, /, **flags: str | None) -> None:
    """Bring the schema up to date, and say what server it found. 升级数据库结构。"""
    import psycopg  # noqa: PLC0415

    from gateway.config import load  # noqa: PLC0415
    from storage.embedded import EmbeddedPostgresError  # noqa: PLC0415
    from storage.migrate import MigrationError  # noqa: PLC0415
    from storage.migrate import migrate as bring_up_to_date  # noqa: PLC0415
    from storage.service_user import UnreachablePathError  # noqa: PLC0415

    settings = load(config, flags=flags)
    try:
        with _server(settings) as conninfo:
            report = bring_up_to_date(conninfo)
    except (psycopg.Error, MigrationError, EmbeddedPostgresError, UnreachablePathError) as error:
        raise click.ClickException(str(error).strip()) from error
    _print(report)


@contextlib.contextmanager
def _server(settings: Settings) -> Iterator[str]:
    """The owner's conninfo. An embedded server that was not running runs for this long only."""
    from gateway.nodes import database_url, postgres  # noqa: PLC0415

    embedded = None if settings.database_url else postgres(settings)
    ours = embedded is not None and embedded.start() != "adopted"
    try:
        yield database_url(settings, "owner")
    finally:
        if embedded is not None and ours:
            embedded.stop()


def _print(report: Report) -> None:
    server = f"PostgreSQL {report.server_version}"
    if report.timescaledb is None:
        print(f"{server}, plain: positions in daily partitions | 普通 PostgreSQL：轨迹按日分区")
    else:
        print(f"{server}, TimescaleDB {report.timescaledb}: positions in a hypertable | 轨迹存入超表")
    for warning in report.warnings:
        print(f"warning | 警告: {warning}")
    for name in report.applied:
        print(f"applied | 已应用: {name}")
    if not report.applied:
        print("The schema was up to date. | 数据库结构已是最新。")
