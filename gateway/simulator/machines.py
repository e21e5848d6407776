"""The thirteen kinds of non-road machinery of the national registration, with how fast each moves.

The English codes are ours (no official numeric codes were found); the Chinese names are the registration's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of machine. ``road_kmh`` 0 means that it travels on a trailer, engine off."""

    code: str
    chinese: str
    work_kmh: float
    """Fastest ground speed while it works."""
    road_kmh: float
    power_kw: tuple[int, int]
    """The range that its rated power is drawn from."""
    registration: str = "machinery"
    """`machinery` or `in_plant`."""


KINDS: dict[str, Kind] = {
    kind.code: kind
    for kind in (
        Kind("excavator", "挖掘机", 3, 0, (37, 250)),
        Kind("crane", "起重机", 1, 60, (120, 300)),
        Kind("bulldozer", "推土机", 6, 0, (75, 240)),
        Kind("loader", "装载机", 12, 32, (37, 180)),
        Kind("roller", "压路机", 5, 0, (30, 140)),
        Kind("paver", "摊铺机", 1, 0, (90, 180)),
        Kind("grader", "平地机", 9, 35, (100, 180)),
        Kind("forklift", "叉车", 12, 18, (30, 80)),
        Kind("pile_driver", "桩工机械", 1, 0, (90, 330)),
        Kind("stacker", "堆高机", 8, 12, (30, 130)),
        Kind("tow_tractor", "牵引车", 15, 25, (40, 120), "in_plant"),
        Kind("shuttle_bus", "摆渡车", 20, 40, (90, 180), "in_plant"),
        Kind("in_plant", "场内车辆", 12, 20, (40, 160), "in_plant"),
    )
}

TRAILER_KMH = 50.0
"""A low loader on an ordinary road."""
