"""A shape as it was drawn, to the ground: densified, converted to WGS-84 once, and checked to lie in or around China.

A shape that lands elsewhere was handed in with the wrong crs or order of axes. The usual slips are recognised and said;
none is put right here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import shapely

from geofence.errors import ZoneError
from geofence.polygons import MAX_VERTICES, check_valid

if TYPE_CHECKING:
    from geofence.projections import Conversion, Floats

# Where the GCJ-02 formula is meant to hold.
_WEST, _SOUTH, _EAST, _NORTH = 72.004, 0.8293, 137.8347, 55.8271

# A Gauss-Kruger easting without its zone's number is half a million metres give or take half a zone's width; with it,
# the number stands before six digits: 13 to 23 for the 6-degree zones of China, 25 to 45 for the 3-degree ones.
_EASTINGS = (150_000, 850_000)
_NORTHINGS = (100_000, 6_200_000)
_ZONE = 1_000_000


def to_wgs84(source: shapely.Geometry, datum: Conversion) -> shapely.Polygon | shapely.MultiPolygon:
    """The shape in degrees WGS-84. Raises ZoneError: out_of_range, geometry_invalid."""
    dense = source
    if datum.step is not None:
        if shapely.length(source) / datum.step > MAX_VERTICES:
            _check_range(source, source, datum)
            raise _out_of_range("the shape is too large for its crs", "图形过大,与所选坐标系不符")
        dense = shapely.segmentize(source, datum.step)
        if shapely.get_num_coordinates(dense) > MAX_VERTICES:
            raise _out_of_range("the shape has too many vertices once densified", "加密后顶点过多")
    if not datum.projected:
        _check_range(dense, dense, datum)
    geometry = _converted(dense, datum)
    _check_range(geometry, dense, datum)
    check_valid(geometry)
    return geometry


def _converted(shape: shapely.Geometry, datum: Conversion) -> shapely.Polygon | shapely.MultiPolygon:
    with np.errstate(invalid="ignore"):  # a projection answers inf where it has no answer; the range check says so
        return shapely.transform(shape, lambda points: np.column_stack(datum.to_wgs84(points[:, 0], points[:, 1])))


def _in_china(lon: Floats, lat: Floats) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return (lon >= _WEST) & (lon <= _EAST) & (lat >= _SOUTH) & (lat <= _NORTH)


def _check_range(geometry: shapely.Geometry, drawn: shapely.Geometry, datum: Conversion) -> None:
    """``geometry``: in degrees, or taken to be; ``drawn``: the same vertices as they were handed in."""
    points = shapely.get_coordinates(geometry)
    inside = _in_china(points[:, 0], points[:, 1])
    if inside.all():
        return
    source = shapely.get_coordinates(drawn)
    worst = int(np.argmin(inside))
    place = (float(source[worst, 0]), float(source[worst, 1]))
    hint = _slip(source[:, 0], source[:, 1], datum)
    if hint is not None:
        raise _out_of_range(*hint, place)
    x, y = float(points[worst, 0]), float(points[worst, 1])
    raise _out_of_range(
        f"{x:.7g}, {y:.7g} is not a longitude and latitude in or around China; is the crs right?",
        f"{x:.7g}, {y:.7g} 不在中国及周边范围内,请核对坐标系",
        place,
    )


def _slip(x: Floats, y: Floats, datum: Conversion) -> tuple[str, str] | None:
    """What the vertices would be if one of the usual slips had been made: a sentence in English and in Chinese."""
    if _in_china(y, x).all() and not datum.projected:
        return (
            "latitude and longitude look swapped: longitude comes first",
            "经纬度疑似颠倒:应先经度后纬度",
        )
    if _in_china(x, y).all() and datum.projected:
        return (
            "these are degrees, and the stated crs is in metres: is it wgs84, cgcs2000, gcj02 or bd09?",
            "坐标是经纬度,而所指定的坐标系以米为单位;是否应为 wgs84、cgcs2000、gcj02 或 bd09?",
        )
    if datum.projected and _in_china(*datum.to_wgs84(y, x)).all():
        return (
            "northing and easting look swapped: x is the easting, though survey tables in China write X for the northing",
            "纵横坐标疑似颠倒:此处 x 为东坐标(横坐标),而国内测量成果中 X 为北坐标(纵坐标)",
        )
    return _gauss_kruger(x, y) or _gauss_kruger(y, x, swapped=True)


def _gauss_kruger(east: Floats, north: Floats, *, swapped: bool = False) -> tuple[str, str] | None:
    """Metres of a Gauss-Kruger zone that the stated crs is not."""
    number = np.floor(east / _ZONE)
    rest = east - number * _ZONE
    if not (
        np.all((rest > _EASTINGS[0]) & (rest < _EASTINGS[1]))
        and np.all((north > _NORTHINGS[0]) & (north < _NORTHINGS[1]))
        and np.all(number == number[0])
    ):
        return None
    zone = int(number[0])
    if zone == 0:
        found = "carries no zone number: in CGCS2000 epsg:4534 (75 E) to epsg:4554 (135 E), of which epsg:4548 is 117 E"
        found_zh = "不带带号:CGCS2000 为 epsg:4534(75°E)至 epsg:4554(135°E),其中 epsg:4548 为 117°E"
    elif 25 <= zone <= 45:
        found = f"begins with {zone}, the number of a 3-degree Gauss-Kruger zone: in CGCS2000 epsg:{4488 + zone}"
        found_zh = f"以带号 {zone} 开头,疑为高斯-克吕格 3 度带:CGCS2000 为 epsg:{4488 + zone}"
    elif 13 <= zone <= 23:
        found = f"begins with {zone}, the number of a 6-degree Gauss-Kruger zone: in CGCS2000 epsg:{4478 + zone}"
        found_zh = f"以带号 {zone} 开头,疑为高斯-克吕格 6 度带:CGCS2000 为 epsg:{4478 + zone}"
    else:
        return None
    order, order_zh = ("; northing and easting are swapped too", ";且纵横坐标颠倒") if swapped else ("", "")
    return f"the easting {found}{order}", f"东坐标{found_zh}{order_zh}"


def _out_of_range(message_en: str, message_zh: str, place: tuple[float, float] | None = None) -> ZoneError:
    return ZoneError("out_of_range", message_en, message_zh, "geometry.coordinates", place)
