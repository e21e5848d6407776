"""lezgate db: the database's schema."""

from __future__ import annotations

from pathlib import Path
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


@db.command(short_help="Bring the embedded PostgreSQL to a new major version | 升级内嵌 PostgreSQL 大版本")
@click.option("--data-dir", help="Where everything embedded lives | 数据目录")
@click.option(
    "--old-bin",
    type=click.Path(path_type=Path, resolve_path=True, exists=True, file_okay=False),
    help="Programs of the old version; if none are found | 旧版本程序所在目录",
)
@click.option(
    "--drop-old", is_flag=True, help="Remove the old cluster that an upgrade has kept | 删除升级后保留的旧数据库"
)
@click.pass_obj
def upgrade(config: str | None, data_dir: str | None, old_bin: Path | None, *, drop_old: bool) -> None:
    """Bring the embedded PostgreSQL to the major version that this lezgate brings | 升级内嵌 PostgreSQL 大版本"""
    from gateway.commands._database import troubles_told  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.data_lock import alone  # noqa: PLC0415
    from gateway.secrets import load_secrets  # noqa: PLC0415
    from storage import major_upgrade  # noqa: PLC0415
    from storage.programs import ProgramError  # noqa: PLC0415

    settings = load(config, flags={"data_dir": data_dir})
    if settings.database_url:
        raise click.UsageError(
            "LEZGATE_DATABASE_URL is set: a server of your own is upgraded by its own means"
            " | 已设置 LEZGATE_DATABASE_URL：自备数据库请用其自身工具升级"
        )
    directory, secrets = settings.data / "postgres", load_secrets(settings.data)
    with troubles_told(), alone(settings.data):
        try:
            if drop_old:
                for path in major_upgrade.drop_old(directory, secrets):
                    print(f"removed | 已删除: {path}")
            elif not major_upgrade.upgrade(directory, secrets, old_bin, lambda *said: print(" | ".join(said))):
                print("The cluster was of this version already. | 数据库已是该版本。")
        except ProgramError as error:
            raise click.ClickException(
                f"the old cluster is as it was, start lezgate's earlier version over it | 旧数据库未改动，仍可用原版本启动\n{error}"
            ) from error


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
