"""What each additional item of 0x0200 is: (id, length) -> name and type. Read only; an item is written from its hex.

0x01 to 0x31 are the standard's, 0x14 to 0x18 those of JT/T 1078-2016 (tables 13 to 15), 0x64 to 0x70 active safety.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocols.jt808 import active_safety
from protocols.jt808.fields import BYTE, DWORD, WORD, Field, Octets, Tenths, Uint
from protocols.jt808.layout import layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocols.jt808.body import Reader, Writer
    from protocols.jt808.fields import Scope


@dataclass(frozen=True, slots=True)
class Celsius(Field):
    """WORD whose top bit is the sign: not two's complement."""

    def read(self, reader: Reader, scope: Scope) -> int:
        value = WORD.read(reader, scope)
        return -(value & 0x7FFF) if value & 0x8000 else value

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 0x7FFF:
            raise writer.error("not an integer from -32767 to 32767", "不是 -32767 至 32767 的整数")
        WORD.write(writer, abs(value) | (0x8000 if value < 0 else 0), scope)


@dataclass(frozen=True, slots=True)
class Bits(Field):
    """Which bits are set, from the lowest: what `name` calls them."""

    size: int
    name: Callable[[int], Any]

    def read(self, reader: Reader, scope: Scope) -> list[Any]:
        value = Uint(self.size).read(reader, scope)
        return [self.name(bit) for bit in range(8 * self.size) if value >> bit & 1]

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        names = {self.name(bit): bit for bit in range(8 * self.size)}
        if not isinstance(value, list) or not all(isinstance(each, str | int) and each in names for each in value):
            raise writer.error("not a list of names of bits", "不是标志位名称列表")
        Uint(self.size).write(writer, sum({1 << names[each] for each in value}), scope)


def _named(*names: str) -> Callable[[int], str]:
    return lambda bit: names[bit] if bit < len(names) else f"bit_{bit}"


def _channel(bit: int) -> int:
    return bit + 1


def _storage(bit: int) -> str:
    return f"main_{bit + 1}" if bit < 12 else f"backup_{bit - 11}"


_VIDEO_ALARM = _named(
    "signal_lost", "signal_covered", "storage_fault", "other_video_fault", "passengers_over", "abnormal_driving",
    "alarm_recordings_full",
)  # fmt: skip
_BEHAVIOURS = _named("fatigue", "telephone", "smoking")

KINDS: dict[tuple[int, int], tuple[str, Field]] = {
    (0x01, 4): ("mileage_km", Tenths(4)),
    (0x02, 2): ("fuel_l", Tenths(2)),
    (0x03, 2): ("recorder_speed_kmh", Tenths(2)),
    (0x04, 2): ("alarm_event_id", WORD),
    (0x05, 30): ("tyre_pressure", Octets(30)),
    (0x06, 2): ("compartment_celsius", Celsius()),
    (0x11, 1): ("overspeed", layout(area_type=BYTE)),
    (0x11, 5): ("overspeed", layout(area_type=BYTE, area_id=DWORD)),
    (0x12, 6): ("area", layout(area_type=BYTE, area_id=DWORD, direction=BYTE)),
    (0x13, 7): ("segment_time", layout(segment_id=DWORD, seconds=WORD, result=BYTE)),
    (0x14, 4): ("video_alarm", Bits(4, _VIDEO_ALARM)),
    (0x15, 4): ("video_signal_lost", Bits(4, _channel)),
    (0x16, 4): ("video_signal_covered", Bits(4, _channel)),
    (0x17, 2): ("storage_fault", Bits(2, _storage)),
    (0x18, 2): ("abnormal_driving", layout(behaviours=Bits(2, _BEHAVIOURS))),
    (0x18, 3): ("abnormal_driving", layout(behaviours=Bits(2, _BEHAVIOURS), fatigue=BYTE)),
    (0x25, 4): ("vehicle_signals", DWORD),
    (0x2A, 2): ("io_status", WORD),
    (0x2B, 4): ("analogue", layout(ad1=WORD, ad0=WORD)),
    (0x30, 1): ("signal_strength", BYTE),
    (0x31, 1): ("satellites", BYTE),
    (0x64, 47): ("driver_assistance", active_safety.DRIVER_ASSISTANCE),
    (0x65, 47): ("driver_monitoring", active_safety.DRIVER_MONITORING),
    (0x67, 41): ("blind_spot", active_safety.BLIND_SPOT),
    (0x70, 47): ("harsh_driving", active_safety.HARSH_DRIVING),
} | {(0x66, 41 + 9 * tyres): ("tyres", active_safety.TYRES) for tyres in range(24)}
"""0x18 has two bytes in the list of items and three in its own table: both are read."""
