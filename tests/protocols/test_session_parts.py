"""The session's sub-packaged messages and files: what is acknowledged when, and what comes of a message that is whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.reason import Reason
from protocols.jt808 import session, terminal
from protocols.jt808.session import Session
from tests.protocols.frames import NOW
from tests.protocols.test_session import PHONE, REPORT, Book, authenticated, general, packet


def in_parts(message, body, edition="2013", serial=100, size=400):
    """The packets of a message in parts."""
    pieces = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    return [
        packet(message, piece, edition, serial=serial + i, part=(len(pieces), i + 1)) for i, piece in enumerate(pieces)
    ]


PICTURE = bytes.fromhex("0000000a00000101") + REPORT + bytes(range(256)) * 5
ABOUT = {
    "media_id": 10, "kind": 0, "format": 0, "trigger": 1, "channel": 1, "device_time": NOW, "lon": 115.985420,
    "lat": 36.453120,
}  # fmt: skip


@pytest.mark.parametrize("edition", ["2013", "2019"])
@given(order=st.permutations(range(4)), again=st.lists(st.integers(0, 3), max_size=4))
@settings(deadline=None, max_examples=20)
def test_a_picture_in_parts(edition, order, again):
    """In any order, some twice: each is acknowledged at once, the one that completes it by 0x8800, repeats after that
    wait for the disk, and the upload is the picture."""
    one, parts = authenticated(edition), in_parts(0x0801, PICTURE, edition)
    heard = order[:-1] + [i for i in again if i != order[-1]]
    for i in heard:
        got = one.receive(parts[i], Book(), NOW)
        assert (got.replies, got.upload, got.ordered) == (general(0x0801, 0, 100 + i), None, False)
    got = one.receive(parts[order[-1]], Book(), NOW)
    assert got.replies == ((0x8800, bytes.fromhex("0000000a")),)
    assert got.upload is not None
    assert (got.upload.about, got.upload.data) == (ABOUT, PICTURE[36:])
    assert got.record is not None
    assert (got.record["event"], got.record["size"]) == ("media", len(PICTURE) - 36)
    for i in again:
        got = one.receive(parts[i], Book(), NOW)
        assert (got.replies, got.upload, got.ordered) == (general(0x0801, 0, 100 + i), None, True)
    one.give_up()
    assert one.held == 0


def test_a_picture_that_was_not_stored_comes_again():
    """After `not_stored` its parts are gathered anew, and the whole is handed out once more."""
    one, parts = authenticated(), in_parts(0x0801, PICTURE)
    whole = [one.receive(part, Book(), NOW) for part in parts][-1]
    one.not_stored(whole.whole)
    again = [one.receive(part, Book(), NOW) for part in parts]
    assert [got.ordered for got in again] == [False] * 4
    assert again[-1].upload == whole.upload


def test_a_picture_without_a_position_has_no_place():
    """Not fixed, 0/0, or no time: said as unknown, and the picture is taken all the same."""
    for at, place in ((REPORT[:4] + bytes(4) + REPORT[8:], {"lon": None, "lat": None}),
                      (REPORT[:22] + b"\xff" * 6, {"device_time": None})):  # fmt: skip
        got = authenticated().receive(packet(0x0801, PICTURE[:8] + at + b"data"), Book(), NOW)
        assert got.upload is not None
        assert (got.upload.data, got.upload.about) == (b"data", {**ABOUT, **place})


def registered(edition, phone=PHONE):
    one = Session()
    one.receive(packet(0x0100, terminal.register(edition), edition, phone), Book(), NOW)
    one.receive(packet(0x0102, terminal.authenticate(edition, "AUTH0001"), edition), Book(), NOW)
    return one


def of_2011(total, index, data):
    return PICTURE[:8] + total.to_bytes(4, "big") + index.to_bytes(4, "big") + data


@pytest.mark.parametrize("one", [authenticated, lambda: registered("2011")])
def test_a_picture_of_2011(one):
    """Its body numbers the parts, whether its registration told the edition or not; 0x8800 begins with the serial."""
    here = one()
    first = here.receive(packet(0x0801, of_2011(2, 1, b"first"), serial=7), Book(), NOW)
    assert (first.replies, first.upload) == (general(0x0801, 0, 7), None)
    last = here.receive(packet(0x0801, of_2011(2, 2, b"last"), serial=8), Book(), NOW)
    assert last.replies == ((0x8800, bytes.fromhex("00080000000a")),)
    assert last.upload is not None
    assert (last.upload.data, last.upload.about["lon"], last.upload.about["device_time"]) == (b"firstlast", None, None)
    assert here.edition == "2011"
    broken = here.receive(packet(0x0801, of_2011(2, 3, b"")), Book(), NOW)
    assert (broken.replies, broken.reason) == (general(0x0801, 2), Reason.BODY)


def test_a_small_picture_with_alarms_is_none_of_2011():
    """Alarm 256 (main power lost) and status 3 look like part 3 of 256; the time behind them tells that they are not."""
    alarmed = PICTURE[:8] + terminal.location(NOW, 116.0, 36.5, alarm=256, status=3) + b"data"
    one = authenticated()
    got = one.receive(packet(0x0801, alarmed), Book(), NOW)
    assert got.upload is not None
    assert (got.upload.data, one.edition) == (b"data", None)


def test_an_edition_is_that_of_who_told_it():
    """Another terminal that authenticates on the same session does not inherit it, nor does the next one."""
    assert registered("2011").edition == "2011"
    one = registered("2011", phone="13800000000")
    assert one.edition is None
    one = registered("2011")
    one.receive(packet(0x0003), Book(), NOW)
    one.receive(packet(0x0102, b"AUTH0001"), Book(), NOW)
    assert one.edition == "2011"


@pytest.mark.parametrize(
    ("message", "body", "result", "reason"),
    [
        (0x0801, PICTURE[:30], 2, Reason.BODY),
        (0x0704, bytes(session.MAX_REPORTS + 1), 3, Reason.PART_LIMIT),
        (0x0900, bytes(64 * 1024 + 1), 1, Reason.PART_LIMIT),
    ],
)
def test_a_message_that_is_refused_when_whole_is_no_success_later(message, body, result, reason):
    """The completing part is refused; sent again, parts are gathered anew: no success stands for the whole."""
    one = authenticated()
    parts = in_parts(message, body, size=1000 if len(body) > 1000 else 10)
    got = [one.receive(part, Book(), NOW) for part in parts]
    assert (got[-1].replies, got[-1].reason) == (general(message, result, parts[-1].serial), reason)
    assert one.held == 0
    again = [one.receive(part, Book(), NOW) for part in parts]
    assert not any(each.ordered for each in again)
    assert again[-1].replies == got[-1].replies


def test_what_gives_way_to_a_refused_message_is_counted():
    """A ninth message pushes the quietest out, also where it is whole at once and does not read."""
    one = authenticated()
    for n in range(8):
        one.receive(packet(0x0900, b"x", serial=n * 100, part=(2, 1)), Book(), NOW + n)
    got = one.receive(packet(0x0801, b"short", serial=900, part=(1, 1)), Book(), NOW + 9)
    assert (got.reason, got.lost) == (Reason.BODY, (Reason.INCOMPLETE,))


def test_a_malformed_batch_in_parts_is_no_success_later():
    """The columns answer it (result 2); its last part, sent again, is one of a new message."""
    one, parts = authenticated(), in_parts(0x0704, b"\x00\x01\x00\x00\x05abcde", size=5)
    got = [one.receive(part, Book(), NOW) for part in parts]
    assert got[-1].reports is not None
    assert len(got[-1].reports.malformed) == 1
    again = one.receive(parts[-1], Book(), NOW)
    assert (again.ordered, again.reports) == (False, None)
