"""A database that was put back to an earlier day, and a log that is another one: the worker stops and /readyz says which.

Nothing is skipped and nothing overwritten, so that with the right one everything is there.
"""

from __future__ import annotations

import asyncio
import subprocess
import time

import httpx
import psycopg
import pytest

from gateway.config import load
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nodes import database_url, nats_url
from tests.plugins.terminals import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
PHONE = "13700000001"
BASE_US = (time.time_ns() // 1_000_000_000 - 3600) * 1_000_000


class Site:
    """The gateway, one terminal of it, and what the database says."""

    def __init__(self, gateway) -> None:
        self.gateway = gateway
        self.settings = load(None, gateway.environment)
        self.reported = 0
        self._code = ""

    def report(self, count: int) -> None:
        """Each acknowledged, so each is owed."""
        end = time.monotonic() + 60
        while True:
            try:
                one = Terminal(self.gateway.jt808_port, PHONE)
                break
            except ConnectionRefusedError:  # it does not listen yet
                assert time.monotonic() < end
                time.sleep(0.1)
        one.code = self._code
        if not self._code:
            assert one.register() == 0
            self._code = one.code
        assert one.authenticate() == 0
        for _ in range(count):
            assert one.report(116.0, 36.5, BASE_US + self.reported * 1_000_000) == 0
            self.reported += 1
        one.close()

    def books(self) -> tuple[int, int]:
        """(rows, sequence of the offset)."""
        with psycopg.connect(database_url(self.settings, "owner")) as connection:
            query = "SELECT (SELECT count(*) FROM position), (SELECT sequence FROM log_offset WHERE partition = 0)"
            return connection.execute(query).fetchone()

    def wait_rows(self, count: int) -> None:
        end = time.monotonic() + 30
        while (found := self.books()[0]) != count:
            assert time.monotonic() < end, f"{found} rows, not {count}"
            time.sleep(0.1)

    def wait_unready(self, *words: str) -> str:
        end = time.monotonic() + 60
        text = ""
        while not text or not all(word in text for word in words):
            assert time.monotonic() < end, text
            time.sleep(0.1)
            try:
                text = "\n".join(httpx.get(f"{self.gateway.base}/readyz", timeout=5).json()["reasons"])
            except httpx.HTTPError:
                text = ""
        return text

    async def trim(self) -> None:
        """What a worker does behind a snapshot: up to the message at it, which stays."""
        client = await connect(nats_url(self.settings, "worker"), "worker")
        await Log(client).trim(0, self.books()[1] - 1)
        await client.close()


def test_the_wrong_database_and_the_wrong_log(gateway_over):
    """Each is named, with what to do; the offset stays where it is; with the right one back every report is stored once."""
    gateway = gateway_over(enrolment="open")
    site = Site(gateway)
    data = gateway.data
    site.report(20)
    site.wait_rows(20)
    gateway.stop()
    subprocess.run(["cp", "--archive", data / "postgres", data / "postgres.earlier"], check=True)
    gateway.start()
    site.report(20)
    site.wait_rows(40)
    asyncio.run(site.trim())
    gateway.stop()

    (data / "postgres").rename(data / "postgres.today")
    (data / "postgres.earlier").rename(data / "postgres")
    gateway.spawn()
    site.report(1)  # the promise is the log's: it holds, whatever the database is
    text = site.wait_unready("was trimmed behind the offset", "accept-loss")
    assert "放弃丢失的数据" in text
    rows, sequence = site.books()
    time.sleep(2)
    assert site.books() == (rows, sequence) == (20, sequence), "nothing is skipped"
    gateway.stop()

    (data / "postgres").rename(data / "postgres.earlier")
    (data / "postgres.today").rename(data / "postgres")
    gateway.start()
    site.wait_rows(41)
    gateway.stop()

    (data / "nats" / "store").rename(data / "nats" / "store.right")
    gateway.spawn()
    text = site.wait_unready("the database follows log POS@", "but this one is POS@")
    assert "数据库记录的日志与当前日志不一致" in text
    before = site.books()
    assert before[0] == 41
    gateway.stop()

    (data / "nats" / "store").rename(data / "nats" / "store.wrong")
    (data / "nats" / "store.right").rename(data / "nats" / "store")
    gateway.start()
    site.report(5)
    site.wait_rows(46)
