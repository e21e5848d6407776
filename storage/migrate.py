"""Brings a database's schema up to date: plain SQL files, in order, once each, all or none.

A migration is `migrations/NNNN_name.sql`, or a pair `NNNN_name.timescaledb.sql` and `NNNN_name.plain.sql` of which a
database gets the one that fits its server when the migration is due, and keeps it. `grants.sql` is applied every time.

Migrations expand first and contract a release later, so that release N - 1 runs against the schema of N. A database
that knows migrations which this program does not is newer than that: it is refused.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MIGRATIONS = Path(__file__).parent / "migrations"
_NAME = re.compile(r"(?P<stem>\d{4}_\w+)(?:\.(?P<variant>plain|timescaledb))?\.sql")
GRANTS = "grants.sql"
_LOCK = 808_001
WANTED_TIMESCALEDB = (2, 21)


class MigrationError(RuntimeError):
    """The database cannot be brought to this program's schema; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Report:
    """``timescaledb``: its version where the database has it; ``warnings``: what an operator should know."""

    server_version: str
    timescaledb: str | None
    applied: list[str]
    warnings: list[str] = field(default_factory=list)


def migrate(conninfo: str, directory: Path = MIGRATIONS) -> Report:
    """Raises MigrationError or psycopg.Error; either way the schema is as it was."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        timescaledb = _timescaledb(conn)
        with conn.transaction():
            conn.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            conn.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration"
                " (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            files = _files(directory)
            done: dict[str, str] = dict(conn.execute("SELECT name, sha256 FROM schema_migration").fetchall())
            _check(done, files)
            applied = []
            for file in _due(files, done, "plain" if timescaledb is None else "timescaledb"):
                _run(conn, file)
                conn.execute("INSERT INTO schema_migration (name, sha256) VALUES (%s, %s)", [file.name, _sha256(file)])
                applied.append(file.name)
            _run(conn, directory / GRANTS)
        version = conn.info.parameter_status("server_version") or ""
    return Report(version, timescaledb, applied, _warnings(timescaledb))


def _timescaledb(conn: psycopg.Connection) -> str | None:
    """The extension's version; makes the extension where the server has it on offer. None: plain PostgreSQL."""
    query = "SELECT installed_version FROM pg_available_extensions WHERE name = 'timescaledb'"
    row = conn.execute(query).fetchone()
    if row is None:
        return None
    if row[0] is None:
        try:
            conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        except psycopg.Error as error:
            # Going on without it would settle for daily partitions for good, behind the operator's back.
            raise MigrationError(
                f"TimescaleDB is on this server but CREATE EXTENSION timescaledb failed: {error} "
                "Run it as a superuser with shared_preload_libraries = 'timescaledb'. | "
                "服务器提供 TimescaleDB，但创建扩展失败：请以超级用户执行 CREATE EXTENSION timescaledb。"
            ) from error
        row = conn.execute(query).fetchone()
    return str(row[0]) if row else None


def _files(directory: Path) -> dict[str, dict[str, Path]]:
    """By stem, then by variant ('' for both servers), in order."""
    files: dict[str, dict[str, Path]] = {}
    for path in sorted(directory.glob("*.sql")):
        if path.name == GRANTS:
            continue
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not the name of a migration")
        files.setdefault(match["stem"], {})[match["variant"] or ""] = path
    return files


def _check(done: Mapping[str, str], files: Mapping[str, Mapping[str, Path]]) -> None:
    known = {path.name: path for variants in files.values() for path in variants.values()}
    for name, sha256 in sorted(done.items()):
        if name not in known:
            raise MigrationError(
                f"the database has migration {name}, which this program does not know: it belongs to a newer lezgate | "
                f"数据库含有本程序不认识的迁移 {name}：请使用更新版本的 lezgate"
            )
        if _sha256(known[name]) != sha256:
            raise MigrationError(
                f"migration {name} is not the file that was applied to this database: add a new one instead | "
                f"迁移文件 {name} 在应用之后被修改：请新增迁移文件"
            )


def _due(files: Mapping[str, Mapping[str, Path]], done: Iterable[str], server: str) -> list[Path]:
    stems = {name.split(".")[0] for name in done}
    due = []
    for stem, variants in files.items():
        if stem not in stems:
            due.append(variants[""] if "" in variants else variants[server])
    return due


def _run(conn: psycopg.Connection, file: Path) -> None:
    try:
        conn.execute(file.read_bytes())
    except psycopg.Error as error:
        error.add_note(f"in {file.name}")
        raise


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _warnings(timescaledb: str | None) -> list[str]:
    if timescaledb is None or _version(timescaledb) >= WANTED_TIMESCALEDB:
        return []
    wanted = ".".join(map(str, WANTED_TIMESCALEDB))
    return [
        (
            f"TimescaleDB {timescaledb} is older than {wanted}: not tested, please update | "
            f"TimescaleDB {timescaledb} 低于 {wanted}：未经测试，建议升级"
        )
    ]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])
