"""A bad network to the log or to the database, and neither there at the start: it waits, says so, and goes on by itself."""

from __future__ import annotations

import sys
import time
from urllib.parse import quote

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.e2e.fleet import Fleet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
FAULTS = ("slow", "narrow", "hang", "reset", "half_close", "cut")
HOLDS_S = 1.2
RECOVERS_S = 30.0


def reasons(gateway) -> str:
    try:
        return "\n".join(httpx.get(f"{gateway.base}/readyz", timeout=5).json()["reasons"])
    except httpx.HTTPError as error:
        return repr(error)


def wait_reasons(gateway, present: list[str], absent: list[str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        text = reasons(gateway)
        if all(word in text for word in present) and not any(word in text for word in absent):
            return
        assert time.monotonic() < end, text
        time.sleep(0.1)


def test_every_fault_of_a_network(gateway_over, postgres_server, database, own_nats, chaos_link, tmp_path, capsys):
    """Started without either store it says what is missing; then each fault on each link, and everything is accounted for."""
    known = conninfo_to_dict(database)
    to_log, to_database = chaos_link(own_nats), chaos_link(f"{known['host']}/.s.PGSQL.{known['port']}")
    to_log.cut()
    to_database.cut()
    gateway = gateway_over(
        wait=False,
        nats_url=f"nats://127.0.0.1:{to_log.port}",
        database_url=f"postgresql://{known['user']}:{quote(known['password'], safe='')}"
        f"@127.0.0.1:{to_database.port}/{known['dbname']}",
    )
    wait_reasons(gateway, ["database:", "log:"], [])
    to_log.heal()
    wait_reasons(gateway, ["database:"], ["log:"])
    to_database.heal()
    gateway.wait_ready()
    said = (gateway.data / "serve.log").read_text()
    assert "LEZGATE_DATABASE_URL" in said
    assert "等待数据库" in said
    assert "日志服务连接异常" in said
    assert "child ended" not in said, "a process that waits does not end"

    fleet = Fleet(gateway, tmp_path, 900, pace_s=0.05)
    fleet.start()
    lines = []
    for name, link in (("log", to_log), ("database", to_database)):
        for fault in FAULTS:
            before, begun, passed, taken = len(fleet.times), time.monotonic(), link.passed, link.taken
            getattr(link, fault)()
            time.sleep(HOLDS_S)
            during = len(fleet.times) - before
            link.heal()
            fleet.wait(12, RECOVERS_S)
            gap = fleet.longest_gap_s(begun)
            lines.append(f"{name:9} {fault:11} {during:4} acknowledged meanwhile, longest gap {gap:5.2f} s")
            assert name == "log" or during, f"the database's {fault} held acknowledgements up"
            end, broken = time.monotonic() + RECOVERS_S, fault not in {"slow", "narrow", "hang"}
            while link.passed <= passed or (
                broken and link.taken <= taken
            ):  # acknowledgements don't wait for the database
                assert time.monotonic() < end, f"the {name}'s {fault} broke no connection, or none came back"
                time.sleep(0.05)
    gateway.wait_ready()
    fleet.finish()
    lines.append(str(fleet.audit()))
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
