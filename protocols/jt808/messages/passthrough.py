"""What carries something else (透传, 压缩, RSA): 0x8900, 0x0900, 0x0901, 0x8A00, 0x0A00."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocols.jt808.body import Writer
from protocols.jt808.fields import BYTE, DWORD, OCTETS, WORD, Field, Octets
from protocols.jt808.layout import Layout, Prefixed, layout
from protocols.jt808.messages.message import DOWN, UP, Message, every

if TYPE_CHECKING:
    from protocols.jt808.body import Reader
    from protocols.jt808.fields import Scope
    from protocols.jt808.messages.message import Layouts

MAX_INFLATED = 1 << 20
"""Bytes that a 0x0901 may hold: a thousand times one packet. A kilobyte of gzip can hold a megabyte of zeros, and a
reassembled message far more; memory is not the sender's to choose."""
_GZIP = 31  # zlib's window bits for a gzip header


@dataclass(frozen=True, slots=True)
class Gzip(Field):
    """A gzip stream to the end: what is in it, as hex. Written with no time in its header, so that it is always the same."""

    def read(self, reader: Reader, scope: Scope) -> str:  # noqa: ARG002
        inflater = zlib.decompressobj(_GZIP)
        start = reader.at
        data = reader.rest()
        reader.at = start  # where an error is
        try:
            inflated = inflater.decompress(data, MAX_INFLATED + 1)
        except zlib.error as error:
            raise reader.error(f"not gzip: {error}", "不是 GZIP 数据") from error
        if len(inflated) > MAX_INFLATED:
            raise reader.error(f"more than {MAX_INFLATED} bytes inflated", f"解压后超过 {MAX_INFLATED} 字节")
        if not inflater.eof:
            raise reader.error("gzip cut off", "GZIP 数据不完整")
        reader.at = reader.end - len(inflater.unused_data)
        return inflated.hex()

    def write(self, writer: Writer, value: Any, scope: Scope) -> None:
        plain = Writer(writer.start + len(writer.data))
        plain.field = writer.field
        OCTETS.write(plain, value, scope)
        if len(plain.data) > MAX_INFLATED:
            raise writer.error(f"more than {MAX_INFLATED} bytes", f"超过 {MAX_INFLATED} 字节")
        deflater = zlib.compressobj(wbits=_GZIP)
        writer.put(deflater.compress(bytes(plain.data)) + deflater.flush())


# type: 00 raw GNSS data, 0B IC card, 41 and 42 serial ports, F0 to FF the user's
_PASSED = Layout({"type": BYTE, "content": OCTETS}, loose=True)
_PASSED_2011 = Layout(
    {"type": BYTE, "total_size": DWORD, "content": Prefixed(WORD, OCTETS)},
    likely=lambda said: 2 * said["total_size"] >= len(said["content"]),
)
_PASSED_EDITIONS: Layouts = {"2011": _PASSED_2011, "2013": _PASSED, "2019": _PASSED}
_KEY = layout(e=DWORD, n=Octets(128))

MESSAGES = (
    Message(0x8900, DOWN, "pass data down", "数据下行透传", _PASSED_EDITIONS),
    Message(0x0900, UP, "pass data up", "数据上行透传", _PASSED_EDITIONS),
    Message(0x0901, UP, "compressed message", "数据压缩上报", every(layout(message=Prefixed(DWORD, Gzip())))),
    Message(0x8A00, DOWN, "platform RSA key", "平台 RSA 公钥", every(_KEY)),
    Message(0x0A00, UP, "terminal RSA key", "终端 RSA 公钥", every(_KEY)),
)  # fmt: skip
