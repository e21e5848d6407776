"""A table of machines, XLSX or CSV, as rows of the registry and refusals with one reason each. Pure: bytes in, rows out.

CSV is UTF-8 (with or without a mark) or GBK, cut by comma, semicolon or tab. Headers are English or Chinese; columns
that nobody knows are left out and named. Text stays text, so leading zeros are kept; a number in an XLSX cell that is
shown with leading zeros is read as it is shown.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from admin_api.machine_values import Value, ValueFault, plain, read

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADERS = {
    "registration_number": ("环保登记号码", "环保登记号", "环保号码", "登记号码", "环保号牌", "环保编码", "机械环保号码"),
    "terminal_phone": (
        "终端手机号", "终端号码", "终端号", "终端电话", "终端编号", "SIM卡号", "SIM", "定位终端号", "phone", "终端SIM卡号",
    ),
    "machine_type": ("机械类型", "机械类别", "机械种类", "类型", "type"),
    "registration_type": ("登记类型", "登记类别"),
    "emission_stage": ("排放阶段", "排放标准", "国标阶段", "stage"),
    "power_kw": ("额定功率", "功率", "额定净功率", "发动机功率", "power"),
    "energy": ("能源类型", "能源", "燃料类型", "燃料种类", "燃料", "fuel"),
    "smoke_class": ("烟度等级", "排气烟度", "排气烟度等级", "烟度类别", "排气烟度类别"),
    "smoke_tested_on": ("烟度检测日期", "排气烟度检测日期", "检测日期"),
    "project": ("项目", "项目名称", "工程项目", "所属项目"),
    "purpose": ("用途", "使用用途", "机械用途"),
    "status": ("状态", "登记状态", "机械状态"),
    "effective_from": ("生效日期", "生效时间", "变更日期", "变更生效日期"),
    "district": ("辖区", "辖区代码", "所属辖区", "登记辖区", "区县", "所属区县"),
    "owner_name": ("所有人", "所有者", "机主", "机主姓名", "单位名称", "owner"),
    "owner_phone": ("所有人电话", "机主电话", "联系电话", "联系方式"),
    "brand": ("品牌", "机械品牌"),
    "model": ("型号", "机械型号"),
}  # fmt: skip
REQUIRED = ("registration_number", "machine_type")
MOST_ROWS = 200_000

# What stands beside a name in a header: a unit in brackets, the star of a mandatory column.
_BESIDE = re.compile(r"\(.*?\)|[*:\s_]")
_ZERO_FORMAT = re.compile(r"0+")


class TableError(ValueError):
    """The file as a whole cannot be read."""

    def __init__(self, message: str, message_zh: str) -> None:
        super().__init__(f"{message} | {message_zh}")
        self.message = message
        self.message_zh = message_zh


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is not taken in; ``row`` counts as the spreadsheet does, the header is row 1."""

    row: int
    field: str
    message: str
    message_zh: str

    def document(self) -> dict[str, Any]:
        return {"row": self.row, "field": self.field, "reason": self.message, "reason_zh": self.message_zh}


@dataclass(slots=True)
class Table:
    rows: list[dict[str, Value]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    unknown_columns: list[str] = field(default_factory=list)


def _key(header: str) -> str:
    return _BESIDE.sub("", plain(header).lower())


_FIELD_OF = {_key(name): field_ for field_, names in HEADERS.items() for name in (field_, *names)}


def parse(data: bytes) -> Table:
    """Raises TableError where the file is no table of machines."""
    lines = _xlsx(data) if data[:4] == b"PK\x03\x04" else _csv(data)
    header = next(lines, None)
    if header is None:
        raise TableError("the table is empty", "表格为空")
    columns = [_FIELD_OF.get(_key(name)) for name in header]
    table = Table(unknown_columns=[name for name, known in zip(header, columns, strict=True) if name and not known])
    for name, names in HEADERS.items():
        if name in REQUIRED and name not in columns:
            raise TableError(f"there is no column {name}", f"缺少“{names[0]}”列")
        if columns.count(name) > 1:
            raise TableError(f"the column {name} is there twice", f"“{names[0]}”列重复")
    seen: dict[tuple[str, Any], int] = {}
    for number, line in enumerate(lines, 2):
        if number > MOST_ROWS + 1:
            raise TableError(f"the table has more than {MOST_ROWS} rows", f"表格超过 {MOST_ROWS} 行")
        fields = {name: text for name, text in zip(columns, line, strict=False) if name and text.strip()}
        if not fields:
            continue
        try:
            row = _row(fields)
            _only_once(row, number, seen)
        except ValueFault as fault:
            table.refused.append(Refusal(number, fault.field, fault.message, fault.message_zh))
        else:
            table.rows.append(row)
    return table


def _row(fields: dict[str, str]) -> dict[str, Value]:
    for name in REQUIRED:
        if name not in fields:
            raise ValueFault(name, f"{name} is missing", f"缺少{HEADERS[name][0]}")
    return read(fields)


def _only_once(row: dict[str, Value], number: int, seen: dict[tuple[str, Any], int]) -> None:
    for name in ("registration_number", "terminal_phone"):
        if name in row and (name, row[name]) in seen:
            first = seen[name, row[name]]
            raise ValueFault(
                name, f"{row[name]} is in row {first} already", f"{HEADERS[name][0]} {row[name]} 与第 {first} 行重复"
            )
    for name in ("registration_number", "terminal_phone"):
        if name in row:
            seen[name, row[name]] = number


def _decode(data: bytes) -> str:
    marked = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TableError(
        "the file is neither XLSX nor CSV in UTF-8 or GBK", "文件不是 XLSX，也不是 UTF-8 或 GBK 编码的 CSV"
    )


def _csv(data: bytes) -> Iterator[list[str]]:
    if data[:4] == b"\xd0\xcf\x11\xe0":
        raise TableError("this is an old .xls file; save it as .xlsx", "这是旧版 .xls 文件，请另存为 .xlsx")
    text = _decode(data)
    if "\0" in text:
        raise TableError("the file is neither XLSX nor CSV", "文件不是 XLSX 或 CSV")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise TableError(f"the CSV does not read: {error}", "CSV 格式有误") from error


def _xlsx(data: bytes) -> Iterator[list[str]]:
    # A tenth of what the api loads at its start, for what is asked once a month.
    import openpyxl  # noqa: PLC0415
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        # Some programs write a size that is not the sheet's; without one the rows are read to their end.
        sheet.reset_dimensions()
        for cells in sheet.iter_rows():
            yield [_shown(cell) for cell in cells]
    except (InvalidFileException, zipfile.BadZipFile, KeyError, IndexError, ValueError, SyntaxError) as error:
        if isinstance(error, ValueFault):
            raise
        raise TableError(f"the XLSX does not read: {error}", "XLSX 文件已损坏或格式有误") from error


def _shown(cell: Any) -> str:
    value = cell.value
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and _ZERO_FORMAT.fullmatch(str(cell.number_format)):
        return str(value).zfill(len(cell.number_format))
    return str(value)
