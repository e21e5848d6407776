"""What every command has in common: its help, its logs, its stdout, and what it says of a database that is away."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager

import click
import orjson
import pytest
import structlog
from click.testing import CliRunner

from gateway import cli, ports
from gateway.cli import COMMANDS, main
from gateway.commands import _database
from gateway.config import Settings
from storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from tests.plugins.serve import free_port

TWO_LANGUAGES = re.compile(r"[A-Za-z].* \| .*[\u4e00-\u9fff]", re.DOTALL)


def commands() -> list[tuple[str, click.Command]]:
    """Every command and sub-command with its whole name."""
    context = click.Context(main)
    found = [(name, main.get_command(context, name)) for name in COMMANDS]
    found += [(f"{name} {sub}", one) for name, group in found if isinstance(group, click.Group)
              for sub, one in group.commands.items()]  # fmt: skip
    return found


@pytest.mark.parametrize(("name", "command"), commands())
def test_help_is_in_two_languages(name, command):
    """A command's one line, its text, and each of its options that is not hidden."""
    assert TWO_LANGUAGES.search(command.short_help or ""), name
    assert TWO_LANGUAGES.search(command.help), name
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert TWO_LANGUAGES.search(parameter.help or ""), f"{name} {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_process_names_itself(name, monkeypatch):
    """Every command's log lines carry its name."""
    named = []
    monkeypatch.setattr(cli, "configure", named.append)
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0
    assert named == [name]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("LEZGATE_DATA_DIR", str(tmp_path))

    def command(*words, **environ):
        return CliRunner().invoke(
            main, words, env={f"LEZGATE_{name.upper()}": value for name, value in environ.items()}
        )

    return command


def test_stdout_is_the_answer_alone(run, database, monkeypatch):
    """A log line on the way goes to stderr, so that TOKEN=$(lezgate tokens create ...) is a token."""
    running = _database.running_database

    @contextmanager
    def talkative(settings):
        structlog.get_logger().warning("postgres.elsewhere")
        with running(settings) as conninfo:
            yield conninfo

    monkeypatch.setattr(_database, "running_database", talkative)
    result = run("tokens", "create", "--role", "auditor", database_url=database)
    assert re.fullmatch(r"[\w-]{43}\n", result.stdout)
    line = orjson.loads(result.stderr)
    assert (line["event"], line["process"]) == ("postgres.elsewhere", "tokens")


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:1/none", "nonsense", "postgresql://x?no_such=1"])
@pytest.mark.parametrize("words", [("zones", "list"), ("db", "migrate")])
def test_a_database_that_is_away_is_a_message(run, words, url):
    """What to look at, in two languages, and no traceback."""
    result = run(*words, database_url=url)
    assert result.exit_code == 1
    assert "LEZGATE_DATABASE_URL" in result.stderr
    assert "无法连接数据库" in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_an_embedded_server_that_does_not_start_is_a_message(run, monkeypatch):
    """With the end of its log."""

    def start(self):
        raise EmbeddedPostgresError("PostgreSQL does not start; server.log ends: no space")

    monkeypatch.setattr(EmbeddedPostgres, "start", start)
    result = run("machines", "list")
    assert result.exit_code == 1
    assert "no space" in result.stderr
    assert "内嵌 PostgreSQL 未能启动" in result.stderr


def test_migrate_says_what_is_applied(run, database):
    """The server, and every migration with its time, though an earlier command applied them silently."""
    result = run("db", "migrate", database_url=database)
    assert result.exit_code == 0, result.output
    assert "PostgreSQL 18" in result.stdout
    assert re.search(r"applied before \| 此前已应用: 0001_core.*\(\d{4}-\d\d-\d\d \d\d:\d\d [+-]\d{4}\)", result.stdout)
    assert "up to date" in result.stdout


def test_migrate_says_what_it_applies(run, postgres_server):
    """On an empty database everything is new."""
    import psycopg  # noqa: PLC0415

    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty_one OWNER lezgate_owner")
        try:
            result = run("db", "migrate", database_url=postgres_server.url("owner", "empty_one"))
        finally:
            connection.execute("DROP DATABASE empty_one WITH (FORCE)")
    assert "applied | 已应用: 0001_core" in result.stdout
    assert "before" not in result.stdout


def test_a_zone_without_a_crs_says_how_to_give_one(run, tmp_path):
    """Both ways: in the file and on the command line."""
    file = tmp_path / "zones.json"
    ring = [[116, 36], [116.1, 36], [116.1, 36.1], [116, 36]]
    file.write_bytes(orjson.dumps({
        "type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"name": "a", "district": "371502", "tier": "core", "rules": []},
    }))  # fmt: skip
    said = run("zones", "import", str(file)).stderr
    assert "properties.crs" in said
    assert "--crs | " in said
    assert "也可用 --crs 指明" in said


def test_a_taken_port_is_named(monkeypatch):
    """By serve and demo alike, with the option that chooses another; names are looked up."""
    monkeypatch.setattr(ports, "WAIT_S", 0)
    port = free_port()
    ports.check_free(Settings(http_host="localhost", http_port=port, jt808_port=free_port()))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as an edge does
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(click.ClickException, match=f"{port}.*--jt808-port .*端口"):
            ports.check_free(Settings(http_port=free_port(), jt808_port=port))
