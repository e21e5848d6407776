"""One packet is one packet: alone, among a thousand others, or in parts; and a stream is a stream, however it is cut."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns.identity import device_of
from columns.positions import DTYPES, Quality
from gateway.edge import hub as hub_module
from protocols.jt808 import framing, terminal
from tests.plugins.edge import Bench, Caller
from tests.protocols.frames import EDITIONS, NOW, batches, locations, pieces

A = "13811111111"
CROWD = 1000
BAD_TIME = int(Quality.BAD_TIME)
relaxed = settings(deadline=None, max_examples=40)
bodies = st.one_of(st.tuples(st.just(0x0200), locations()), st.tuples(st.just(0x0704), batches()))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder for benches; and the hub's clock stands, for the receive time is in some rows."""
    clock = SimpleNamespace(
        monotonic=lambda: 1000.0, time_ns=lambda: NOW * 1000, clock_gettime_ns=lambda _: 0, CLOCK_BOOTTIME=0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_module, "time", clock)
        yield tmp_path_factory.mktemp("lanes")


def known(bench: Bench, phone: str = A) -> Caller:
    """A terminal whose authentication is already on the wire."""
    one = bench.caller(phone)
    one.say(one.authenticate())
    return one


def told(bench: Bench, phone: str = A) -> list[dict]:
    """The rows of one terminal, as the log has them."""
    return [
        {name: getattr(batch.positions, name)[i].item() for name in DTYPES if name != "packet"}
        | {"extras": batch.positions.extras[i]}
        for batch in bench.log.batches
        for i in range(len(batch.positions))
        if batch.positions.device[i] == device_of(phone)
    ]


def framed(one: Caller, edition: str, message: int, body: bytes) -> bytes:
    one.serial += 1
    return framing.encode(message, body, terminal.phone_bcd(one.phone, edition), edition, one.serial)


async def alone(place, frames) -> tuple[list[dict], bytes]:
    """(rows, everything that was replied) of what ``frames`` makes for a terminal that is the only one."""
    bench = Bench(place)
    one = known(bench)
    await bench.settle()
    one.say(*frames(one))
    await bench.settle()
    return told(bench), one.transport.written


@given(st.lists(bodies, min_size=1, max_size=3), st.sampled_from(EDITIONS), st.integers(0, 2**32))
@settings(deadline=None, max_examples=12)
def test_among_a_thousand_others(place, said, edition, seed):
    """Rows and reply bytes of a packet are the same in a batch of one and in one of a thousand."""
    crowd = [terminal.location(NOW + seed % 1000 * 1_000_000 + i, 110 + i / 1e4, 30 + i / 1e4) for i in range(CROWD)]

    async def among() -> tuple[list[dict], bytes]:
        bench = Bench(place, 1 + seed % 3)
        one = known(bench)
        others = [known(bench, f"139{i:08}") for i in range(10)]
        await bench.settle()
        for i, body in enumerate(crowd):
            others[i % 10].say(others[i % 10].frame(0x0200, body))
            if i == seed % CROWD:
                one.say(*[framed(one, edition, *each) for each in said])
        await bench.settle()
        for other in others:
            assert other.results(0x0200) == [0] * (CROWD // 10)
        return told(bench), one.transport.written

    lane1 = asyncio.run(alone(place, lambda one: [framed(one, edition, *each) for each in said]))
    assert asyncio.run(among()) == lane1


@given(bodies, st.sampled_from(EDITIONS), st.integers(1, 40))
@relaxed
def test_in_parts(place, said, edition, count):
    """Cut into sub-packages, it comes to the same rows but for the serial number, and to the same result."""
    message, body = said
    size = max(1, -(-len(body) // count))
    cuts = [body[i : i + size] for i in range(0, len(body), size)] or [b""]

    def parts(one: Caller) -> list[bytes]:
        bcd = terminal.phone_bcd(one.phone, edition)
        first, one.serial = one.serial + 1, one.serial + len(cuts)
        return [framing.encode(message, cut, bcd, edition, first + i, (len(cuts), i + 1)) for i, cut in enumerate(cuts)]

    whole, answer = asyncio.run(alone(place, lambda one: [framed(one, edition, message, body)]))
    gathered, answers = asyncio.run(alone(place, parts))
    for rows in (whole, gathered):
        for row in rows:
            del row["serial"]
            if row["quality"] & BAD_TIME:  # such a fingerprint is of the whole packet, its header too
                del row["fingerprint"]
    assert gathered == whole
    *parted, last = results(answers)
    assert parted[1:] == [0] * (len(cuts) - 1)
    assert last == results(answer)[-1]


def results(written: bytes) -> list[int]:
    return [reply.result for run in written.split(b"\x7e") if run and (reply := terminal.read_reply(run))]


async def cut(place, stream: bytes, cuts: list[int], lingers: set[int]) -> tuple[object, ...]:
    """What comes of a stream that arrives in these pieces, with the end of a linger after some of them."""
    bench = Bench(place)
    one = known(bench)
    await bench.settle()
    bounds = sorted({0, len(stream), *(at for at in cuts if at < len(stream))})
    for n, (begin, end) in enumerate(pairwise(bounds)):
        one.connection.data_received(stream[begin:end])
        if n in lingers:
            await bench.settle()
    await bench.settle()
    bench.hub.appender.flush_counts()
    await bench.settle()
    letters = [
        (batch.dead_letters.device[i].item(), batch.dead_letters.reason[i].item(), batch.dead_letters.data[i])
        for batch in bench.log.batches
        for i in range(len(batch.dead_letters.device))
    ]
    rejected = sum((batch.rejected.get(name, 0) for batch in bench.log.batches for name in batch.rejected), 0)
    replies = sorted((packet.message, packet.phone, packet.body) for packet in one.heard)
    return told(bench), bench.hub.counts, rejected, sorted(letters), bench.log.records, replies


@given(st.data(), st.lists(pieces, max_size=6))
@relaxed
def test_any_split_of_a_stream(place, data, noise):
    """Byte by byte, in halves, in lingers of their own: the same rows, counts, letters, records and replies."""
    own = data.draw(st.lists(bodies, max_size=4))
    bcd = terminal.phone_bcd(A, "2013")
    mine = [framing.encode(message, body, bcd, "2013", i + 2) for i, (message, body) in enumerate(own)]
    mine += [framing.encode(0x0705, b"can", bcd, "2013", 50), framing.encode(0x0002, b"", bcd, "2013", 51)]
    stream = b"".join(data.draw(st.permutations([*noise, *mine]))) + b"\x7e"
    cuts = data.draw(st.lists(st.integers(1, len(stream)), max_size=20))
    if data.draw(st.booleans()):
        cuts = list(range(len(stream)))
    lingers = data.draw(st.sets(st.integers(0, 20), max_size=4))
    assert asyncio.run(cut(place, stream, cuts, lingers)) == asyncio.run(cut(place, stream, [], set()))
