"""The tracer: who may order it, what it shows of a terminal and hides of its code, and that a busy one costs little."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import trace_order
from gateway.edge.followed import MOST_LINES, SPARED, Followed
from gateway.edge.shown import CUT, shown
from gateway.edge.tracer import MOST_FOLLOWED, MOST_ORDERS
from gateway.trace_order import GOOD_FOR_US, MOST_GOOD_FOR_US, Order, OrderError, derive_key, read, sign
from protocols.jt808 import framing, terminal
from protocols.jt808.phone import identity as identity_of
from tests.plugins.edge import KEY

A, B = "13811111111", "13822222222"
ORDER_KEY = derive_key(KEY)
PHONES = st.from_regex(r"[1-9][0-9]{0,11}", fullmatch=True)


def now_us() -> int:
    return time.time_ns() // 1000


class Watch:
    """What a bench's tracer publishes, by subject."""

    def __init__(self, bench) -> None:
        self.bench = bench
        self.messages: list[tuple[str, bytes]] = []
        bench.hub.tracer.open(ORDER_KEY, lambda subject, data: self.messages.append((subject, data)))

    def follow(self, identity: str, audit: int = 7, until: int | None = None) -> None:
        until = now_us() + GOOD_FOR_US if until is None else until
        self.bench.hub.tracer.order(sign(Order(audit, identity, until), ORDER_KEY))

    async def events(self, kind: str = "", audit: int = 7) -> list[dict]:
        await self.bench.settle()
        await asyncio.sleep(0)
        found = [one for subject, data in self.messages if subject == f"trace.frames.{audit}"
                 for one in orjson.loads(data)]  # fmt: skip
        return [one for one in found if not kind or one["kind"] == kind]

    async def lines(self) -> list[tuple]:
        """(kind, message id, reason or result) of each event."""
        found = []
        for one in await self.events():
            packet = one.get("packet", {})
            result = packet.get("body", {}).get("result") if one["kind"] == "sent" else None
            found.append((one["kind"], packet.get("message_id", one.get("message_id")), one.get("reason", result)))
        return found


@pytest.fixture
def watch(edge_bench):
    """Makes a Watch on a bench; inside a test that runs in a loop."""
    return lambda: Watch(edge_bench())


# ---- orders ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 2**53), PHONES, st.integers(1, MOST_GOOD_FOR_US))
def test_an_order_is_read_as_it_was_signed(audit, phone, good_for):
    """While it is good, by who has the key, and by nobody else."""
    order = Order(audit, phone, 1_000_000 + good_for)
    data = sign(order, ORDER_KEY)
    assert read(data, ORDER_KEY, 1_000_000) == order
    with pytest.raises(OrderError, match="unsigned"):
        read(data, derive_key(b"another installation's key"), 1_000_000)
    with pytest.raises(OrderError, match="expired"):
        read(data, ORDER_KEY, order.until)
    with pytest.raises(OrderError, match="expired"):
        read(data, ORDER_KEY, order.until - MOST_GOOD_FOR_US - 1)


@given(st.sampled_from(["audit", "identity", "until"]), st.integers(1, 1000))
def test_no_field_of_an_order_can_be_changed(field, by):
    """Neither the audit's row nor the terminal nor the time."""
    said = orjson.loads(sign(Order(5, A, 1_000_000), ORDER_KEY))
    said[field] = str(int(said[field]) + by) if field == "identity" else said[field] + by
    with pytest.raises(OrderError, match="unsigned"):
        read(orjson.dumps(said), ORDER_KEY, 0)


ANYTHING = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5) | st.lists(st.none())


@given(
    st.binary(max_size=2000)
    | ANYTHING.map(orjson.dumps)
    | st.fixed_dictionaries(dict.fromkeys(("audit", "identity", "until", "mac"), ANYTHING)).map(orjson.dumps)
)
def test_what_is_no_order_is_refused(data):
    """Whatever it is, with a reason."""
    with pytest.raises(OrderError):
        read(data, ORDER_KEY, 0)


async def test_orders_that_are_refused_are_counted(watch):
    """Unsigned, expired, malformed, and more terminals or tracers than are followed."""
    one = watch()
    tracer, counts = one.bench.hub.tracer, one.bench.hub.counts
    tracer.order(sign(Order(1, A, now_us() + GOOD_FOR_US), b"other"))
    tracer.order(b"{")
    one.follow(A, until=now_us() - 1)
    one.follow(A, until=now_us() + 10 * MOST_GOOD_FOR_US)
    assert not tracer.following
    for i in range(MOST_FOLLOWED + 2):
        one.follow(f"1390000000{i}")
    for audit in range(1, MOST_ORDERS + 2):
        one.follow("13900000000", audit)
    assert len(tracer.following) == MOST_FOLLOWED
    wanted = {"unsigned": 1, "malformed": 1, "expired": 2, "too_many": 4}
    assert {name: counts[f"trace_refused_{name}"] for name in wanted} == wanted


async def test_an_order_is_forgotten_when_its_time_is_over(watch):
    """Who traces repeats it; where nobody does, it ends, and nothing more is published."""
    one = watch()
    caller = await one.bench.known(A)
    one.follow(A, until=now_us() + 50_000)
    assert one.bench.hub.tracer.following
    await asyncio.sleep(0.06)
    caller.say(caller.report())
    assert await one.events("received") == []
    assert not one.bench.hub.tracer.following


# ---- what is shown -----------------------------------------------------------------------------------------------------


async def test_nobody_traces(watch):
    """Nothing is published, and nothing kept."""
    one = watch()
    caller = await one.bench.known(A)
    caller.say(caller.report(), b"\x7e\x01\x7e")
    assert await one.events() == []
    assert one.bench.hub.tracer.following == {}


async def test_a_terminal_comes_in(watch):
    """Registration, authentication and a report, and what each was answered, in order; no other terminal's."""
    one = watch()
    caller, other = one.bench.caller(A), await one.bench.known(B)
    one.follow(A)
    for frame in (
        lambda: caller.frame(0x0100, terminal.register("2013")),
        caller.authenticate,
        caller.report,
        lambda: caller.frame(0x0002),
    ):
        caller.say(frame())
        other.say(other.report())
        await one.bench.settle()
    assert await one.lines() == [
        ("edge", None, None),
        ("received", "0x0100", None), ("sent", "0x8100", 0),
        ("received", "0x0102", None), ("sent", "0x8001", 0),
        ("received", "0x0200", None), ("sent", "0x8001", 0),
        ("received", "0x0002", None), ("sent", "0x8001", 0),
    ]  # fmt: skip
    report = (await one.events("received"))[2]
    assert report["packet"]["body"]["longitude"] == 116.0
    assert framing.checksum(bytes.fromhex(report["hex"])) == 0
    assert len({event["connection"] for event in (await one.events())[1:]}) == 1


async def test_a_code_is_never_published(watch):
    """Neither the one that is given out nor one that is wrong, in text or in hex."""
    one = watch()
    caller = one.bench.caller(A)
    one.follow(A)
    code, wrong = one.bench.registry.code(A, 1), "WRONG-SECRET"
    caller.say(
        caller.frame(0x0102, terminal.authenticate("2013", wrong)), caller.frame(0x0100, terminal.register("2013"))
    )
    caller.say(caller.authenticate())
    given_out, first, second = [
        event for event in await one.events() if event.get("packet", {}).get("message_id") in {"0x8100", "0x0102"}
    ][-1:] + (await one.events("received"))[::2]  # fmt: skip
    assert given_out["packet"]["body"]["code"] == code[:2] + CUT == second["packet"]["body"]["code"]
    assert first["packet"]["body"]["code"] == wrong[:2] + CUT
    everything = b"".join(data for _, data in one.messages)
    for secret in (code, wrong):
        assert secret[2:].encode() not in everything
        assert secret[2:].encode().hex().encode() not in everything


@given(
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567鉴权码", min_size=3, max_size=40), st.sampled_from(["2011", "2013", "2019"]),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_a_code_is_hidden_in_every_edition(code, edition, answered, damaged):
    """Two characters at most, whether the packet is intact or not, and nothing of the bytes that follow them."""
    if answered:
        message, body = 0x8100, b"\x00\x01\x00" + code.encode("gb18030")
    else:
        message, body = 0x0102, terminal.authenticate(edition, code)
    data = framing.unescape(framing.encode(message, body, terminal.phone_bcd(A, edition), edition, 1)[1:-1])
    if damaged:
        data = data[:-1] + bytes([data[-1] ^ 1])
    said = shown(data)
    assert said["hex"].endswith(CUT)
    at = data.find(code.encode("gb18030"))
    assert len(said["hex"]) // 2 <= at + len(code[:2].encode("gb18030"))
    assert code[:3] not in orjson.dumps(said).decode()


async def test_refusals_have_their_reason(watch):
    """A stranger's report, a message before authentication, a wrong code: refused first, then answered."""
    one = watch()
    caller = one.bench.caller(A)
    one.follow(A)
    caller.say(caller.frame(0x0102, terminal.authenticate("2013", "NOT THE CODE")))
    await one.bench.settle()
    caller.say(caller.frame(0x0900, b"x"))
    await one.bench.settle()
    caller.say(caller.report())
    assert (await one.lines())[1:] == [
        ("received", "0x0102", None), ("refused", "0x0102", "bad_code"), ("sent", "0x8001", 1),
        ("received", "0x0900", None), ("refused", "0x0900", "not_authenticated"), ("sent", "0x8001", 1),
        ("received", "0x0200", None), ("refused", "0x0200", "not_authenticated"), ("sent", "0x8001", 1),
    ]  # fmt: skip
    assert [event["serial"] for event in await one.events("refused")] == [1, 2, 3]


async def test_what_is_no_packet(watch):
    """A wrong checksum by its phone alone, on a connection that said nothing else; any noise where the terminal speaks."""
    one = watch()
    caller, stranger = one.bench.caller(A), one.bench.caller(B)
    one.follow(A)
    wrong = bytearray(caller.frame(0x0002))
    wrong[-2] ^= 1
    stranger.say(b"\x7e\x01\x02\x7e")
    caller.say(b"\x7e\x03\x04\x7e")
    caller.say(bytes(wrong))
    await one.bench.settle()
    caller.say(b"\x7e\x05\x06\x7e", caller.frame(0x0200, bytes(27)))
    found = [(event["reason"], event["hex"]) for event in await one.events("received") if "reason" in event]
    assert found[0] == ("checksum", bytes(wrong[1:-1]).hex())
    assert [reason for reason, _ in found] == ["checksum", "body", "noise"]
    assert found[2] == ("noise", "0506")


async def test_endings(watch):
    """Replaced by a newer connection, and hung up; a guest's end on a connection that others use; each once."""
    one = watch()
    old = await one.bench.known(A)
    one.follow(A)
    new = await one.bench.known(A)
    old.lost()
    new.lost()
    assert [event["reason"] for event in await one.events("closed")] == ["replaced", "hung_up"]
    assert len({event["connection"] for event in await one.events("closed")}) == 2
    platform = await one.bench.known(B)
    platform.say(platform.authenticate(A))
    await one.bench.settle()
    await one.bench.known(A)
    assert [event["reason"] for event in await one.events("closed")][2:] == ["replaced"]


async def test_the_edge_says_what_it_knows(watch):
    """At the first order of each tracer: whether the terminal is listed, and whether it speaks here; then no more."""
    one = watch()
    await one.bench.known(A)
    one.bench.registry.replace(1, [[A, 1, "registered", "371502"], ["139", 1, "registered"], ["140", 2, "revoked"]])
    for audit, identity in enumerate((A, A, "139", "140", B), 1):
        one.follow(identity, audit)
        one.follow(identity, audit)
    found = [(await one.events("edge", audit)) for audit in range(1, 6)]
    assert [len(events) for events in found] == [1, 1, 1, 1, 1]
    assert [events[0]["registry"] for events in found] == ["enrolled", "enrolled", "no_machine", "revoked", "open"]
    assert [events[0]["speaks_here"] for events in found] == [True, True, False, False, False]
    one.bench.registry.enrol = False
    one.follow("141", 6)
    assert (await one.events(audit=6))[0]["registry"] == "unknown"


# ---- cost --------------------------------------------------------------------------------------------------------------


async def test_a_flood_is_bounded_and_counted(watch, monkeypatch):
    """A second has so many lines; every other frame is in a count, and refusals still come through."""
    clock = [now_us()]
    monkeypatch.setattr(time, "time_ns", lambda: clock[0] * 1000)
    one = watch()
    caller = await one.bench.known(A)
    one.follow(A)
    for _ in range(3):
        caller.say(*[caller.report(i) for i in range(400)])
        await one.bench.settle()
        caller.say(caller.frame(0x0F77))
        await one.bench.settle()
        clock[0] += 1_000_000
    one.follow(A)
    events = await one.events()
    kinds = Counter(event["kind"] for event in events)
    assert kinds["received"] == 3 * (MOST_LINES - SPARED)
    assert kinds["refused"] == 3
    assert sum(event["count"] for event in events if event["kind"] == "left_out") + kinds["received"] == 3 * 2 * 401
    assert max(len(data) for _, data in one.messages) < 256 * 1024


@given(st.lists(st.tuples(
    st.one_of(PHONES.map(lambda phone: terminal.phone_bcd(phone, "2013")), st.binary(min_size=6, max_size=6),
              st.sampled_from([b"\x7d\x7e\x7d\x01\x7e\x02", b"\x00\x00\x00\x00\x00\x01"])),
    st.binary(max_size=12)), min_size=1, max_size=8), st.integers(0, 7))  # fmt: skip
def test_frames_are_found_by_their_phone(packets, which):
    """The same as taking all of them apart, also where the phone is among the bytes of others."""
    frames = [framing.encode(0x8001, body, phone, "2013", i) for i, (phone, body) in enumerate(packets)]
    identity = identity_of(packets[which % len(packets)][0])
    data, begin, wanted = b"".join(frames), 0, []
    for frame, (phone, _) in zip(frames, packets, strict=True):
        if identity_of(phone) == identity:
            wanted.append((begin + 1, framing.unescape(frame[1:-1])))
        begin += len(frame)
    assert list(Followed(identity).frames(data)) == wanted
    assert trace_order.frames_subject(3) == "trace.frames.3"
