"""Shapes that land outside China: the usual slips are named, in the survey offices' words, and none is put right."""

import pytest

from geofence.zones import ZoneError, parse_feature
from tests.geofence.map_files import square

NORTHING = 4_035_000.0


def said(ring, crs):
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"name": "甲", "district": "371502", "crs": crs, "rules": []},
    }
    with pytest.raises(ZoneError) as caught:
        parse_feature(feature)
    assert caught.value.code == "out_of_range"
    assert caught.value.place in [tuple(point) for point in ring]
    return caught.value


def flipped(ring):
    return [[y, x] for x, y in ring]


@pytest.mark.parametrize("crs", ["epsg:4548", "epsg:4527"])
def test_northing_before_easting(crs):
    """Survey tables in China write X for the northing: recognised where the exchange puts it right."""
    easting = 410_000 if crs == "epsg:4548" else 39_410_000
    error = said(flipped(square(easting, NORTHING, 900)), crs)
    assert "swapped" in error.message_en
    assert "颠倒" in error.message_zh


@pytest.mark.parametrize(
    ("easting", "crs", "hint"),
    [
        (39_410_000, "epsg:4548", "epsg:4527"),
        (39_410_000, "wgs84", "epsg:4527"),
        (39_410_000, "gcj02", "epsg:4527"),
        (38_590_000, "cgcs2000", "epsg:4526"),
        (20_410_000, "epsg:4548", "epsg:4498"),
        (410_000, "epsg:4527", "epsg:4548"),
        (410_000, "bd09", "epsg:4548"),
    ],
)
def test_zone_numbers(easting, crs, hint):
    """An easting with the zone's number, or without it, under a crs that has it the other way or not at all."""
    error = said(square(easting, NORTHING, 900), crs)
    assert hint in error.message_en
    assert hint in error.message_zh
    assert "带号" in error.message_zh
    both = said(flipped(square(easting, NORTHING, 900)), "wgs84")
    assert "swapped too" in both.message_en


def test_degrees_under_a_crs_in_metres():
    """The other way round: said with the names that would do."""
    assert "degrees" in said(square(115.9, 36.4, 0.1), "epsg:4548").message_en


def test_what_is_no_usual_slip_is_only_told():
    """No guess where there is no ground for one."""
    assert "right?" in said(square(10.0, 50.0, 1.0), "wgs84").message_en
    assert "right?" in said(square(99_410_000, NORTHING, 900), "wgs84").message_en
