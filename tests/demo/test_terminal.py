"""A simulated terminal keeps the standard's rules: who may speak when, and what is sent again."""

from __future__ import annotations

import pytest

from gateway.simulator import terminal as module
from gateway.simulator.fleet import round_of
from gateway.simulator.terminal import BATCH, HEARTBEAT, KEEP, REPORT, Counts, Terminal
from protocols.jt808 import intake
from tests.demo.platform import answer, packets, read

NOW = 1_770_000_000.0
ITINERARY = round_of(1, 1)


@pytest.fixture(params=["2011", "2013", "2019"])
def edition(request):
    return request.param


def make(edition="2013", **options) -> Terminal:
    return Terminal("13900000001", edition, "3-30468844", Counts(), **options)


def messages(data: bytes) -> list[int]:
    return [read(packet)[0] for packet in packets(data)]


def say(terminal: Terminal, data: bytes, now: float = NOW, result: int = 0) -> bytes:
    """Every packet in ``data`` is answered; what the terminal sends in return."""
    return b"".join(terminal.receive(answer(packet, result), now).send for packet in packets(data))


def sign_in(terminal: Terminal) -> Terminal:
    say(terminal, say(terminal, terminal.connect(NOW)))
    assert terminal.ready
    return terminal


def report(terminal: Terminal, second: int) -> bytes:
    return terminal.report(ITINERARY.at(NOW + second), NOW + second)


def test_registers_then_authenticates_then_reports(edition) -> None:
    """Nothing but those two before authentication; the code is kept for the next connection."""
    terminal = make(edition)
    first = terminal.connect(NOW)
    assert messages(first) == [0x0100]
    assert report(terminal, 0) == b""
    assert terminal.heartbeat(NOW) == b""
    second = say(terminal, first)
    assert messages(second) == [0x0102]
    assert messages(say(terminal, second)) == [REPORT]
    assert messages(terminal.heartbeat(NOW)) == [HEARTBEAT]
    terminal.disconnect()
    assert messages(terminal.connect(NOW)) == [0x0102]


def test_what_it_sends_reads(edition) -> None:
    """The gateway's own intake takes every packet, and the fix arrives as it was."""
    terminal = sign_in(make(edition))
    fix = ITINERARY.at(NOW + 5)
    found = intake.read([report(terminal, 5)], int(NOW + 6) * 1_000_000)
    assert not len(found.malformed)
    (lon,), (lat,) = found.positions.lon, found.positions.lat
    assert abs(lon - fix.lon) < 1e-6
    assert abs(lat - fix.lat) < 1e-6
    assert found.positions.time[0] == int(NOW + 5) * 1_000_000
    assert found.positions.quality[0] == 0


def test_unacknowledged_reports_follow_after_a_reconnect(edition) -> None:
    """In their old order, with what was recorded meanwhile: one 0x0704 of type 1, or one by one in edition 2011."""
    terminal = sign_in(make(edition))
    bodies = [read(packet)[3] for second in (1, 2) for packet in packets(report(terminal, second))]
    terminal.disconnect()
    assert report(terminal, 3) == b""
    again = say(terminal, terminal.connect(NOW + 4), NOW + 4)
    sent = [read(packet) for packet in packets(again)]
    if edition == "2011":
        assert [row[0] for row in sent] == [REPORT] * 3
        assert [row[3] for row in sent][:2] == bodies
    else:
        assert [row[0] for row in sent] == [BATCH]
        body = sent[0][3]
        assert body[:3] == b"\x00\x03\x01"
        assert b"".join(len(b).to_bytes(2, "big") + b for b in bodies) in body
    say(terminal, again)
    assert terminal.counts.acknowledged == 3


def test_retransmission_slows_down_and_ends() -> None:
    """The same packet after T, then 2T; after 3 * 2T more the connection is given up."""
    terminal = sign_in(make())
    packet = report(terminal, 0)
    t = module._ANSWER_S
    assert terminal.overdue(NOW + t - 1) == module.Step()
    assert terminal.overdue(NOW + t).send == packet
    assert terminal.overdue(NOW + 3 * t - 1).send == b""
    assert terminal.overdue(NOW + 3 * t).send == packet
    assert terminal.overdue(NOW + 9 * t - 1) == module.Step()
    assert terminal.overdue(NOW + 9 * t).close == "no answer"


def test_a_failed_report_is_kept_and_a_refused_one_is_not() -> None:
    """Result 1 means not now; 2 and 3 mean never."""
    terminal = sign_in(make())
    assert say(terminal, report(terminal, 0), result=1) == b""
    assert terminal.counts.acknowledged == terminal.counts.refused == 0
    later = report(terminal, 1)
    assert messages(later) == [BATCH]
    say(terminal, later, result=2)
    assert terminal.counts.refused == 2
    assert messages(report(terminal, 2)) == [REPORT]


def test_a_revoked_code_is_forgotten() -> None:
    """Authentication refused: it closes, and registers on the next connection."""
    terminal = sign_in(make())
    terminal.disconnect()
    (packet,) = packets(terminal.connect(NOW))
    assert terminal.receive(answer(packet, 1), NOW).close == "authentication refused"
    assert messages(terminal.connect(NOW)) == [0x0100]


def test_a_refused_registration_closes() -> None:
    terminal = make()
    (packet,) = packets(terminal.connect(NOW))
    assert terminal.receive(answer(packet, 4), NOW).close == "registration refused: 4"


def test_some_save_reports_up() -> None:
    """An ordinary 0x0704 of type 0, four at a time; not in edition 2011, which has none."""
    terminal = sign_in(make(gather=4))
    sent = [report(terminal, second) for second in range(4)]
    assert sent[:3] == [b""] * 3
    (packet,) = packets(sent[3])
    assert read(packet)[0] == BATCH
    assert read(packet)[3][:3] == b"\x00\x04\x00"
    assert sign_in(make("2011", gather=4)).gather == 1


def test_memory_is_bounded() -> None:
    """A platform that is away for ever costs the oldest reports, and they are counted."""
    terminal = make()
    for second in range(KEEP + 5):
        report(terminal, second)
    assert terminal.counts.dropped == 5
    assert len(terminal._recorded) == KEEP


def test_a_slow_platform_sets_the_pace() -> None:
    """While old reports are delivered, only a few messages are unanswered at a time."""
    terminal = make("2011")
    for second in range(50):
        report(terminal, second)
    out = say(terminal, terminal.connect(NOW))
    out = say(terminal, out) if messages(out) == [0x0102] else out
    assert messages(out) == [REPORT] * module._IN_FLIGHT
    assert messages(terminal.receive(answer(packets(out)[0]), NOW).send) == [REPORT]


def test_any_split_of_a_reply() -> None:
    """The answer may come byte by byte, with noise before it."""
    terminal = make()
    (packet,) = packets(terminal.connect(NOW))
    out = b"".join(terminal.receive(bytes([byte]), NOW).send for byte in b"\x00\x01\x7e\x7e" + answer(packet))
    assert messages(out) == [0x0102]
