"""Connection: the shell around one socket. It cuts and hands over; it decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from protocols.jt808.framing import split
from protocols.jt808.session import Session

if TYPE_CHECKING:
    from gateway.edge.hub import Hub

_FLAG = 0x7E


class Connection(asyncio.Protocol):
    """One terminal's socket. ``left``: the bytes of a packet that is not complete yet (bounded by framing).

    ``dropped``: the hub has ended it; the socket is lost a moment later.
    """

    __slots__ = ("dropped", "hub", "left", "session", "slot", "transport")
    transport: asyncio.Transport

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.left = b""
        self.slot = -1
        self.dropped = False
        self.session: Session | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one, but not by inheritance
        self.hub.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.left or data[-1] != _FLAG:
            data, self.left = split(self.left, data)
            if not data:
                return
        self.hub.add(self, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.hub.closed(self)

    def pause_writing(self) -> None:
        """64 KiB of unread acknowledgements are over 3,000 reports: this terminal does not read. It will resend."""
        self.hub.drop(self, "slow_reader")

    def conversation(self) -> Session:
        """Most connections talk once, then send telemetry for days."""
        if self.session is None:
            self.session = Session()
        return self.session
