"""The session: who is heard when, what is answered, what is recorded, and how the state moves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.outcome import Outcome
from columns.positions import Quality, Source
from columns.reason import Reason
from protocols.contract import Trust
from protocols.jt808 import framing, intake, session, terminal
from protocols.jt808.session import MAX_REFUSALS, TRANSITIONS, Event, Session, State
from protocols.jt808.splitting import Sent
from tests.protocols.frames import EDITIONS, NOW, blobs, resealed

PHONE = "13812345678"
EARLY = {0x0002, 0x0003, 0x0004, 0x0100, 0x0102}
ANSWERS = {0x0104, 0x0107, 0x0201, 0x0500, 0x0608, 0x0700, 0x0802, 0x0805}
KEPT = {0x0108, 0x0301, 0x0302, 0x0303, 0x0701, 0x0702, 0x0705, 0x0800, 0x0900, 0x0901, 0x0A00}
OTHERS = {0x0001, 0x0005, 0x0801}
REPORT = terminal.location(NOW, 115.985420, 36.453120)


class Book:
    """A directory with one terminal in it."""

    def __init__(self, result: int = 0) -> None:
        self.result = result
        self.asked: list[tuple[str, dict]] = []

    def register(self, identity, registration):
        self.asked.append((identity, dict(registration)))
        return self.result, "" if self.result else "AUTH0001"

    def verify(self, identity, code):
        return Trust.PROVEN if identity == PHONE and code == "AUTH0001" else Trust.NONE


def packet(message, body=b"", edition="2013", phone=PHONE, serial=5, part=None, encrypted=False):
    frame = framing.encode(message, body, terminal.phone_bcd(phone, edition), edition, serial, part)
    if encrypted:
        frame = resealed(frame, b2=framing.unescape(frame[1:-1])[2] | 0x04)
    return intake.read([frame], NOW).packets.packet(0)


def general(message, result, serial=5):
    return ((0x8001, serial.to_bytes(2, "big") + message.to_bytes(2, "big") + bytes([result])),)


def authenticated(edition="2013") -> Session:
    one = Session()
    one.receive(packet(0x0102, terminal.authenticate(edition, "AUTH0001"), edition), Book(), NOW)
    assert one.state is State.AUTHENTICATED
    return one


@pytest.mark.parametrize("edition", EDITIONS)
def test_register_and_authenticate(edition):
    """0x0100 gets 0x8100 with the code, 0x0102 with the code gets 0x8001; both leave a record, neither closes."""
    one, book = Session(), Book()
    body = terminal.register(edition, "LZSIM", "NRMM-T1", "T000001", 2, "3-FCB04871")
    got = one.receive(packet(0x0100, body, edition), book, NOW)
    assert (got.outcome, got.replies) == (Outcome.STORED, ((0x8100, b"\x00\x05\x00AUTH0001"),))
    assert got.record == {
        "event": "registered", "time": NOW, "identity": PHONE, "phone": PHONE.zfill(20 if edition == "2019" else 12),
        "edition": edition, "province": 37, "city": 1502, "maker": "LZSIM", "model": "NRMM-T1",
        "terminal_id": "T000001", "plate_colour": 2, "plate": "3-FCB04871",
    }  # fmt: skip
    assert (one.state, one.identity, got.authenticated) == (State.CONNECTED, None, None)
    assert book.asked[0][1]["plate"] == "3-FCB04871"

    got = one.receive(packet(0x0102, terminal.authenticate(edition, "AUTH0001", "8600", "V1"), edition), book, NOW)
    assert (got.outcome, got.replies, got.authenticated) == (Outcome.STORED, general(0x0102, 0), PHONE)
    assert got.record is not None
    assert (got.record["event"], got.record["edition"]) == ("authenticated", edition)
    assert (one.state, one.identity, got.reason, got.close) == (State.AUTHENTICATED, PHONE, None, None)


@pytest.mark.parametrize("result", [1, 2, 3, 4])
def test_a_terminal_that_nobody_knows(result):
    """The directory's result goes back in 0x8100 without a code; the refusal is recorded and counted."""
    got = Session().receive(packet(0x0100, terminal.register("2013")), Book(result), NOW)
    assert (got.outcome, got.replies) == (Outcome.FAILED, ((0x8100, bytes([0, 5, result])),))
    assert got.reason is Reason.UNKNOWN_TERMINAL
    assert got.record is not None
    assert (got.record["event"], got.record["result"]) == ("refused", result)


def test_a_wrong_code():
    """Result 1, BAD_CODE, nothing recorded, and the terminal may try again."""
    one = Session()
    got = one.receive(packet(0x0102, b"WRONG"), Book(), NOW)
    assert (got.replies, got.reason, got.record, got.close) == (general(0x0102, 1), Reason.BAD_CODE, None, None)
    assert one.receive(packet(0x0102, b"AUTH0001"), Book(), NOW).authenticated == PHONE


def test_a_wrong_code_does_not_throw_out_who_is_authenticated():
    """Nor does another terminal's."""
    one = authenticated()
    one.receive(packet(0x0102, b"WRONG"), Book(), NOW)
    one.receive(packet(0x0102, b"AUTH0001", phone="13800000000"), Book(), NOW)
    assert (one.state, one.identity) == (State.AUTHENTICATED, PHONE)


def test_guessing_ends():
    """After MAX_REFUSALS refusals the session closes, and hears nothing any more."""
    one = Session()
    got = [one.receive(packet(0x0102, b"WRONG"), Book(), NOW).close for _ in range(MAX_REFUSALS)]
    assert got == [None] * (MAX_REFUSALS - 1) + ["refused"]
    assert one.state is State.CLOSED
    last = one.receive(packet(0x0102, b"AUTH0001"), Book(), NOW)
    assert (last.outcome, last.replies, one.identity) == (Outcome.IGNORED, (), None)


@pytest.mark.parametrize("message", [0x0200, 0x0704, 0x1234, *sorted(ANSWERS | KEPT | OTHERS)])
def test_only_five_messages_are_heard_before_authentication(message):
    """Any other gets result 1, known or not, and is counted; the same goes for a stranger on an authenticated session."""
    for one, phone in ((Session(), PHONE), (authenticated(), "13800000000")):
        got = one.receive(packet(message, phone=phone), Book(), NOW)
        assert (got.outcome, got.replies) == (Outcome.NOT_AUTHENTICATED, general(message, 1))
        assert (got.reason, got.close) == (Reason.NOT_AUTHENTICATED, None)


@pytest.mark.parametrize("one", [Session, authenticated])
def test_heartbeat_and_clock_are_heard_always(one):
    """0x0002 with or without vendor bytes gets 0x8001; 0x0004 gets 0x8004 in UTC."""
    assert one().receive(packet(0x0002, b"vendor"), Book(), NOW).replies == general(0x0002, 0)
    assert one().receive(packet(0x0004), Book(), NOW).replies == ((0x8004, bytes.fromhex("250328013015")),)


def test_leaving():
    """0x0003 is acknowledged, recorded, and the session is as before authentication."""
    one = authenticated()
    got = one.receive(packet(0x0003), Book(), NOW)
    assert (got.replies, got.record and got.record["event"], got.close) == (general(0x0003, 0), "left", None)
    assert (one.state, one.identity) == (State.CONNECTED, None)


@pytest.mark.parametrize("one", [Session, authenticated])
def test_nobody_leaves_for_another(one):
    """0x0003 of a phone that is not authenticated here is acknowledged and changes nothing."""
    here = one()
    before = here.state, here.identity
    got = here.receive(packet(0x0003, phone="13800000000"), Book(), NOW)
    assert (got.replies, got.record) == (general(0x0003, 0), None)
    assert (here.state, here.identity) == before


@pytest.mark.parametrize("message", sorted(ANSWERS))
def test_answers_are_kept_and_not_answered(message):
    """What a terminal says to a command of ours leaves a record with its whole body, and gets no reply."""
    body = b"\x00\x01" + REPORT
    got = authenticated().receive(packet(message, body), Book(), NOW)
    assert (got.outcome, got.replies, got.reason) == (Outcome.STORED, (), None)
    assert got.record == {
        "event": "message", "time": NOW, "identity": PHONE, "phone": PHONE.zfill(12), "edition": "2013",
        "message": message, "serial": 5, "body": body.hex(),
    }  # fmt: skip


def test_an_acknowledgement_of_ours_is_heard_in_silence():
    """0x0001 gets neither a reply nor a record."""
    got = authenticated().receive(packet(0x0001, b"\x00\x01\x81\x04\x00"), Book(), NOW)
    assert got == session.Response(Outcome.STORED)


@pytest.mark.parametrize("message", sorted(KEPT))
def test_what_is_kept_is_acknowledged(message):
    """With its record, so that the answer waits for the disk; the body is not looked into."""
    got = authenticated().receive(packet(message, b"anything"), Book(), NOW)
    assert (got.outcome, got.replies, got.reason) == (Outcome.STORED, general(message, 0), None)
    assert got.record is not None
    assert (got.record["event"], got.record["body"]) == ("message", b"anything".hex())


@pytest.mark.parametrize("message", [0x0201, 0x0500])
@pytest.mark.parametrize("skip", [b"\x00\x01", b""])
def test_an_answer_with_a_position(message, skip):
    """Its position is a report of source query, with or without the request's serial number (2011)."""
    got = authenticated().receive(packet(message, skip + REPORT), Book(), NOW)
    assert got.reports is not None
    rows = got.reports.positions
    assert (len(rows), rows.source[0], rows.time[0]) == (1, Source.QUERY, NOW)
    assert (rows.lon[0], rows.lat[0], rows.serial[0]) == (115.985420, 36.453120, 5)
    if skip:  # without a time to tell, it is read as the later editions have it
        timeless = authenticated().receive(packet(message, skip + REPORT[:22] + b"\xff" * 6), Book(), NOW).reports
        assert timeless is not None
        assert timeless.positions.lon[0] == 115.985420
        assert timeless.positions.quality[0] & Quality.BAD_TIME
    short = authenticated().receive(packet(message, (skip + REPORT)[:27]), Book(), NOW)
    assert (short.replies, short.reason, short.record, short.reports) == (general(message, 2), Reason.BODY, None, None)


@pytest.mark.parametrize("message", [0x0FFF, 0xE001, 0x8001, 0x1210])
@pytest.mark.parametrize("part", [None, (3, 1)])
def test_what_is_not_handled_is_said_so(message, part):
    """Result 3, never a success for something that is not kept; of a part neither, and it is not held."""
    one = authenticated()
    got = one.receive(packet(message, part=part), Book(), NOW)
    assert (got.outcome, got.replies, got.reason) == (Outcome.UNSUPPORTED, general(message, 3), Reason.UNSUPPORTED)
    assert one.held == 0


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("message", [0x0200, 0x0704, 0x0801, 0x0100, 0x0001])
def test_encrypted(message, edition):
    """Result 3, with its own reason; a part too, and it is not held."""
    for part in (None, (2, 1)):
        one = authenticated(edition)
        got = one.receive(packet(message, b"secret", edition, part=part, encrypted=True), Book(), NOW)
        assert (got.outcome, got.replies, got.reason) == (Outcome.UNSUPPORTED, general(message, 3), Reason.ENCRYPTED)
        assert one.held == 0


@pytest.mark.parametrize("message", [0x0100, 0x0102, 0x0002])
def test_parts_of_who_is_not_authenticated(message):
    """Registration and authentication fit one packet: a stranger's parts are refused, not gathered."""
    one = Session()
    got = one.receive(packet(message, b"secret", part=(2, 1)), Book(), NOW)
    assert (got.outcome, got.replies, got.reason) == (Outcome.UNSUPPORTED, general(message, 3), Reason.SUBPACKAGED)
    assert one.held == 0


@pytest.mark.parametrize("part", [(0, 0), (0, 1), (2, 0), (2, 3), (1, 65535)])
@pytest.mark.parametrize("message", [0x0200, 0x0704, 0x0801, 0x0102])
def test_part_numbers_that_cannot_be(message, part):
    """Result 2 and Reason.PART."""
    one = authenticated()
    got = one.receive(packet(message, b"x", part=part), Book(), NOW)
    assert (got.outcome, got.replies, got.reason) == (Outcome.MALFORMED, general(message, 2), Reason.PART)
    assert one.held == 0


def test_0x0005_with_nothing_sent():
    """Result 1 where we have nothing of that message, 2 where the list does not read."""
    one = authenticated()
    assert one.receive(packet(0x0005, b"\x00"), Book(), NOW).replies == general(0x0005, 1)
    one.sent = Sent()
    one.sent.remember(6, [b"first", b"second"])
    assert one.receive(packet(0x0005, b"\x00\x06\x02\x00\x02\x00\x09"), Book(), NOW).resend == (b"second",)
    got = one.receive(packet(0x0005, b"\x00\x07\x01\x00\x01"), Book(), NOW)
    assert (got.outcome, got.replies, got.resend) == (Outcome.FAILED, general(0x0005, 1), ())
    got = one.receive(packet(0x0005, b"\x00\x07\x05\x00\x01"), Book(), NOW)
    assert (got.outcome, got.replies, got.reason) == (Outcome.MALFORMED, general(0x0005, 2), Reason.BODY)


@pytest.mark.parametrize(
    ("message", "edition"), [(0x0100, "2013"), (0x0100, "2019"), (0x0102, "2013"), (0x0102, "2019")]
)
def test_a_body_that_does_not_read(message, edition):
    """Result 2 and Reason.BODY."""
    got = Session().receive(packet(message, b"", edition), Book(), NOW)
    assert (got.outcome, got.replies, got.reason) == (Outcome.MALFORMED, general(message, 2), Reason.BODY)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*sorted(session.MESSAGES), 0x0200, 0x0704, 0x0102, 0x1234]),
            st.one_of(blobs, st.binary(max_size=120), st.just(b"AUTH0001")),
            st.sampled_from(EDITIONS),
            st.one_of(st.none(), st.none(), st.tuples(st.integers(0, 3), st.integers(0, 4))),
            st.booleans(),
        ),
        max_size=25,
    ),
    st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_no_conversation_breaks_the_rules(messages, known):
    """Whatever is said, in any edition, in parts or encrypted: no exception, every refusal has a reason, an identity is
    there exactly when authenticated, and nobody is authenticated without the code."""
    one = authenticated() if known else Session()
    for serial, (message, body, edition, part, encrypted) in enumerate(messages):
        right = b"AUTH0001" in body
        sent = packet(message, body, edition, serial=serial, part=part, encrypted=encrypted)
        got = one.receive(sent, Book(), NOW + serial)
        in_vain = (message, got.outcome) == (0x0005, Outcome.FAILED)  # we no longer have it: nobody's fault
        assert (got.reason is None) == (got.outcome in {Outcome.STORED, Outcome.IGNORED} or in_vain)
        assert (one.identity is not None) == (one.state is State.AUTHENTICATED)
        assert got.authenticated is None or (message, right or part is not None, encrypted) == (0x0102, True, False)
        assert got.upload is None or got.record is not None
    one.give_up()
    assert one.held == 0


def test_the_table_is_whole():
    """Every transition starts and ends in a state that exists, CLOSED is final, and what needs no authentication is
    exactly the five messages of the standard; a message is kept, an answer or something of its own."""
    assert {state for state, _ in TRANSITIONS} == {State.CONNECTED, State.AUTHENTICATED}
    assert all(
        (State.AUTHENTICATED, event) in TRANSITIONS for event in Event if (State.CONNECTED, event) in TRANSITIONS
    )
    assert {number for number, rule in session.MESSAGES.items() if rule.before_authentication} == EARLY
    assert set(session.MESSAGES) == EARLY | ANSWERS | KEPT | OTHERS
