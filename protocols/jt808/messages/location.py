"""Positions (位置信息): 0x0200 and what carries its body, tracking and confirmation of alarms.

BASIC is 28 bytes: alarm 0, status 4, latitude 8, longitude 12, altitude 16, speed 18, course 20, time 22 (2013 and 2019
print 21). POSITION is that with its additional items behind. `location` reads the same columns; a test holds them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocols.jt808.fields import BYTE, DWORD, OCTETS, WORD, Degrees, Field, Metres, Tenths, Time
from protocols.jt808.items import Items
from protocols.jt808.layout import Layout, Prefixed, When, layout
from protocols.jt808.messages.general import EMPTY
from protocols.jt808.messages.message import DOWN, UP, Message, every, since_2013

if TYPE_CHECKING:
    from protocols.jt808.body import Reader, Writer
    from protocols.jt808.fields import Scope

_SOUTH, _WEST = 2, 3  # bits of the status

BASIC = layout(
    alarm=DWORD,
    status=DWORD,
    latitude=Degrees("status", _SOUTH),
    longitude=Degrees("status", _WEST),
    altitude_m=Metres(),
    speed_kmh=Tenths(2),
    course_deg=WORD,
    time=Time(),
)
POSITION = Layout({**BASIC.fields, "items": Items()})
ANSWER = layout(request_serial=WORD, position=POSITION)
"""0x0201 and 0x0500: a position that answers a command."""


@dataclass(frozen=True, slots=True)
class Reports(Field):
    """The reports of 0x0704, each a WORD of length and a body of 0x0200, by their lengths: terminals get the count wrong.

    One that is too short, or longer than what is left, is {"hex"}, with its length word; the latter is the last. Where
    none reads and there are some, the body does not.
    """

    def read(self, reader: Reader, scope: Scope) -> list[dict[str, Any]]:
        reports: list[dict[str, Any]] = []
        bad, name = 0, reader.field
        while reader.left:
            size = 2 + int.from_bytes(reader.data[reader.at : min(reader.at + 2, reader.end)], "big")
            if 2 + _BASIC_SIZE <= size <= reader.left:
                reports.append(Prefixed(WORD, POSITION).read(reader, scope))
            else:
                reader.doubt()
                reports.append({"hex": reader.take(min(size, reader.left)).hex()})
                bad += 1
        reader.field = name
        if bad and bad == len(reports):
            raise reader.error("no report reads", "没有可读的位置数据")
        return reports

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        if not isinstance(value, list):
            raise writer.error("not a list", "不是列表")
        for report in value:
            if isinstance(report, dict) and report.keys() == {"hex"}:
                OCTETS.write(writer, report["hex"], scope)
            else:
                Prefixed(WORD, POSITION).write(writer, report, scope)


_BASIC_SIZE = 28

MESSAGES = (
    Message(0x0200, UP, "position report", "位置信息汇报", every(POSITION)),
    Message(0x8201, DOWN, "query position", "位置信息查询", every(EMPTY)),
    Message(
        0x0201, UP, "position", "位置信息查询应答",
        {"2011": layout(position=POSITION), "2013": ANSWER, "2019": ANSWER},
    ),
    # interval_s 0 ends tracking, and nothing follows
    Message(
        0x8202, DOWN, "track for a while", "临时位置跟踪控制",
        every(layout(interval_s=WORD, validity_s=When(DWORD, lambda said: said["interval_s"] != 0))),
    ),
    # alarm_serial 0: every alarm of these types; types: bits 0, 3, 20, 21, 22, 27 and 28 of the alarm flags
    Message(
        0x8203, DOWN, "confirm alarms", "人工确认报警消息",
        since_2013(layout(alarm_serial=WORD, types=DWORD)),
    ),
    # type: 0 an ordinary batch, 1 reports of a blind area
    Message(
        0x0704, UP, "batch of positions", "定位数据批量上传",
        since_2013(layout(count=WORD, type=BYTE, positions=Reports())),
    ),
)  # fmt: skip
