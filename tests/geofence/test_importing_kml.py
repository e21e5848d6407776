"""KML and KMZ: polygons, holes, properties, and what a KML may not do."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.errors import ZoneError
from geofence.importing import kml as reader
from geofence.importing.reading import read
from tests.geofence.map_files import RULES, kml, packed, placemark, polygon_kml, square

OUTER, HOLE = square(115.9, 36.4, 0.1), square(115.94, 36.44, 0.02, clockwise=False)
FOR_ALL = {"rules": RULES}


def only(data, crs="gcj02"):
    (each,) = read(data, crs=crs, defaults=FOR_ALL).incoming
    return each


@pytest.mark.parametrize("declared", ["UTF-8", "GBK", "gb2312", "UTF-16"])
@pytest.mark.parametrize("namespace", ["http://www.opengis.net/kml/2.2", "http://earth.google.com/kml/2.0", ""])
def test_a_placemark_is_a_zone(declared, namespace):
    """Name, data, border and hole, in the encodings and versions of the trade; heights are dropped."""
    data = kml(
        placemark("核心区", polygon_kml(OUTER, HOLE), 辖区="371502", 级别="核心"),
        declared=declared,
        namespace=namespace,
    )
    draft = only(data).draft
    assert (draft.name, draft.district, draft.tier, draft.crs) == ("核心区", "371502", "core", "gcj02")
    assert draft.source == {"type": "Polygon", "coordinates": [OUTER, HOLE]}


def test_simple_data_and_multigeometry():
    """SchemaData gives properties too; polygons at any depth of MultiGeometry are parts of one zone."""
    east = square(116.1, 36.4, 0.1)
    shape = f"<MultiGeometry>{polygon_kml(OUTER)}<MultiGeometry>{polygon_kml(east)}</MultiGeometry></MultiGeometry>"
    told = '<ExtendedData><SchemaData schemaUrl="#s"><SimpleData name="XZQDM">371521</SimpleData></SchemaData></ExtendedData>'
    draft = only(kml(f"<Placemark><name>两片</name>{told}{shape}</Placemark>")).draft
    assert draft.district == "371521"
    assert draft.source == {"type": "MultiPolygon", "coordinates": [[OUTER], [east]]}


def test_a_kml_states_no_crs():
    """The standard says WGS-84 and programs write GCJ-02: the person says which."""
    data = kml(placemark("甲", polygon_kml(OUTER), 辖区="371502"))
    assert [fault.code for fault in only(data, crs=None).faults] == ["crs_missing"]


def test_points_are_left_out_and_lines_are_refused():
    """A label is no zone; a border drawn as a line might be meant as one, so it is not passed over."""
    point = placemark("标注", "<Point><coordinates>116,36</coordinates></Point>")
    line = placemark(
        "边界", "<LineString><coordinates>116,36 117,36 117,37 116,36</coordinates></LineString>", 辖区="1"
    )
    reading = read(kml(point, placemark("甲", polygon_kml(OUTER), 辖区="1"), line), crs="wgs84", defaults=FOR_ALL)
    assert [(each.number, [fault.code for fault in each.faults]) for each in reading.incoming] == [
        (2, []), (3, ["geometry_type"]),
    ]  # fmt: skip
    assert "1 placemarks that are points" in reading.notes[0].message_en


@pytest.mark.parametrize(
    ("shape", "code", "where"),
    [
        (
            polygon_kml(OUTER).replace("115.9,36.4,", "115.9, 36.4,", 1),
            "geometry_malformed",
            "geometry.coordinates[0][0][0]",
        ),
        (polygon_kml(OUTER[:-1]), "ring_open", "geometry.coordinates[0]"),
        (
            polygon_kml(OUTER).replace("outerBoundaryIs", "innerBoundaryIs"),
            "geometry_malformed",
            "geometry.coordinates",
        ),
        (polygon_kml([*OUTER[:2], ["nan", 1], OUTER[0]]), "geometry_malformed", "geometry.coordinates[0][2]"),
        ("", "geometry_type", "geometry.type"),
    ],
)
def test_bad_shapes_are_refused_with_their_place(shape, code, where):
    """Blanks within a tuple, open rings, a hole around nothing, no number, nothing at all."""
    (fault,) = only(kml(placemark("甲", shape, 辖区="1"))).faults
    assert (fault.code, fault.where) == (code, where)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE kml [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><kml><Placemark><name>&b;</name></Placemark></kml>',
        '<!DOCTYPE kml [<!ENTITY x SYSTEM "file:///etc/passwd">]><kml><Placemark><name>&x;</name></Placemark></kml>',
        '<!DOCTYPE kml SYSTEM "http://192.0.2.1/kml.dtd"><kml/>',
        "<kml><Placemark>",
        "<kml>&nbsp;</kml>",
        '<?xml version="1.0" encoding="nonsense"?><kml/>',
        '<?xml version="1.0" encoding="GBK"?><kml>\udcff</kml>',
    ],
)
def test_entities_dtds_and_broken_xml_are_refused(text):
    """No entity is expanded, nothing outside is fetched."""
    with pytest.raises(ZoneError) as caught:
        read(text.encode("utf-8", "surrogateescape"))
    assert caught.value.code == "file_malformed"


def test_a_dtd_alone_is_refused():
    """Also where nothing comes of it: a DTD is where entities and outside files begin."""
    whole = kml(placemark("甲", polygon_kml(OUTER), 辖区="1"))
    with pytest.raises(ZoneError, match="DTD"):
        read(whole.replace(b"<kml", b"<!DOCTYPE kml><kml", 1), crs="wgs84")


def test_links_are_not_followed():
    """A KML that only links to another has no zone, and one with both says what was not read."""
    link = "<NetworkLink><Link><href>http://192.0.2.1/zones.kml</href></Link></NetworkLink>"
    with pytest.raises(ZoneError, match="no zone"):
        read(kml(link))
    reading = read(kml(link, placemark("甲", polygon_kml(OUTER))))
    assert any("not followed" in note.message_en for note in reading.notes)


def test_depth_and_number_are_bounded(monkeypatch):
    """XML without end is refused before the memory is full of it."""
    monkeypatch.setattr(reader, "MOST_ELEMENTS", 50)
    for data in (kml("<Folder/>" * 100), ("<kml>" + "<a>" * 200 + "</a>" * 200 + "</kml>").encode()):
        with pytest.raises(ZoneError) as caught:
            read(data)
        assert caught.value.code == "file_too_large"


def test_a_kmz_is_its_first_kml():
    """Pictures beside it, and further documents, are not its zones."""
    data = packed({
        "files/icon.png": b"\x89PNG", "doc.kml": kml(placemark("甲", polygon_kml(OUTER), 辖区="371502")),
        "files/more.kml": kml(placemark("乙", polygon_kml(OUTER), 辖区="371502")),
    })  # fmt: skip
    reading = read(data, crs="wgs84", defaults=FOR_ALL)
    assert (reading.format, [each.draft.name for each in reading.incoming]) == ("kmz", ["甲"])


WHOLE = kml(placemark("核心区", polygon_kml(OUTER, HOLE), 辖区="371502"))


@settings(max_examples=200)
@given(st.data())
def test_garbage_is_refused_with_a_reason(data):
    """Cut or changed anywhere, a KML reads or raises ZoneError."""
    broken = bytearray(WHOLE[: data.draw(st.integers(0, len(WHOLE)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if broken:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ZoneError):
        read(bytes(broken), crs="wgs84")
