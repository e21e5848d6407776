"""Intake: columns agree with the scalar oracle on everything a stream can hold, in any batch."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.positions import DTYPES, Quality, Source
from columns.reason import Reason
from protocols.jt808 import framing, intake, terminal
from protocols.jt808.replies import acknowledge
from tests.protocols import oracle
from tests.protocols.frames import EDITIONS, NOW, mangled, packets, resealed, streams

relaxed = settings(deadline=None, max_examples=60)


def encode(message: int, body: bytes, edition: str = "2013", phone: str = "13812345678", **more) -> bytes:
    return framing.encode(message, body, terminal.phone_bcd(phone, edition), edition, more.pop("serial", 7), **more)


def report(**changes) -> bytes:
    return terminal.location(**{"time_us": NOW, "lon": 115.98542, "lat": 36.45312, **changes})


def row(positions, i: int) -> dict:
    """One row of a Positions, scalar, as the oracle gives it."""
    columns = {name: getattr(positions, name)[i].item() for name in DTYPES if name not in {"packet", "device"}}
    return columns | {"extras": positions.extras[i]}


def assert_agrees(chunks: list[bytes], received: int) -> None:
    """Every row of every column, and every reject, is what the oracle says of the same runs."""
    got = intake.read(chunks, received)
    expected = [(c, run, oracle.read(run, received)) for c, chunk in enumerate(chunks) for run in oracle.runs(chunk)]
    intact = [(c, read) for c, _, read in expected if read.reason is None]
    assert len(got.packets) == len(intact)
    for i, (c, read) in enumerate(intact):
        packet, header = got.packets.packet(i), read.header
        assert {name: getattr(packet, name) for name in header} == header
        assert got.packets.chunk[i] == c
        assert int(got.packets.phone_hi[i]) << 64 | int(got.packets.phone_lo[i]) == int.from_bytes(packet.phone, "big")
    for lane in ("telemetry", "conversation", "malformed"):
        assert getattr(got, lane).tolist() == [i for i, (_, read) in enumerate(intact) if read.lane == lane]
    rows = [(i, each) for i, (_, read) in enumerate(intact) for each in read.rows]
    assert got.positions.packet.tolist() == [i for i, _ in rows]
    assert [row(got.positions, i) for i in range(len(got.positions))] == [each for _, each in rows]
    for name, dtype in DTYPES.items():
        assert getattr(got.positions, name).dtype == np.dtype(dtype)
    rejects = [(c, read.reason, run[: framing.MAX_WIRE + 1]) for c, run, read in expected if read.reason]
    rejects += [(c, Reason.ITEM, item) for c, read in intact for item in read.bad_items]
    found = got.rejects
    assert [(found.chunk[i], found.reason[i], found.data[i]) for i in range(len(found))] == rejects


@given(st.lists(streams, max_size=6), st.integers(NOW - 10**13, NOW + 10**13))
@relaxed
def test_columns_agree_with_the_oracle(parts, received):
    """Any chunks of packets, damaged packets and noise: lanes, headers, rows and rejects are the oracle's."""
    assert_agrees([part + b"\x7e" for part in parts], received)


@given(st.lists(packets(), min_size=1, max_size=12))
@relaxed
def test_one_by_one_is_all_at_once(frames):
    """A packet's rows do not depend on what it came in with."""
    together = intake.read(frames, NOW)
    alone = [intake.read([frame], NOW) for frame in frames]
    rows = [row(each.positions, i) for each in alone for i in range(len(each.positions))]
    assert [row(together.positions, i) for i in range(len(together.positions))] == rows


def acknowledged(read) -> list[bytes]:
    """The answer to each packet of telemetry, in order."""
    n = len(read.telemetry)
    frames = acknowledge(read.packets, read.telemetry, np.zeros(n, np.uint8), np.zeros(n, np.uint16))
    return [frames[i] for i in range(n)]


def test_ten_thousand_at_once_are_ten_thousand_one_by_one():
    """Rows, lanes, rejects and reply bytes of a batch of 10,000 are those of 10,000 batches of one."""
    random = Random(808)  # noqa: S311  dice, no secret
    frames = []
    for i in range(10_000):
        bodies = [
            report(time_us=NOW - random.randrange(10**9), lon=random.uniform(-179, 179), lat=random.uniform(-89, 89),
                   items={0x30: random.randbytes(random.randrange(1, 9))})
            for _ in range(random.randrange(1, 4))
        ]  # fmt: skip
        edition, kind = random.choice(EDITIONS), random.random()
        phone = str(random.randrange(10**11))
        if kind < 0.5:
            frame = encode(0x0200, bodies[0], edition, phone, serial=i)
        elif kind < 0.7:
            frame = encode(0x0704, terminal.batch(bodies, random.randrange(2)), edition, phone, serial=i)
        elif kind < 0.8:
            frame = encode(random.choice((0x0002, 0x0102, 0x0900, 0x0200, 0x0704)), random.randbytes(9), edition, phone)
        elif kind < 0.9:
            frame = b"\x7e" + random.randbytes(random.randrange(40)) + b"\x7e"
        else:
            frame = encode(0x0200, bodies[0], edition, phone) + encode(0x0002, b"", edition, phone)
        frames.append(frame)
    together, alone = intake.read(frames, NOW), [intake.read([frame], NOW) for frame in frames]
    assert acknowledged(together) == [answer for one in alone for answer in acknowledged(one)]
    for name in DTYPES:
        if name not in {"packet", "device"}:
            column = np.concatenate([getattr(one.positions, name) for one in alone])
            assert np.array_equal(getattr(together.positions, name), column), name
    extras = [one.positions.extras[i] for one in alone for i in range(len(one.positions))]
    assert [together.positions.extras[i] for i in range(len(together.positions))] == extras
    starts = np.cumsum([0, *(len(one.packets) for one in alone)])
    for lane in ("telemetry", "conversation", "malformed"):
        rows = np.concatenate([getattr(one, lane) + start for one, start in zip(alone, starts, strict=False)])
        assert np.array_equal(getattr(together, lane), rows), lane
    refused = [(i, one.rejects.reason[k], one.rejects.data[k])
               for i, one in enumerate(alone) for k in range(len(one.rejects))]  # fmt: skip
    rejects = together.rejects
    assert sorted((rejects.chunk[k], rejects.reason[k], rejects.data[k]) for k in range(len(rejects))) == sorted(
        refused
    )
    assert len(together.positions) > 9_000


@given(mangled())
@relaxed
def test_damage_is_an_outcome(frame):
    """A packet with one byte changed, lost or added never raises, and the packet after it is read."""
    after = encode(0x0200, report())
    got = intake.read([frame + after], NOW)
    assert got.packets.raw(len(got.packets) - 1) == framing.unescape(after[1:-1])


def test_nothing():
    """No chunks, and chunks of flags alone, are an intake without rows."""
    for chunks in ([], [b"\x7e"], [b"\x7e\x7e", b"\x7e"]):
        got = intake.read(chunks, NOW)
        assert (len(got.packets), len(got.positions), len(got.rejects)) == (0, 0, 0)


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_report(edition):
    """The fields of a 0x0200, in every edition, in our units."""
    body = report(speed_kmh=12.3, course=271, altitude=-5, alarm=0x101, items={1: b"\0\0\x30\x39", 0x31: b"\x0c"})
    got = intake.read([encode(0x0200, body, edition)], NOW + 999)
    values = row(got.positions, 0)
    assert (values["lon"], values["lat"], values["time"], values["received"]) == (115.98542, 36.45312, NOW, NOW + 999)
    assert (values["speed"], values["course"], values["altitude"], values["alarm"]) == (123, 271, -5, 0x101)
    assert (values["source"], values["quality"], values["serial"]) == (Source.LIVE, 0, 7)
    assert values["extras"] == bytes.fromhex("01040000303931010c")
    assert got.packets.packet(0).identity == "13812345678"


def test_one_sim_in_two_editions_is_one_terminal():
    """Its phone columns and its identity are the same in a 12-digit and a 20-digit header."""
    got = intake.read([encode(0x0002, b"", "2013"), encode(0x0002, b"", "2019")], NOW).packets
    assert got.phone_hi[0] == got.phone_hi[1]
    assert got.phone_lo[0] == got.phone_lo[1]
    assert got.packet(0).identity == got.packet(1).identity == "13812345678"


def test_a_phone_that_is_no_bcd():
    """A packed IMEI keeps its hex behind an x, so it can never be mistaken for somebody's digits."""
    frame = framing.encode(0x0002, b"", bytes.fromhex("00ab12345678"), "2013", 1)
    assert intake.read([frame], NOW).packets.packet(0).identity == "xab12345678"


@pytest.mark.parametrize("edition", ["2013", "2019"])
def test_a_lying_version_bit(edition):
    """Bit 14 set in a short header, or missing in a long one: the layout that fits the length is read."""
    frame = encode(0x0200, report(), edition)
    properties = framing.unescape(frame[1:-1])[2]
    got = intake.read([resealed(frame, b2=properties ^ 0x40)], NOW)
    assert (len(got.telemetry), got.packets.packet(0).identity) == (1, "13812345678")
    assert got.packets.packet(0).edition == edition


@pytest.mark.parametrize(
    ("changes", "quality"),
    [
        ({"status": 1}, Quality.NOT_FIXED),
        ({"status": 0x23}, Quality.ENCRYPTED),
        ({"lon": 0, "lat": 0}, Quality.ZERO),
        ({"lon": 0}, 0),
        ({"lat": 90.000001}, Quality.OUT_OF_RANGE),
        ({"lon": 180.000001}, Quality.OUT_OF_RANGE),
        ({"lon": -180.0, "lat": -90.0}, 0),
        ({"time_us": NOW + 300_000_000}, 0),
        ({"time_us": NOW + 301_000_000}, Quality.FUTURE),
        ({"time_us": NOW - 10**13}, 0),
    ],
)
def test_quality(changes, quality):
    """What is wrong with a fix is a bit beside it; the values stay as they came."""
    body = report(**changes)
    got = intake.read([encode(0x0200, body)], NOW).positions
    assert got.quality[0] == quality
    assert got.lon[0] == changes.get("lon", 115.98542)
    assert got.lat[0] == changes.get("lat", 36.45312)


@pytest.mark.parametrize("bcd", ["250230093015", "251301000000", "250a28093015", "250328240000", "000000000000",
                                 "ffffffffffff", "250328096015", "250328093060", "230229000000",
                                 "101231235959", "000101080003", "070407120000"])  # fmt: skip
def test_a_time_that_is_none(bcd):
    """No date, no hour, no BCD, before the standard: the row keeps its receive second and is told apart by its packet's serial number."""
    body = report()[:22] + bytes.fromhex(bcd)
    got = intake.read([encode(0x0200, body, serial=n) for n in (1, 2, 2)], NOW + 123).positions
    assert got.time.tolist() == [NOW] * 3
    assert got.quality.tolist() == [Quality.BAD_TIME] * 3
    assert got.fingerprint[0] != got.fingerprint[1] == got.fingerprint[2]


def test_leap_days():
    """29 February exists in leap years alone."""
    bodies = [report()[:22] + bytes.fromhex(day + "000000") for day in ("240229", "250229", "120229", "960229")]
    got = intake.read([encode(0x0200, body) for body in bodies], NOW).positions
    assert [bool(q & Quality.BAD_TIME) for q in got.quality.tolist()] == [False, True, False, False]


def test_reports_of_a_batch_are_reports():
    """Items of 0x0704 are rows with their packet's serial; the same report has the same fingerprint live and resent."""
    first, second = report(), report(time_us=NOW + 1_000_000, items={0x30: b"\x1c"})
    live = encode(0x0200, first)
    got = intake.read([live, encode(0x0704, terminal.batch([first, second], 1), serial=9)], NOW).positions
    assert got.packet.tolist() == [0, 1, 1]
    assert got.source.tolist() == [Source.LIVE, Source.BACKFILL, Source.BACKFILL]
    assert got.serial.tolist() == [7, 9, 9]
    assert got.fingerprint[0] == got.fingerprint[1] != got.fingerprint[2]
    assert intake.read([encode(0x0704, terminal.batch([first], 0))], NOW).positions.source.tolist() == [Source.BATCH]


def test_a_bad_item_costs_its_neighbours_nothing():
    """A short item and one that overruns are one reject each, and the good ones are rows; the count is not believed."""
    body = terminal.batch([report(), b"short", report()], 0) + b"\x7f\xff\x01"
    got = intake.read([encode(0x0704, b"\x00\x63" + body[2:])], NOW)
    assert len(got.positions) == 2
    assert got.telemetry.tolist() == [0]
    assert [got.rejects.data[i] for i in range(2)] == [b"\x00\x05short", b"\x7f\xff\x01"]
    assert set(got.rejects.reason.tolist()) == {Reason.ITEM}


@pytest.mark.parametrize("lengths", [[28, 32, 24], [32, 28, 34], [40] * 6, [28], [28, 28, 29], [29, 28, 28]])
def test_items_of_any_lengths(lengths):
    """Items of one length and of many, even where their sum is a multiple of the first, are cut at their own lengths."""
    bodies = [(report(course=n) + bytes(99))[:length] for n, length in enumerate(lengths)]
    frames = [encode(0x0704, terminal.batch(bodies)), encode(0x0704, terminal.batch([report()] * 3)), encode(2, b"")]
    assert_agrees([frames[0] + frames[1], *frames], NOW)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_bad_times_in_one_batch_stay_apart(bad):
    """Two reports without a time in one packet are two rows with two fingerprints."""
    no_time = report()[:22] + bytes(6)
    got = intake.read([encode(0x0704, terminal.batch([no_time] * bad + [report()] * (3 - bad)))], NOW).positions
    assert len(set(zip(got.time.tolist(), got.fingerprint.tolist(), strict=True))) == bad + (bad < 3)


def test_an_empty_batch_is_telemetry_without_rows():
    """It holds nothing, so nothing is lost by saying that it was stored."""
    got = intake.read([encode(0x0704, terminal.batch([]))], NOW)
    assert (got.telemetry.tolist(), len(got.positions)) == ([0], 0)


@pytest.mark.parametrize(("message", "body"), [(0x0200, b"x" * 27), (0x0200, b""), (0x0704, b"ab"),
                                               (0x0704, b"\0\1\0" + b"\0\5short")])  # fmt: skip
def test_a_body_that_does_not_read_is_malformed(message, body):
    """It is answered with result 2 and gives no row; beside it the others are read."""
    got = intake.read([encode(message, body), encode(0x0200, report())], NOW)
    assert (got.malformed.tolist(), got.telemetry.tolist(), len(got.rejects)) == ([0], [1], 0)


@pytest.mark.parametrize("message", [0x0200, 0x0704])
def test_encrypted_and_sub_packaged_reports_are_the_session_s(message):
    """Their bytes are no location, so they are answered by the conversation and never decoded."""
    body = report() if message == 0x0200 else terminal.batch([report()])
    frame = encode(message, body)
    secret = resealed(frame, b2=framing.unescape(frame[1:-1])[2] | 0x04)
    got = intake.read([secret, encode(message, body, part=(2, 1)), frame], NOW)
    assert (got.conversation.tolist(), got.telemetry.tolist()) == ([0, 1], [2])
    assert got.packets.packet(0).encrypted
    assert got.packets.packet(1).part == (2, 1)


def test_every_kind_of_garbage_has_its_reason():
    """Half a packet, a wrong checksum, a wrong length, noise and a megabyte: one reject each, and the rest is read."""
    good = encode(0x0200, report())
    wrong = bytearray(good)
    wrong[-2] ^= 1
    chunks = [
        good[: len(good) // 2] + b"\x7e",
        bytes(wrong),
        resealed(good, b3=0x1D),
        b"abc\x7e",
        b"x" * (1 << 20) + b"\x7e",
        b"GET / HTTP/1.1\r\n\r\n\x7e",
        good,
    ]
    got = intake.read(chunks, NOW)
    assert [Reason(reason).name for reason in got.rejects.reason.tolist()] == [
        "CHECKSUM", "CHECKSUM", "LENGTH", "NOISE", "OVERSIZE", "CHECKSUM",
    ]  # fmt: skip
    assert got.rejects.chunk.tolist() == [0, 1, 2, 3, 4, 5]
    assert len(got.rejects.data[4]) == framing.MAX_WIRE + 1
    assert got.packets.chunk.tolist() == [6]


@pytest.mark.parametrize("step", [1, 7, 50, 4096])
def test_any_split_of_a_connection_gives_the_same_rows(step):
    """Through the framing in pieces of any size: the same positions and the same rejects."""
    frames = [encode(0x0200, report(course=n), EDITIONS[n % 3], serial=n) for n in range(20)]
    stream = b"noise\x7d" + b"".join(frames) + b"y" * 5000 + b"".join(frames)
    left, chunks = b"", []
    for i in range(0, len(stream), step):
        whole, left = framing.split(left, stream[i : i + step])
        chunks += [whole] if whole else []
    got, at_once = intake.read(chunks, NOW), intake.read([stream], NOW)
    assert [row(got.positions, i) for i in range(len(got.positions))] == [
        row(at_once.positions, i) for i in range(len(at_once.positions))
    ]
    assert len(got.positions) == 40
    data = [[each.rejects.data[i] for i in range(len(each.rejects))] for each in (got, at_once)]
    assert data[0] == data[1]
    assert got.rejects.reason.tolist() == at_once.rejects.reason.tolist() == [Reason.NOISE, Reason.OVERSIZE]
