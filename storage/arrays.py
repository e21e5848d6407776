"""numpy columns as PostgreSQL array parameters, in the binary format: one structured array, no Python per element.

A binary array is a header (dimensions, has-nulls flag, element's type, length, lower bound) and then, per element,
its length i32 and its bytes, all big-endian.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from storage.copy import POSTGRES_EPOCH_US

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Column:
    """One array parameter. Subclasses say of which type."""

    kind: ClassVar[str]
    element_oid: ClassVar[int]
    array_oid: ClassVar[int]

    def __init__(self, values: NDArray[np.generic]) -> None:
        self.values = values

    def wire(self) -> bytes:
        elements = np.empty(len(self.values), [("length", ">i4"), ("value", self.kind)])
        elements["length"] = np.dtype(self.kind).itemsize
        elements["value"] = self.values
        if not len(elements):
            return struct.pack(">iii", 0, 0, self.element_oid)
        return struct.pack(">iiiii", 1, 0, self.element_oid, len(elements), 1) + elements.tobytes()


class Bigints(Column):
    kind, element_oid, array_oid = ">i8", 20, 1016


class Integers(Column):
    """int4; a uint32 column travels as the same 32 bits."""

    kind, element_oid, array_oid = ">i4", 23, 1007

    def __init__(self, values: NDArray[np.generic]) -> None:
        super().__init__(values.view(np.int32) if values.dtype == np.uint32 else values)


class Times(Column):
    """int64 us since 1970 UTC as timestamptz."""

    kind, element_oid, array_oid = ">i8", 1184, 1185

    def __init__(self, values: NDArray[np.int64]) -> None:
        super().__init__(values - POSTGRES_EPOCH_US)


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> bytes:
        return obj.wire()


def _register() -> None:
    for column in (Bigints, Integers, Times):
        dumper = type(column.__name__ + "Dumper", (_ColumnDumper,), {"oid": column.array_oid})
        psycopg.adapters.register_dumper(column, dumper)


_register()
