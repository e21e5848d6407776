"""The latency benchmark sends machines where it says, and matches each alarm with the entry that it answers."""

from __future__ import annotations

import http.server
import json
import threading
import time
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from benchmarks.entering import (
    CONFIRMS,
    FIRST_PHONE,
    REPORT_S,
    ZONES,
    Entry,
    Matched,
    machines,
    match,
    way,
    zones,
)  # fmt: skip
from benchmarks.latency import Report, lines, moments
from benchmarks.loadgen import Load
from benchmarks.stream import Event, Listener
from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from geofence.fence import Fence
from geofence.machines import Machine, Machines
from geofence.presence import State, decide
from geofence.presences import Presence
from geofence.ruleset import Ruleset
from geofence.zones import parse_feature

LINE = (
    "conns=1000 W=1 msgs=1499 rate=4999/s bad=1 other=2 p50=25.07ms p99=251.81ms p99.9=537.86ms server_cpu=0.00s"
    " -> 0 msg/cpu-s (0.00 us/msg)"
)
A, B = str(FIRST_PHONE), str(FIRST_PHONE + 1)
SECOND = 1_000_000


def alarm(at, phone, number, kind="zone_entry"):
    return Event(at, "alarm", {"id": number, "kind": kind, "terminal_phone": phone})


def test_each_alarm_answers_its_entry() -> None:
    """The delay is from the confirming report to the first event; what is told again of an alarm is no second one."""
    events = [alarm(10.4, A, 1), alarm(11.0, A, 1), alarm(20.2, B, 2)]
    found = match([Entry(A, 10.0), Entry(B, 20.0)], events)
    assert found.delays == pytest.approx([0.4, 0.2])
    assert (found.missed, found.doubled, found.strangers, found.again) == ([], [], 0, 1)


def test_an_entry_without_an_alarm_is_missed_and_one_with_two_is_doubled() -> None:
    """Neither is hidden by the other, and a doubled one counts from its first alarm."""
    found = match([Entry(A, 10.0), Entry(B, 20.0)], [alarm(10.5, A, 1), alarm(10.3, A, 2)])
    assert found.missed == [B]
    assert found.doubled == [A]
    assert found.delays == pytest.approx([0.3])


def test_other_alarms_are_not_taken_for_an_answer() -> None:
    """Alarms of the load's terminals and of other kinds are passed over; one of a machine that did not enter is counted."""
    events = [alarm(10.1, "13800000002", 1), alarm(10.2, A, 2, "silent"), Event(10.3, "terminal", {"terminal_phone": A}),
              alarm(10.4, B, 3), alarm(10.5, None, 4)]  # fmt: skip
    found = match([Entry(A, 10.0)], events)
    assert (found.delays, found.missed, found.strangers) == ([], [A], 1)


def test_machines_enter_with_the_fix_that_is_said_to_confirm() -> None:
    """Decided by the product's own code, for machines of every zone: nothing before that fix, one presence with it."""
    made = [parse_feature(f).publish(i, 1) for i, f in enumerate(zones()["features"], 1)]
    fleet = range(2 * ZONES + 3)
    registry = Machines.bound({i: Machine(i, emission_stage="1") for i in fleet})
    rules, state = Ruleset(Fence.compile(made), registry), State()
    state.adopt(rules)
    for step in range(len(way(0))):
        decision = decide(state, rules, positions([way(i)[step] for i in fleet], step))
        state.apply(decision.delta)
        began = [change for change in decision.changes if isinstance(change, Presence) and change.alarm]
        assert len(began) == (len(fleet) if step == CONFIRMS else 0)
    assert len(machines(3).splitlines()) == 4


def positions(fixes, step):
    n = len(fixes)
    columns = {name: np.zeros(n, dtype) for name, dtype in DTYPES.items()}
    columns["device"][:] = range(n)
    columns["time"][:] = columns["received"][:] = 1_770_000_000 * SECOND + int(step * REPORT_S) * SECOND
    columns["lon"][:] = [fix.lon for fix in fixes]
    columns["lat"][:] = [fix.lat for fix in fixes]
    columns["status"][:] = 3
    return Positions(**columns, extras=Ragged.empty(n))


def test_machines_enter_at_any_phase_of_a_gather() -> None:
    """One in each stretch, not at its beginning; the seed decides."""
    found = moments(100.0, 50.0, 50, Random(1))  # noqa: S311
    assert [int(at - 100) for at in found] == list(range(50))
    assert len({round(at % 1, 3) for at in found}) > 40
    assert found == moments(100.0, 50.0, 50, Random(1))  # noqa: S311


REPORT = Report(
    10.0, 100, (0.2, 0.7), Load(1000, 100.0, 0, 0, 20.0, 50.0, 80.0), 1012, 2, Matched([0.2, 1.0], [], [], 0, 0),
    {"edge": 20.0, "worker": 5.5}, 0.4,
)  # fmt: skip


def test_a_report_is_judged() -> None:
    """Bars are met at their own value; an acknowledgement is excused by a slow disk alone, and then it says so."""
    text = lines(REPORT)
    assert "50 ms where fsync p99 is at most 2 ms: met" in text
    assert "(bar 1 s: met)" in text
    assert "25.5 us: edge 20.0, worker 5.5" in text
    assert "0.4 of " in text
    slow = Load(1000, 100.0, 0, 0, 20.0, 50.01, 80.0)
    assert ": MISSED)" in lines(replace(REPORT, load=slow))
    assert "slower than that" in lines(replace(REPORT, load=slow, fsync=(1.0, 2.5)))
    assert "(bar 1 s: MISSED)" in lines(replace(REPORT, alarms=Matched([0.2, 1.01], [], [], 0, 0)))
    assert "p99 none" in lines(replace(REPORT, alarms=Matched([], [A, B], [], 0, 0)))
    json.dumps(REPORT.to_json())


def test_what_is_stored_must_agree() -> None:
    """Every acknowledged report, those of the machines that entered, and no more than were sent meanwhile."""
    assert REPORT.agrees
    assert not replace(REPORT, stored=1011).agrees
    assert not replace(REPORT, stored=1113).agrees
    assert REPORT.complete
    assert not replace(REPORT, alarms=Matched([0.2], [], [], 1, 0)).complete


def test_the_load_generator_s_line_reads() -> None:
    """By name, and nothing else is taken for it."""
    load = Load.read(LINE)
    assert (load.acked, load.bad, load.other, load.p50_ms, load.p99_ms, load.p999_ms) == (
        1499,
        1,
        2,
        25.07,
        251.81,
        537.86,
    )
    with pytest.raises(ValueError, match="not a line"):
        Load.read("auth timeout: 3")


class Stream(http.server.BaseHTTPRequestHandler):
    """Says three events and a comment, in pieces, and ends."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer good":
            self.send_error(401)
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b"retry: 1\nid: 1\n\nevent: al", b'arm\nid: 2\ndata: {"id": 7}\n\n: here\n\n',
                      b'event: terminal\nid: 3\ndata: {"phone": "1"}\n\n'):  # fmt: skip
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
            time.sleep(0.02)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_) -> None:
        """Quiet."""


@pytest.fixture
def port():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stream) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_stream_is_read_to_its_end(port) -> None:
    """Events whole and in order, whatever pieces they come in; the end is trouble, and said."""
    before = time.monotonic()
    listener = Listener(port, "good")
    until = time.monotonic() + 10
    while listener.trouble is None and time.monotonic() < until:
        time.sleep(0.01)
    assert [(event.kind, event.data) for event in listener.events] == [
        ("alarm", {"id": 7}),
        ("terminal", {"phone": "1"}),
    ]
    assert before < listener.events[0].at < listener.events[1].at
    assert listener.trouble == "the stream ended"
    listener.stop()


def test_a_refused_stream_is_an_error(port) -> None:
    """Nothing is measured against a stream that is not there."""
    with pytest.raises(ConnectionError, match="401"):
        Listener(port, "bad")
