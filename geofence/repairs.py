"""What a broken shape might have meant, on the ground: for a person to look at, never stored for somebody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import shapely

from geofence.datum import conversion
from geofence.errors import ZoneError
from geofence.importing.differences import area_m2
from geofence.placing import to_wgs84
from geofence.polygons import read_polygons, repair_preview


@dataclass(frozen=True, slots=True)
class Preview:
    """geometry: GeoJSON in the coordinates it was handed in, of ``crs``; wgs84: the same on the ground; areas in m2, that
    of the broken shape as its rings enclose it; fault: what was wrong, or None where the shape is as it should be.
    """

    crs: str
    geometry: dict[str, Any]
    wgs84: shapely.Polygon | shapely.MultiPolygon
    area_before_m2: float
    area_after_m2: float
    fault: ZoneError | None


def preview(geometry: object, crs: str) -> Preview:
    """Rings closed and crossings resolved. Raises ZoneError where there is nothing to show, or not in or around China."""
    datum = conversion(crs)
    fault = None
    try:
        read_polygons(geometry)
    except ZoneError as error:
        fault = error
    repair = repair_preview(geometry)
    placed = to_wgs84(shapely.geometry.shape(repair.geometry), datum)
    after = area_m2(placed)
    # One place, one scale: the broken shape cannot be laid out, but its area grows as the mended one's does.
    before = repair.area_before * after / repair.area_after
    return Preview(
        datum.crs, repair.geometry if fault else cast("dict[str, Any]", geometry), placed, before, after, fault
    )
