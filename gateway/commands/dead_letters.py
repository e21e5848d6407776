"""lezgate dead-letters: what could not be decoded or stored; listed, and replayed after a fix."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.commands._database import Connection
    from gateway.config import Settings

    Told = list[tuple[int, bool, str]]

_CONNECTS_S = 10.0
_BY = "command line"


@click.group(short_help="What could not be decoded or stored | 死信：无法解析或存储的报文")
def dead_letters() -> None:
    """What could not be decoded or stored: list it, replay it after a fix | 无法解析或存储的报文：查看，修复后重放"""


@dead_letters.command("list", short_help="Newest first, without their bytes | 列出死信")
@click.option("--reason", help="Of this reason only: checksum, body, unreadable_batch ... | 原因")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]), help="China time | 起始时间"
)
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="At most so many | 最多条数"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line | 每行一个 JSON 对象")
@click.pass_obj
def list_(config: str | None, reason: str | None, since: datetime | None, limit: int, *, as_json: bool) -> None:
    """Newest first, without their bytes, which are somebody's positions | 由新到旧列出，不含报文内容

    The bytes of one: GET /api/v1/dead-letters/ID with a purpose.
    """
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    from gateway.commands._database import with_database  # noqa: PLC0415
    from storage.dead_letters import page  # noqa: PLC0415

    start = None if since is None else since.replace(tzinfo=ZoneInfo("Asia/Shanghai"))

    async def work(connection: Connection) -> list[dict[str, Any]]:
        return await page(connection, reason=reason, since=start, limit=limit)

    rows = with_database(config, work)
    for row in rows:
        click.echo(json.dumps(row, default=_iso) if as_json else _line(row))
    click.echo(f"{len(rows)} dead letters | {len(rows)} 条", err=True)


@dead_letters.command(short_help="Read again, and append what reads to the log | 重新解析并写入日志")
@click.option("--id", "ids", type=click.IntRange(1), multiple=True, help="This one; may be repeated | 编号，可多次")
@click.option("--reason", help="All of this reason | 原因")
@click.option("--all", "everything", is_flag=True, help="All that were not replayed | 全部未重放的")
@click.option("--dry-run", is_flag=True, help="Only say what would come of it | 仅预览")
@click.pass_obj
def replay(config: str | None, ids: tuple[int, ...], reason: str | None, *, everything: bool, dry_run: bool) -> None:
    """Read dead letters again with this release, and append what reads to the log | 用当前版本重新解析死信并写入日志

    Each is replayed once, whatever is cut off in between, and none is deleted. The gateway must run; it may go on reporting.
    """
    from gateway.commands._database import troubles_told, with_database  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.database import running_database  # noqa: PLC0415
    from storage.queries import audit  # noqa: PLC0415

    async def write_down(connection: Connection) -> None:
        await audit.add(
            connection, actor=_BY, role="owner", action="dead_letter.replay", object_="dead-letters",
            detail={"ids": list(ids), "reason": reason},
        )  # fmt: skip

    if not (ids or reason or everything):
        raise click.UsageError("say which: --id, --reason or --all | 请指定 --id、--reason 或 --all")
    if not dry_run:
        with_database(config, write_down)
    settings = load(config)
    with troubles_told(), running_database(settings) as conninfo:
        told = asyncio.run(_replay(conninfo, settings, ids, reason, dry_run=dry_run))
    for letter, replayed, outcome in told:
        word = ("would be replayed | 可重放" if dry_run else "replayed | 已重放") if replayed else "stays | 保留"
        click.echo(f"{letter}  {word}: {outcome}")
    done = sum(replayed for _, replayed, _ in told)
    click.echo(f"{done} replayed, {len(told) - done} stay | 重放 {done} 条，保留 {len(told) - done} 条", err=True)


async def _replay(
    conninfo: str, settings: Settings, ids: tuple[int, ...], reason: str | None, *, dry_run: bool
) -> Told:  # fmt: skip
    import psycopg  # noqa: PLC0415

    from gateway import replaying  # noqa: PLC0415
    from gateway.log import Log  # noqa: PLC0415
    from gateway.nats_connection import connect  # noqa: PLC0415
    from gateway.nodes import nats_url  # noqa: PLC0415

    connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, application_name="lezgate-command")
    async with connection:
        if dry_run:
            return await replaying.preview(connection, ids=ids, reason=reason)
        try:
            client = await asyncio.wait_for(connect(nats_url(settings, "edge"), "edge"), _CONNECTS_S)
        except TimeoutError:
            raise click.ClickException(
                "the log cannot be reached: start `lezgate serve`, or check LEZGATE_DATA_DIR and LEZGATE_NATS_URL"
                " | 无法连接日志：请先运行 lezgate serve，或检查 LEZGATE_DATA_DIR 与 LEZGATE_NATS_URL"
            ) from None
        try:
            return await replaying.replay(connection, Log(client), by=_BY, ids=ids, reason=reason)
        except replaying.BusyError:
            raise click.ClickException("another replay is under way | 另一个重放正在进行") from None
        finally:
            await client.close()


def _line(row: dict[str, Any]) -> str:
    state = f"replayed | 已重放 {row['replayed_at']:%Y-%m-%d %H:%M}" if row["replayed_at"] else row["outcome"] or ""
    who = row["phone"] or "-"
    return f"{row['id']}  {row['at']:%Y-%m-%d %H:%M:%S}  {row['reason']}  {who}  {row['bytes']} B  {state}".rstrip()


def _iso(value: Any) -> str:
    return str(value.isoformat())
