"""Tables of machines: encodings, spellings, what is refused and why, and thirty thousand at once."""

from __future__ import annotations

import io
import time

import openpyxl
import psycopg
import pytest
from psycopg.rows import dict_row

from admin_api.machine_import import TableError, parse
from admin_api.machine_values import (
    STAGES,
    TYPES,
    ValueFault,
    effective_from,
    emission_stage,
    energy,
    machine_type,
    power_kw,
    read,
    smoke_class,
    status,
)
from storage.queries.machine_import import take_in

ENGLISH = "registration_number,terminal_phone,machine_type,registration_type,emission_stage,power_kw,energy,district\n"


def xlsx(*rows, formats=None):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for place, form in (formats or {}).items():
        book.active[place].number_format = form
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        *((stage, stage) for stage in STAGES),
        ("国三", "3"), ("国Ⅲ", "3"), ("国III", "3"), ("国3", "3"), ("国 三", "3"), ("３", "3"), ("3.0", "3"), ("Ⅳ", "4"),
        ("国四阶段", "4"), ("第二阶段", "2"), ("国Ⅰ", "1"), ("国一以前", "pre"), ("国一以前(无阶段)", "pre"),
        ("国一以前（无阶段）", "pre"), ("环X", "x"), ("环X(国一及以前或无法判定)", "x"), ("电动", "electric"),
        ("不适用(电动)", "electric"), ("排放阶段不明", "unknown"), ("Stage 3", "3"), ("国III阶段", "3"),
    ],
)  # fmt: skip
def test_a_stage_is_read_in_every_spelling(text, stage):
    """People write one stage in many ways."""
    assert emission_stage(text) == stage


@pytest.mark.parametrize("text", ["国五", "5", "国三以下", "国九", "0x", "33", "国"])
def test_what_is_no_stage_is_refused(text):
    """A stage is never guessed: the machine's verdict hangs on it. 国三以下 says two things."""
    with pytest.raises(ValueFault) as caught:
        emission_stage(text)
    assert caught.value.field == "emission_stage"


def test_kinds_powers_and_energies():
    """The thirteen kinds by code and by name, in a longer name too; units and commas in a power; energies."""
    for code, name in TYPES.items():
        assert machine_type(code) == machine_type(name) == code
    assert machine_type("履带式挖掘机") == "excavator"
    assert machine_type("Pile Driver") == "pile_driver"
    assert machine_type("清扫车") == "清扫车"
    assert power_kw("118.5 kW") == 118.5
    assert power_kw("1,180千瓦") == 1180
    assert (energy("柴油"), energy("纯电动"), energy("LNG")) == ("diesel", "electric", "gas")
    for bad in ("-5", "0", "much", "1e99"):
        with pytest.raises(ValueFault):
            power_kw(bad)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((one, one) for one in ("1", "2", "3", "none", "unknown")), ("Ⅲ类", "3"), ("III", "3"), ("三类", "3"), ("Ⅱ", "2"),
        ("Ⅰ类限值", "1"), ("不合格", "none"), ("未检测", "unknown"),
    ],
)  # fmt: skip
def test_a_smoke_class_is_read_in_every_spelling(text, found):
    """The strictest class that was passed; 合格 alone says nothing of which."""
    assert smoke_class(text) == found
    for bad in ("合格", "4", "iiii", "Ⅳ类"):
        with pytest.raises(ValueFault):
            smoke_class(bad)


def test_states_and_dates():
    """Cancelled in its several words; a day begins in China, in every way that people and spreadsheets write it."""
    assert [status(word) for word in ("在用", "已注销", "报废", "转出", "In_use")] == [
        "in_use", "cancelled", "cancelled", "cancelled", "in_use",
    ]  # fmt: skip
    for text in ("2026-03-01", "2026/3/1", "2026年3月1日", "2026.03.01", "2026-03-01 00:00:00", "2026-02-28T16:00:00Z"):
        assert effective_from(text).isoformat() in {"2026-03-01T00:00:00+08:00", "2026-02-28T16:00:00+00:00"}
    for bad in ("soon", "2026-13-01", "1026-03-01", "3/1/2026", "2026", "46082"):
        with pytest.raises(ValueFault):
            effective_from(bad)


def test_a_number_with_x_says_its_stage():
    """环X in the number is a stage where the table names none, and does not overrule one that it names."""
    assert read({"registration_number": "环X-1", "machine_type": "叉车"})["emission_stage"] == "x"
    assert read({"registration_number": "环X-1", "emission_stage": "国二"})["emission_stage"] == "2"
    assert "emission_stage" not in read({"registration_number": "3-1"})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_in_the_encodings_of_the_trade(encoding, delimiter):
    """The same table in every encoding and with every separator gives the same row; leading zeros stay."""
    text = "环保登记号码*,终端手机号,机械类型,排放阶段,额定功率（kW）\r\n003-0012,013900000001,挖掘机,国Ⅱ,118\r\n\r\n"
    table = parse(text.replace(",", delimiter).encode(encoding if encoding != "gbk" else "gb18030"))
    assert table.refused == []
    assert table.rows == [
        {"registration_number": "003-0012", "terminal_phone": "13900000001", "machine_type": "excavator",
         "emission_stage": "2", "power_kw": 118.0}
    ]  # fmt: skip


def test_xlsx_with_numbers_text_and_zeros():
    """Numbers are read as shown, text as it stands, an empty row is none, and unknown columns are named."""
    data = xlsx(
        ["环保登记号码", "终端手机号", "机械类型", "排放标准", "备注"],
        ["00012345", 13900000001, "装载机", 3, "x"],
        [12345, 139, "叉车", "国四", None],
        [None, None, None, None, None],
        formats={"A3": "00000000"},
    )
    table = parse(data)
    assert [row["registration_number"] for row in table.rows] == ["00012345"]
    assert [(r.row, r.field) for r in table.refused] == [(3, "registration_number")]
    assert "00012345" in table.refused[0].message
    assert table.rows[0]["terminal_phone"] == "13900000001"
    assert table.rows[0]["emission_stage"] == "3"
    assert table.unknown_columns == ["备注"]


def test_each_refused_row_has_one_reason_in_two_languages():
    """The first thing that is wrong with a row is its reason; good rows beside it are taken in."""
    table = parse((
        ENGLISH
        + "3-1,1,excavator,machinery,3,100,diesel,371502\n"
        + ",2,excavator,,3,,,\n"
        + "3-2,2,,,3,,,\n"
        + "3-3,1.39E+10,loader,,3,,,\n"
        + "3-4,1,loader,,3,,,\n"
        + "3-1,5,loader,,3,,,\n"
        + "3-6,6,loader,spaceship,3,,,\n"
        + "3-7,7,loader,,7,-5,coal,\n"
    ).encode())  # fmt: skip
    assert [row["registration_number"] for row in table.rows] == ["3-1"]
    assert [(refusal.row, refusal.field) for refusal in table.refused] == [
        (3, "registration_number"), (4, "machine_type"), (5, "terminal_phone"), (6, "terminal_phone"),
        (7, "registration_number"), (8, "registration_type"), (9, "emission_stage"),
    ]  # fmt: skip
    assert all(refusal.message and refusal.message_zh for refusal in table.refused)


@pytest.mark.parametrize(
    "data",
    [b"", b"a,b\n1,2\n", b"\xd0\xcf\x11\xe0rest", b"PK\x03\x04rest", b"\x00\x01\x02", b"\xff\xff\xff\xff",
     "环保登记号码,登记号码,机械类型\n".encode()],
)  # fmt: skip
def test_what_is_no_table_of_machines_is_refused_whole(data):
    """An empty file, unknown columns, an old .xls, a broken .xlsx, bytes, one column twice: a TableError in two languages."""
    with pytest.raises(TableError) as caught:
        parse(data)
    assert caught.value.message
    assert caught.value.message_zh


async def load(database, rows):
    connection = await psycopg.AsyncConnection.connect(database, row_factory=dict_row)
    async with connection:
        return await take_in(connection, rows, "tester")


@pytest.mark.asyncio
async def test_an_import_swaps_terminals_and_can_be_repeated(api_database, facts):
    """Again: nothing changes. Terminals swapped: both old bindings end now, both new ones begin. Blank cells change nothing."""
    rows = parse((ENGLISH + "3-1,1,excavator,machinery,3,100,diesel,371502\n3-2,2,loader,,2,,,\n").encode()).rows
    first = await load(api_database, rows)
    assert (first["created"], first["terminals_enrolled"], first["terminals_bound"]) == (2, 2, 2)
    again = await load(api_database, rows)
    assert (again["created"], again["updated"], again["unchanged"], again["terminals_bound"]) == (0, 0, 2, 0)
    swapped = parse((ENGLISH + "3-1,2,excavator,,,,,\n3-2,1,loader,,4,,,\n").encode()).rows
    third = await load(api_database, swapped)
    assert (third["updated"], third["terminals_bound"]) == (1, 2)
    now = facts.run(
        "SELECT m.registration_number, t.phone, m.emission_stage, m.power_kw FROM binding b JOIN machine m ON m.id = b.machine"
        " JOIN terminal t USING (device) WHERE upper_inf(during) ORDER BY 1"
    )
    assert now == [("3-1", "2", "3", 100.0), ("3-2", "1", "4", None)]
    assert facts.run("SELECT count(*) FROM binding WHERE NOT upper_inf(during)") == [(2,)]


@pytest.mark.asyncio
async def test_a_table_says_from_when_on(api_database, facts):
    """A known machine is changed from the row's day on, a new one is so from ever; blank cells and brands date nothing."""
    header = "环保登记号码,机械类型,排放阶段,烟度等级,烟度检测日期,项目,用途,状态,生效日期,品牌\n"
    old = parse((header + "3-1,挖掘机,国二,,,,,,,\n3-2,装载机,国二,,,,,,,\n").encode()).rows
    assert (await load(api_database, old))["created"] == 2
    new = parse((
        header
        + "3-1,挖掘机,国四,Ⅲ类,2026/2/3,地铁,施工,在用,2026年1月1日,卡特\n"
        + "3-2,装载机,,,,,,注销,2199-01-01,\n"
        + "3-3,叉车,国三,Ⅱ类,,,,,2026-01-01,\n"
    ).encode()).rows  # fmt: skip
    counts = await load(api_database, new)
    assert (counts["created"], counts["updated"], counts["unchanged"]) == (1, 2, 0)
    assert facts.run(
        "SELECT m.registration_number, v.valid_from::date::text, v.emission_stage, v.smoke_class, v.project, v.purpose,"
        " v.status, v.source, v.recorded_by FROM machine_version v JOIN machine m ON m.id = v.machine"
        " ORDER BY 1, v.valid_from"
    ) == [
        ("3-1", "-infinity", "2", "unknown", None, None, "in_use", "import", "tester"),
        ("3-1", "2025-12-31", "4", "3", "地铁", "施工", "in_use", "import", "tester"),
        ("3-2", "-infinity", "2", "unknown", None, None, "in_use", "import", "tester"),
        ("3-2", "2198-12-31", "2", "unknown", None, None, "cancelled", "import", "tester"),
        ("3-3", "-infinity", "3", "2", None, None, "in_use", "import", "tester"),
    ]
    assert facts.run(
        "SELECT emission_stage, smoke_class, smoke_tested_on::text, brand, status FROM machine ORDER BY id"
    ) == [
        ("4", "3", "2026-02-03", "卡特", "in_use"), ("2", "unknown", None, None, "in_use"),
        ("3", "2", None, None, "in_use"),
    ]  # fmt: skip
    again = await load(api_database, new)
    assert (again["updated"], again["unchanged"]) == (0, 3)
    assert facts.run("SELECT count(*) FROM machine_version") == [(5,)]


@pytest.mark.asyncio
async def test_a_citys_machines_are_taken_in_within_seconds(api_database, facts):
    """Thirty thousand rows in less than twenty seconds, and only one epoch; as many say what is known, and two
    thousand of them another stage, in another."""
    text = ENGLISH + "".join(
        f"3-{i:08d},{13900000000 + i},excavator,machinery,国三,118,柴油,371502\n" for i in range(30_000)
    )
    epoch = facts.run("SELECT epoch FROM ruleset")[0][0]
    began = time.perf_counter()
    table = parse(text.encode())
    counts = await load(api_database, table.rows)
    assert time.perf_counter() - began < 20
    assert (counts["created"], counts["terminals_bound"]) == (30_000, 30_000)
    assert facts.run("SELECT epoch FROM ruleset") == [(epoch + 1,)]
    began = time.perf_counter()
    rows = [{**row, "emission_stage": "4"} for row in table.rows[:2000]] + table.rows[2000:]
    counts = await load(api_database, rows)
    assert time.perf_counter() - began < 20
    assert (counts["updated"], counts["unchanged"], counts["terminals_bound"]) == (2000, 28_000, 0)
    assert facts.run("SELECT epoch FROM ruleset") == [(epoch + 2,)]
    assert facts.run("SELECT emission_stage, count(*) FROM machine GROUP BY 1 ORDER BY 1") == [
        ("3", 28_000), ("4", 2000),
    ]  # fmt: skip
