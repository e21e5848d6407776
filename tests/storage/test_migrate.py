"""Migrations: once each, in order, all or none; and who may do what in the result."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import errors

from gateway.cli import main
from storage import migrate as migrations
from storage.migrate import MIGRATIONS, MigrationError, migrate

if TYPE_CHECKING:
    from pathlib import Path

    from storage.embedded import EmbeddedPostgres


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The migrations, to be tampered with."""
    return shutil.copytree(MIGRATIONS, tmp_path / "migrations")


@pytest.fixture
def empty(postgres_server: EmbeddedPostgres) -> str:
    """The server's own database, which no other test uses."""
    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as conn:
        conn.execute("DROP DATABASE IF EXISTS bare WITH (FORCE)")
        conn.execute("CREATE DATABASE bare OWNER lezgate_owner")
    return postgres_server.url("owner", "bare")


def test_from_nothing_then_again(empty: str) -> None:
    """All migrations for plain PostgreSQL are applied in order; the second time none is left."""
    report = migrate(empty)
    wanted = sorted(path.name for path in MIGRATIONS.glob("0*.sql") if "timescaledb" not in path.name)
    assert report.applied == wanted
    assert wanted[:3] == ["0001_core.sql", "0002_position.plain.sql", "0003_alarm_view.sql"]
    assert report.timescaledb is None
    assert report.warnings == []
    assert report.server_version.startswith("18")
    assert migrate(empty).applied == []


@pytest.mark.parametrize("found", ["plain", "timescaledb"])
def test_the_command_says_what_it_found(found: str, request: pytest.FixtureRequest) -> None:
    """`lezgate db migrate`, on either server: which one it is, in both languages, and what was applied; a second time nothing."""
    conninfo = request.getfixturevalue("empty" if found == "plain" else "timescaledb")
    words = ["db", "migrate", "--database-url", conninfo]
    first, second = (CliRunner().invoke(main, words) for _ in range(2))
    assert first.exit_code == second.exit_code == 0, first.output + second.output
    server = {"plain": "plain: positions in daily partitions | 普通 PostgreSQL：轨迹按日分区",
              "timescaledb": "positions in a hypertable | 轨迹存入超表"}[found]  # fmt: skip
    applied = [path.name for path in MIGRATIONS.glob("0*.sql") if path.suffixes in ([".sql"], [f".{found}", ".sql"])]
    for output in (first.output, second.output):
        assert server in output.splitlines()[0]
    assert first.output.count("applied | 已应用: ") == len(applied)
    assert second.output.count("applied before | 此前已应用: ") == len(applied)
    assert second.output.splitlines()[-1] == "The schema was up to date. | 数据库结构已是最新。"


@pytest.mark.parametrize("found", ["plain", "timescaledb"])
def test_the_command_refuses_what_it_does_not_know(found: str, request: pytest.FixtureRequest) -> None:
    """A newer schema is left as it is, and the message says what to do in both languages."""
    conninfo = request.getfixturevalue("empty" if found == "plain" else "timescaledb")
    migrate(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("INSERT INTO schema_migration (name, sha256) VALUES ('9999_future.sql', '')")
    done = CliRunner().invoke(main, ["db", "migrate", "--database-url", conninfo])
    assert done.exit_code == 1
    assert (
        "9999_future.sql, which this program does not know: it belongs to a newer lezgate | 数据库含有" in done.output
    )


def test_refuses_a_changed_file(database: str, files: Path) -> None:
    """A file that was edited after it was applied is named, and nothing happens."""
    (files / "0001_core.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError, match=r"0001_core\.sql"):
        migrate(database, files)


def test_refuses_a_newer_database(database: str, files: Path) -> None:
    """A database that knows more than this program belongs to a newer one."""
    (files / "0009_future.sql").write_text("SELECT 1")
    migrate(database, files)
    with pytest.raises(MigrationError, match="0009_future"):
        migrate(database)


def test_a_failing_migration_leaves_nothing(database: str, files: Path) -> None:
    """A good file before a bad one is rolled back with it; the error names the bad one."""
    (files / "0008_good.sql").write_text("CREATE TABLE good (); SELECT 1")
    (files / "0009_bad.sql").write_text("CREATE TABLE bad (); SELECT 1/0")
    with pytest.raises(errors.DivisionByZero) as caught:
        migrate(database, files)
    assert caught.value.__notes__ == ["in 0009_bad.sql"]
    with psycopg.connect(database) as conn:
        assert conn.execute("SELECT to_regclass('good'), to_regclass('bad')").fetchone() == (None, None)


def test_refuses_a_stray_name(database: str, files: Path) -> None:
    """A file that does not say its place would be applied in a surprising one."""
    (files / "fix.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError, match=r"fix\.sql"):
        migrate(database, files)


def test_a_database_keeps_the_variant_it_got(database: str, files: Path) -> None:
    """A server that gains TimescaleDB later does not get the other half of a pair on top."""
    done = {"0001_core.sql": "", "0002_position.plain.sql": ""}
    due = migrations._due(migrations._files(files), done, "timescaledb")
    assert due[0].name == "0003_alarm_view.sql"
    assert not [file.name for file in due if file.name.startswith("0002")]


@pytest.mark.parametrize(("version", "warned"), [("2.20.3", True), ("2.21.0", False), ("2.9.1", True), ("3.0", False)])
def test_warns_of_an_old_timescaledb(version: str, warned: bool) -> None:
    """Older than 2.21 works perhaps, and the operator is told."""
    assert bool(migrations._warnings(version)) is warned


FORBIDDEN = {
    "worker": [
        "SELECT FROM account", "SELECT FROM token", "INSERT INTO audit (actor, role, action, object) VALUES ('', '', '', '')",
        "DELETE FROM position", "UPDATE event SET data = '{}'", "UPDATE ruleset SET epoch = 0",
        "UPDATE terminal SET state = 'revoked'", "CREATE TABLE mine ()", "DELETE FROM log_offset",
    ],
    "api": [
        "UPDATE audit SET actor = ''", "DELETE FROM audit", "TRUNCATE audit", "UPDATE alarm_action SET note = ''",
        "DELETE FROM alarm_action", "DELETE FROM alarm", "UPDATE alarm SET entered_at = now()", "DELETE FROM visit",
        "INSERT INTO position SELECT * FROM position", "UPDATE log_offset SET sequence = 0", "DELETE FROM event",
        "CREATE TABLE mine ()", "UPDATE registry SET version = 0",
    ],
}  # fmt: skip


@pytest.mark.plain("roles")
@pytest.mark.parametrize(("role", "statement"), [(role, text) for role, texts in FORBIDDEN.items() for text in texts])
def test_roles_may_not(role: str, statement: str, worker_database: str, api_database: str) -> None:
    """Neither role can rewrite what is append-only, read what is not its business, or change the schema."""
    with (
        psycopg.connect({"worker": worker_database, "api": api_database}[role]) as conn,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        conn.execute(statement)


def test_every_table_is_named_in_the_docs() -> None:
    """docs/storage.md describes each table and view."""
    text = "".join(file.read_text() for file in MIGRATIONS.glob("*.sql"))
    tables = set(re.findall(r"CREATE (?:TABLE|VIEW) (?:IF NOT EXISTS )?(\w+)", text))
    docs = (MIGRATIONS.parents[1] / "docs" / "storage.md").read_text()
    assert {table for table in tables if f"`{table}`" not in docs} == set()
