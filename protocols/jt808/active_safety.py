"""Items 0x64 to 0x67 and 0x70 of 0x0200: active safety (主动安全, T/JSATL 12-2017, 4.4, tables 4-15 to 4-20).

An item ends in the alarm's identification (报警标识号, table 4-16): terminal id, time, sequence number, attachments. The
hemispheres are those of the report. Regional standards since have items of the same ids with a longer identification;
these have other lengths and stay raw, as every item's hex stands beside its value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.jt808.fields import BYTE, DWORD, WORD, Degrees, Metres, Octets, Text, Time
from protocols.jt808.layout import Counted, Layout, layout

if TYPE_CHECKING:
    from protocols.jt808.fields import Field

_IDENTIFICATION = layout(terminal_id=Text(7), time=Time(), sequence=BYTE, attachments=BYTE, reserved=BYTE)
_BEGIN: dict[str, Field] = {"alarm_id": DWORD, "flag": BYTE}  # flag: 0 not used, 1 begins, 2 ends
_KIND: dict[str, Field] = {"type": BYTE, "level": BYTE}
_PLACE: dict[str, Field] = {
    "speed_kmh": BYTE,
    "altitude_m": Metres(),
    "latitude": Degrees("status", 2),
    "longitude": Degrees("status", 3),
    "time": Time(),
    "vehicle_status": WORD,
    "identification": _IDENTIFICATION,
}
_TYRE = layout(position=BYTE, type=WORD, pressure_kpa=WORD, celsius=WORD, battery_percent=WORD)

DRIVER_ASSISTANCE = Layout(
    {
        **_BEGIN,
        **_KIND,
        "front_speed_kmh": BYTE,
        "front_distance_tenth_s": BYTE,
        "departure": BYTE,  # 1 left, 2 right
        "sign": BYTE,  # 1 speed limit, 2 height limit, 3 weight limit
        "sign_value": BYTE,
        **_PLACE,
    }
)
DRIVER_MONITORING = Layout({**_BEGIN, **_KIND, "fatigue": BYTE, "reserved": Octets(4), **_PLACE})
TYRES = Layout({**_BEGIN, **_PLACE, "tyres": Counted(BYTE, _TYRE)})
"""The printed offsets of a tyre (0, 2, 4, 6, 8) leave two bytes for its position, whose type is BYTE: read as BYTE."""
BLIND_SPOT = Layout({**_BEGIN, "type": BYTE, **_PLACE})
HARSH_DRIVING = Layout(
    {**_BEGIN, "type": BYTE, "time_threshold": WORD, "threshold_1": WORD, "threshold_2": WORD, **_PLACE}
)
"""激烈驾驶, 0x70: not in T/JSATL 12-2017 but in what terminals send that follow it; from their layout, not a text."""
