"""Exemptions: whom, where and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofence.exemptions import Exemption, Exemptions
from geofence.fence import FOREVER
from geofence.machines import Machine


def granted(number, kind, value, zone=None, since=0, until=None):
    return Exemption(number, kind, value, zone, since, until, "张三", "应急抢险", "聊环函〔2026〕3号")


def found(exemptions, machine, zone=1, at=0):
    exemption, _, _ = Exemptions(exemptions).find(zone, machine, at)
    return None if exemption is None else exemption.id


@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [("machine", 7, Machine(8)), ("owner", "甲公司", Machine(7, owner="乙公司")),
     ("project", "徒骇河大桥", Machine(7)), ("purpose", "应急抢险", Machine(7, purpose="甲公司"))],
)  # fmt: skip
def test_whom(kind, value, other):
    """The machine itself, or its owner, project or purpose, word for word; no text stands for a missing one."""
    machine = Machine(7, owner="甲公司", project="徒骇河大桥", purpose="应急抢险")
    assert found([granted(1, kind, value)], machine) == 1
    assert found([granted(1, kind, value)], other) is None


def test_where():
    """One zone, or all of them."""
    machine = Machine(7)
    assert found([granted(1, "machine", 7, zone=1)], machine, zone=1) == 1
    assert found([granted(1, "machine", 7, zone=1)], machine, zone=2) is None
    assert found([granted(1, "machine", 7)], machine, zone=2) == 1


def test_when():
    """From its first moment until just before its last; without an end for ever."""
    machine = Machine(7)
    dated = [granted(1, "machine", 7, since=100, until=200)]
    assert [found(dated, machine, at=at) for at in (99, 100, 199, 200)] == [None, 1, 1, None]
    assert found([granted(1, "machine", 7, since=100)], machine, at=10**18) == 1


def test_the_edges():
    """Of those that are about the machine in this zone, and of no others."""
    exemptions = Exemptions([
        granted(1, "machine", 7, since=100, until=200), granted(2, "machine", 8, since=120),
        granted(3, "machine", 7, zone=2, since=130),
    ])  # fmt: skip
    assert [exemptions.find(1, Machine(7), at)[1:] for at in (99, 150, 200)] == [
        (-FOREVER, 100),
        (100, 200),
        (200, FOREVER),
    ]


def test_the_eldest_of_several():
    """Which one is named does not depend on the order they came in."""
    machine = Machine(7, owner="甲公司")
    several = [granted(3, "machine", 7), granted(2, "owner", "甲公司"), granted(4, "owner", "甲公司")]
    assert found(several, machine) == found(several[::-1], machine) == 2


some = st.builds(
    granted,
    st.integers(1, 99),
    st.just("machine"),
    st.integers(7, 8),
    st.sampled_from([None, 1, 2]),
    st.integers(0, 30),
    st.none() | st.integers(31, 60),
)


@given(st.lists(some, max_size=6, unique_by=lambda each: each.id), st.integers(-5, 65))
def test_nothing_changes_within_the_edges(exemptions, at):
    """The same exemption at every time between them."""
    named, since, until = Exemptions(exemptions).find(1, Machine(7), at)
    assert since <= at < until
    for other in range(max(since, -10), min(until, 70)):
        assert found(exemptions, Machine(7), at=other) == (named and named.id)
