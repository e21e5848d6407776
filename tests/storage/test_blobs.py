"""Blobs: what was put is there, once, whole and durable, in a folder as in a bucket; what is wrong is told apart."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop

from storage import blobs
from storage.blobs import BlobStoreError, Bucket, DamagedBlobError, Folder, NoBlobError, open_store, place

if TYPE_CHECKING:
    from tests.plugins.seaweedfs import Seaweedfs

PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 3000  # 768 KB


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data" / "blobs")


@pytest.fixture
def bucket(seaweedfs: Seaweedfs, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a bucket, its credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.secret_key)
    return f"s3://media/a/b?endpoint={seaweedfs.endpoint}&region=cn-north-1"


async def check(store: blobs.Blobs) -> None:
    for data in (PICTURE, b"", b"x"):
        sha256 = await store.put(data)
        assert sha256 == hashlib.sha256(data).hexdigest()
        assert await store.put(data) == sha256
        assert await store.get(sha256) == data
    names = await asyncio.gather(*(store.put(PICTURE + bytes([i % 3])) for i in range(9)))
    assert len(set(names)) == 3
    for name in ("0" * 64, "x" * 64, "../../etc/passwd", "", hashlib.sha256(b"x").hexdigest().upper()):
        with pytest.raises(NoBlobError):
            await store.get(name)


async def test_a_folder(folder: Folder, tmp_path: Path) -> None:
    """Put and get, again and at once; nothing is left behind, and nobody else may read it."""
    await check(folder)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len(files) == 6
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / "data" / "blobs").stat().st_mode & 0o077 == 0


async def test_a_bucket(bucket: str) -> None:
    """The same over S3, against SeaweedFS; two processes see each other's blobs."""
    await check(open_store(bucket))
    sha256 = await open_store(bucket).put(b"mine")
    assert await open_store(bucket).get(sha256) == b"mine"
    with pytest.raises(NoBlobError):
        await open_store(bucket.replace("/a/b", "/other")).get(sha256)


def test_a_bucket_on_the_edges_loop(bucket: str) -> None:
    """Edges and the api run on uvloop, and the library answers from threads of its own."""
    uvloop.run(check(open_store(bucket)))


async def test_a_bucket_that_refuses(bucket: str, seaweedfs: Seaweedfs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing bucket, a wrong secret and a closed port are failures to try again after, never an absent blob."""
    monkeypatch.setattr(blobs, "_RETRIES", 1)
    with pytest.raises(BlobStoreError, match="no such bucket"):
        await open_store(bucket.replace("s3://media/", "s3://nowhere/")).get("0" * 64)
    away = open_store(bucket.replace(seaweedfs.endpoint, "http://127.0.0.1:9"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for store in (away, open_store(bucket)):
        with pytest.raises(BlobStoreError, match=r"^media: [^\n]+$"):
            await store.put(b"x")
        with pytest.raises(BlobStoreError):
            await store.get("0" * 64)


async def test_damage_is_seen_and_repaired(folder: Folder) -> None:
    """Other bytes under the name are an error, not an answer; putting the right ones again mends it."""
    sha256 = await folder.put(PICTURE)
    path = folder._root / sha256[:2] / sha256
    path.write_bytes(PICTURE[:-1])
    with pytest.raises(DamagedBlobError):
        await folder.get(sha256)
    await folder.put(PICTURE)
    assert await folder.get(sha256) == PICTURE


async def test_durable_before_it_returns(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced before it gets its name, the directories after; also where the name was there already."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: done.append(str(Path(f"/proc/self/fd/{fd}").readlink())) or fsync(fd))
    monkeypatch.setattr(Path, "replace", lambda *args: done.append("rename") or replace(*args))
    sha256 = await folder.put(b"x")
    directories = {str(folder._root / sha256[:2]), str(folder._root), str(folder._root.parent)}
    assert Path(done[0]).name.startswith(f".{sha256}.")
    assert done[1] == "rename"
    assert directories <= set(done[2:])
    done.clear()
    await folder.put(b"x")
    assert "rename" not in done
    assert directories <= set(done)


async def test_a_disk_that_fails(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while writing is a failure to try again after, and leaves no half file."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(BlobStoreError, match="No space"):
            await folder.put(b"x")
    assert [path for path in folder._root.rglob("*") if path.is_file()] == []
    await folder.put(b"x")


def test_places() -> None:
    """A path is a folder; a bucket has a prefix, an endpoint and a region, or their defaults."""
    assert place("/var/lib/lezgate/blobs") == Path("/var/lib/lezgate/blobs")
    assert place("s3://b") == Bucket("b", "", None, "us-east-1")
    assert place("s3://b/p/q/?endpoint=https://h:9000&region=r") == Bucket("b", "p/q", "https://h:9000", "r")


@pytest.mark.parametrize(
    "url", ["https://b", "s3://", "s3://key:secret@b", "s3://b?acl=public", "s3://b?endpoint=h:9000", "s3://b?region=",
            "s3://b#x", "s3:///p", "file:///x"]
)  # fmt: skip
def test_places_that_are_none(url: str) -> None:
    """A misspelt option or a secret in the URL is an error in two languages."""
    with pytest.raises(ValueError, match=r" \| "):
        place(url)
