"""Areas and routes (区域, 路线): 0x8600 to 0x8608, 0x0608.

attribute, a WORD: bit 0 has a period, 1 has a speed limit, 2 to 5 whom entering and leaving alarm, 6 south, 7 west,
8 doors stay shut, 14 no communication inside, 15 raw GNSS data inside. A period's times are 000000hhmmss where it is
every day. 2019 adds a speed limit for the night and a name.
"""

from __future__ import annotations

from protocols.jt808.fields import BYTE, DWORD, OCTETS, TEXT, WORD, Degrees, Field, Time, Uint
from protocols.jt808.layout import Choice, Counted, Layout, Prefixed, When, bit, layout
from protocols.jt808.messages.message import DOWN, UP, Message, every

_PERIOD = bit("attribute", 0)
_SPEED = bit("attribute", 1)
_LAT, _LON = Degrees("attribute", 6), Degrees("attribute", 7)
_OP = Uint(1, most=2)  # 0 replace, 1 append, 2 modify

_TIMES: dict[str, Field] = {"start": When(Time(), _PERIOD), "end": When(Time(), _PERIOD)}
_LIMIT: dict[str, Field] = {"max_speed_kmh": When(WORD, _SPEED), "overspeed_s": When(BYTE, _SPEED)}
_NIGHT: dict[str, Field] = {"night_max_speed_kmh": When(WORD, _SPEED)}
_NAME: dict[str, Field] = {"name": Prefixed(WORD, TEXT)}
_HEAD: dict[str, Field] = {"id": DWORD, "attribute": WORD}

_CENTRE: dict[str, Field] = {**_HEAD, "latitude": _LAT, "longitude": _LON, "radius_m": DWORD}
_CORNERS: dict[str, Field] = {**_HEAD, "north": _LAT, "west": _LON, "south": _LAT, "east": _LON}
_CIRCLE, _CIRCLE_2019 = (Layout(_CENTRE | _TIMES | _LIMIT | more) for more in ({}, _NIGHT | _NAME))
_RECTANGLE, _RECTANGLE_2019 = (Layout(_CORNERS | _TIMES | _LIMIT | more) for more in ({}, _NIGHT | _NAME))
_VERTEX = layout(latitude=_LAT, longitude=_LON)


def _polygon(*, parts: bool = False, named: bool = False) -> Layout:
    return Layout(_HEAD | _TIMES | _LIMIT | _list("vertices", _VERTEX, parts) | (_NIGHT | _NAME if named else {}))


def _route(point: Layout, *, parts: bool = False, named: bool = False) -> Layout:
    return Layout(_HEAD | _TIMES | _list("points", point, parts) | (_NAME if named else {}))


def _list(name: str, item: Layout, parts: bool) -> dict[str, Field]:
    """parts: 2011 sends a long list in several messages, `total` items in all."""
    return {"total": WORD, name: Counted(BYTE, item)} if parts else {name: Counted(WORD, item)}


_TIMED, _LIMITED = bit("segment_attribute", 0), bit("segment_attribute", 1)
_SEGMENT: dict[str, Field] = {
    "segment_id": DWORD,
    "latitude": Degrees("segment_attribute", 2, ahead=9),
    "longitude": Degrees("segment_attribute", 3, ahead=5),
    "width_m": BYTE,
    "segment_attribute": BYTE,  # of the segment from here to the next point: bit 0 times, 1 speed limit, 2 south, 3 west
}
_SEGMENT_TIMES: dict[str, Field] = {"longest_s": When(WORD, _TIMED), "shortest_s": When(WORD, _TIMED)}
_SEGMENT_LIMIT: dict[str, Field] = {"max_speed_kmh": When(WORD, _LIMITED), "overspeed_s": When(BYTE, _LIMITED)}
_SEGMENT_NIGHT: dict[str, Field] = {"night_max_speed_kmh": When(WORD, _LIMITED)}
_POINT_2011 = Layout(_SEGMENT | {"travel_s": When(WORD, _TIMED)} | _SEGMENT_LIMIT)
_POINT = Layout({"id": DWORD} | _SEGMENT | _SEGMENT_TIMES | _SEGMENT_LIMIT)
_POINT_2019 = Layout({**_POINT.fields, **_SEGMENT_NIGHT})


def _areas(area: Layout) -> Layout:
    return layout(operation=_OP, areas=Counted(BYTE, area))


def _areas_2011(area: Layout) -> Layout:
    return Layout(
        {"operation": _OP, "total": BYTE, "areas": Counted(BYTE, area)},
        likely=lambda said: said["total"] >= len(said["areas"]),
    )


_DELETE = every(layout(ids=Counted(BYTE, DWORD)))  # none: all
_POLYGON_2019, _ROUTE_2019 = _polygon(named=True), _route(_POINT_2019, named=True)

MESSAGES = (
    Message(
        0x8600, DOWN, "set circles", "设置圆形区域",
        {"2011": _areas_2011(_CIRCLE), "2013": _areas(_CIRCLE), "2019": _areas(_CIRCLE_2019)},
    ),
    Message(0x8601, DOWN, "delete circles", "删除圆形区域", _DELETE),
    Message(
        0x8602, DOWN, "set rectangles", "设置矩形区域",
        {"2011": _areas_2011(_RECTANGLE), "2013": _areas(_RECTANGLE), "2019": _areas(_RECTANGLE_2019)},
    ),
    Message(0x8603, DOWN, "delete rectangles", "删除矩形区域", _DELETE),
    Message(
        0x8604, DOWN, "set polygon", "设置多边形区域",
        {"2011": _polygon(parts=True), "2013": _polygon(), "2019": _POLYGON_2019},
    ),
    Message(0x8605, DOWN, "delete polygons", "删除多边形区域", _DELETE),
    Message(
        0x8606, DOWN, "set route", "设置路线",
        {"2011": _route(_POINT_2011, parts=True), "2013": _route(_POINT), "2019": _ROUTE_2019},
    ),
    Message(0x8607, DOWN, "delete routes", "删除路线", _DELETE),
    # type: 1 circle, 2 rectangle, 3 polygon, 4 route; no ids: all
    Message(
        0x8608, DOWN, "query areas or routes", "查询区域或线路数据",
        {"2019": layout(type=Uint(1, most=4), ids=Counted(DWORD, DWORD))},
    ),
    # The text says only that the data are as in the message that sets them, so areas that do not read stay hex.
    Message(
        0x0608, UP, "areas or routes", "查询区域或线路数据应答",
        {
            "2019": (
                layout(
                    type=Uint(1, most=4),
                    areas=Counted(
                        DWORD, Choice("type", {1: _CIRCLE_2019, 2: _RECTANGLE_2019, 3: _POLYGON_2019, 4: _ROUTE_2019})
                    ),
                ),
                Layout({"type": Uint(1, most=4), "count": DWORD, "data": OCTETS}, loose=True),
            )
        },
    ),
)  # fmt: skip
