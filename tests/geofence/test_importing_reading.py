"""Files of zones whatever the format: told by content, archives within bounds, other programs' words."""

import io
import zipfile

import orjson
import pytest

from geofence.errors import ZoneError
from geofence.importing import archive, fields, found
from geofence.importing.reading import read
from tests.geofence.map_files import RULES, esri, kml, packed, placemark, polygon_kml, square, zipped

OUTER = square(115.9, 36.4, 0.1)


def collection(*features, **more):
    return orjson.dumps({"type": "FeatureCollection", "features": list(features), **more})


def feature(ring=OUTER, **properties):
    given = {"name": "甲", "district": "371502", "rules": RULES, **properties}
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": given}


def refusal(data, **more):
    with pytest.raises(ZoneError) as caught:
        read(data, **more)
    assert any("一" <= letter <= "鿿" for letter in caught.value.message_zh)
    return caught.value


def test_the_format_is_told_by_the_content():
    """One zone as GeoJSON, with a mark or alone, KML, KMZ and Shapefile: the same draft."""
    document = kml(placemark("甲", polygon_kml(OUTER), 辖区="371502"))
    files = {
        "geojson": [collection(feature()), b"\xef\xbb\xbf" + collection(feature()), orjson.dumps(feature())],
        "kml": [document, b"\n" + document.split(b"\n", 1)[1]],
        "kmz": [packed({"doc.kml": document})],
        "shapefile": [zipped([([OUTER], ("甲", "371502", "一般"))])],
    }
    for name, all_of in files.items():
        for data in all_of:
            reading = read(data, crs="wgs84", defaults={"rules": RULES})
            (each,) = reading.incoming
            assert (reading.format, each.faults) == (name, [])
            assert each.draft.geometry.equals(read(files["geojson"][0], crs="wgs84").incoming[0].draft.geometry)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "file_malformed"),
        (b"nonsense", "file_malformed"),
        (b"[]", "file_malformed"),
        (collection(), "file_malformed"),
        (b"Rar!\x1a\x07", "file_unknown"),
        (b"7z\xbc\xaf\x27\x1c", "file_unknown"),
        (b"\x00\x00\x27\x0a" + bytes(96), "file_unknown"),
        (b"PK\x03\x04 and no more", "file_malformed"),
        (packed({"readme.txt": b"x"}), "file_unknown"),
        (packed({}), "file_unknown"),
        (collection(feature(), crs={"type": "name", "properties": {"name": "mars"}}), "crs_unknown"),
    ],
)
def test_what_is_no_file_of_zones(data, code):
    """Each is refused with a code of its own and says what to do."""
    assert refusal(data).code == code


def test_too_many_zones(monkeypatch):
    """A file of something else is refused before it is worked on."""
    monkeypatch.setattr(found, "MOST_FEATURES", 3)
    assert refusal(collection(*[feature()] * 4)).code == "file_too_large"


def test_archives_are_bounded(monkeypatch):
    """A bomb is stopped at what was agreed, whatever size it declares; so are crowds, passwords and paths out of it."""
    monkeypatch.setattr(archive, "MOST_BYTES", 1 << 20)
    bomb = packed({"a.shp": bytes(8 << 20)})
    assert len(bomb) < 20_000
    error = refusal(bomb)
    assert (error.code, "1 MB" in error.message_en) == ("archive", True)
    monkeypatch.setattr(archive, "MOST_MEMBERS", 3)
    assert "members" in refusal(packed({f"{i}.txt": b"" for i in range(4)})).message_en
    for name in ("../../etc/a.shp", "/etc/a.shp", "C:\\a.shp", "a\\..\\..\\b.shp"):
        assert "points out" in refusal(packed({name: b""})).message_en
    locked = bytearray(packed({"a.shp": b"x"}))
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    assert "password" in refusal(bytes(locked)).message_en
    assert "deflate" in refusal(packed({"a.shp": b"x"}, compression=zipfile.ZIP_LZMA)).message_en
    lying = packed({"a.shp": b"x" * 100, "a.dbf": b"y"})
    assert refusal(lying.replace(b"PK\x01\x02", b"PK\x01\x09")).code == "file_malformed"


def test_a_macs_leavings_are_no_layers():
    """__MACOSX and dot files beside the layer are passed over."""
    layer = zipped([([OUTER], ("甲", "371502", "一般"))], prj=esri(4490), stem="zone")
    with zipfile.ZipFile(io.BytesIO(layer)) as one:
        members = {name: one.read(name) for name in one.namelist()}
    data = packed({**members, "__MACOSX/._zone.shp": b"junk", "x/._zone.shp": b"junk", ".DS_Store": b"junk"})
    (each,) = read(data, defaults={"rules": RULES}).incoming
    assert each.draft.crs == "cgcs2000"


def test_names_as_windows_packs_them():
    """The bytes of GBK and no flag that says so: the layer is shown under its own name."""
    data = zipped([([OUTER], ("甲", "371502", "一般"))], stem="XXXXXX").replace(b"XXXXXX", "禁用区".encode("gbk"))
    assert read(data).incoming[0].layer == "禁用区"


@pytest.mark.parametrize(
    ("member", "crs"),
    [
        ("urn:ogc:def:crs:EPSG::4527", "epsg:4527"), ("EPSG:4527", "epsg:4527"),
        ("urn:ogc:def:crs:EPSG:9.9:4527", "epsg:4527"),
    ],
)  # fmt: skip
def test_the_crs_member_of_older_geojson(member, crs):
    """GDAL writes it for what is not WGS-84, so it counts, and must agree with the request."""
    data = collection(feature(square(39_410_000, 4_035_000, 900)), crs={"type": "name", "properties": {"name": member}})
    assert read(data).incoming[0].draft.crs == crs
    assert [fault.code for fault in read(data, crs="epsg:4548").incoming[0].faults] == ["crs_conflict"]


def test_the_default_crs_member_states_nothing():
    """GDAL writes CRS84 over whatever it is given: a zone drawn in GCJ-02 too, so the person still has to say."""
    data = collection(feature(), crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}})
    assert [fault.code for fault in read(data).incoming[0].faults] == ["crs_missing"]
    assert read(data, crs="gcj02").incoming[0].draft.crs == "gcj02"


def test_what_is_missing_is_named_per_zone():
    """All of it at once, with the zone's place in the file; what is said for all fills in."""
    one = {"type": "Feature", "geometry": feature()["geometry"], "properties": {"名称": " ", "备注": "x"}}
    reading = read(collection(one, feature(), "no feature"), crs="wgs84")
    assert [[fault.where for fault in each.faults] for each in reading.incoming] == [
        ["properties.name", "properties.district", "properties.rules"], [],
        ["properties.name", "properties.district", "properties.rules", ""],
    ]  # fmt: skip
    assert "备注" in reading.notes[0].message_en
    given = {"district": "371521", "tier": "核心", "doc_no": "1号", "rules": [], "valid_from": "2026-01-01"}
    named = {**one, "properties": {"名称": "乙", "文号": "2号"}}
    draft = read(collection(named), crs="wgs84", defaults=given).incoming[0].draft
    assert (draft.district, draft.tier, draft.doc_no, draft.rules) == ("371521", "core", "2号", ())
    assert draft.valid_from == 1_767_196_800_000_000


@pytest.mark.parametrize(
    ("name", "value", "property_", "expected"),
    [
        ("名称", "东阿", "name", "东阿"),
        ("MC", "东阿", "name", "东阿"),
        ("NAME", "东阿", "name", "东阿"),
        ("XZQDM", 371524, "district", "371524"),
        ("级别", "一般区", "tier", "general"),
        ("级别", "middle", "tier", "middle"),
        ("guard_m", "20", "guard_m", 20.0),
        ("guard_m", "wide", "guard_m", "wide"),
        ("unknown_po", "报警", "unknown_policy", "alarm"),
        ("slow_termi", "one_fix", "slow_terminals", "one_fix"),
        ("规则", '[{"any_of": []}]', "rules", [{"any_of": []}]),
        ("规则", "未达到国三", "rules", "未达到国三"),
        ("生效日期", "20260101", "valid_from", "2026-01-01T00:00:00+08:00"),
        ("valid_from", "2026/1/1", "valid_from", "2026-01-01T00:00:00+08:00"),
        ("施行日期", "2026年1月1日", "valid_from", "2026-01-01T00:00:00+08:00"),
        ("截止日期", "2026-12-31", "valid_to", "2027-01-01T00:00:00+08:00"),
        ("valid_to", "2026-12-31T00:00:00+08:00", "valid_to", "2026-12-31T00:00:00+08:00"),
        ("valid_to", "2026-02-30", "valid_to", "2026-02-30"),
        ("valid_to", "9999-12-31", "valid_to", "9999-12-31"),
    ],
)
def test_other_programs_words(name, value, property_, expected):
    """Chinese names, pinyin initials, ten-byte columns; days of China, of which the last still counts."""
    assert fields.translated({name: value}, {}) == {property_: expected}


def test_our_own_name_goes_first():
    """Where a table has a column twice under two names, the English one counts, then the earlier of the list."""
    assert fields.translated({"MC": "丙", "名称": "乙", "name": "甲"}, {"name": "丁"}) == {"name": "甲"}
    assert fields.translated({"MC": "丙", "名称": "乙", "name": " "}, {}) == {"name": "乙"}


def test_every_property_is_named_once():
    """No spelling stands for two properties, and each property of a zone can be written in ten bytes."""
    keys = [fields._key(name) for property_, names in fields.NAMES.items() for name in (property_, *names)]
    assert len(keys) == len(set(keys))
    assert len({name[:10] for name in fields.NAMES}) == len(fields.NAMES)
