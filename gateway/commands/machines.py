"""lezgate machines: tables of machines into the registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gateway.commands._database import Connection


@click.group(short_help="Machines: import and list | 机械台账")
def machines() -> None:
    """Machines: import and list | 机械台账"""


@machines.command("import", short_help="Import XLSX or CSV | 导入机械台账")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Read and report, change nothing | 只检查，不写入")
@click.pass_obj
def import_(config: str | None, file: Path, *, dry_run: bool) -> None:
    """Imports XLSX, or CSV in UTF-8 or GBK | 导入机械台账

    Rows that can be taken in are; each refused row is named with one reason.
    """
    from admin_api.machine_import import TableError, parse  # noqa: PLC0415
    from gateway.commands._database import with_database  # noqa: PLC0415
    from storage.queries import audit  # noqa: PLC0415
    from storage.queries.machine_import import take_in  # noqa: PLC0415

    try:
        table = parse(file.read_bytes())
    except TableError as error:
        raise click.ClickException(f"{file}: {error}") from None
    for refusal in table.refused:
        click.echo(f"row {refusal.row}: {refusal.message} | 第 {refusal.row} 行：{refusal.message_zh}")
    if table.unknown_columns:
        names = ", ".join(table.unknown_columns)
        click.echo(f"columns left out: {names} | 未识别的列：{names}", err=True)
    if dry_run:
        click.echo(
            f"{len(table.rows)} rows could be imported, {len(table.refused)} refused; nothing was written | "
            f"可导入 {len(table.rows)} 行，拒绝 {len(table.refused)} 行；未写入"
        )
        return

    async def work(connection: Connection) -> dict[str, int]:
        counts = await take_in(connection, table.rows, "command line")
        await audit.add(
            connection, actor="command line", role="owner", action="machine.import", object_=file.name,
            detail={**counts, "refused": len(table.refused)},
        )  # fmt: skip
        return counts

    counts = with_database(config, work)
    click.echo(
        f"{counts['rows']} rows: {counts['created']} created, {counts['updated']} updated, "
        f"{counts['unchanged']} unchanged, {counts['terminals_bound']} terminals bound, {len(table.refused)} refused | "
        f"共 {counts['rows']} 行：新增 {counts['created']}，更新 {counts['updated']}，未变 {counts['unchanged']}，"
        f"绑定终端 {counts['terminals_bound']}，拒绝 {len(table.refused)}"
    )


@machines.command("list", short_help="One machine a line | 列出机械")
@click.pass_obj
def list_(config: str | None) -> None:
    """One machine a line: id, number, terminal, type, stage, district | 列出机械"""
    from gateway.commands._database import with_database  # noqa: PLC0415
    from storage.queries import machines as queries  # noqa: PLC0415

    async def work(connection: Connection) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["id"] if found else None
            page = await queries.page(connection, wanted=None, district=None, after=after, limit=5000)
            found += page
            if len(page) < 5000:
                return found

    names = ("id", "registration_number", "terminal_phone", "machine_type", "emission_stage", "district")
    for row in with_database(config, work):
        click.echo("\t".join("-" if row[name] is None else str(row[name]) for name in names))
