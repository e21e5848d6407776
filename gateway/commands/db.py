"""lezgate db: the database's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from storage.migrate import Report


@click.group(short_help="The database's schema | 数据库结构")
def db() -> None:
    """The database's schema | 数据库结构"""


@db.command(short_help="Bring the schema up to date | 升级数据库结构")
@click.option("--data-dir", help="Where everything embedded lives | 数据目录")
@click.option("--database-url", help="PostgreSQL or TimescaleDB; empty: the embedded one | 数据库地址")
@click.pass_obj
def migrate(config: str | None, /, **flags: str | None) -> None:
    """Bring the schema up to date, and say what server it found and what is applied | 升级数据库结构"""
    import psycopg  # noqa: PLC0415

    from gateway.commands._database import troubles_told  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.database import running_server  # noqa: PLC0415
    from storage.migrate import migrate as bring_up_to_date  # noqa: PLC0415

    with troubles_told(), running_server(load(config, flags=flags)) as conninfo:
        try:
            report = bring_up_to_date(conninfo)
            with psycopg.connect(conninfo) as connection:
                rows = connection.execute("SELECT name, applied_at FROM schema_migration ORDER BY name").fetchall()
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError) or error.sqlstate is None:
                raise
            notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
            raise click.ClickException(
                "the schema is as it was: the user of LEZGATE_DATABASE_URL needs the right to make tables in an empty or "
                "earlier database of lezgate | 数据库结构未改变：该用户须有建表权限，且数据库为空或属于本程序\n"
                f"{str(error).strip()}{notes}"
            ) from error
    _print(report, rows)


def _print(report: Report, rows: list[tuple[Any, ...]]) -> None:
    server = f"PostgreSQL {report.server_version}"
    if report.timescaledb is None:
        print(f"{server}, plain: positions in daily partitions | 普通 PostgreSQL：轨迹按日分区")
    else:
        print(f"{server}, TimescaleDB {report.timescaledb}: positions in a hypertable | 轨迹存入超表")
    for warning in report.warnings:
        print(f"warning | 警告: {warning}")
    for name, applied_at in rows:
        if name in report.applied:
            print(f"applied | 已应用: {name}")
        else:
            print(f"applied before | 此前已应用: {name} ({applied_at:%Y-%m-%d %H:%M %z})")
    if not report.applied:
        print("The schema was up to date. | 数据库结构已是最新。")
