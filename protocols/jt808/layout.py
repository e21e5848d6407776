"""Fields put together: a layout of named fields, lists, prefixed lengths, and fields that are not always there.

`encode(layout, decode(layout, body)) == body` for every body that is padded as the standard says, and `decode` of what
`encode` made gives the values back. Bytes behind the last field are kept as `tail` and written back.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from protocols.jt808.body import BodyError, Reader, Writer
from protocols.jt808.fields import OCTETS, Field, Uint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from protocols.jt808.fields import Scope

TAIL = "tail"


@dataclass(frozen=True, slots=True, eq=False)
class Layout(Field):
    """Named fields in their order: a dict.

    likely: whether the values look like what they should be. loose: any bytes at all would read, so that another layout
    that fits exactly is the better guess.
    """

    fields: Mapping[str, Field]
    likely: Callable[[Scope], bool] | None = None
    loose: bool = False

    def read(self, reader: Reader, scope: Scope) -> dict[str, Any]:
        values: dict[str, Any] = {}
        around = ChainMap(values, scope)  # type: ignore[arg-type]  # only the first is written to
        for name, field in self.fields.items():
            reader.field = name
            if field.present(reader, around):
                values[name] = field.read(reader, around)
        if self.likely and not self.likely(values):
            reader.doubt()
        return values

    def read_whole(self, reader: Reader, scope: Scope) -> dict[str, Any]:
        values = self.read(reader, scope)
        if reader.left:
            values[TAIL] = reader.rest().hex()
        return values

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        self._write(writer, value, scope, set())

    def write_whole(self, writer: Writer, value: Any, scope: Scope) -> None:
        self._write(writer, value, scope, {TAIL})
        if TAIL in value:
            writer.field = TAIL
            OCTETS.write(writer, value[TAIL], scope)

    def _write(self, writer: Writer, value: Any, scope: Scope, besides: set[str]) -> None:
        if not isinstance(value, dict):
            raise writer.error("not an object", "不是对象")
        around = ChainMap(value, scope)  # type: ignore[arg-type]  # only read
        written, ended = set(besides), False
        for name, field in self.fields.items():
            writer.field = name
            if ended or not field.wanted(around, given=name in value):
                ended = ended or isinstance(field, Maybe)
                continue
            if name not in value:
                raise writer.error("missing", "缺少该字段")
            field.write(writer, value[name], around)
            written.add(name)
        for name in value:
            if name not in written:
                writer.field = str(name)
                raise writer.error("does not belong here", "此处没有该字段")


def layout(**fields: Field) -> Layout:
    return Layout(fields)


class Decoded(NamedTuple):
    """doubts: how many fields do not look like what they should be."""

    values: dict[str, Any]
    doubts: int

    @property
    def clean(self) -> bool:
        return not self.doubts and TAIL not in self.values


def decode(form: Layout, body: bytes) -> Decoded:
    """The values of a whole body. Raises BodyError where it is too short or contradicts itself."""
    reader = Reader(body)
    return Decoded(form.read_whole(reader, {}), len(reader.doubts))


def encode(form: Layout, value: Any) -> bytes:
    """The body for such values. Raises BodyError, naming the field, where one is missing, too many or out of range."""
    writer = Writer()
    form.write_whole(writer, value, {})
    return bytes(writer.data)


@dataclass(frozen=True, slots=True, eq=False)
class Prefixed(Field):
    """`count` says how many bytes `field` has. Bytes that a layout leaves over are its own `tail`."""

    count: Uint
    field: Field

    def read(self, reader: Reader, scope: Scope) -> Any:
        return self.field.read_whole(reader.part(self.count.read(reader, scope)), scope)

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        inner = writer.part(self.count.size)
        self.field.write_whole(inner, value, scope)
        if len(inner.data) >= 1 << 8 * self.count.size:
            raise writer.error(f"{len(inner.data)} bytes are too long", f"{len(inner.data)} 字节过长")
        self.count.write(writer, len(inner.data), scope)
        writer.put(bytes(inner.data))


@dataclass(frozen=True, slots=True, eq=False)
class Counted(Field):
    """`count` says how many items follow: a list.

    loosely: terminals get the count wrong. A list that the body ends, or an item that does not read, is shorter; the
    rest is left over, and doubtful.
    """

    count: Uint
    item: Field
    loosely: bool = False

    def read(self, reader: Reader, scope: Scope) -> list[Any]:
        count, name = self.count.read(reader, scope), reader.field
        if count > reader.left and not self.loosely:  # an item has a byte at least
            raise reader.error(f"{count} items in {reader.left} bytes", f"{reader.left} 字节容不下 {count} 项")
        items = []
        for _ in range(count):
            reader.field, start = name, reader.at
            try:
                items.append(self.item.read(reader, scope))
            except BodyError:
                if not self.loosely:
                    raise
                reader.at = start
                reader.doubt()
                break
        return items

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        items, name = _items(writer, value), writer.field
        if len(items) >= 1 << 8 * self.count.size:
            raise writer.error(f"{len(items)} items are too many", f"{len(items)} 项过多")
        self.count.write(writer, len(items), scope)
        for item in items:
            writer.field = name
            self.item.write(writer, item, scope)


@dataclass(frozen=True, slots=True, eq=False)
class Repeated(Field):
    """Items to the end: a list. One that does not read ends it, and is left over."""

    item: Field

    def read(self, reader: Reader, scope: Scope) -> list[Any]:
        items = []
        while reader.left:
            start = reader.at
            try:
                items.append(self.item.read(reader, scope))
            except BodyError:
                reader.at = start
                break
        return items

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        name = writer.field
        for item in _items(writer, value):
            writer.field = name
            self.item.write(writer, item, scope)


@dataclass(frozen=True, slots=True, eq=False)
class _Sometimes(Field):
    """A field that may be absent: then its name is no key of the layout's dict."""

    field: Field

    def read(self, reader: Reader, scope: Scope) -> Any:
        return self.field.read(reader, scope)

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        self.field.write(writer, value, scope)


@dataclass(frozen=True, slots=True, eq=False)
class When(_Sometimes):
    """There if earlier values say so."""

    condition: Callable[[Scope], Any]

    def present(self, reader: Reader, scope: Scope) -> bool:  # noqa: ARG002
        return bool(self.condition(scope))

    def wanted(self, scope: Scope, *, given: bool) -> bool:  # noqa: ARG002
        return bool(self.condition(scope))


@dataclass(frozen=True, slots=True, eq=False)
class Maybe(_Sometimes):
    """There if the body has not ended; nothing follows where it is absent."""

    def present(self, reader: Reader, scope: Scope) -> bool:  # noqa: ARG002
        return reader.left > 0

    def wanted(self, scope: Scope, *, given: bool) -> bool:  # noqa: ARG002
        return given


@dataclass(frozen=True, slots=True, eq=False)
class Choice(Field):
    """The field that an earlier value selects."""

    key: str
    fields: Mapping[int, Field]

    def read(self, reader: Reader, scope: Scope) -> Any:
        field = self.fields.get(scope[self.key])
        if field is None:
            raise reader.error(f"no layout for {self.key} {scope[self.key]}", f"{self.key} {scope[self.key]} 没有定义")
        return field.read(reader, scope)

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        field = self.fields.get(scope[self.key])
        if field is None:
            raise writer.error(f"no layout for {self.key} {scope[self.key]}", f"{self.key} {scope[self.key]} 没有定义")
        field.write(writer, value, scope)


def _items(writer: Writer, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise writer.error("not a list", "不是列表")
    return value


def bit(name: str, number: int) -> Callable[[Scope], int]:
    """A condition for When: bit `number` of the earlier value `name`."""
    return lambda scope: scope[name] >> number & 1
