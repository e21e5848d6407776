"""A Feature in, a draft out, or a ZoneError that says what and where."""

import json
from copy import deepcopy

import numpy as np
import pytest
import shapely

from geofence.datum import wgs84_to_gcj02
from geofence.polygons import MAX_VERTICES, read_polygons, repair_preview
from geofence.zones import Zone, ZoneError, parse_feature

SQUARE = [[115.9, 36.4], [116.0, 36.4], [116.0, 36.5], [115.9, 36.5], [115.9, 36.4]]
HOLE = [[115.94, 36.44], [115.94, 36.46], [115.96, 36.46], [115.96, 36.44], [115.94, 36.44]]
BOW = [[115.9, 36.4], [116.0, 36.5], [116.0, 36.4], [115.9, 36.5], [115.9, 36.4]]
RULES = [{"any_of": [{"stage_below": "3"}]}]


def feature(coordinates=None, kind="Polygon", **properties):
    given = {"name": "东昌府核心区", "district": "371502", "tier": "core", "crs": "wgs84", "rules": RULES}
    merged = {key: value for key, value in {**given, **properties}.items() if value is not ...}
    return {
        "type": "Feature",
        "properties": merged,
        "geometry": {"type": kind, "coordinates": [SQUARE] if coordinates is None else coordinates},
    }


def refusal(broken, crs=None):
    with pytest.raises(ZoneError) as caught:
        parse_feature(broken, crs)
    error = caught.value
    assert error.message_en
    assert any("一" <= letter <= "鿿" for letter in error.message_zh)
    assert str(error).endswith(error.message_en)
    return error


def test_a_whole_feature():
    """Every property is read; the source is kept as it was handed in; WGS-84 keeps every digit and vertex."""
    given = feature(
        [SQUARE, HOLE], doc_no="聊政发〔2025〕1号", guard_m=20, halo_m=0, unknown_policy="alarm",
        valid_from="2025-03-28T00:00:00+08:00", valid_to="2028-03-27T16:00:00Z",
    )  # fmt: skip
    before = deepcopy(given)
    draft = parse_feature(given)
    assert given == before
    assert (draft.name, draft.district, draft.tier, draft.crs) == ("东昌府核心区", "371502", "core", "wgs84")
    assert (draft.guard_m, draft.halo_m, draft.unknown_policy, draft.doc_no) == (20, 0, "alarm", "聊政发〔2025〕1号")
    assert (draft.valid_from, draft.valid_to) == (1_743_091_200_000_000, 1_837_785_600_000_000)
    assert draft.source == given["geometry"]
    assert json.loads(json.dumps(draft.to_wgs84_geojson())) == given["geometry"]
    assert draft.rules_json() == RULES


def test_defaults():
    """A zone is general, has guards and halos of 30 m, records the unknown, and is in force without dates."""
    draft = parse_feature(feature(tier=...))
    assert (draft.tier, draft.guard_m, draft.halo_m, draft.unknown_policy) == ("general", 30, 30, "record")
    assert (draft.valid_from, draft.valid_to, draft.doc_no) == (None, None, None)
    assert parse_feature(feature(rules=[])).rules == ()


def test_how_long_a_visit_is_held_open():
    """Seconds, up to thirty days, with defaults for a zone that says nothing; they go on into the zone."""
    plain = parse_feature(feature())
    assert (plain.merge_s, plain.lost_s, plain.lost_merge_s, plain.slow_terminals) == (600, 1800, 43_200, "ask")
    given = {"merge_s": 0, "lost_s": 2_592_000, "lost_merge_s": 0.5, "slow_terminals": "one_fix"}
    draft = parse_feature(feature(**given))
    for one in (draft, draft.publish(7, 2)):
        assert {name: getattr(one, name) for name in given} == given
    stored = Zone.stored(
        id=7, version=2, name="甲", district="371502", tier="core", geometry=draft.to_wgs84_geojson(), rules=[]
    )
    assert (stored.merge_s, stored.lost_s, stored.lost_merge_s, stored.slow_terminals) == (600, 1800, 43_200, "ask")


def test_the_crs_may_come_from_the_request():
    """Where the Feature states none; where both do they must mean the same."""
    assert parse_feature(feature(crs=...), "GCJ02").crs == "gcj02"
    assert parse_feature(feature(crs="epsg:4326"), "wgs84").crs == "wgs84"
    assert refusal(feature(crs="gcj02"), "wgs84").code == "crs_conflict"
    assert refusal(feature(crs=...)).code == "crs_missing"


def test_gcj02_is_converted_once_and_densified():
    """The source stays; the corners come to where they are on the ground, and long edges follow the bend."""
    lon, lat = np.array(SQUARE).T
    drawn = np.column_stack(wgs84_to_gcj02(lon, lat)).tolist()
    drawn[-1] = drawn[0]
    draft = parse_feature(feature([drawn], crs="gcj02"))
    assert draft.source["coordinates"] == [drawn]
    points = shapely.get_coordinates(draft.geometry)
    assert len(points) > 80
    for corner in SQUARE:
        assert np.abs(points - corner).max(axis=1).min() < 1e-9


def test_a_multipolygon_in_a_projection():
    """Two parts, in metres, axes x then y."""
    parts = [[[[x, 4_035_000], [x + 900, 4_035_000], [x + 900, 4_036_000], [x, 4_035_000]]] for x in (410_000, 420_000)]
    draft = parse_feature(feature(parts, "MultiPolygon", crs="epsg:4548"))
    assert draft.geometry.geom_type == "MultiPolygon"
    west, south, east, north = draft.geometry.bounds
    assert (west, south, east, north) == pytest.approx((115.996, 36.4415, 116.1176, 36.4515), abs=5e-4)


def test_draft_to_zone_and_back_from_storage():
    """What is stored as JSON gives the same zone, digit by digit."""
    draft = parse_feature(feature([SQUARE, HOLE], crs="gcj02"))
    published = draft.publish(7, 2)
    stored = Zone.stored(
        id=7, version=2, name=draft.name, district=draft.district, tier=draft.tier,
        geometry=json.loads(json.dumps(draft.to_wgs84_geojson())), rules=draft.rules_json(), guard_m=30.0, halo_m=30.0,
        unknown_policy="record", valid_from=None, valid_to=None,
    )  # fmt: skip
    assert shapely.equals_identical(stored.geometry, published.geometry)
    assert stored.rules == published.rules
    assert (published.id, published.version, published.name) == (7, 2, "东昌府核心区")


@pytest.mark.parametrize(
    ("given", "code", "where"),
    [
        (None, "feature", ""),
        ({"type": "FeatureCollection", "features": []}, "feature", ""),
        ({"type": "Feature", "geometry": None}, "feature", "properties"),
        (feature(name=...), "property_missing", "properties.name"),
        (feature(name=""), "property_missing", "properties.name"),
        (feature(name=7), "property_bad", "properties.name"),
        (feature(name="  "), "property_bad", "properties.name"),
        (feature(district=...), "property_missing", "properties.district"),
        (feature(rules=...), "property_missing", "properties.rules"),
        (feature(rules=[{"any_of": []}]), "rules", "properties.rules[0].any_of"),
        (feature(tier="middle"), "property_bad", "properties.tier"),
        (feature(unknown_policy="ignore"), "property_bad", "properties.unknown_policy"),
        (feature(crs=3), "property_bad", "properties.crs"),
        (feature(crs="mars"), "crs_unknown", "properties.crs"),
        (feature(crs="epsg:4610"), "crs_refused", "properties.crs"),
        (feature(guard_m=-1), "property_bad", "properties.guard_m"),
        (feature(guard_m=True), "property_bad", "properties.guard_m"),
        (feature(halo_m=float("nan")), "property_bad", "properties.halo_m"),
        (feature(halo_m="30"), "property_bad", "properties.halo_m"),
        (feature(halo_m=1001), "property_bad", "properties.halo_m"),
        (feature(valid_from="2026-01-01"), "property_bad", "properties.valid_from"),
        (feature(valid_from="soon"), "property_bad", "properties.valid_from"),
        (feature(valid_to=1_760_000_000), "property_bad", "properties.valid_to"),
        (
            feature(valid_from="2026-01-01T00:00:00Z", valid_to="2026-01-01T00:00:00Z"),
            "property_bad",
            "properties.valid_to",
        ),
        (feature(doc_no=5), "property_bad", "properties.doc_no"),
        (feature(merge_s=-1), "property_bad", "properties.merge_s"),
        (feature(lost_s=30 * 86_400 + 1), "property_bad", "properties.lost_s"),
        (feature(lost_merge_s="long"), "property_bad", "properties.lost_merge_s"),
        (feature(slow_terminals="maybe"), "property_bad", "properties.slow_terminals"),
    ],
)
def test_refused_properties(given, code, where):
    """One stable code and the path for each way to get a property wrong."""
    error = refusal(given)
    assert (error.code, error.where) == (code, where)


@pytest.mark.parametrize(
    ("coordinates", "kind", "code", "where"),
    [
        ([115.9, 36.4], "Point", "geometry_type", "geometry.type"),
        ([SQUARE[:-1]], "Polygon", "ring_open", "geometry.coordinates[0]"),
        ([SQUARE, HOLE[:-1]], "Polygon", "ring_open", "geometry.coordinates[1]"),
        ([[SQUARE], [HOLE[:-1]]], "MultiPolygon", "ring_open", "geometry.coordinates[1][0]"),
        ([[SQUARE[0], SQUARE[1], SQUARE[0]]], "Polygon", "ring_short", "geometry.coordinates[0]"),
        ([], "Polygon", "geometry_malformed", "geometry.coordinates"),
        ([[]], "Polygon", "geometry_malformed", "geometry.coordinates[0]"),
        ([[*SQUARE[:2], [116.0], SQUARE[0]]], "Polygon", "geometry_malformed", "geometry.coordinates[0][2]"),
        ([[*SQUARE[:2], [116.0, None], SQUARE[0]]], "Polygon", "geometry_malformed", "geometry.coordinates[0][2]"),
        (
            [[*SQUARE[:2], [116.0, float("inf")], SQUARE[0]]],
            "Polygon",
            "geometry_malformed",
            "geometry.coordinates[0][2]",
        ),
        ("here", "Polygon", "geometry_malformed", "geometry.coordinates"),
        ([BOW], "Polygon", "geometry_invalid", "geometry.coordinates"),
        ([[[lat, lon] for lon, lat in SQUARE]], "Polygon", "out_of_range", "geometry.coordinates"),
        ([[[x + 100, y] for x, y in SQUARE]], "Polygon", "out_of_range", "geometry.coordinates"),
        ([[[x * 1e4, y * 1e4] for x, y in SQUARE]], "Polygon", "out_of_range", "geometry.coordinates"),
        ([SQUARE * (MAX_VERTICES // 5 + 1)], "Polygon", "too_many_vertices", "geometry.coordinates[0]"),
    ],
)
def test_refused_shapes(coordinates, kind, code, where):
    """One stable code and the path for each way to get a shape wrong."""
    error = refusal(feature(coordinates, kind))
    assert (error.code, error.where) == (code, where)


@pytest.mark.parametrize("crs", ["gcj02", "bd09", "epsg:4548", "epsg:3857"])
def test_coordinates_of_another_crs_are_refused(crs):
    """Metres taken for degrees, degrees for metres: nothing lands in China, whatever the formula makes of it."""
    wrong = [[[x, y] for x, y in SQUARE]] if crs.startswith("epsg") else [[[x * 5e3, y * 1e5] for x, y in SQUARE]]
    assert refusal(feature(wrong, crs=crs)).code == "out_of_range"


def test_swapped_axes_are_named():
    """Latitude first is the most common slip, and is said so."""
    assert "swapped" in refusal(feature([[[lat, lon] for lon, lat in SQUARE]])).message_en


def test_an_invalid_shape_says_why_and_where():
    """GEOS's reason and place; nothing is repaired unless asked, and then only shown."""
    error = refusal(feature([BOW]))
    assert "Self-intersection" in error.message_en
    assert "自相交" in error.message_zh
    assert error.place == pytest.approx((115.95, 36.45))


def test_the_preview_of_a_repair():
    """Crossings resolved, rings closed, and how the area changed; the broken shape itself stays refused."""
    bow = {"type": "Polygon", "coordinates": [BOW[:-1]]}
    preview = repair_preview(bow)
    assert preview.geometry["type"] == "MultiPolygon"
    assert read_polygons(json.loads(json.dumps(preview.geometry))).is_valid
    assert preview.area_after == pytest.approx(0.005)
    with pytest.raises(ZoneError):
        read_polygons(bow)


def test_nothing_to_repair():
    """A line drawn there and back has no area; there is no preview of nothing."""
    flat = {"type": "Polygon", "coordinates": [[[116, 36], [117, 36], [116, 36], [116, 36]]]}
    with pytest.raises(ZoneError, match="no area"):
        repair_preview(flat)
