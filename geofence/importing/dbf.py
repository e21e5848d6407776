"""The .dbf part of a Shapefile: a dBASE III table, one row per shape, its texts in whatever encoding.

The encoding is the .cpg file's, else the table's own mark for GBK, else UTF-8 where all of it reads as that, else GBK.
A text that was cut in the middle of a character by its column's width loses that character's rest.
"""

from __future__ import annotations

import codecs
import struct
from dataclasses import dataclass, field
from typing import Any

from geofence.errors import ZoneError
from geofence.importing.found import malformed

_END = 0x0D
_DELETED = ord("*")
# Byte 29 of the header, "language driver": 0x4D is code page 936.
_GBK_MARK = 0x4D
_NAMES = {
    "936": "gb18030", "cp936": "gb18030", "ansi 936": "gb18030", "gbk": "gb18030", "gb2312": "gb18030",
    "gb18030": "gb18030", "54936": "gb18030", "utf8": "utf-8", "utf-8": "utf-8", "65001": "utf-8", "big5": "big5",
    "950": "big5",
}  # fmt: skip
_LONGEST_CHARACTER = 4


@dataclass(slots=True)
class Table:
    """rows: None for one that was deleted and not packed away; encoding: as Python names it."""

    rows: list[dict[str, Any] | None] = field(default_factory=list)
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class _Column:
    name: bytes
    kind: str
    begin: int
    end: int


def read(data: bytes, code_page: bytes | None = None) -> Table:
    """``code_page``: the content of the .cpg. Texts, numbers as texts, dates as YYYYMMDD; blank values are left out.

    Raises ZoneError: file_malformed, encoding.
    """
    if len(data) < 33:
        raise malformed("the .dbf is cut short", ".dbf 文件不完整")
    count, header, width = struct.unpack_from("<IHH", data, 4)
    if width < 1 or header < 33 or len(data) < header + count * width:
        raise malformed("the .dbf is cut short", ".dbf 文件不完整")
    columns = _columns(data, header, width)
    records = [data[at : at + width] for at in range(header, header + count * width, width)]
    encoding = _encoding(data[29], code_page, columns, records)
    names = [_decoded(column.name, encoding) for column in columns]
    table = Table(encoding=encoding)
    for record in records:
        if record[0] == _DELETED:
            table.rows.append(None)
            continue
        values = ((name, _value(record, column, encoding)) for name, column in zip(names, columns, strict=True))
        table.rows.append({name: value for name, value in values if value})
    return table


def _columns(data: bytes, header: int, width: int) -> list[_Column]:
    columns = []
    begin = 1
    for at in range(32, header - 31, 32):
        if data[at] == _END:
            break
        end = begin + data[at + 16]
        columns.append(_Column(data[at : at + 11].split(b"\0")[0].strip(), chr(data[at + 11]), begin, end))
        begin = end
    if begin > width:
        raise malformed("the .dbf's columns are wider than its rows", ".dbf 列宽与记录长度不符")
    return columns


def _encoding(mark: int, code_page: bytes | None, columns: list[_Column], records: list[bytes]) -> str:
    texts = [column.name for column in columns]
    texts += [_raw(record, column) for record in records for column in columns if column.kind == "C"]
    stated = (code_page or b"").decode("ascii", "replace").strip().lower()
    if stated:
        candidates = [_NAMES[stated]] if stated in _NAMES else []
    elif mark == _GBK_MARK:
        candidates = ["gb18030"]
    else:
        candidates = ["utf-8", "gb18030"]
    for encoding in candidates:
        if all(_reads(text, encoding) for text in texts):
            return encoding
    what = f"as the .cpg's {stated!r}" if stated else "as UTF-8 or GBK"
    what_zh = f".cpg 所写的 {stated!r}" if stated else "UTF-8 或 GBK"
    raise ZoneError("encoding", f"the .dbf's texts do not read {what}", f".dbf 文本不是{what_zh}编码")


def _raw(record: bytes, column: _Column) -> bytes:
    return record[column.begin : column.end].rstrip(b" \0")


def _reads(text: bytes, encoding: str) -> bool:
    try:
        _decoded(text, encoding)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(text: bytes, encoding: str) -> str:
    """Strict but for an unfinished last character: a column is so many bytes wide, whatever they cut."""
    decoder = codecs.getincrementaldecoder(encoding)()
    decoded = decoder.decode(text)
    unfinished = decoder.getstate()[0]
    if len(unfinished) >= _LONGEST_CHARACTER:
        raise UnicodeDecodeError(encoding, text, len(text) - len(unfinished), len(text), "unfinished")
    return decoded.strip()


def _value(record: bytes, column: _Column, encoding: str) -> str:
    raw = _raw(record, column)
    if column.kind == "C":
        return _decoded(raw, encoding)
    text = raw.decode("ascii", "replace").strip().strip("*")
    return "" if column.kind == "D" and not text.strip("0") else text
