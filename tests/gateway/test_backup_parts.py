"""What a backup is made of: the log's file and the manifest are read back whole, or the damage is named."""

from __future__ import annotations

import json

import pytest

from gateway.backup.errors import DamagedBackupError
from gateway.backup.log_part import Extent, copy_out, records
from gateway.backup.manifest import NAME, Manifest
from gateway.backup.stores import running_log
from gateway.config import load
from gateway.log import Log
from gateway.nats_connection import connect
from gateway.nodes import nats_url

SIZE = 64 * 1024**2


@pytest.fixture
async def log(tmp_path):
    """A log with two partitions and three messages in the first, and an appender."""
    settings = load(None, {"LEZGATE_DATA_DIR": str(tmp_path / "var")})
    with running_log(settings):
        worker, edge = [await connect(nats_url(settings, role), role) for role in ("worker", "edge")]
        made = Log(worker)
        await made.create(2, SIZE)
        for number in range(3):
            await Log(edge).append(0, bytes([number]) * 100, f"m{number}")
        yield made
        await worker.close()
        await edge.close()


async def copied(log, tmp_path, needs=0, partition=0):
    path = tmp_path / f"{partition}-{needs}.part"
    return path, await copy_out(log, await log.stream(), partition, needs, path)


async def test_the_log_comes_out_as_it_is(log, tmp_path):
    """Every message from the needed one on, in order, with its sequence; an empty partition is an empty file."""
    path, extent = await copied(log, tmp_path)
    assert extent == Extent(needs=0, first=1, last=3, messages=3, bytes=300)
    assert list(records(path)) == [(n + 1, bytes([n]) * 100) for n in range(3)]
    path, extent = await copied(log, tmp_path, needs=3)
    assert [sequence for sequence, _ in records(path)] == [3]
    path, extent = await copied(log, tmp_path, partition=1)
    assert (list(records(path)), extent) == ([], Extent(0, 0, 0, 0, 0))


async def test_any_damage_is_seen(log, tmp_path):
    """A byte that changed anywhere, and an end that is missing at any length, are errors and never other records."""
    path, _ = await copied(log, tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DamagedBackupError):
            list(records(path))
        path.write_bytes(whole[:at])
        with pytest.raises(DamagedBackupError):
            list(records(path))
    path.write_bytes(whole + b"x")
    with pytest.raises(DamagedBackupError):
        list(records(path))


async def test_a_log_made_anew_counts_on(log, tmp_path):
    """first_sequence: what a restored log is given begins behind all that the lost one had."""
    await log.client.jetstream().delete_stream("POS")
    assert not await log.exists()
    stream = await log.create(2, SIZE, first_sequence=1000)
    assert await log.last() == 999
    assert await log.ends(0) == (0, 0)
    assert (await log.stream()) == stream


async def test_the_ends_of_a_partition(log):
    """The first and the last message that a partition has, after a trim too; trimming up to nothing removes nothing."""
    assert await log.ends(0) == (1, 3)
    await log.trim(0, 1)
    assert await log.ends(0) == (2, 3)
    with pytest.raises(ValueError, match="trim"):
        await log.trim(0, 0)


MANIFEST = Manifest(
    id="ab", lezgate="0.1.0", taken_at="2026-03-01T00:00:00+00:00", host="here", actor="me", database="none",
    postgresql="18.6", migrations=["0001_core.sql"], stream="POS@x", partitions={0: Extent(1, 1, 3, 3, 300)}, last=3,
    blobs="copied", auth_key="secrets", bytes=300, files={"log/0.part": "ff"},
)  # fmt: skip


def test_a_manifest_reads_as_it_was_written(tmp_path):
    MANIFEST.write(tmp_path)
    assert Manifest.read(tmp_path) == MANIFEST


@pytest.mark.parametrize(
    "change", [{"last": 4}, {"partitions": {}}, {"sha256": "0"}, {"id": None}, {"files": None}, {"more": 1}]
)
def test_a_manifest_that_was_edited_is_refused(tmp_path, change):
    """In whatever part: it says by itself what its SHA-256 is."""
    MANIFEST.write(tmp_path)
    path = tmp_path / NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DamagedBackupError):
        Manifest.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_no_manifest_is_no_backup(tmp_path, text):
    """Nor is one that was cut off."""
    with pytest.raises(DamagedBackupError, match="missing"):
        Manifest.read(tmp_path)
    (tmp_path / NAME).write_text(text)
    with pytest.raises(DamagedBackupError):
        Manifest.read(tmp_path)
