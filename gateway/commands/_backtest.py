"""lezgate zones backtest: whom a draft would have caught."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from gateway.commands._database import Connection
    from geofence.zones import ZoneDraft

_SHOWN_MACHINES = 20


@click.command(short_help="Whom a draft would have caught | 回测禁用区草案")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--from", "start", help="ISO 8601; 30 days before --to where left out | 起始时间，默认为截止前 30 天")
@click.option("--to", "end", help="ISO 8601, not included; now where left out | 截止时间(不含)，默认为现在")
@click.option("--crs", help="Where the file doesn't state its own: wgs84, gcj02 ... | 坐标系")
@click.option("--zone", type=click.IntRange(1), help="Id of the zone to compare with | 对比的现行禁用区编号")
@click.option("--purpose", required=True, help="Why, for the audit | 回测目的，记入审计")
@click.option("--json", "as_json", is_flag=True, help="The whole answer as JSON | 以 JSON 输出全部结果")
@click.pass_obj
def backtest(
    config: str | None,
    /,
    file: Path,
    start: str | None,
    end: str | None,
    crs: str | None,
    zone: int | None,
    purpose: str,
    *,
    as_json: bool,
) -> None:
    """Runs a draft over the stored tracks and says whom it would have caught, when and how often | 回测禁用区草案

    FILE holds one zone with its rules, as for import. It is taken to have been in force all the time; nothing is stored but
    the audit's row. With --zone the answer says what that zone's version in force would have caught besides, or instead.
    """
    from admin_api.backtest_answers import document  # noqa: PLC0415
    from admin_api.backtesting import backtest as run  # noqa: PLC0415
    from admin_api.backtesting import window  # noqa: PLC0415
    from admin_api.problems import Problem  # noqa: PLC0415
    from gateway.commands._database import with_database  # noqa: PLC0415
    from storage.queries import audit, zones  # noqa: PLC0415

    draft = _draft(file, crs)
    purpose = purpose.strip()
    if not purpose:
        raise click.BadParameter("say why | 请说明目的", param_hint="--purpose")

    async def work(connection: Connection) -> dict[str, Any]:
        since, until = window(start, end)
        row = None if zone is None else await zones.find(connection, zone)
        if zone is not None and row is None:
            raise click.BadParameter("there is no such zone | 没有这个禁用区", param_hint="--zone")
        await audit.add(
            connection, actor="command line", role="owner", action="backtest.run",
            object_="zone/draft" if zone is None else f"zone/{zone}", purpose=purpose,
            detail={"from": since.isoformat(), "to": until.isoformat(), "name": draft.name, "district": draft.district,
                    "version": None if row is None else row["version"], "file": file.name},
        )  # fmt: skip
        await connection.commit()
        return document(await run(connection, draft, row, since, until, _progress))

    try:
        found = with_database(config, work)
    except Problem as problem:
        raise click.ClickException(f"{problem.detail} | {problem.detail_zh}") from None
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        for line in _lines(found):
            click.echo(line)


def _draft(file: Path, crs: str | None) -> ZoneDraft:
    from gateway.commands._zone_lines import refusal_lines  # noqa: PLC0415
    from geofence.errors import ZoneError  # noqa: PLC0415
    from geofence.importing.reading import read  # noqa: PLC0415

    try:
        incoming = read(file.read_bytes(), crs=crs).incoming
    except ZoneError as error:
        raise click.ClickException(f"{file}: {error} | {error.message_zh}") from None
    if len(incoming) != 1:
        raise click.ClickException(
            f"{file}: {len(incoming)} zones; one at a time is tested | 文件中有 {len(incoming)} 个禁用区，每次只能回测一个"
        )
    draft = incoming[0].draft
    if draft is None:
        raise click.ClickException("\n".join(refusal_lines(incoming, ())))
    return draft


def _progress(done: int, total: int) -> None:
    if total:
        click.echo(f"\r{done:,} of {total:,} positions | {done / total:4.0%}", nl=done == total, err=True)


def _lines(found: dict[str, Any]) -> list[str]:
    near, totals, told = found["near"], found["totals"], found["difference"]
    seen = (
        f"{found['from']:%Y-%m-%d %H:%M} - {found['to']:%Y-%m-%d %H:%M}: {found['points']:,} positions of "
        f"{found['terminals']:,} terminals, {near['terminals']:,} of them near the zone | 定位点 {found['points']:,}，"
        f"终端 {found['terminals']:,}，其中到过附近 {near['terminals']:,}"
    )
    caught = (
        f"visits {totals['visits']:,}: violations {totals['violations']:,}, unknown {totals['unknown']:,}, exempt "
        f"{totals['exempt']:,}; machines {totals['machines']:,}, more than once {totals['machines_again']:,} | 进入 "
        f"{totals['visits']:,} 次：违规 {totals['violations']:,}，未知 {totals['unknown']:,}，豁免 {totals['exempt']:,}；"
        f"机械 {totals['machines']:,} 台，多次进入 {totals['machines_again']:,} 台"
    )
    lines = [seen, caught]
    if told is not None:
        only, gone, both = told["only_draft"]["visits"], told["only_current"]["visits"], told["both"]["visits"]
        lines.append(
            f"alarms beside version {told['version']} of zone {told['zone']}: {only:,} more, {gone:,} no more, {both:,} "
            f"as before | 与现行第 {told['version']} 版相比：新增 {only:,}，不再 {gone:,}，相同 {both:,}"
        )
    if found["rules_never_in_force"]:
        indices = ", ".join(map(str, found["rules_never_in_force"]))
        lines.append(f"rules whose dates lie outside the range: {indices} | 有效期不在回测范围内的规则：{indices}")
    for row in found["by_machine"][:_SHOWN_MACHINES]:
        machine = row["machine"]
        number = machine["registration_number"] or f"#{machine['id']}"
        shown = (number, machine["machine_type"], machine["emission_stage"], row["visits"], f"{row['minutes']:.0f} min")
        lines.append("\t".join(map(str, shown)))
    return lines
