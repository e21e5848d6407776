"""Backups of a database by URL, and what is refused: other pairs of log and database, damage, directories in use."""

from __future__ import annotations

import itertools
import shutil

import psycopg
import pytest

from gateway.backup import restoring
from gateway.backup.creating import create
from gateway.backup.errors import BackupError, DamagedBackupError
from gateway.backup.stores import opened_log, running_log
from gateway.backup.verifying import read_back
from gateway.config import load
from gateway.data_lock import DataInUseError, alone
from storage import backups
from storage.blobs import Folder

_numbers = itertools.count()


def say(english: str, chinese: str) -> None:
    assert english
    assert chinese


@pytest.fixture
def empty_database(postgres_server):
    """A database with nothing in it, not even a schema."""
    name = f"restored_{next(_numbers)}"
    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} OWNER lezgate_owner")
        yield postgres_server.url("owner", name)
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def settings_of(directory, database):
    return load(None, {"LEZGATE_DATA_DIR": str(directory), "LEZGATE_DATABASE_URL": database})


@pytest.fixture
async def installation(tmp_path, database):
    """Ten messages in the log, of which the database has five and a snapshot of four; one blob."""
    settings = settings_of(tmp_path / "var", database)
    with running_log(settings):
        async with opened_log(settings) as log, opened_log(settings, "edge") as appender:
            stream = await log.create(1, settings.log_max_bytes)
            for number in range(1, 11):
                assert await appender.append(0, b"message %d" % number, f"m{number}") == number
        with psycopg.connect(database) as conn:
            conn.execute(
                "INSERT INTO log_offset (partition, stream, sequence, boots) VALUES (0, %s, 5, '{\"a\": 5}')",
                [stream.identity],
            )
            conn.execute("INSERT INTO worker_snapshot (partition, sequence, version, state) VALUES (0, 4, 2, '')")
        await Folder(settings.data / "blobs").put(b"a picture")
        yield settings


async def in_thread(work, *args, **kwargs):
    """What commands call begins an event loop of its own."""
    import asyncio  # noqa: PLC0415

    return await asyncio.to_thread(work, *args, **kwargs)


async def contents(settings):
    """(sequence, data) of all that the log has of partition 0."""
    with running_log(settings):
        async with opened_log(settings) as log:
            first, last = await log.ends(0)
            reader, found = log.reader(0, first - 1, await log.stream()), []
            while not found or found[-1][0] < last:
                found += await reader.gather(0.1, 1024**2)
            await reader.close()
            return found


async def test_everything_lost(installation, empty_database, tmp_path):
    """A dump and the log's part make a gateway anew: each place is behind the same message as before, in a log that counts on."""
    manifest = await in_thread(create, installation, tmp_path / "backup", say)
    assert (manifest.database, manifest.partitions[0].first, manifest.partitions[0].last) == ("dump", 4, 10)
    new = settings_of(tmp_path / "new", empty_database)
    await in_thread(restoring.restore, new, tmp_path / "backup", say)
    found = await contents(new)
    assert found == [(sequence, b"message %d" % (sequence - 7)) for sequence in range(11, 18)]
    with psycopg.connect(empty_database) as conn:
        (place,) = backups.places(conn).values()
        assert place.stream != manifest.stream
        assert dict(found)[place.sequence] == b"message 5"
        assert dict(found)[place.snapshot] == b"message 4"
        assert conn.execute("SELECT boots FROM log_offset").fetchall() == [({"a": 5},)]
        actions = {action for (action,) in conn.execute("SELECT action FROM audit")}
    assert "backup.restore" in actions
    assert len(list((tmp_path / "new" / "blobs").glob("??/*"))) == 1
    assert (tmp_path / "new" / "secrets.json").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new" / "secrets.json").read_bytes() == (tmp_path / "var" / "secrets.json").read_bytes()


async def test_a_running_worker_may_trim_behind_it(installation, tmp_path, worker_database):
    """The row that a verified backup leaves lets the log go up to its snapshot, and the list shows it."""
    manifest = await in_thread(create, installation, tmp_path / "backup", say)
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as worker:
        assert await backups.trimmable(worker, 0, manifest.stream, 10, after_backup=True) == 3
    with psycopg.connect(installation.database_url) as conn:
        (row,) = backups.recorded(conn)
    assert (row.id, row.needs) == (manifest.id, {"0": 4})


async def test_a_log_that_was_trimmed_is_no_way_back(installation, tmp_path):
    """--keep-log goes by the message at the backup's snapshot: with it the log is whole, without it something is gone."""
    await in_thread(create, installation, tmp_path / "backup", say)
    manifest = read_back(tmp_path / "backup", say)
    async with opened_log(installation) as log:
        await log.trim(0, 3)
        assert await restoring.reaches_back(log, manifest) == []
        await log.trim(0, 4)
        with pytest.raises(BackupError, match="begins at 5"):
            await restoring.reaches_back(log, manifest)
        await log.client.jetstream().delete_stream("POS")
        await log.create(1, installation.log_max_bytes)
        with pytest.raises(BackupError, match="is of log"):
            await restoring.reaches_back(log, manifest)


async def test_a_database_of_another_log_is_not_backed_up(installation, tmp_path):
    """Together they would be no backup: the offsets count in a log that is gone. Nothing is left behind."""
    with psycopg.connect(installation.database_url) as conn:
        conn.execute("UPDATE log_offset SET stream = 'POS@another'")
    with pytest.raises(BackupError, match="no pair"):
        await in_thread(create, installation, tmp_path / "backup", say)
    assert not list(tmp_path.glob("backup*"))


async def test_damage_is_named(installation, tmp_path):
    """Each part: a file that is missing or changed is an error that names it."""
    target = tmp_path / "backup"
    await in_thread(create, installation, target, say)
    for part in ("secrets.json", "log/0.part", "database.dump", "blobs.list", next(target.glob("blobs/??/*"))):
        path = target / part
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(DamagedBackupError, match=path.name):
            read_back(target, say)
        path.unlink()
        with pytest.raises(DamagedBackupError, match=path.name):
            read_back(target, say)
        path.write_bytes(whole)
    read_back(target, say)


async def test_what_is_in_the_way_is_left_alone(installation, tmp_path, empty_database):
    """A directory that exists, a data directory that is not empty, a database with tables, a gateway that runs."""
    target = tmp_path / "backup"
    await in_thread(create, installation, target, say)
    with pytest.raises(BackupError, match="exists"):
        await in_thread(create, installation, target, say)
    with pytest.raises(BackupError, match="not empty"):
        await in_thread(restoring.restore, installation, target, say)
    full = settings_of(tmp_path / "new", installation.database_url)
    with pytest.raises(BackupError, match="not empty"):
        await in_thread(restoring.restore, full, target, say)
    embedded = load(None, {"LEZGATE_DATA_DIR": str(tmp_path / "new")})
    with pytest.raises(BackupError, match="server of your own"):
        await in_thread(restoring.restore, embedded, target, say)
    with alone(installation.data), pytest.raises(DataInUseError, match="running there"):
        await in_thread(restoring.beside_log, installation, target, say)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "var"]


async def test_a_backup_that_was_killed_is_swept_away(installation, tmp_path):
    """What it left under another name is in nobody's way."""
    (tmp_path / "backup.partial").mkdir()
    (tmp_path / "backup.partial" / "scrap").write_text("half")
    await in_thread(create, installation, tmp_path / "backup", say)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "var"]
    shutil.move(tmp_path / "backup", tmp_path / "moved")
    read_back(tmp_path / "moved", say)
