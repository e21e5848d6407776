"""Strategies for the values of any field, made from its descriptor: a new message is covered as soon as it is described."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from functools import singledispatch

from hypothesis import strategies as st

from protocols.jt808 import fields, item_table, items, layout
from protocols.jt808.body import Reader
from protocols.jt808.messages import control, location, parameters, passthrough
from protocols.jt808.parameter_table import PARAMETERS

letters = st.sampled_from("AZaz09-;:.环鲁京川号机械乐山龥") | st.characters(
    codec="gb18030", exclude_categories=("Cc", "Cs", "Z")
)
hexes = st.binary(max_size=40).map(bytes.hex)
bits32 = st.integers(0, 2**32 - 1)


def fitting(size: int, field: fields.Text) -> st.SearchStrategy[str]:
    """Texts of at most `size` bytes in GB 18030."""

    def cut(text: str) -> str:
        while len(text.encode("gb18030")) > size:
            text = text[:-1]
        return text

    return (
        st.text(letters, min_size=1 if field.filled else 0, max_size=size)
        .map(cut)
        .filter(lambda t: t or not field.filled)
    )


@singledispatch
def values(field, scope) -> st.SearchStrategy:
    raise NotImplementedError(type(field))


@values.register
def _(field: fields.Uint, scope):
    most = (1 << 8 * field.size) - 1
    return st.integers(0, most if field.most is None else field.most) | st.sampled_from(
        [0, 1, min(most, field.most or most)]
    )


@values.register
def _(field: fields.Metres, scope):
    return st.integers(-0x8000, 0x7FFF)


@values.register
def _(field: fields.Tenths, scope):
    return st.integers(0, (1 << 8 * field.size) - 1).map(lambda number: number / 10)


@values.register
def _(field: fields.Degrees, scope):
    flags = scope.get(field.flags)
    sign = -1 if flags is not None and flags >> field.bit & 1 else 1
    return st.integers(0, 180_000_000).map(lambda number: sign * number / 1e6)


@values.register
def _(field: fields.MessageId, scope):
    return st.integers(0, 0xFFFF).map("0x{:04x}".format)


@values.register
def _(field: fields.Octets, scope):
    return hexes if field.size is None else st.binary(min_size=field.size, max_size=field.size).map(bytes.hex)


@values.register
def _(field: fields.Bcd, scope):
    return st.text("0123456789", min_size=2 * field.size, max_size=2 * field.size)


@values.register
def _(field: fields.Time, scope):
    zone = timezone(timedelta(hours=field.hours))
    start = datetime(2000, 1, 1, tzinfo=UTC).astimezone(zone).replace(hour=0)
    moments = st.integers(0, 100 * 365 * 86400).map(lambda s: (start + timedelta(seconds=s)).isoformat())
    return moments | st.sampled_from(["000000083000", "000000000000"])


@values.register
def _(field: fields.Text, scope):
    return fitting(field.size or 60, field)


@values.register
def _(field: layout.Layout, scope):
    @st.composite
    def build(draw):
        said = {}
        for name, each in field.fields.items():
            around = {**scope, **said}
            if isinstance(each, layout.Maybe):
                if draw(st.booleans()):
                    break
            elif not each.wanted(around, given=True):
                continue
            # A flag that stands behind what it is the sign of is drawn with it, as zero or one: see `ahead`.
            said[name] = draw(values(each, around))
        return said

    return build().map(lambda said: _signed(field, said))


def _signed(form: layout.Layout, said: dict) -> dict:
    """Gives a coordinate the sign that its flag, drawn after it, asks for."""
    for name, each in form.fields.items():
        if isinstance(each, fields.Degrees) and each.ahead is not None:
            negative = said[each.flags] >> each.bit & 1
            said[name] = -abs(said[name]) / 1 if negative and said[name] else abs(said[name])
    return said


@values.register
def _(field: layout.Prefixed, scope):
    return values(field.field, scope)


@values.register
def _(field: layout.Counted, scope):
    if isinstance(field.item, layout.Choice) and scope[field.item.key] not in field.item.fields:
        return st.just([])
    return st.lists(values(field.item, scope), max_size=3)


@values.register
def _(field: layout.Repeated, scope):
    return st.lists(values(field.item, scope), max_size=3)


@values.register
def _(field: layout.When, scope):
    return values(field.field, scope)


@values.register
def _(field: layout.Maybe, scope):
    return values(field.field, scope)


@values.register
def _(field: layout.Choice, scope):
    return values(field.fields[scope[field.key]], scope)


def item(number: int, data: bytes, status: int) -> dict:
    return items.Items().read(Reader(bytes([number, len(data)]) + data), {"status": status})[0]


@values.register
def _(field: items.Items, scope):
    known = st.sampled_from(sorted(item_table.KINDS)).flatmap(
        lambda kind: st.tuples(st.just(kind[0]), st.binary(min_size=kind[1], max_size=kind[1]))
    )
    other = st.tuples(st.integers(1, 255), st.binary(max_size=20))
    return st.lists((known | other).map(lambda pair: item(*pair, scope["status"])), max_size=3)


@values.register
def _(field: parameters.Parameter, scope):
    def known(number):
        name, kind = PARAMETERS[number]
        return st.builds(lambda value: {"id": number, "name": name, "value": value}, values(kind, scope))

    raw = st.builds(lambda number, data: {"id": number, "hex": data}, st.integers(0xF000, 0xFFFF), hexes)
    return st.sampled_from(sorted(PARAMETERS)).flatmap(known) | raw


@values.register
def _(field: control.Parameters, scope):
    return values(fields.TEXT, scope) | st.just({"hex": "01"})


@values.register
def _(field: location.Reports, scope):
    return st.lists(values(location.POSITION, scope), max_size=3)


@values.register
def _(field: passthrough.Gzip, scope):
    return hexes
