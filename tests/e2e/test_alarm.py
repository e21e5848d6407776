"""The main job: a banned machine enters a zone, staff are told at once, once, and close the alarm."""

from __future__ import annotations

import json
import queue
import threading
import time

import httpx
import pytest

from tests.town import found

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

MACHINES = (
    "2-00000001,013800000002,excavator,machinery,2,120,diesel,371502\n"
    "4-00000001,013800000004,excavator,machinery,4,120,diesel,371502\n"
    "1-00000001,013800000001,roller,machinery,1,90,diesel,371502\n"
)
OUTSIDE, INSIDE = (115.99, 36.41), (116.01, 36.41)


class Listener:
    """GET /stream in a thread: (monotonic time of arrival, event, id, data)."""

    def __init__(self, gateway, last_id: int | None = None) -> None:
        self.events: queue.Queue[tuple[float, str, str, dict]] = queue.Queue()
        self.opened = threading.Event()
        self._headers = {"Authorization": f"Bearer {gateway.token()}"}
        if last_id is not None:
            self._headers["Last-Event-ID"] = str(last_id)
        self._url = f"{gateway.base}/api/v1/stream"
        self._stopping = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        assert self.opened.wait(10)

    def _listen(self) -> None:
        try:
            with httpx.stream("GET", self._url, headers=self._headers, timeout=httpx.Timeout(5, read=60)) as response:
                assert response.status_code == 200
                self.opened.set()
                name, number, data = "", "", ""
                for line in response.iter_lines():
                    if self._stopping:
                        return
                    if line.startswith("event:"):
                        name = line[6:].strip()
                    elif line.startswith("id:"):
                        number = line[3:].strip()
                    elif line.startswith("data:"):
                        data += line[5:].strip()
                    elif not line and data:
                        self.events.put((time.monotonic(), name, number, json.loads(data)))
                        name, data = "", ""
        except httpx.HTTPError:
            return

    def wait(self, name: str, seconds: float, phone: str = "") -> tuple[float, str, str, dict] | None:
        """The next event of this name (and terminal), or None when the time is over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                found = self.events.get(timeout=left)
            except queue.Empty:
                return None
            if found[1] == name and phone in {"", found[3].get("terminal_phone")}:
                return found
        return None

    def stop(self) -> None:
        self._stopping = True


@pytest.fixture(scope="module")
def town(gateway, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("town")
    found(gateway, tmp_path, MACHINES)
    return gateway


def join(terminals, town, phone):
    """The edge hears of an imported terminal within a second or two."""
    end = time.monotonic() + 10
    while True:
        one = terminals(town, phone)
        if one.register() == 0:
            assert one.authenticate() == 0
            return one
        assert time.monotonic() < end, "the edge never heard of the terminal"
        time.sleep(0.2)


def test_entry_to_closing(town, terminals):
    """国二 enters a zone below 国三: one alarm within 1 s, one row, closed; 国四 beside it: none; a resend: nothing."""
    phone = "13800000002"
    banned, clean = join(terminals, town, phone), join(terminals, town, "13800000004")
    listener = Listener(town)
    start = time.time_ns() // 1000 - 60_000_000
    second = 1_000_000
    for one in (banned, clean):
        assert one.report(*OUTSIDE, start) == 0
        assert one.report(*OUTSIDE, start + 10 * second) == 0
        assert one.report(*INSIDE, start + 20 * second) == 0
        for _ in range(3):  # the same report again, as after a lost acknowledgement
            assert one.report(*INSIDE, start + 20 * second) == 0
    assert listener.wait("alarm", 1.5, phone) is None, "one fix, however often sent, confirms nothing"

    clean.report(*INSIDE, start + 30 * second)
    arrival = time.monotonic()
    assert banned.report(*INSIDE, start + 30 * second) == 0
    seen = listener.wait("alarm", 5, phone)
    assert seen is not None
    assert seen[0] - arrival < 1.0
    assert seen[3]["machine"]["registration_number"] == "2-00000001"
    for i in range(4, 10):
        for one in (banned, clean):
            assert one.report(*INSIDE, start + i * 10 * second) == 0
    assert listener.wait("alarm", 1.5, phone) is None, "a visit is one alarm, not one per report"

    items = town.get("/api/v1/alarms")["items"]
    mine = [item for item in items if item["terminal_phone"] in {"13800000002", "13800000004"}]
    assert len(mine) == 1
    alarm = mine[0]
    assert (alarm["state"], alarm["terminal_phone"], alarm["zone"]["name"]) == ("new", "13800000002", "测试禁用区")
    path = f"/api/v1/alarms/{alarm['id']}"
    for body, state in (
        ({"action": "accept", "note": "已通知现场"}, "accepted"),
        ({"action": "feedback", "note": "到场核实", "result": "属实"}, "feedback"),
        ({"action": "close", "note": "已责令离场"}, "closed"),
    ):
        answer = town.ask("POST", f"{path}/actions", json=body)
        assert answer.status_code in {200, 201}, answer.text
        assert town.get(path)["state"] == state
    listener.stop()


def test_the_stream_resumes_without_a_gap(town, terminals):
    """A reader that comes back with Last-Event-ID gets what it missed, in order."""
    phone = "13800000001"
    banned = join(terminals, town, phone)
    start = time.time_ns() // 1000 - 60_000_000
    for i, place in enumerate((OUTSIDE, INSIDE, INSIDE)):
        banned.report(*place, start + i * 10_000_000)
    first = Listener(town, last_id=0)
    seen = first.wait("alarm", 5, phone)
    assert seen is not None
    first.stop()
    for i in (3, 4):
        banned.report(*OUTSIDE, start + i * 10_000_000)
    time.sleep(1)
    for i in (5, 6):  # a return within ten minutes is the same visit
        banned.report(*INSIDE, start + i * 10_000_000)
    time.sleep(1)
    again = Listener(town, last_id=int(seen[2]))
    left, returned = again.wait("alarm", 5, phone), again.wait("alarm", 5, phone)
    assert left is not None
    assert returned is not None
    assert int(returned[2]) > int(left[2]) > int(seen[2])
    assert {event[3]["id"] for event in (seen, left, returned)} == {seen[3]["id"]}
    assert [event[3]["exited_at"] is None for event in (seen, left, returned)] == [True, False, True]
    again.stop()
