"""lezgate zones: GeoJSON FeatureCollections in and out of the registry of zones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from gateway.commands._database import Connection
    from geofence.zones import ZoneDraft

_AUTHOR = "command line"


@click.group(short_help="Zones: import, list, export | 高排放禁用区")
def zones() -> None:
    """Zones: import, list, export | 高排放禁用区"""


def _features(path: Path) -> list[Any]:
    try:
        document = orjson.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise click.ClickException(f"{path}: not JSON: {error} | 不是有效的 JSON") from None
    if isinstance(document, dict) and document.get("type") == "Feature":
        return [document]
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise click.ClickException(f"{path}: not a GeoJSON FeatureCollection | 不是 GeoJSON FeatureCollection")
    return features


def _drafts(path: Path, crs: str | None, *, publish: bool) -> list[ZoneDraft]:
    """All of them or none: a file that is half in force is worse than one that is refused."""
    from geofence.zones import ZoneError, parse_feature  # noqa: PLC0415

    drafts, faults = [], []
    for number, feature in enumerate(_features(path), 1):
        try:
            draft = parse_feature(feature, crs)
        except ZoneError as error:
            where = f" ({error.where})" if error.where else ""
            to_do = ("; or give --crs", "；也可用 --crs 指明") if error.code == "crs_missing" else ("", "")
            faults.append(f"feature {number}{where}: {error.message_en}{to_do[0]} | {error.message_zh}{to_do[1]}")
            continue
        if publish and not draft.doc_no:
            faults.append(f"feature {number}: publishing needs properties.doc_no | 发布禁用区必须填写文号 doc_no")
        drafts.append(draft)
    if faults:
        raise click.ClickException("\n".join(["nothing was imported | 未导入任何禁用区", *faults]))
    return drafts


@zones.command("import", short_help="Import a GeoJSON FeatureCollection | 导入禁用区")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--crs", help="wgs84, cgcs2000, gcj02, bd09 or epsg:N; where a feature doesn't state its own | 坐标系")
@click.option("--publish", is_flag=True, help="Put them in force at once | 立即生效")
@click.pass_obj
def import_(config: str | None, file: Path, crs: str | None, *, publish: bool) -> None:
    """Imports a GeoJSON FeatureCollection | 导入禁用区

    A zone whose district has one of that name already becomes its next version; an equal one is left as it is.
    """
    from admin_api.zone_editing import is_same, save  # noqa: PLC0415
    from gateway.commands._database import with_database  # noqa: PLC0415
    from storage.queries import audit  # noqa: PLC0415
    from storage.queries import zones as queries  # noqa: PLC0415

    drafts = _drafts(file, crs, publish=publish)

    async def work(connection: Connection) -> list[str]:
        lines = []
        for draft in drafts:
            there = await queries.named(connection, draft.district, draft.name)
            zone = None if there is None else int(there["zone"])
            if there is not None and is_same(draft, there) and (there["state"] == "active" or not publish):
                lines.append(f"{zone}\tv{there['version']}\tunchanged\t{draft.name}")
                continue
            if zone is not None:
                await queries.lock(connection, zone)
            zone, version = await save(connection, draft, author=_AUTHOR, publish=publish, zone=zone)
            await audit.add(
                connection, actor=_AUTHOR, role="owner", action="zone.publish" if publish else "zone.draft",
                object_=f"zone/{zone}", detail={"version": version, "doc_no": draft.doc_no, "file": file.name},
            )  # fmt: skip
            lines.append(f"{zone}\tv{version}\t{'active' if publish else 'draft'}\t{draft.name}")
        return lines

    for line in with_database(config, work):
        click.echo(line)


async def _all(connection: Connection) -> list[dict[str, Any]]:
    from storage.queries import zones as queries  # noqa: PLC0415

    found: list[dict[str, Any]] = []
    while True:
        after = found[-1]["zone"] if found else None
        page = await queries.page(connection, states=["draft", "active"], district=None, after=after, limit=500)
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

    features = [feature(row) for row in with_database(config, _all)]
    collection = {"type": "FeatureCollection", "features": features}
    click.echo(orjson.dumps(collection, option=orjson.OPT_INDENT_2).decode())
