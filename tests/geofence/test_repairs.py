"""Previews of repairs: what a broken shape might have meant, in metres, and never more than shown."""

import json

import pytest

from geofence.errors import ZoneError
from geofence.polygons import read_polygons
from geofence.repairs import preview

X, Y = 410_000.0, 4_035_000.0
OPEN = [[X, Y], [X, Y + 1000], [X + 1000, Y + 1000], [X + 1000, Y]]
BOW = [[X, Y], [X + 1000, Y + 1000], [X + 1000, Y], [X, Y + 1000], [X, Y]]
# A square whose border runs over itself in one corner.
EARED = [[X, Y], [X, Y + 1000], [X + 1100, Y + 1000], [X + 1000, Y + 1100], [X + 1000, Y], [X, Y]]


def polygon(*rings):
    return {"type": "Polygon", "coordinates": list(rings)}


@pytest.mark.parametrize(
    ("ring", "code", "before", "after"),
    [(OPEN, "ring_open", 1e6, 1e6), (BOW, "geometry_invalid", 0, 5e5), (EARED, "geometry_invalid", 1.0e6, 1.01e6)],
)
def test_a_broken_shape_and_its_repair(ring, code, before, after):
    """What was wrong, and the area before and after in square metres of the ground; the answer reads as a zone."""
    found = preview(polygon(ring), "epsg:4548")
    assert found.fault.code == code
    assert found.area_after_m2 == pytest.approx(after, rel=6e-3)
    assert found.area_before_m2 == pytest.approx(before, rel=6e-3, abs=1)
    assert read_polygons(json.loads(json.dumps(found.geometry))).is_valid


def test_a_whole_shape_is_left_as_it_is():
    """Nothing to repair is said, and every digit stays."""
    whole = polygon([*OPEN, OPEN[0]])
    found = preview(whole, "EPSG:4548")
    assert (found.fault, found.geometry, found.crs) == (None, whole, "epsg:4548")


@pytest.mark.parametrize(
    ("geometry", "crs", "code"),
    [
        (None, "wgs84", "geometry_type"),
        (polygon(BOW), "wgs84", "out_of_range"),
        (polygon(BOW), "mars", "crs_unknown"),
        (polygon([[X, Y], [X + 1, Y], [X + 2, Y], [X, Y]]), "epsg:4548", "geometry_invalid"),
    ],
)
def test_nothing_to_show(geometry, crs, code):
    """No polygon, in the wrong place, of no crs, or nothing of it left."""
    with pytest.raises(ZoneError) as caught:
        preview(geometry, crs)
    assert caught.value.code == code
