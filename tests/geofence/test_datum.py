"""Datums: published values, inverses, and what is refused."""

import re

import numpy as np
import pyproj
import pytest

from geofence.datum import bd09_to_gcj02, bd09_to_wgs84, conversion, gcj02_to_bd09, gcj02_to_wgs84, wgs84_to_gcj02
from geofence.errors import ZoneError

METRE = 1e-5  # degrees, about


def grid():
    lon, lat = np.meshgrid(np.linspace(74, 134, 61), np.linspace(4, 53, 50))
    return lon.ravel(), lat.ravel()


def test_published_values():
    """The example of the widely used coordtransform library (its README): 116.404, 39.915 in each direction."""
    x, y = np.array([116.404]), np.array([39.915])
    assert wgs84_to_gcj02(x, y) == (pytest.approx(116.41024449916938), pytest.approx(39.91640428150164))
    assert gcj02_to_bd09(x, y) == (pytest.approx(116.41036949371029), pytest.approx(39.92133699351021))
    # Its inverses are approximations, good to a metre or two.
    assert gcj02_to_wgs84(x, y) == (
        pytest.approx(116.39775550083061, abs=2 * METRE),
        pytest.approx(39.91359571849836, abs=2 * METRE),
    )
    assert bd09_to_gcj02(x, y) == (
        pytest.approx(116.39762729119315, abs=2 * METRE),
        pytest.approx(39.90865673957631, abs=2 * METRE),
    )


def test_the_shift_at_liaocheng():
    """About half a kilometre, nearly due east: what a zone is off by if its datum is not converted."""
    lon, lat = wgs84_to_gcj02(np.array([115.98]), np.array([36.45]))
    east, north = (lon[0] - 115.98) * 111_320 * np.cos(np.radians(36.45)), (lat[0] - 36.45) * 110_950
    assert 500 < east < 555
    assert abs(north) < 60


@pytest.mark.parametrize(("forward", "back"), [(wgs84_to_gcj02, gcj02_to_wgs84), (gcj02_to_bd09, bd09_to_gcj02)])
def test_inverses(forward, back):
    """There and back over all of China, to a millionth of a metre; rounding apart."""
    lon, lat = grid()
    x, y = back(*forward(lon, lat))
    assert np.abs(x - lon).max() < 1e-11
    assert np.abs(y - lat).max() < 1e-11


def test_bd09_goes_through_gcj02():
    """BD-09 to WGS-84 is both inverses in turn."""
    lon, lat = grid()
    x, y = bd09_to_wgs84(*gcj02_to_bd09(*wgs84_to_gcj02(lon, lat)))
    assert np.abs(x - lon).max() < 1e-11
    assert np.abs(y - lat).max() < 1e-11


@pytest.mark.parametrize("crs", ["wgs84", "WGS84", "cgcs2000", "epsg:4326", "EPSG:4490"])
def test_equal_datums_are_left_alone(crs):
    """WGS-84 and CGCS2000 under any name: every digit kept, no vertex added."""
    lon, lat = grid()
    same = conversion(crs)
    assert same.step is None
    assert np.array_equal(same.to_wgs84(lon, lat), (lon, lat))


def test_projected():
    """CGCS2000 3-degree Gauss-Kruger, 117 E: the central meridian, its parallel bending away, axes in the order x, y."""
    projected = conversion("EPSG:4548")
    lon, lat = projected.to_wgs84(np.array([500_000.0, 410_000.0]), np.array([4_035_000.0, 4_035_000.0]))
    assert lon == pytest.approx([117.0, 115.996], abs=5e-4)
    assert lat == pytest.approx([36.4457, 36.4415], abs=5e-4)
    assert projected.step == 500


def test_straight_edges_stay_straight_for_a_step():
    """An edge of one step, converted by its ends alone, is nowhere off by more than 2.5 cm."""
    for crs, x, y in (("gcj02", 115.9, 36.4), ("bd09", 115.9, 36.4), ("epsg:4548", 410_000.0, 4_035_000.0)):
        there = conversion(crs)
        for dx, dy in ((1, 0), (0, 1), (0.7, 0.7), (0.7, -0.7)):
            for k in range(40):
                begin = np.array([x + k * 7 * there.step, y + k * 3 * there.step])
                ends = begin + np.outer([0, 0.5, 1], np.array([dx, dy]) * there.step)
                lon, lat = there.to_wgs84(ends[:, 0], ends[:, 1])
                bend = np.hypot((lon[1] - lon[[0, 2]].mean()) * 90_000, (lat[1] - lat[[0, 2]].mean()) * 111_000)
                assert bend < 0.025


@pytest.mark.parametrize("crs", ["epsg:4214", "epsg:4610", "epsg:2433", "epsg:2345", "epsg:4555", "EPSG:21420"])
def test_old_datums_are_refused(crs):
    """Beijing 1954 and Xi'an 1980, geographic and projected: refused by datum, in both languages."""
    with pytest.raises(ZoneError) as caught:
        conversion(crs)
    assert caught.value.code == "crs_refused"
    assert "CGCS2000" in caught.value.message_zh


def esri(code):
    """The text of a .prj as ArcGIS writes it."""
    return pyproj.CRS.from_epsg(code).to_wkt("WKT1_ESRI")


@pytest.mark.parametrize(
    ("code", "crs"),
    [(4527, "epsg:4527"), (4548, "epsg:4548"), (32650, "epsg:32650"), (4326, "wgs84"), (4490, "cgcs2000")],
)
@pytest.mark.parametrize("edition", ["WKT1_ESRI", "WKT1_GDAL", "WKT2_2019"])
def test_a_prj_is_identified(code, crs, edition):
    """The same system under the names of any program: kept by its code, and converted as by its code."""
    by_text, by_code = conversion(pyproj.CRS.from_epsg(code).to_wkt(edition)), conversion(f"epsg:{code}")
    assert by_text.crs == by_code.crs == crs
    x, y = (np.array([39_410_000.0 if code == 4527 else 410_000.0]), np.array([4_035_000.0]))
    assert by_text.to_wgs84(x, y) == by_code.to_wgs84(x, y)


def test_a_prj_of_no_register():
    """A county's own central meridian has no code: its text is kept, and is read again as the same."""
    county = esri(4548).replace("117.0", "116.0").replace("CGCS2000_3_Degree_GK_CM_117E", "Liaocheng")
    found = conversion(county)
    assert found.crs.startswith("PROJCRS[")
    assert "\n" not in found.crs
    again = conversion(found.crs)
    assert again.crs == found.crs
    lon, _ = again.to_wgs84(np.array([500_000.0]), np.array([4_035_000.0]))
    assert lon == pytest.approx([116.0])


def test_a_prj_that_lies_about_its_code():
    """The name and authority of EPSG:4527 over another central meridian: the numbers count."""
    moved = pyproj.CRS.from_epsg(4527).to_wkt("WKT1_GDAL").replace('"central_meridian",117', '"central_meridian",116')
    assert conversion(moved).crs != "epsg:4527"
    lon, _ = conversion(moved).to_wgs84(np.array([39_500_000.0]), np.array([4_035_000.0]))
    assert lon == pytest.approx([116.0])


@pytest.mark.parametrize("code", [4214, 4610, 2435, 2364])
def test_an_old_datums_prj_is_refused_without_parameters(code):
    """Under any name of the datum; with parameters towards WGS-84 in it the text is taken at its word, kept whole."""
    for text in (esri(code), esri(code).replace("Beijing_1954", "Krasovsky_1940").replace("Xian_1980", "IAG_1975")):
        with pytest.raises(ZoneError) as caught:
            conversion(text)
        assert caught.value.code == "crs_refused"
    plain = pyproj.CRS.from_epsg(code).to_wkt("WKT1_GDAL")
    assert "15.8" in conversion(with_parameters(plain, "15.8,-154.4,-82.3,0,0,0,0")).crs
    with pytest.raises(ZoneError):
        conversion(with_parameters(plain, "0,0,0,0,0,0,0"))


def with_parameters(wkt, values):
    return re.sub(r"(SPHEROID\[.*?\]\])", rf"\1,TOWGS84[{values}]", wkt, count=1)


def test_parameters_move_the_zone():
    """Three of them, against the same shift done by hand in geocentric metres."""
    text = with_parameters(pyproj.CRS.from_epsg(4214).to_wkt("WKT1_GDAL"), "15.8,-154.4,-82.3,0,0,0,0")
    lon, lat = conversion(text).to_wgs84(np.array([115.95]), np.array([36.45]))
    by_hand = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=krass"
        " +step +proj=helmert +x=15.8 +y=-154.4 +z=-82.3 +step +inv +proj=cart +ellps=WGS84"
        " +step +proj=unitconvert +xy_in=rad +xy_out=deg"
    ).transform(115.95, 36.45)
    assert (lon[0], lat[0]) == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.parametrize(
    "crs",
    ['LOCAL_CS["x",UNIT["metre",1]]', 'GEOGCS["x"', 'PROJCS["' + "x" * 30_000 + '"]', 'VERT_CS["x"]', '"[', 'a[\0"]'],
)
def test_texts_that_are_no_crs(crs):
    """Local grids, cut or endless texts, heights alone; the message stays short."""
    with pytest.raises(ZoneError) as caught:
        conversion(crs)
    assert caught.value.code == "crs_unknown"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("crs", ["", "wgs", "mars", "epsg:", "epsg:999999", "epsg:4978", "epsg:5773", "4326", "epsg:0"])
def test_unknown_datums_are_refused(crs):
    """What is no datum, no code, or not two-dimensional."""
    with pytest.raises(ZoneError) as caught:
        conversion(crs)
    assert caught.value.code == "crs_unknown"
