"""Blobs: pictures, sounds and videos by the SHA-256 of their bytes, in a folder or in a bucket of any S3-compatible store.

What `put` returned for is durable; putting it again changes nothing. Nothing is ever overwritten with other bytes, because
the name is the content. `get` checks what it read.

    BlobError
    ├── NoBlobError        there is none of this name
    ├── DamagedBlobError   the bytes are not those of the name
    └── BlobStoreError     the disk, the network or the store failed: try again

A folder serves the processes of one machine (or of several over a shared file system that honours fsync), a bucket any
number. A process that is killed within `put` may leave a file `.SHA256.RANDOM` behind, which nothing reads. Not done here:
what a blob is of, who may read it, and deletion.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

_CONNECT, _REQUEST, _RETRY = timedelta(seconds=5), timedelta(seconds=30), timedelta(seconds=30)
_RETRIES = 3


class BlobError(Exception):
    """One of the below."""


class NoBlobError(BlobError):
    """The store has no such blob."""


class DamagedBlobError(BlobError):
    """What the store has under this name is something else."""


class BlobStoreError(BlobError):
    """The store did not do it now; its own error is the ``__cause__``."""


class Blobs(Protocol):
    """A store. sha256: 64 lower-case hexadecimal digits."""

    async def put(self, data: bytes) -> str:
        """The SHA-256 under which ``data`` is durable from now on. Raises BlobStoreError."""

    async def get(self, sha256: str) -> bytes:
        """Raises NoBlobError, DamagedBlobError or BlobStoreError."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Of an S3-compatible store. endpoint: None is Amazon's; region: what the store wants in a signature."""

    name: str
    prefix: str
    endpoint: str | None
    region: str


def place(url: str) -> Path | Bucket:
    """A folder's path, or `s3://BUCKET/PREFIX?endpoint=http(s)://HOST:PORT&region=NAME`, where all but BUCKET may be left out.

    Raises ValueError, in two languages. Credentials have no place in a URL: they are AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY in the environment, or what Amazon gives its own machines.
    """
    parts = urlsplit(url)
    if "://" not in url:
        return Path(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    endpoint, region = options.pop("endpoint", None), options.pop("region", "us-east-1")
    if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or options or parts.fragment or not region:
        raise ValueError(
            "give a folder or s3://BUCKET/PREFIX?endpoint=https://HOST&region=NAME, without credentials"
            " | 应为目录或 s3://存储桶/前缀?endpoint=https://主机&region=名称，且不含密钥"
        )
    if endpoint is not None and (urlsplit(endpoint).scheme not in {"http", "https"} or not urlsplit(endpoint).netloc):
        raise ValueError(
            "endpoint is http://HOST:PORT or https://HOST | endpoint 应为 http://主机:端口 或 https://主机"
        )
    return Bucket(parts.netloc, parts.path.strip("/"), endpoint, region)


def open_store(url: str) -> Blobs:
    """The store of a `place`. Nothing is asked of it and nothing made before the first `put` or `get`."""
    where = place(url)
    return Folder(where) if isinstance(where, Path) else BucketBlobs(where)


class Folder:
    """FOLDER/ab/abcdef...: by the first two digits, so that no directory grows beyond what tools can list."""

    def __init__(self, path: Path) -> None:
        self._root = path.resolve()

    async def put(self, data: bytes) -> str:
        return await asyncio.to_thread(self._put, data)

    async def get(self, sha256: str) -> bytes:
        return await asyncio.to_thread(self._get, sha256)

    def _put(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        target = self._root / _key(sha256)
        scratch = target.with_name(f".{sha256}.{secrets.token_hex(8)}")
        try:
            missing = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            if not target.exists() or target.read_bytes() != data:
                with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                scratch.replace(target)
            # Also where it was there already: another process may have renamed it and not yet synced the directories.
            for folder in {target.parent, self._root, self._root.parent, *(folder.parent for folder in missing)}:
                _sync(folder)
        except OSError as error:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
            raise BlobStoreError(f"{self._root}: {error}") from error
        return sha256

    def _get(self, sha256: str) -> bytes:
        try:
            data = (self._root / _key(sha256)).read_bytes()
        except FileNotFoundError as error:
            raise NoBlobError(sha256) from error
        except OSError as error:
            raise BlobStoreError(f"{self._root}: {error}") from error
        return _checked(data, sha256)


class BucketBlobs:
    """A bucket: PREFIX/ab/abcdef... An object is there whole or not at all, and durable when the store has answered."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._store: S3Store | None = None

    async def put(self, data: bytes) -> str:
        from obstore import put_async  # noqa: PLC0415  a machine with a folder need not load it
        from obstore.exceptions import BaseError  # noqa: PLC0415

        sha256 = hashlib.sha256(data).hexdigest()
        try:
            await put_async(self._opened(), _key(sha256), data, use_multipart=False)
        except (BaseError, OSError, ValueError) as error:
            raise self._failed(error) from error
        return sha256

    async def get(self, sha256: str) -> bytes:
        from obstore import get_async  # noqa: PLC0415
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            answer = await get_async(self._opened(), _key(sha256))
            data = bytes(await answer.bytes_async())
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):  # the same status; S3's own code tells them apart
                raise BlobStoreError(f"{self._bucket.name}: there is no such bucket") from error
            raise NoBlobError(sha256) from error
        except (BaseError, OSError, ValueError) as error:
            raise self._failed(error) from error
        return _checked(data, sha256)

    def _failed(self, error: Exception) -> BlobStoreError:
        reason = (str(error) or repr(error)).splitlines()[0]  # what follows is the library's own debugging
        return BlobStoreError(f"{self._bucket.name}: {reason}")

    def _opened(self) -> S3Store:
        from obstore.store import S3Store  # noqa: PLC0415

        if self._store is None:
            where = self._bucket
            config: S3Config = {"region": where.region}
            if where.endpoint:
                config["endpoint"] = where.endpoint
            self._store = S3Store(
                where.name,
                prefix=where.prefix or None,
                config=config,
                client_options={
                    "allow_http": bool(where.endpoint and where.endpoint.startswith("http://")),
                    "connect_timeout": _CONNECT,
                    "timeout": _REQUEST,
                },
                retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY},
            )
        return self._store


def _key(sha256: str) -> str:
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise NoBlobError(sha256)  # no name of ours, and perhaps a path
    return f"{sha256[:2]}/{sha256}"


def _checked(data: bytes, sha256: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedBlobError(sha256)
    return data


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
