"""Uploads: files that terminals send are stored, recorded, and only then acknowledged.

The store may be away and slow; what waits for it is bounded, and beyond the bound a file is not taken: its parts are
forgotten, no 0x8800 is sent, and the terminal sends it again.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import structlog

from columns.identity import partition_of
from gateway.edge.part import Part
from storage.blobs import BlobError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.edge.connection import Connection
    from gateway.edge.hub import Hub
    from protocols.contract import Response
    from protocols.jt808.session import Session
    from storage.blobs import Blobs

MOST_BYTES = 64 * 1024 * 1024  # some 300 pictures at once
log = structlog.get_logger()


class Uploads:
    """keep: runs a coroutine until it ends, or the edge does."""

    def __init__(self, hub: Hub, blobs: Blobs, keep: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._hub = hub
        self._blobs = blobs
        self._keep = keep
        self._waiting = 0
        self._storing: Counter[Session] = Counter()

    def storing(self, session: Session) -> bool:
        """Whether a file of this session's is on its way to the store."""
        return session in self._storing

    def take(
        self, connection: Connection, session: Session, response: Response, record: dict[str, Any], frames: bytes
    ) -> None:
        """Stores response.upload, then appends the record; ``frames`` acknowledge it when that is on disk."""
        assert response.upload is not None  # noqa: S101  the caller's mistake
        size = len(response.upload.data)
        if self._waiting + size > MOST_BYTES:
            self._refuse(session, response, "too many wait for the store")
            return
        self._waiting += size
        self._storing[session] += 1
        host, generation = connection.slot, int(self._hub.sessions.generation[connection.slot])
        self._keep(self._store(session, response, record, (host, generation, frames)))

    async def _store(
        self, session: Session, response: Response, record: dict[str, Any], reply: tuple[int, int, bytes]
    ) -> None:
        assert response.upload is not None  # noqa: S101
        data = response.upload.data
        try:
            sha256 = await self._blobs.put(data)
        except BlobError as error:
            self._refuse(session, response, repr(error))
            return
        finally:
            self._waiting -= len(data)
            self._storing[session] -= 1
            self._storing += Counter()  # without those that are 0
        part = Part()
        part.record({**record, "sha256": sha256})
        part.reply(*reply)
        self._hub.counts["uploads"] += 1
        self._hub.appender.add(partition_of(record["identity"], self._hub.partitions), part)

    def _refuse(self, session: Session, response: Response, why: str) -> None:
        self._hub.counts["uploads_failed"] += 1
        log.warning("file not stored; the terminal will send it again | 文件未保存，终端将重传",
                    terminal=session.identity, error=why)  # fmt: skip
        if response.whole is not None:
            session.not_stored(response.whole)
