"""lezgate zones: files of zones in and out of the registry of zones."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from gateway.commands._backtest import backtest

if TYPE_CHECKING:
    from admin_api.zone_plan import Planned
    from gateway.commands._database import Connection
    from geofence.importing.reading import Incoming, Reading

_AUTHOR = "command line"
_CRS = "wgs84, cgcs2000, gcj02, bd09, epsg:N or a .prj's text; where the file doesn't state its own | 坐标系"


@click.group(short_help="Zones: import, repair, back-test, list, export | 高排放禁用区")
def zones() -> None:
    """Zones: import, repair, back-test, list, export | 高排放禁用区"""


zones.add_command(backtest)


def _read(path: Path, crs: str | None, defaults: dict[str, Any]) -> Reading:
    from geofence.errors import ZoneError  # noqa: PLC0415
    from geofence.importing.reading import read  # noqa: PLC0415

    try:
        reading = read(path.read_bytes(), crs=crs, defaults=defaults)
    except ZoneError as error:
        raise click.ClickException(f"{path}: {error} | {error.message_zh}") from None
    for note in reading.notes:
        click.echo(f"{note.message_en} | {note.message_zh}", err=True)
    return reading


def _rules(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise click.ClickException(f"{path}: not JSON: {error} | 不是有效的 JSON") from None


def _refuse(incoming: list[Incoming], planned: list[Planned] | None = None) -> None:
    from gateway.commands._zone_lines import refusal_lines  # noqa: PLC0415

    lines = refusal_lines(incoming, planned or ())
    if lines:
        raise click.ClickException("\n".join(["nothing was imported | 未导入任何禁用区", *lines]))


@zones.command("import", short_help="Import GeoJSON, KML, KMZ or a zipped Shapefile | 导入禁用区")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--crs", help=_CRS)
@click.option("--publish", is_flag=True, help="Put them in force at once | 立即生效")
@click.option("--dry-run", is_flag=True, help="Show what would change, change nothing | 只显示差异，不写入")
@click.option("--district", help="District code of zones whose file names none | 未写明辖区时的辖区代码")
@click.option("--tier", help="core or general, of zones whose file says nothing | 未写明级别时的级别")
@click.option("--doc-no", help="The notice's number, of zones whose file names none | 未写明文号时的公告文号")
@click.option("--valid-from", help="Day or time, of zones whose file names none | 未写明时的生效日期")
@click.option("--valid-to", help="Last day or time, of zones whose file names none | 未写明时的截止日期")
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file of the rules of zones whose file has none | 未写明规则时的规则文件(JSON)",
)
@click.pass_obj
def import_(
    config: str | None,
    /,
    file: Path,
    crs: str | None,
    rules: Path | None,
    *,
    publish: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Imports GeoJSON, KML, KMZ or a zipped Shapefile | 导入禁用区

    Shows what is new, changed, unchanged or refused against the zones that are there, then takes all of it in, or
    nothing. A zone whose district has one of that name already becomes its next version.
    """
    from admin_api.problems import Problem  # noqa: PLC0415
    from admin_api.zone_plan import apply, counts, plan  # noqa: PLC0415
    from gateway.commands._database import with_database  # noqa: PLC0415
    from gateway.commands._zone_lines import refusal_lines, zone_lines  # noqa: PLC0415
    from storage.queries import audit  # noqa: PLC0415

    reading = _read(file, crs, {**given, "rules": _rules(rules)})
    if not dry_run:
        _refuse(reading.incoming)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()

    async def work(connection: Connection) -> dict[str, int]:
        async def written(action: str, object_: str, detail: dict[str, Any]) -> None:
            await audit.add(
                connection, actor=_AUTHOR, role="owner", action=action, object_=object_,
                detail={**detail, "file": file.name},
            )  # fmt: skip

        planned = await plan(connection, reading.incoming, publish=publish, account=None, hold=not dry_run)
        for each in planned:
            for line in zone_lines(each):
                click.echo(line)
        if dry_run:
            for line in refusal_lines(reading.incoming, planned):
                click.echo(line)
            return counts(planned)
        _refuse(reading.incoming, planned)
        await apply(
            connection, planned, written, author=_AUTHOR, publish=publish,
            note="published at once on the command line, no second person",
        )  # fmt: skip
        await written("zone.import", file.name, {**counts(planned), "sha256": digest})
        return counts(planned)

    try:
        found = with_database(config, work)
    except Problem as problem:
        raise click.ClickException(f"{problem.detail} | {problem.detail_zh}") from None
    if dry_run:
        click.echo("nothing was written | 未写入")
    elif found["new"] + found["changed"]:
        what, what_zh = ("in force", "已发布") if publish else ("drafts", "草稿")
        click.echo(
            f"imported as {what}: {found['new']} new, {found['changed']} changed | "
            f"已导入({what_zh})：新增 {found['new']}，变更 {found['changed']}"
        )


@zones.command(short_help="Preview repairs of broken shapes | 预览图形修复")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--crs", help=_CRS)
def repair(file: Path, crs: str | None) -> None:
    """Shows what broken shapes might have meant, as GeoJSON on standard output | 预览图形修复

    Rings are closed and crossings resolved. Standard error says what was wrong and how the area changes. Look at the
    result on a map; whoever agrees imports it.
    """
    from geofence.errors import ZoneError  # noqa: PLC0415
    from geofence.repairs import preview  # noqa: PLC0415

    features = []
    for each in _read(file, crs, {}).incoming:
        properties = each.feature["properties"]
        stated = properties.get("crs") or each.crs
        label = f"feature {each.number} {each.name}".rstrip()
        if not isinstance(stated, str):
            raise click.ClickException(f"{label}: the crs is missing; give --crs | 缺少坐标系，请用 --crs 指明")
        try:
            found = preview(each.feature["geometry"], stated)
        except ZoneError as error:
            click.echo(f"{label}: {error} | {error.message_zh}", err=True)
            continue
        if found.fault is not None:
            click.echo(
                f"{label}: {found.fault.message_en}; area {found.area_before_m2:,.0f} -> {found.area_after_m2:,.0f} m2 | "
                f"{found.fault.message_zh}；面积(平方米)由 {found.area_before_m2:,.0f} 变为 {found.area_after_m2:,.0f}",
                err=True,
            )
        features.append({**each.feature, "geometry": found.geometry, "properties": {**properties, "crs": found.crs}})
    _print({"type": "FeatureCollection", "features": features})


async def _all(connection: Connection) -> list[dict[str, Any]]:
    from admin_api.zone_states import STATES  # noqa: PLC0415
    from storage.queries import zones as queries  # noqa: PLC0415

    states = [state for state in STATES if state != "retired"]
    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["zone"] if found else None
        page = await queries.page(connection, states=states, district=None, after=after, limit=500)
        found += page
        if len(page) < 500:
            return found


@zones.command("list", short_help="One zone a line | 列出禁用区")
@click.pass_obj
def list_(config: str | None) -> None:
    """One zone a line: id, version, state, district, tier, notice, name | 列出禁用区"""
    from gateway.commands._database import with_database  # noqa: PLC0415

    for row in with_database(config, _all):
        shown = (row["zone"], f"v{row['version']}", row["state"], row["district"], row["tier"], row["doc_no"] or "-")
        click.echo("\t".join(map(str, (*shown, row["name"]))))


@zones.command(short_help="All zones as GeoJSON | 导出禁用区")
@click.pass_obj
def export(config: str | None) -> None:
    """All zones as a GeoJSON FeatureCollection in WGS-84, on standard output | 导出禁用区"""
    from admin_api.zone_editing import feature  # noqa: PLC0415
    from gateway.commands._database import with_database  # noqa: PLC0415

    _print({"type": "FeatureCollection", "features": [feature(row) for row in with_database(config, _all)]})


def _print(collection: dict[str, Any]) -> None:
    click.echo(orjson.dumps(collection, option=orjson.OPT_INDENT_2).decode())
