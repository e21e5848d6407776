"""Simulated terminals and the load test on real sockets, against a platform of a few lines."""

# ruff: noqa: S311  seeded motion, not secrets

from __future__ import annotations

import asyncio
import json
from random import Random

import pytest
from click.testing import CliRunner

from gateway.commands.load import load
from gateway.commands.simulate import simulate
from gateway.ending import end
from gateway.simulator import connection
from gateway.simulator.fleet import anybody, play
from gateway.simulator.load import Plan, percentile, run
from gateway.simulator.terminal import BATCH, REPORT, Counts
from tests.demo.platform import Platform

REPORT_KEYS = {
    "host", "port", "connections", "connections_wanted", "edition", "seed", "mode", "rate", "duration", "opened_in",
    "sent", "acked", "unanswered", "bad", "errors", "achieved_rate", "p50", "p90", "p99", "p99.9", "max",
}  # fmt: skip


async def until(condition, seconds=10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  whatever the condition is, nobody signals it
            await asyncio.sleep(0.01)


def positions(heard) -> set[bytes]:
    """Bodies of every report heard, alone or in a batch."""
    found = set()
    for message, body in heard:
        if message == REPORT:
            found.add(body)
        elif message == BATCH:
            at = 3
            while at < len(body):
                size = int.from_bytes(body[at : at + 2], "big")
                found.add(body[at + 2 : at + 2 + size])
                at += 2 + size
    return found


@pytest.mark.asyncio
async def test_every_edition_reports() -> None:
    """Six terminals register, authenticate and report."""
    counts = Counts()
    async with Platform() as platform:
        players = anybody(6, 1, 13_910_000_001, interval_s=0.05)
        task = asyncio.create_task(play(players, "127.0.0.1", platform.port, 1, counts))
        await until(lambda: counts.acknowledged >= 30)
        await end(task)
        assert counts.connections == 6
        assert [message for message, _ in platform.heard].count(0x0100) == 6


@pytest.mark.asyncio
async def test_reports_survive_a_cut_connection(monkeypatch) -> None:
    """Everything reported while the platform was silent or away arrives after the reconnect, with nobody registering anew."""
    monkeypatch.setattr(connection, "FIRST_WAIT_S", 0.05)
    counts = Counts()
    async with Platform() as platform:
        players = anybody(2, 1, 13_910_000_001, interval_s=0.05)
        task = asyncio.create_task(play(players, "127.0.0.1", platform.port, 1, counts))
        await until(lambda: counts.acknowledged >= 4)
        platform.silent = True
        reported = counts.reports
        await until(lambda: counts.reports >= reported + 10)
        platform.cut()
        platform.heard.clear()
        platform.silent = False
        await until(lambda: counts.connections == 4)
        await until(lambda: counts.acknowledged >= counts.reports - 4)
        await end(task)
        assert counts.again > 0
        assert counts.dropped == counts.refused == 0
        assert 0x0100 not in {message for message, _ in platform.heard}
        assert len(positions(platform.heard)) >= 2


@pytest.mark.asyncio
async def test_nobody_listens(monkeypatch) -> None:
    """Terminals go on reporting to themselves and try again, ever more slowly."""
    monkeypatch.setattr(connection, "FIRST_WAIT_S", 0.05)
    counts = Counts()
    (player,) = anybody(1, 1, 13_910_000_001, interval_s=0.02)
    async with Platform() as platform:
        port = platform.port
    task = asyncio.create_task(play([player], "127.0.0.1", port, 1, counts))
    await until(lambda: counts.reports > 20)
    await end(task)
    assert counts.connections == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [200.0, None])
async def test_load_report(rate) -> None:
    """Open and closed loop: every report is answered, and the report has its documented keys, latencies in seconds."""
    async with Platform() as platform:
        report = await run(Plan("127.0.0.1", platform.port, 5, rate, 0.5, window=2))
    assert set(report) == REPORT_KEYS
    assert report["mode"] == ("open" if rate else "closed")
    assert report["sent"] == report["acked"] > 20
    assert not rate or report["sent"] == 100
    assert report["bad"] == report["errors"] == report["unanswered"] == 0
    assert 0 < report["p50"] <= report["p90"] <= report["p99"] <= report["p99.9"] <= report["max"] < 2
    json.dumps(report)


@pytest.mark.asyncio
async def test_load_counts_what_goes_wrong() -> None:
    """Answers that are no success are bad; a platform that never answers leaves reports unanswered."""
    async with Platform() as platform:
        platform.refuse = {REPORT}
        report = await run(Plan("127.0.0.1", platform.port, 2, 50, 0.2))
        assert report["bad"] == report["acked"] == report["sent"] == 10


@pytest.mark.asyncio
async def test_load_says_when_nobody_gets_in() -> None:
    async with Platform() as platform:
        platform.refuse = {0x0100}
        with pytest.raises(ConnectionError, match="registration refused"):
            await run(Plan("127.0.0.1", platform.port, 2, 50, 0.2))


def test_percentiles_are_nearest_ranks() -> None:
    rng = Random(3)
    values = sorted(rng.random() for _ in range(1000))
    assert percentile(values, 0.5) == values[500]
    assert percentile(values, 0.999) == values[999]
    assert percentile([1.0], 0.5) == 1.0
    assert percentile([], 0.5) is None


def test_commands_explain_themselves_in_two_languages() -> None:
    for command in (load, simulate):
        text = CliRunner().invoke(command, ["--help"]).output
        assert "terminals" in text
        assert "终端" in text


def test_load_without_a_gateway_fails_plainly() -> None:
    """A reason in both languages and exit status 1, no traceback."""
    result = CliRunner().invoke(load, ["--port", "1", "--connections", "1", "--duration", "0.1"])
    assert result.exit_code == 1
    assert "no terminal got in" in result.output
    assert "没有终端能够接入" in result.output
