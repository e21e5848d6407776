"""Edges, workers and an api each by itself, with the environment of compose.yaml: as on several machines."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from protocols.jt808 import terminal
from tests.deploy.cluster import PASSWORDS, Cluster
from tests.plugins.serve import LEZGATE, free_port
from tests.plugins.terminals import Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
COMPOSE = yaml.safe_load((Path(__file__).resolve().parents[2] / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
TERMINALS, REPORTS = 4, 10
BEGUN = time.time_ns() // 1000 - 86_400_000_000  # yesterday: what is older than LEZGATE_TRACK_DAYS is dropped


class Machines:
    """Two edges on one port, two workers, one api; ``processes``: role to those that were started."""

    def __init__(self, directory: Path, cluster: Cluster, databases: dict[str, str]) -> None:
        self.directory = directory
        self.cluster = cluster
        self.databases = databases
        self.jt808, self.http = free_port(), free_port()
        self.processes: dict[str, list[subprocess.Popen[bytes]]] = {"edge": [], "worker": [], "api": []}
        self.base = f"http://127.0.0.1:{self.http}"

    def environment(self, role: str) -> dict[str, str]:
        """compose.yaml's, with this machine's addresses in place of its names."""
        given = dict(COMPOSE["services"][role]["environment"])
        for i, port in enumerate(self.cluster.clients):
            given["LEZGATE_NATS_URL"] = given["LEZGATE_NATS_URL"].replace(f"nats-{i + 1}:4222", f"127.0.0.1:{port}")
        given["LEZGATE_NATS_URL"] = re.sub(r"\$\{NATS_\w+:\?\}", PASSWORDS[role], given["LEZGATE_NATS_URL"])
        if "LEZGATE_DATABASE_URL" in given:
            given["LEZGATE_DATABASE_URL"] = self.databases[role]
        return given | {
            "LEZGATE_AUTH_KEY": "ab" * 32,
            "LEZGATE_BLOBS_URL": str(self.directory / "blobs"),
            "LEZGATE_JT808_HOST": "127.0.0.1",
            "LEZGATE_JT808_PORT": str(self.jt808),
            "LEZGATE_HTTP_HOST": "127.0.0.1",
            "LEZGATE_HTTP_PORT": str(self.http),
            "LEZGATE_PUBLIC_URL": self.base,
            "LEZGATE_ENROLMENT": "open",
            "LEZGATE_LOG_MAX_BYTES": "67108864",
        }

    def start(self, role: str) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("LEZGATE_")}
        number = len(self.processes[role])
        data = {"LEZGATE_DATA_DIR": str(self.directory / f"{role}-{number}")}
        with (self.directory / f"{role}-{number}.log").open("wb") as log:
            words = [LEZGATE, *COMPOSE["services"][role]["command"]]
            process = subprocess.Popen(words, env={**own, **self.environment(role), **data}, stdout=log, stderr=log)
        self.processes[role].append(process)

    def kill(self, role: str) -> None:
        self.processes[role][0].send_signal(signal.SIGKILL)

    def wait_ready(self) -> None:
        end, answer = time.monotonic() + 60, "nothing"
        while time.monotonic() < end:
            try:
                response = httpx.get(f"{self.base}/readyz", timeout=5)
                if response.status_code == 200:
                    return
                answer = response.text
            except httpx.TransportError as error:
                answer = repr(error)
            time.sleep(0.2)
        logs = "\n".join(path.read_text()[-1500:] for path in sorted(self.directory.glob("*.log")))
        raise TimeoutError(f"{answer}\n{logs}")

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        text = httpx.get(f"{self.base}/metrics", timeout=10).text
        return [(s.labels, s.value) for f in text_string_to_metric_families(text) for s in f.samples if s.name == name]

    def roles(self) -> list[str]:
        return sorted(labels["role"] for labels, _ in self.samples("lezgate_process_ready"))

    def owned(self) -> list[str]:
        return sorted(labels["partition"] for labels, value in self.samples("lezgate_partition_owned") if value)

    def stop(self) -> None:
        every = [process for processes in self.processes.values() for process in processes]
        for process in every:
            process.terminate()
        for process in every:
            process.wait(20)


@pytest.fixture
def machines(tmp_path, postgres_server, database, worker_database, api_database):
    cluster = Cluster(tmp_path)
    one = Machines(tmp_path, cluster, {"worker": worker_database, "api": api_database})
    for role in ("api", "edge", "edge", "worker", "worker"):  # what they need comes last
        one.start(role)
    cluster.start()
    yield one
    one.stop()
    cluster.stop()


def report(machines: Machines, number: int, first: int) -> int:
    """REPORTS of one terminal, each sent until it is acknowledged; how often it was sent again."""
    again = 0
    one = None
    for i in range(first, first + REPORTS):
        while True:
            try:
                if one is None:
                    one = Terminal(machines.jt808, f"1381100{number:04d}")
                    one.join()
                body = terminal.location(BEGUN + i * 1_000_000, 116 + i * 1e-5, 36.5)
                if one.ask(0x0200, body).result == 0:
                    break
            except (OSError, AssertionError):
                again += 1
                assert again < 200
                if one is not None:
                    one.close()
                one = None
                time.sleep(0.2)
    assert one is not None
    one.close()
    return again


def test_separate_processes_over_the_deployed_cluster(machines, database):
    """Started before the log is there, they become ready; /metrics names each by its pid. With a nats-server, an edge and a
    worker killed, everything that is acknowledged is stored once, and the api says what is missing."""
    machines.wait_ready()  # which one process of a kind is enough for
    end = time.monotonic() + 30
    while (roles := machines.roles()) != ["edge"] * 2 + ["worker"] * 2:
        assert time.monotonic() < end, roles
        time.sleep(0.2)
    assert dict(machines.samples("lezgate_log_replicas")[0][0]) == {"state": "current"}
    again = sum(report(machines, number, 0) for number in range(TERMINALS))
    machines.cluster.processes[0].send_signal(signal.SIGKILL)
    machines.kill("edge")
    machines.kill("worker")
    again += sum(report(machines, number, REPORTS) for number in range(TERMINALS))
    machines.wait_ready()
    wanted, end = 2 * TERMINALS * REPORTS, time.monotonic() + 30
    outcomes: dict[str, float] = {}
    while outcomes.get("stored") != wanted and time.monotonic() < end:
        time.sleep(0.3)
        outcomes = {}
        for labels, value in machines.samples("lezgate_positions_total"):
            outcomes[labels["outcome"]] = outcomes.get(labels["outcome"], 0) + value
    assert outcomes["stored"] == wanted
    assert outcomes["duplicate"] <= again
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT (terminal, time)) FROM position").fetchone() == (
            wanted,
            wanted,
        )
    assert ({"state": "missing"}, 1.0) in machines.samples("lezgate_log_replicas")
    while (owned := machines.owned()) != ["0", "1", "2", "3"]:  # the survivor says so with its next report
        assert time.monotonic() < end, owned
        time.sleep(0.3)
