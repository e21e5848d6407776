"""The additional items of a position report (位置附加信息项 of 0x0200): id BYTE, length BYTE, value.

Terminals are free with them: lengths differ from the standard, zeros pad, the last item may be cut off. So an item is
known by its id *and* its length, id 0 is padding, an item that overruns ends the walk, and what is left is a tail.
`scan` reads what the worker stores, a whole column at a time; `Items` reads everything of one report, for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from columns.positions import NO_MILEAGE, NO_SATELLITES
from protocols.jt808.body import BodyError, Reader
from protocols.jt808.fields import BYTE, OCTETS, Field
from protocols.jt808.item_table import KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from columns.ragged import Ragged
    from protocols.jt808.body import Writer
    from protocols.jt808.fields import Scope

MILEAGE, SATELLITES = 0x01, 0x31
_HEAD = 2


def scan(extras: Ragged) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """(mileage in 0.1 km, satellites) of every report, NO_MILEAGE and NO_SATELLITES where it has none.

    All rows walk abreast, one item a step, so the cost is that of the report with the most items. The last item of an
    id counts. A mileage that int32 does not hold is none.
    """
    n = len(extras)
    mileage, satellites = np.full(n, NO_MILEAGE, np.int32), np.full(n, NO_SATELLITES, np.int16)
    blob = extras.blob
    filled = np.append(np.flatnonzero(blob), len(blob))
    rows, at, end = np.arange(n), extras.offsets[:-1], extras.offsets[1:]
    while True:
        more = (at + _HEAD <= end).nonzero()[0]
        if not len(more):
            return mileage, satellites
        if len(more) < len(rows):
            rows, at, end = rows[more], at[more], end[more]
        kind, length = blob[at], blob[at + 1]
        value = at + _HEAD
        after = value + length  # beyond the end for an item that overruns, which ends its row's walk
        fits = after <= end
        found = (fits & (kind == MILEAGE) & (length == 4)).nonzero()[0]
        if len(found):
            first = value[found]
            high = blob[first].astype(np.int32) << 24 | blob[first + 1].astype(np.int32) << 16
            number = high | blob[first + 2].astype(np.int32) << 8 | blob[first + 3]
            mileage[rows[found]] = np.where(number < 0, NO_MILEAGE, number)
        found = (fits & (kind == SATELLITES) & (length == 1)).nonzero()[0]
        if len(found):
            satellites[rows[found]] = blob[value[found]]
        padding = (kind == 0).nonzero()[0]
        if len(padding):
            after[padding] = filled[filled.searchsorted(at[padding])]
        at = after


@dataclass(frozen=True, slots=True)
class Items(Field):
    """All items to the end: [{"id", "hex", "name", "value"}], the last two where KINDS knows the id with this length.

    Zeros between items are padding and are not kept. An item that overruns, a lone byte and padding at the end are left
    over. The hex is what is written.
    """

    def read(self, reader: Reader, scope: Scope) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        while reader.left:
            rest = reader.data[reader.at : reader.end]
            padding = len(rest) - len(rest.lstrip(b"\x00"))
            if padding == len(rest):
                break
            head = rest[padding : padding + _HEAD]
            size = _HEAD + head[-1]
            if len(head) < _HEAD or size > len(rest) - padding:
                reader.at += padding
                break
            reader.take(padding + _HEAD)
            items.append(_item(head[0], reader.take(head[1]), scope))
        return items

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        if not isinstance(value, list):
            raise writer.error("not a list", "不是列表")
        for item in value:
            if not isinstance(item, dict) or not {"id", "hex"} <= item.keys() <= {"id", "hex", "name", "value"}:
                raise writer.error("not an object of id and hex", "不是由 id 与 hex 组成的对象")
            if item["id"] == 0:
                raise writer.error("id 0 is padding", "编号 0 是填充")
            BYTE.write(writer, item["id"], scope)
            data = writer.part(1)
            OCTETS.write(data, item["hex"], scope)
            if len(data.data) > 0xFF:
                raise writer.error(f"{len(data.data)} bytes are too long", f"{len(data.data)} 字节过长")
            BYTE.write(writer, len(data.data), scope)
            writer.put(bytes(data.data))


def _item(number: int, data: bytes, scope: Scope) -> dict[str, Any]:
    said: dict[str, Any] = {"id": number, "hex": data.hex()}
    known = KINDS.get((number, len(data)))
    if known is None:
        return said
    name, field = known
    try:
        return said | {"name": name, "value": field.read_whole(Reader(data), scope)}
    except BodyError:  # a list inside whose count contradicts the length
        return said
