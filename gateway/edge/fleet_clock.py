"""The fleet clock: what time it is, also where the server's own clock jumps or was wrong from the start.

Terminals have GNSS time: of many that report live, the median of what their reports say is as good a clock as any. So the
receive time is the wall clock's as long as that goes on as the steady clock does (CLOCK_BOOTTIME), and a step of more than
STEP is believed or not by the fleet:

- the reports fit the time that we kept, or neither: we keep it, and say that the server's clock has jumped;
- they fit the stepped clock, and what we kept is ahead of no report's past that could explain it: the step is believed;
- they fit the time that was kept before a step that too few could check: that step is taken back;
- nearly all are in the future of what we kept, whether or not the wall clock stepped: no network makes a report early, so the
  clock was behind, and the fleet's own time is taken until the wall clock comes back to it.

Old reports alone move nothing: after an outage of the network terminals send what they kept. A single terminal's time counts
once and moves no median. With fewer than FLEET terminals nobody can tell, and the wall clock is believed. What nobody can tell
either is a clock that was ahead already when the edge started: its reports look old, as after an outage.

All times are int64 us. It reads no clock; it neither judges reports (protocols do, by the time that it gives) nor sets a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECOND = 1_000_000
STEP = 60 * SECOND  # NTP slews what is less; terminals' reports are seconds old
FLEET = 50  # terminals: fewer may all be of one maker, or behind one forwarding platform
NEWEST = 200  # terminals that are asked: a second or two of a city, so a change is seen at once
# Of them must be ahead of us before we say that we are behind: more than one maker's mistake in the time zone.
AHEAD = 0.8
FRESH = 600 * SECOND
SAMPLE = 250_000  # one linger in so long is looked at: what the fleet says changes slowly, and the hot path is hot
_KEPT = 2048  # reports


class FleetClock:
    """``ahead``: how far the wall clock is ahead of the time that is believed; 0 as long as they agree. ``jumps``: how often
    it left it, or took it along. ``steps``: those that were believed.
    """

    def __init__(self) -> None:
        self.jumps = self.steps = 0
        self.ahead = 0
        self._offset: int | None = None  # of the time that is believed from the steady clock
        self._confirmed = False
        self._left: int | None = None  # believed before a step that nobody could check
        self._device = np.zeros(_KEPT, np.int64)
        self._lead = np.zeros(_KEPT, np.int64)  # steady clock - device time: does not know what we believe
        self._at = np.full(_KEPT, -FRESH - 1, np.int64)
        self._next = 0
        self._due = 0

    def now(self, wall: int, steady: int) -> int:
        """The time that is believed. wall: of the server's clock, us UTC; steady: of one that never jumps."""
        offset = wall - steady
        if self._offset is None:
            self._offset = offset
        if abs(offset - self._offset) <= STEP:
            self._offset, self.ahead = offset, 0
        elif abs(offset - self._offset - self.ahead) > STEP:
            self._judge(offset, steady)
        return steady + self._offset

    def due(self, steady: int) -> bool:
        """Whether reports should be noted again."""
        return steady >= self._due

    def note(self, devices: NDArray[np.int64], times: NDArray[np.int64], wall: int, steady: int) -> bool:
        """Live reports with a fix that were received just now; whether another time is believed since.

        devices: of each report; times: device times, us UTC.
        """
        self._due = steady + SAMPLE
        devices, times = devices[-_KEPT:], times[-_KEPT:]
        at = (self._next + np.arange(len(devices))) % _KEPT
        self._device[at], self._lead[at], self._at[at] = devices, steady - times, steady
        self._next = (self._next + len(devices)) % _KEPT
        before = self._offset
        self._judge(wall - steady, steady)
        return self._offset != before and before is not None

    def _judge(self, offset: int, steady: int) -> None:
        """offset: of the wall clock from the steady one."""
        if self._offset is None:
            self._offset = offset
        leads = self._leads(steady)
        stepped = abs(offset - self._offset) > STEP
        if len(leads) < FLEET:
            if stepped:
                self._left, self._confirmed = self._offset, False
                self._believe(offset)
            return
        median = int(np.median(leads))
        age, age_of_step = median + self._offset, median + offset
        if abs(age) <= STEP:
            self._confirmed = True
        elif stepped and abs(age_of_step) <= STEP and (age < 0 or not self._confirmed):
            self._believe(offset)
            return
        elif self._left is not None and abs(median + self._left) <= STEP:
            self._offset, self._left = self._left, None
        elif float(np.quantile(leads, AHEAD)) + self._offset < -STEP:
            self._offset = -median
        self._stand(offset)

    def _leads(self, steady: int) -> NDArray[np.int64]:
        """Of each terminal that was heard lately its newest report, of the newest NEWEST terminals."""
        order = (self._next - 1 - np.arange(_KEPT)) % _KEPT
        order = order[steady - self._at[order] <= FRESH]
        first = np.sort(np.unique(self._device[order], return_index=True)[1])[:NEWEST]
        leads: NDArray[np.int64] = self._lead[order[first]]
        return leads

    def _believe(self, offset: int) -> None:
        self._offset, self.ahead = offset, 0
        self.jumps += 1
        self.steps += 1

    def _stand(self, offset: int) -> None:
        """We keep what we believe, whatever the wall clock says."""
        assert self._offset is not None  # noqa: S101  the caller knows it
        ahead = offset - self._offset
        if abs(ahead) <= STEP:
            self.ahead = 0
            return
        if abs(ahead - self.ahead) > STEP:
            self.jumps += 1
        self.ahead = ahead

    @property
    def reason(self) -> str | None:
        """What is wrong with the server's clock and what to do, or None."""
        if not self.ahead:
            return None
        seconds = abs(self.ahead) // SECOND
        way, way_zh = ("ahead of", "快") if self.ahead > 0 else ("behind", "慢")
        return (
            f"the server's clock is {seconds} s {way} its terminals'; reports are dated by the terminals' time until it is set"
            f" right: check NTP | 服务器时钟比终端{way_zh} {seconds} 秒，暂以终端时间为准：请检查 NTP 校时"
        )
