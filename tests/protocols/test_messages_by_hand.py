"""Bodies of every part of the catalogue, put together by hand from the standard's tables: read, and written back."""

from __future__ import annotations

import pytest

from protocols.jt808 import catalogue

LAT, LON = "022c3b00", "06e9cc0c"  # 36.45312, 115.98542
TIME, AT = "250328093015", "2025-03-28T09:30:15+08:00"
BASIC = "00000001" + "00000003" + LAT + LON + "0021" + "007b" + "005a" + TIME
SAID = {
    "alarm": 1,
    "status": 3,
    "latitude": 36.45312,
    "longitude": 115.98542,
    "altitude_m": 33,
    "speed_kmh": 12.3,
    "course_deg": 90,
    "time": AT,
}
EMPTY = {**SAID, "items": []}
DAILY = {"start": "000000083000", "end": "000000180000"}
NAME = "0004" + "bbb7b1a3"  # 环保
PLACE = {"latitude": 36.45312, "longitude": 115.98542}

# In this order: message, edition, body as hex, values.
BODIES = [
    (0x0001, "2013", "0007" + "8103" + "00", {"request_serial": 7, "request_message_id": "0x8103", "result": 0}),
    (0x8003, "2013", "0007" + "02" + "0001" + "0003", {"first_serial": 7, "indices": [1, 3]}),
    (0x8003, "2019", "0007" + "0002" + "0001" + "0003", {"first_serial": 7, "indices": [1, 3]}),
    (0x0005, "2019", "0007" + "0001" + "0003", {"first_serial": 7, "indices": [3]}),
    (0x8004, "2019", TIME, {"time": "2025-03-28T09:30:15+00:00"}),
    (0x8100, "2011", "0007" + "00" + "41", {"request_serial": 7, "result": 0, "code": "A"}),
    (0x8100, "2011", "0007" + "03", {"request_serial": 7, "result": 3}),
    (0x8103, "2011", "02" + "01" + "00000029" + "04" + "0000001e",
     {"total": 2, "parameters": [{"id": 0x29, "name": "default_interval_s", "value": 30}]}),
    (0x8103, "2013", "02" + "00000013" + "03" + "612e62" + "0000f001" + "01" + "ff",
     {"parameters": [{"id": 0x13, "name": "main_server", "value": "a.b"}, {"id": 0xF001, "hex": "ff"}]}),
    (0x0104, "2019", "0007" + "02" + "00000040" + "01" + "31" + "00000040" + "01" + "32",
     {"request_serial": 7, "parameters": [{"id": 0x40, "name": "platform_phone", "value": "1"},
                                          {"id": 0x40, "name": "platform_phone", "value": "2"}]}),
    (0x0104, "2013", "0007" + "01" + "00000032" + "04" + "16320a1e",
     {"request_serial": 7, "parameters": [{"id": 0x32, "name": "forbidden_driving_period", "value": "16320a1e"}]}),
    (0x0104, "2011", "0007" + "01" + "01" + "00000081" + "04" + "00000025",
     {"request_serial": 7, "total": 1, "parameters": [{"id": 0x81, "name": "province", "hex": "00000025"}]}),
    (0x8106, "2013", "02" + "00000001" + "00000029", {"ids": [1, 0x29]}),
    (0x0107, "2013",
     "0007" + "4142434445" + "5431" + "00" * 18 + "54303030303031" + "89860000000000000001" + "01" + "31" + "02" + "3241" + "03" + "01",
     {"terminal_type": 7, "maker": "ABCDE", "model": "T1", "terminal_id": "T000001", "iccid": "89860000000000000001",
      "hardware": "1", "firmware": "2A", "gnss": 3, "communication": 1}),
    (0x0107, "2019",
     "0007" + "4142434445" + "5431" + "00" * 28 + "54303030303031" + "00" * 23 + "89860000000000000001" + "00" + "00" + "03"
     + "01",
     {"terminal_type": 7, "maker": "ABCDE", "model": "T1", "terminal_id": "T000001", "iccid": "89860000000000000001",
      "hardware": "", "firmware": "", "gnss": 3, "communication": 1}),
    (0x8105, "2013", "02" + "303b61", {"command": 2, "parameters": "0;a"}),
    (0x8105, "2019", "04", {"command": 4, "parameters": ""}),
    (0x8108, "2013", "34" + "4142434445" + "02" + "5631" + "00000002" + "beef",
     {"type": 52, "maker": "ABCDE", "version": "V1", "data": "beef"}),
    (0x0108, "2019", "0c" + "02", {"type": 12, "result": 2}),
    (0x0201, "2011", BASIC, {"position": EMPTY}),
    (0x0201, "2013", "0007" + BASIC, {"request_serial": 7, "position": EMPTY}),
    (0x8202, "2013", "0005" + "0000003c", {"interval_s": 5, "validity_s": 60}),
    (0x8202, "2013", "0000", {"interval_s": 0}),
    (0x8203, "2013", "0007" + "00100001", {"alarm_serial": 7, "types": 0x100001}),
    (0x0704, "2013", "0001" + "01" + "001c" + BASIC, {"count": 1, "type": 1, "positions": [EMPTY]}),
    (0x8300, "2013", "05" + "bbb7b1a3", {"flag": 5, "text": "环保"}),
    (0x8300, "2019", "05" + "02" + "bbb7b1a3", {"flag": 5, "type": 2, "text": "环保"}),
    (0x8301, "2013", "01" + "01" + "07" + "02" + "4142", {"type": 1, "events": [{"id": 7, "content": "AB"}]}),
    (0x8301, "2011", "01" + "03" + "01" + "07" + "02" + "4142",
     {"type": 1, "total": 3, "events": [{"id": 7, "content": "AB"}]}),
    (0x8301, "2013", "00", {"type": 0}),
    (0x8301, "2013", "04" + "02" + "0708", {"type": 4, "ids": [7, 8]}),
    (0x0301, "2013", "07", {"id": 7}),
    (0x8302, "2013", "08" + "02" + "4f4b" + "01" + "0001" + "59" + "02" + "0001" + "4e",
     {"flag": 8, "question": "OK", "answers": [{"id": 1, "content": "Y"}, {"id": 2, "content": "N"}]}),
    (0x0302, "2013", "0007" + "02", {"request_serial": 7, "answer_id": 2}),
    (0x8303, "2013", "02" + "01" + "07" + NAME, {"type": 2, "items": [{"type": 7, "name": "环保"}]}),
    (0x8303, "2011", "02" + "02" + "01" + "07" + NAME, {"type": 2, "total": 2, "items": [{"type": 7, "name": "环保"}]}),
    (0x0303, "2013", "07" + "01", {"type": 7, "flag": 1}),
    (0x8304, "2013", "07" + NAME, {"type": 7, "content": "环保"}),
    (0x8304, "2011", "07" + "0009" + NAME, {"type": 7, "total_size": 9, "content": "环保"}),
    (0x8400, "2013", "01" + "3132", {"flag": 1, "number": "12"}),
    (0x8401, "2013", "02" + "01" + "03" + "02" + "3132" + "04" + "bbb7b1a3",
     {"type": 2, "contacts": [{"flag": 3, "number": "12", "name": "环保"}]}),
    (0x8401, "2011", "02" + "05" + "01" + "03" + "02" + "3132" + "00",
     {"type": 2, "total": 5, "contacts": [{"flag": 3, "number": "12", "name": ""}]}),
    (0x8500, "2013", "01", {"flag": 1}),
    (0x8500, "2019", "0001" + "0001" + "00", {"controls": [{"type": 1, "parameter": 0}]}),
    (0x0500, "2013", "0007" + BASIC, {"request_serial": 7, "position": EMPTY}),
    (0x8600, "2013",
     "01" + "01" + "00000009" + "0003" + LAT + LON + "000001f4" + "000000083000" + "000000180000" + "0050" + "0a",
     {"operation": 1, "areas": [{"id": 9, "attribute": 3, **PLACE, "radius_m": 500, **DAILY, "max_speed_kmh": 80,
                                 "overspeed_s": 10}]}),
    (0x8600, "2019", "00" + "01" + "00000009" + "0042" + LAT + LON + "000001f4" + "0050" + "0a" + "003c" + NAME,
     {"operation": 0, "areas": [{"id": 9, "attribute": 0x42, "latitude": -36.45312, "longitude": 115.98542,
                                 "radius_m": 500, "max_speed_kmh": 80, "overspeed_s": 10, "night_max_speed_kmh": 60,
                                 "name": "环保"}]}),
    (0x8600, "2011", "00" + "05" + "01" + "00000009" + "0000" + LAT + LON + "000001f4",
     {"operation": 0, "total": 5, "areas": [{"id": 9, "attribute": 0, **PLACE, "radius_m": 500}]}),
    (0x8601, "2013", "00", {"ids": []}),
    (0x8602, "2013", "02" + "01" + "00000009" + "0000" + LAT + LON + "00000001" + "06e9cc0d",
     {"operation": 2, "areas": [{"id": 9, "attribute": 0, "north": 36.45312, "west": 115.98542, "south": 0.000001,
                                 "east": 115.985421}]}),
    (0x8602, "2011", "02" + "02" + "01" + "00000009" + "0000" + LAT + LON + LAT + LON,
     {"operation": 2, "total": 2, "areas": [{"id": 9, "attribute": 0, "north": 36.45312, "west": 115.98542,
                                             "south": 36.45312, "east": 115.98542}]}),
    (0x8602, "2019", "02" + "01" + "00000009" + "0000" + LAT + LON + LAT + LON + NAME,
     {"operation": 2, "areas": [{"id": 9, "attribute": 0, "north": 36.45312, "west": 115.98542, "south": 36.45312,
                                 "east": 115.98542, "name": "环保"}]}),
    (0x8604, "2013", "00000009" + "0001" + "000000083000" + "000000180000" + "0001" + LAT + LON,
     {"id": 9, "attribute": 1, **DAILY, "vertices": [PLACE]}),
    (0x8604, "2019", "00000009" + "0002" + "0050" + "0a" + "0001" + LAT + LON + "003c" + NAME,
     {"id": 9, "attribute": 2, "max_speed_kmh": 80, "overspeed_s": 10, "vertices": [PLACE], "night_max_speed_kmh": 60,
      "name": "环保"}),
    (0x8604, "2011", "00000009" + "0000" + "0003" + "01" + LAT + LON,
     {"id": 9, "attribute": 0, "total": 3, "vertices": [PLACE]}),
    (0x8606, "2013",
     "00000009" + "0000" + "0001" + "00000001" + "00000002" + LAT + LON + "14" + "0b" + "0258" + "003c" + "0050" + "0a",
     {"id": 9, "attribute": 0, "points": [
         {"id": 1, "segment_id": 2, "latitude": 36.45312, "longitude": -115.98542, "width_m": 20,
          "segment_attribute": 11, "longest_s": 600, "shortest_s": 60, "max_speed_kmh": 80, "overspeed_s": 10}]}),
    (0x8606, "2019",
     "00000009" + "0000" + "0001" + "00000001" + "00000002" + LAT + LON + "14" + "02" + "0050" + "0a" + "003c" + NAME,
     {"id": 9, "attribute": 0, "name": "环保", "points": [
         {"id": 1, "segment_id": 2, **PLACE, "width_m": 20, "segment_attribute": 2, "max_speed_kmh": 80,
          "overspeed_s": 10, "night_max_speed_kmh": 60}]}),
    (0x8606, "2011", "00000009" + "0000" + "0001" + "01" + "00000002" + LAT + LON + "14" + "01" + "0258",
     {"id": 9, "attribute": 0, "total": 1, "points": [
         {"segment_id": 2, **PLACE, "width_m": 20, "segment_attribute": 1, "travel_s": 600}]}),
    (0x8608, "2019", "03" + "00000001" + "00000009", {"type": 3, "ids": [9]}),
    (0x0608, "2019", "03" + "00000001" + "00000009" + "0000" + "0001" + LAT + LON + NAME,
     {"type": 3, "areas": [{"id": 9, "attribute": 0, "vertices": [PLACE], "name": "环保"}]}),
    (0x0608, "2019", "03" + "00000001" + "ff", {"type": 3, "count": 1, "data": "ff"}),
    (0x8700, "2013", "08" + "aa75", {"command": 8, "data": "aa75"}),
    (0x8700, "2011", "08", {"command": 8, "data": ""}),
    (0x0700, "2013", "0007" + "08" + "557a08", {"request_serial": 7, "command": 8, "data": "557a08"}),
    (0x0700, "2011", "08" + "0010" + "0003" + "557a08", {"command": 8, "total_size": 16, "data": "557a08"}),
    (0x8701, "2013", "82" + "aa75", {"command": 0x82, "data": "aa75"}),
    (0x0701, "2013", "00000003" + "010203", {"content": "010203"}),
    (0x0702, "2013", "01" + TIME + "00" + "04" + "bbb7b1a3" + "3132" + "00" * 18 + "02" + "4142" + "20301231",
     {"status": 1, "time": AT, "result": 0, "name": "环保", "certificate": "12", "issuer": "AB", "expires": "20301231"}),
    (0x0702, "2013", "01" + TIME + "02", {"status": 1, "time": AT, "result": 2}),
    (0x0702, "2013", "02" + TIME, {"status": 2, "time": AT}),
    (0x0702, "2019",
     "01" + TIME + "00" + "01" + "41" + "3132" + "00" * 18 + "01" + "42" + "20301231" + "33" + "00" * 19,
     {"status": 1, "time": AT, "result": 0, "name": "A", "certificate": "12", "issuer": "B", "expires": "20301231",
      "id_card": "3"}),
    (0x0702, "2011", "04" + "bbb7b1a3" + "33" + "00" * 19 + "3132" + "00" * 38 + "01" + "42",
     {"name": "环保", "id_card": "3", "certificate": "12", "issuer": "B"}),
    (0x0705, "2013", "0001" + "0930150250" + "c0000123" + "0102030405060708",
     {"count": 1, "time": "0930150250", "items": [{"id": 0xC0000123, "data": "0102030405060708"}]}),
    (0x0800, "2013", "0000007b" + "00" + "00" + "07" + "01",
     {"id": 123, "type": 0, "format": 0, "event": 7, "channel": 1}),
    (0x0801, "2013", "0000007b" + "00" + "00" + "01" + "02" + BASIC + "ffd8",
     {"id": 123, "type": 0, "format": 0, "event": 1, "channel": 2, "position": SAID, "data": "ffd8"}),
    (0x0801, "2011", "0000007b" + "00" + "00" + "01" + "02" + "00000003" + "00000002" + "ffd8",
     {"id": 123, "type": 0, "format": 0, "event": 1, "channel": 2, "total": 3, "index": 2, "data": "ffd8"}),
    (0x8800, "2013", "0000007b" + "02" + "0001" + "0002", {"id": 123, "indices": [1, 2]}),
    (0x8800, "2013", "0000007b", {"id": 123}),
    (0x8800, "2011", "0007" + "0000007b", {"request_serial": 7, "id": 123}),
    (0x8801, "2013", "01" + "0002" + "0003" + "01" + "04" + "05" + "ff" + "7f" + "7f" + "ff",
     {"channel": 1, "command": 2, "interval_s": 3, "save": 1, "resolution": 4, "quality": 5, "brightness": 255,
      "contrast": 127, "saturation": 127, "chroma": 255}),
    (0x0805, "2013", "0007" + "00" + "0001" + "0000007b", {"request_serial": 7, "result": 0, "ids": [123]}),
    (0x0805, "2013", "0007" + "02", {"request_serial": 7, "result": 2}),
    (0x8802, "2013", "00" + "00" + "01" + "00" * 6 + TIME,
     {"type": 0, "channel": 0, "event": 1, "start": "000000000000", "end": AT}),
    (0x0802, "2013", "0007" + "0001" + "0000007b" + "00" + "01" + "02" + BASIC,
     {"request_serial": 7, "found": [{"id": 123, "type": 0, "channel": 1, "event": 2, "position": SAID}]}),
    (0x0802, "2011", "0007" + "0009" + "01" + "00" + "01" + "02" + BASIC,
     {"request_serial": 7, "total": 9, "found": [{"type": 0, "channel": 1, "event": 2, "position": SAID}]}),
    (0x8803, "2013", "00" + "01" + "02" + TIME + TIME + "01",
     {"type": 0, "channel": 1, "event": 2, "start": AT, "end": AT, "delete": 1}),
    (0x8804, "2013", "01" + "003c" + "01" + "03", {"command": 1, "time_s": 60, "save": 1, "sampling": 3}),
    (0x8805, "2013", "0000007b" + "01", {"id": 123, "delete": 1}),
    (0x0900, "2013", "41" + "beef", {"type": 0x41, "content": "beef"}),
    (0x0900, "2011", "41" + "00000002" + "0002" + "beef", {"type": 0x41, "total_size": 2, "content": "beef"}),
    (0x8900, "2013", "f0" + "00", {"type": 0xF0, "content": "00"}),
    (0x8900, "2011", "41" + "00000009" + "0002" + "beef", {"type": 0x41, "total_size": 9, "content": "beef"}),
    (0x8A00, "2013", "00010001" + "ab" * 128, {"e": 65537, "n": "ab" * 128}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("message", "edition", "body", "said"),
    BODIES,
    ids=[f"{message:04x}-{edition}-{number}" for number, (message, edition, _, _) in enumerate(BODIES)],
)
def test_read_by_hand(message, edition, body, said):
    """The values, in their edition and as the catalogue finds it by shape; written, the same bytes."""
    data = bytes.fromhex(body)
    assert catalogue.decode(message, data, edition) == said
    assert catalogue.encode(message, said, edition).hex() == body
    assert catalogue.read(message, data, v2019=edition == "2019").values == said


@pytest.mark.parametrize(
    ("message", "edition", "body"),
    [
        (message, edition, body)
        for message, edition, body, _ in BODIES
        if catalogue.CATALOGUE[message].editions.get("2019") is not catalogue.CATALOGUE[message].editions.get("2013")
        and (message, body) not in {(0x0702, "02" + TIME), (0x0702, "01" + TIME + "02")}
        and not (message == 0x0107 and edition == "2013")
    ],
)
def test_a_header_that_lies(message, edition, body):
    """Where 2019 differs, the body is read in its own edition under a header of the other layout."""
    data = bytes.fromhex(body)
    found = catalogue.read(message, data, v2019=edition != "2019")
    assert found.values == catalogue.decode(message, data, edition)
    assert (found.edition == "2019") == (edition == "2019")


def test_every_layout_is_here():
    """Each layout that is some edition's first, and has fields, has a body above."""
    read = {(message, edition) for message, edition, _, _ in BODIES}
    for message in catalogue.CATALOGUE.values():
        for edition in message.editions:
            form = message.layouts(edition)[0]
            shared = [each for each in message.editions if message.layouts(each)[0] is form]
            if form.fields and message.id not in ELSEWHERE:
                assert any((message.id, each) in read for each in shared), (hex(message.id), edition)


ELSEWHERE = {0x0100, 0x0102, 0x0200, 0x0901, 0x8001, 0x8603, 0x8605, 0x8607, 0x0A00}
"""In test_registration, test_describe and test_catalogue, or the same layout as a message above."""
