"""Zipped Shapefiles: of each layer .shp (shapes), .dbf (their properties), .prj (crs) and .cpg (encoding).

The .shx is not needed: records follow one another.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from geofence.importing import dbf, shp
from geofence.importing.found import Contents, Found, malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIXES = (".shp", ".dbf", ".prj", ".cpg")


def read(files: Mapping[str, bytes]) -> Contents:
    """``files``: name to bytes of an archive's members. Raises what `shp.read` and `dbf.read` do."""
    contents = Contents("shapefile")
    layers = _layers(files)
    for name, parts in layers.items():
        if ".shp" in parts:
            _read_layer(name, parts, contents)
        elif ".dbf" in parts:
            contents.note(f"{name}.dbf has no .shp beside it and was left out", f"{name}.dbf 没有对应的 .shp,已略过")
    return contents


def _layers(files: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    """Names without suffix, lower case decides what belongs together; .shp first seen gives the order."""
    layers: dict[str, dict[str, bytes]] = {}
    shown: dict[str, str] = {}
    for name, data in files.items():
        path = PurePosixPath(name)
        if path.suffix.lower() in SUFFIXES:
            stem = str(path.with_suffix(""))
            shown.setdefault(stem.lower(), stem)
            layers.setdefault(shown[stem.lower()], {})[path.suffix.lower()] = data
    return layers


def _read_layer(name: str, parts: Mapping[str, bytes], contents: Contents) -> None:
    shapes = shp.read(parts[".shp"])
    rows: list[dict[str, Any] | None] = [{} for _ in shapes]
    if ".dbf" in parts:
        table = dbf.read(parts[".dbf"], parts.get(".cpg"))
        rows = table.rows
        if table.encoding != "utf-8":
            shown = {"gb18030": "GBK"}.get(table.encoding, table.encoding)
            contents.note(f"{name}.dbf was read as {shown}", f"{name}.dbf 按 {shown} 编码读取")
    else:
        contents.note(f"{name}: no .dbf, so no properties", f"{name}:没有 .dbf,因此没有属性")
    if len(rows) != len(shapes):
        raise malformed(
            f"{name}: {len(shapes)} shapes, and {len(rows)} rows in the .dbf",
            f"{name}:.shp 有 {len(shapes)} 个图形,而 .dbf 有 {len(rows)} 行",
        )
    crs = _projection(parts.get(".prj"))
    deleted = unoriented = 0
    for number, (shape, row) in enumerate(zip(shapes, rows, strict=True), 1):
        if row is None:
            deleted += 1
            continue
        unoriented += shape.unoriented
        contents.add(Found(number, shape.geometry, row, crs, name, shape.fault))
    if unoriented:
        contents.note(
            f"{name}: {unoriented} shapes have only counterclockwise rings, which were taken as outer ones",
            f"{name}:{unoriented} 个图形的环均为逆时针,已按外环处理",
        )
    if deleted:
        contents.note(f"{name}: {deleted} deleted rows were left out", f"{name}:已略过 {deleted} 条带删除标记的记录")


def _projection(data: bytes | None) -> str | None:
    """The text of a .prj; an empty one states nothing."""
    text = (data or b"").decode("utf-8", "replace").removeprefix("\ufeff").strip("\0 \t\r\n")
    return text or None
