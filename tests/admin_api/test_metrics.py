"""/readyz and /metrics: reasons for people, and figures that a real parser of Prometheus's format reads."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg.types.json import Jsonb

from admin_api.app import build
from admin_api.metrics import Family, Sample, buckets, render
from admin_api.state import Options
from gateway.histogram import Histogram

pytestmark = pytest.mark.asyncio
AWAY = "postgresql://nobody@127.0.0.1:1/nothing"


class Hall(SimpleNamespace):
    """What the hall would say: every kind of figure, from an edge, a worker and a release before ours."""

    def __init__(self, *reasons: str) -> None:
        ack = Histogram((0.05, 1.0))
        ack.observe(0.03, 9)
        ack.observe(0.2)
        edge = {
            "pid": 7, "host": "a", "ready": True, "connections": 3, "paused": False, "pending_bytes": 0,
            "appended_batches": 5, "counts": {"checksum": 2, "13700001234": 1, "x1f00": 1},
            "ack_latency": ack.to_json(), "nats_reconnects": 1, "clock_ahead_s": -90.5, "resident_bytes": 1000,
        }  # fmt: skip
        worker = {
            "pid": 8, "host": "b", "ready": False,
            "partitions": {
                "0": {"owned": True, "lag_s": 0.5, "commits": 4, "rows": 40, "parked": 1},
                "1": {"owned": False, "lag_s": 9.0, "commits": 0, "rows": 0},
            },
        }  # fmt: skip
        said = [("edge", edge), ("worker", worker), ("worker", {"pid": 9, "ready": True, "partitions": {}})]
        log = {
            "bytes": 10, "max_bytes": 100, "last_sequence": 7, "batches": {"1": 3}, "partitions": 2,
            "replicas": {"current": 2, "missing": 1},
        }  # fmt: skip
        self.told = list(reasons)
        super().__init__(
            reasons=lambda: self.told,
            statuses=lambda: said,
            own=lambda: {"pid": 1, "host": "c"},
            log=lambda: log,
            warnings=lambda: ["edge a: the server's clock is ahead | 服务器时钟偏快"],
        )


@contextlib.asynccontextmanager
async def asked(options: Options):
    app = build(options)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://lezgate") as client:
            yield client


async def families(client: httpx.AsyncClient) -> dict:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = list(text_string_to_metric_families(answer.text))
    names = [one.name for one in found]
    assert len(names) == len(set(names)), "a family is shown once"
    return {one.name: one for one in found}


def value(found: dict, family: str, suffix: str = "", **labels: str) -> float:
    (sample,) = [s for s in found[family].samples if s.name == family + suffix and s.labels == labels]
    return sample.value


async def test_readiness(api_database):
    """Ready when the database is and the hall has no reason against it."""
    hall = Hall()
    async with asked(Options(api_database, health=hall)) as client:
        for _ in range(200):
            ready = await client.get("/readyz")
            if ready.status_code == 200:
                break
        clock = "edge a: the server's clock is ahead | 服务器时钟偏快"
        assert ready.json() == {"status": "ok", "reasons": [], "warnings": [clock]}
        hall.told.append("log: not connected | 日志服务未连接")
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["reasons"]) == (503, ["log: not connected | 日志服务未连接"])
        assert value(await families(client), "lezgate_unready_reasons") == 1


async def test_the_figures_of_the_database(facts, api_database):
    """The counters of law 8 by partition; alarms, terminals, dead letters and the epoch."""
    facts.run(
        "INSERT INTO log_offset (partition, stream, stored, duplicate, quarantined, rejected) VALUES (0, 's', 10, 2, 1, %s)",
        Jsonb({"checksum": 3}),
    )
    facts.alarm()
    facts.run("INSERT INTO terminal_refused (phone) VALUES ('1')")
    facts.run(
        "INSERT INTO dead_letter (partition, sequence, device, received, reason, data) VALUES (0, 1, 2, now(), 'body', '')"
    )
    async with asked(Options(api_database, health=Hall())) as client:
        found = await families(client)
    assert value(found, "lezgate_positions", "_total", partition="0", outcome="stored") == 10
    assert value(found, "lezgate_positions", "_total", partition="0", outcome="duplicate") == 2
    assert value(found, "lezgate_positions", "_total", partition="0", outcome="quarantined") == 1
    assert value(found, "lezgate_rejected", "_total", partition="0", reason="checksum") == 3
    assert value(found, "lezgate_alarms", state="new") == 1
    assert value(found, "lezgate_alarms", state="closed") == 0
    assert value(found, "lezgate_terminals", state="refused") == 1
    assert value(found, "lezgate_terminals_quarantined") == 0
    assert value(found, "lezgate_enrolment_dropped", "_total") == 0
    assert value(found, "lezgate_dead_letters", reason="body") == 1
    assert value(found, "lezgate_rules_epoch") >= 1
    assert value(found, "lezgate_retention_dropped", "_total", kind="position") == 0
    assert found["lezgate_last_backup_time_seconds"].samples == []
    assert value(found, "lezgate_database_up") == 1


async def test_the_figures_of_processes_and_log(api_database):
    """By role, host and pid; the lag by partition from its owner alone; a name that is none of ours is not shown."""
    async with asked(Options(api_database, health=Hall())) as client:
        found = await families(client)
    edge = {"role": "edge", "host": "a", "pid": "7"}
    worker = {"role": "worker", "host": "b", "pid": "8"}
    assert value(found, "lezgate_process_ready", **edge) == 1
    assert value(found, "lezgate_process_ready", **worker) == 0
    assert value(found, "lezgate_connections", **edge) == 3
    assert value(found, "lezgate_appended_batches", "_total", **edge) == 5
    assert [s.labels["what"] for s in found["lezgate_edge_events"].samples] == ["checksum"]
    assert value(found, "lezgate_nats_reconnects", "_total", **edge) == 1
    assert value(found, "lezgate_partition_owned", **worker, partition="1") == 0
    assert [(s.labels, s.value) for s in found["lezgate_lag_seconds"].samples] == [({"partition": "0"}, 0.5)]
    assert value(found, "lezgate_committed_positions", "_total", **worker, partition="0") == 40
    assert value(found, "lezgate_parked", "_total", **worker, partition="0") == 1
    assert value(found, "lezgate_clock_ahead_seconds", **edge) == -90.5
    assert value(found, "lezgate_log_batches", partition="0") == 0
    assert value(found, "lezgate_log_batches", partition="1") == 3
    assert value(found, "lezgate_log_replicas", state="missing") == 1


async def test_a_histogram_adds_up(api_database):
    """Buckets hold all that is at most their bound, the last one everything; sum and count beside them."""
    async with asked(Options(api_database, health=Hall())) as client:
        found = await families(client)
    edge = {"role": "edge", "host": "a", "pid": "7"}
    name = "lezgate_ack_latency_seconds"
    assert found[name].type == "histogram"
    assert [value(found, name, "_bucket", **edge, le=le) for le in ("0.05", "1", "+Inf")] == [9, 10, 10]
    assert value(found, name, "_count", **edge) == 10
    assert value(found, name, "_sum", **edge) == pytest.approx(0.47)
    with pytest.raises(ValueError, match="zip"):
        buckets({}, {"le": [1.0], "counts": [1], "sum": 0})


async def test_without_a_database_the_families_are_there_and_empty(monkeypatch):
    """A collector sees a gap, never a counter that went back; what the processes say is shown all the same."""
    monkeypatch.setattr("admin_api.health._PROBE_SECONDS", 0.3)
    async with asked(Options(AWAY, health=Hall())) as client:
        found = await families(client)
        assert (await client.get("/livez")).status_code == 200
        (reason,) = (await client.get("/readyz")).json()["reasons"]
    assert reason.startswith("database: it does not answer")
    assert "LEZGATE_DATABASE_URL" in reason.split(" | ")[0]
    assert "LEZGATE_DATABASE_URL" in reason.split(" | ")[1]
    assert value(found, "lezgate_database_up") == 0
    assert found["lezgate_positions"].samples == []
    assert value(found, "lezgate_connections", role="edge", host="a", pid="7") == 3


async def test_a_table_too_long_to_be_counted_takes_only_its_own_figures(monkeypatch, api_database):
    """The books are shown, the database is up; a collector sees a gap in the counts."""
    monkeypatch.setattr("admin_api.health._PROBE_SECONDS", 0.5)

    async def slow(connection):
        await connection.execute("SELECT pg_sleep(5)")

    async with asked(Options(api_database, health=Hall())) as client:
        assert (await families(client))["lezgate_alarms"].samples
        monkeypatch.setattr("admin_api.database_metrics.counts", slow)
        found = await families(client)
    assert value(found, "lezgate_database_up") == 1
    assert value(found, "lezgate_rules_epoch") >= 1
    assert found["lezgate_alarms"].samples == []


async def test_the_lag_is_shown_while_a_worker_lost_its_database(monkeypatch):
    """It owns nothing then, and that is when the lag matters."""
    monkeypatch.setattr("admin_api.health._PROBE_SECONDS", 0.3)
    hall = Hall()
    lost = {"0": {"owned": False, "trouble": "connection refused", "lag_s": 42.0}, "1": {"owned": False, "lag_s": 7.0}}
    hall.statuses = lambda: [("worker", {"pid": 1, "ready": False, "partitions": lost})]
    async with asked(Options(AWAY, health=hall)) as client:
        found = await families(client)
    assert [(s.labels, s.value) for s in found["lezgate_lag_seconds"].samples] == [({"partition": "0"}, 42.0)]


async def test_labels_are_escaped():
    """A label that holds a quote or a line break cannot forge a sample."""
    body = bytes(render([Family("x", "gauge", "X.", [Sample({"a": 'b"\n\\'}, 1)])]).body).decode()
    assert body.splitlines()[-1] == r'x{a="b\"\n\\"} 1'
    (family,) = text_string_to_metric_families(body)
    assert family.samples[0].labels == {"a": 'b"\n\\'}


async def test_every_metric_is_documented(monkeypatch):
    """In the table of docs/operations.md, and nothing stands there that is not shown."""
    monkeypatch.setattr("admin_api.health._PROBE_SECONDS", 0.1)
    async with asked(Options(AWAY)) as client:
        shown = re.findall(r"^# TYPE (\S+)", (await client.get("/metrics")).text, re.MULTILINE)
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert sorted(re.findall(r"^\| `(lezgate_\w+)` \|", text, re.MULTILINE)) == sorted(shown)
