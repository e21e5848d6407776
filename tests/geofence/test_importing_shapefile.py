"""Zipped Shapefiles: shapes, tables, encodings, projections, and what is wrong with them."""

import struct
from contextlib import suppress

import pytest
import shapefile
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.errors import ZoneError
from geofence.importing import dbf, shp
from geofence.importing.reading import read
from tests.geofence.map_files import FIELDS, RULES, VALUES, esri, packed, shp_parts, square, zipped

# Easting with zone 39, northing, of EPSG:4527.
X, Y = 39_410_000.0, 4_035_000.0
OUTER, HOLE = square(X, Y, 1000), square(X + 400, Y + 400, 200, clockwise=False)
FOR_ALL = {"rules": RULES}


def only(data, **more):
    (each,) = read(data, defaults=FOR_ALL, **more).incoming
    return each


def test_a_survey_offices_shapefile():
    """EPSG:4527 by its ESRI .prj, Chinese columns in GBK, a hole by its direction: one zone, with its source kept."""
    each = only(zipped([([OUTER, HOLE], VALUES)], prj=esri(4527), encoding="gbk"))
    assert each.faults == []
    draft = each.draft
    assert (draft.name, draft.district, draft.tier, draft.crs) == ("东昌府核心区", "371502", "core", "epsg:4527")
    assert draft.source["coordinates"] == [OUTER, HOLE]
    assert draft.geometry.bounds == pytest.approx((115.99609, 36.44149, 116.00736, 36.45059), abs=1e-5)
    assert len(draft.geometry.interiors) == 1


@pytest.mark.parametrize("kind", [shapefile.POLYGON, shapefile.POLYGONZ, shapefile.POLYGONM])
def test_heights_and_measures_are_dropped(kind):
    """The three kinds of polygons give the same source."""
    each = only(zipped([([OUTER, HOLE], VALUES)], prj=esri(4527), kind=kind))
    assert each.draft.source["coordinates"] == [OUTER, HOLE]


def test_each_hole_goes_to_the_ring_around_it():
    """Rings in any order: an island in a lake is a part of its own, and the lake belongs to the land."""
    land, lake = square(X, Y, 1000), square(X + 100, Y + 100, 800, clockwise=False)
    island, pond = square(X + 300, Y + 300, 300), square(X + 400, Y + 400, 50, clockwise=False)
    each = only(zipped([([pond, island, lake, land], VALUES)], prj=esri(4527)))
    assert each.draft.source == {"type": "MultiPolygon", "coordinates": [[island, pond], [land, lake]]}


def test_a_hole_may_touch_its_outer_ring():
    """A hole that shares a corner with the border is still that ring's."""
    hole = [[X, Y], [X + 300, Y + 100], [X + 300, Y + 300], [X, Y]]
    assert only(zipped([([OUTER, hole], VALUES)], prj=esri(4527))).draft.source["coordinates"] == [OUTER, hole]


def test_rings_of_a_program_that_does_not_know_the_rule():
    """Counterclockwise alone or side by side they are outer rings, which is told; nested they could be either."""
    one, other = (square(X + dx, Y, 1000, clockwise=False) for dx in (0, 2000))
    reading = read(zipped([([one, other], VALUES)], prj=esri(4527)), defaults=FOR_ALL)
    assert reading.incoming[0].draft.source["type"] == "MultiPolygon"
    assert "counterclockwise" in reading.notes[0].message_en
    nested = only(zipped([([one, HOLE], VALUES)], prj=esri(4527)))
    assert [fault.code for fault in nested.faults] == ["ring_orientation"]
    assert nested.faults[0].place is not None
    stray = only(zipped([([OUTER, other], VALUES)], prj=esri(4527)))
    assert [fault.code for fault in stray.faults] == ["ring_orientation"]


@pytest.mark.parametrize(
    ("encoding", "cpg", "mark"),
    [("utf-8", "UTF-8", 0), ("utf-8", None, 0), ("gbk", None, 0), ("gbk", "GBK", 0), ("gbk", "936", 0), ("gbk", None, 0x4D),
     ("utf-8", "65001\r\n", 0)],
)  # fmt: skip
def test_texts_in_the_encodings_of_the_trade(encoding, cpg, mark):
    """By .cpg, by the table's mark, and by guess: the same name."""
    shapes, table = shp_parts([([OUTER], VALUES)], encoding=encoding)
    table = bytearray(table)
    table[29] = mark
    files = {"a.shp": shapes, "a.dbf": bytes(table), "a.prj": esri(4527)}
    if cpg is not None:
        files["a.cpg"] = cpg
    assert only(packed(files)).draft.name == "东昌府核心区"


@pytest.mark.parametrize("cpg", ["UTF-8", "EBCDIC", None])
def test_texts_in_another_encoding_are_refused(cpg):
    """What does not read as the .cpg says, or as anything known, is refused; nothing is replaced by question marks."""
    shapes, table = shp_parts([([OUTER], ("东昌府", "371502", "核心"))], encoding="gbk")
    if cpg is None:
        table = table.replace("东昌府".encode("gbk"), b"\xff\xff\xff\xff\xff\xff")
    files = {"a.shp": shapes, "a.dbf": table, "a.prj": esri(4527)} | ({"a.cpg": cpg} if cpg else {})
    with pytest.raises(ZoneError) as caught:
        read(packed(files))
    assert caught.value.code == "encoding"


@pytest.mark.parametrize(("encoding", "kept"), [("utf-8", "东昌府"), ("gbk", "东昌府核心")])
def test_a_text_cut_by_its_columns_width(encoding, kept):
    """A column of ten or eleven bytes cuts the last character: it loses what is left of that character alone."""
    raw = "东昌府核心区".encode(encoding)[:11]
    assert dbf._decoded(raw, "gb18030" if encoding == "gbk" else encoding) == kept


def test_a_deleted_row_takes_its_shape_along():
    """A row that an editor marked deleted leaves the others their own properties."""
    shapes, table = shp_parts(
        [([square(X + 2000 * i, Y, 1000)], (name, "1", "核心")) for i, name in enumerate("甲乙丙")]
    )
    begin, width = struct.unpack_from("<HH", table, 8)
    marked = bytearray(table)
    marked[begin + width] = ord("*")
    reading = read(packed({"a.shp": shapes, "a.dbf": bytes(marked), "a.prj": esri(4527)}), defaults=FOR_ALL)
    drafts = [(each.draft.name, each.draft.source["coordinates"][0][0][0]) for each in reading.incoming]
    assert drafts == [("甲", X), ("丙", X + 4000)]
    assert "deleted" in reading.notes[-1].message_en


def test_several_layers_each_with_its_projection():
    """The .prj beside a .shp is its own, whatever the case of the suffix; a second layer may have another."""
    west, east = (
        shp_parts([([OUTER], ("甲", "1", "核心"))]),
        shp_parts([([square(410_000, Y, 900)], ("乙", "1", "一般"))]),
    )
    data = packed({
        "甲/Zone.SHP": west[0], "甲/zone.dbf": west[1], "甲/zone.PRJ": esri(4527),
        "乙/b.shp": east[0], "乙/b.dbf": east[1], "乙/b.prj": esri(4548),
    })  # fmt: skip
    found = read(data, defaults=FOR_ALL).incoming
    assert [(each.layer, each.draft.crs) for each in found] == [("甲/Zone", "epsg:4527"), ("乙/b", "epsg:4548")]


def test_a_projection_is_needed_and_must_agree():
    """No .prj: the request must say; both: they must put the zone in one place, whatever they call it."""
    bare = zipped([([OUTER], VALUES)])
    assert [fault.code for fault in only(bare).faults] == ["crs_missing"]
    assert only(bare, crs="epsg:4527").draft.crs == "epsg:4527"
    stated = zipped([([OUTER], VALUES)], prj=esri(4527))
    assert only(stated, crs="EPSG:4527").draft.crs == "epsg:4527"
    assert [fault.code for fault in only(stated, crs="epsg:4548").faults] == ["crs_conflict"]
    odd = esri(4527).replace("D_China_2000", "D_CGCS_2000").replace("GCS_China_Geodetic_Coordinate_System_2000", "大地")
    assert only(zipped([([OUTER], VALUES)], prj=odd), crs="epsg:4527").draft.crs == "epsg:4527"
    degrees = zipped([([square(115.9, 36.4, 0.1)], VALUES)], prj=esri(4326))
    conflict = only(degrees, crs="gcj02").faults[0]
    assert conflict.code == "crs_conflict"
    assert ".prj" in conflict.message_zh


@pytest.mark.parametrize("code", [2435, 2364, 4214, 4610])
def test_old_datums_are_refused_by_their_prj_too(code):
    """Beijing 1954 and Xi'an 1980, geographic or projected."""
    each = only(zipped([([OUTER], VALUES)], prj=esri(code)))
    assert [fault.code for fault in each.faults] == ["crs_refused"]
    assert "CGCS2000" in each.faults[0].message_zh


def test_shapefiles_that_hold_no_polygons():
    """Lines are refused as a whole; a row without a shape alone."""
    with pytest.raises(ZoneError) as caught:
        read(zipped([([OUTER], VALUES)], kind=shapefile.POLYLINE))
    assert caught.value.code == "geometry_type"
    found = read(zipped([(None, VALUES), ([OUTER], ("乙", "1", "核心"))], prj=esri(4527)), defaults=FOR_ALL).incoming
    assert [[fault.code for fault in each.faults] for each in found] == [["geometry_type"], []]


def test_a_shapefile_without_its_table():
    """Its zones have no names, and each says so."""
    shapes, _ = shp_parts([([OUTER], VALUES)])
    each = only(packed({"a.shp": shapes, "a.prj": esri(4527)}), crs=None)
    assert [fault.where for fault in each.faults] == ["properties.name", "properties.district"]


def test_a_table_of_another_length_is_refused():
    """Which row is which shape's would be a guess."""
    shapes, _ = shp_parts([([OUTER], VALUES)])
    _, table = shp_parts([([OUTER], VALUES)] * 2)
    with pytest.raises(ZoneError, match="1 shapes, and 2 rows"):
        read(packed({"a.shp": shapes, "a.dbf": table}))


def test_a_record_whose_length_is_wrong_ends_the_reading():
    """A length of -4 words would be the same place for ever."""
    shapes, table = shp_parts([([OUTER], VALUES)])
    for words in (-4, 0, 1, 1 << 20):
        broken = bytearray(shapes)
        struct.pack_into(">i", broken, 104, words)
        with pytest.raises(ZoneError, match="length"):
            read(packed({"a.shp": bytes(broken), "a.dbf": table}))


SHAPES, TABLE = shp_parts([([OUTER, HOLE], VALUES), (None, VALUES)], FIELDS, encoding="gbk")


@settings(max_examples=300)
@given(st.data())
def test_garbage_is_refused_with_a_reason(data):
    """Cut or changed anywhere, a .shp and a .dbf either read or raise ZoneError."""
    for whole, reader in ((SHAPES, shp.read), (TABLE, dbf.read)):
        broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
        for _ in range(data.draw(st.integers(0, 4))):
            if broken:
                broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
        with suppress(ZoneError):
            reader(bytes(broken))


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()),
        min_size=1,
        max_size=6,
        unique_by=lambda c: c[:2],
    )
)
def test_the_same_shapes_as_an_independent_reader(cells):
    """Cells with and without holes cover what pyshp says that they cover."""
    rings = []
    for column, row, hollow in cells:
        rings.append(square(column * 100.0, row * 100.0, 80.0))
        if hollow:
            rings.append(square(column * 100.0 + 20, row * 100.0 + 20, 30.0, clockwise=False))
    data, _ = shp_parts([(rings, VALUES)])
    (ours,) = shp.read(data)
    theirs = shapefile.Shape(shapefile.POLYGON, points=[p for ring in rings for p in ring],
                             parts=[sum(map(len, rings[:i])) for i in range(len(rings))])  # fmt: skip
    assert shapely.geometry.shape(ours.geometry).equals(shapely.geometry.shape(theirs.__geo_interface__))
