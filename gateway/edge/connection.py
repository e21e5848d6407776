"""Connection: who is at the other end, whatever carries the bytes. It cuts and hands over; it decides nothing.

A polled socket is cut by the poller; what comes through asyncio's own transports (TLS, MQTT topics) is cut here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, cast

from protocols.jt808.framing import FLAG, split
from protocols.jt808.session import Session

if TYPE_CHECKING:
    from gateway.edge.hub import Hub

MOST_TERMINALS = 5000  # on one connection: more than a county's machines behind one forwarding platform
MOST_ARRIVING = 100  # at a time: registering and authenticating takes a second
_NOBODY: dict[str, tuple[Session, int]] = {}  # shared by all that have no guests; never written to
_NO_ONE: dict[str, Session] = {}  # as _NOBODY, of those that arrive


class Transport(Protocol):
    """What carries a connection's bytes: a polled socket, one of asyncio's (TLS), or an MQTT topic."""

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Connection(asyncio.Protocol):
    """One connection. ``left``: the bytes of a packet that is not complete yet (bounded by framing).

    ``dropped``: the hub has ended it; the socket is lost a moment later. ``guests``: further terminals that authenticated
    on it (a forwarding platform's), the session and the slot of each by identity.
    """

    __slots__ = ("_arriving", "dropped", "guests", "hub", "left", "session", "slot", "transport")
    transport: Transport

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.left = b""
        self.slot = -1
        self.dropped = False
        self.session: Session | None = None
        self.guests = _NOBODY
        self._arriving = _NO_ONE

    def connection_made(self, transport: asyncio.BaseTransport | Transport) -> None:
        self.transport = cast("Transport", transport)  # uvloop's is one, but not by inheritance
        self.hub.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.left or data[-1] != FLAG:
            data, self.left = split(self.left, data)
            half = self.hub.sessions.half
            if not self.left:
                half[self.slot] = 0
            elif data or not half[self.slot]:
                half[self.slot] = time.monotonic()
            if not data:
                return
        self.hub.add(self, data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.hub.closed(self)

    def pause_writing(self) -> None:
        """64 KiB of unread acknowledgements are over 3,000 reports: this terminal does not read. It will resend."""
        self.hub.drop(self, "slow_reader")

    def conversation(self, identity: str) -> Session:
        """The session that a packet of this terminal belongs to.

        The first terminal of a connection has ``session``; beside one that is authenticated, another has its own.
        """
        guest = self.guests.get(identity)  # asked first: the first terminal may have left, and its guests stay
        if guest is not None:
            return guest[0]
        first = self.session
        if first is None:
            first = self.session = Session()
        if first.identity is None or first.identity == identity:
            return first
        if self._arriving is _NO_ONE:
            self._arriving = {}
        arriving = self._arriving.pop(identity, None) or Session()
        if len(self._arriving) >= MOST_ARRIVING:
            del self._arriving[next(iter(self._arriving))]
        self._arriving[identity] = arriving
        return arriving

    def hears(self, session: Session) -> bool:
        """Whether this session's terminal speaks over this connection now."""
        if session.identity is None:
            return False
        guest = self.guests.get(session.identity)
        return session is (self.session if guest is None else guest[0])

    def slot_of(self, identity: str) -> int:
        """The slot that speaks, or would speak, for this terminal here."""
        guest = self.guests.get(identity)
        return self.slot if guest is None else guest[1]

    def session_of(self, slot: int) -> Session | None:
        """Whose slot this is."""
        if slot == self.slot:
            return self.session
        return next((session for session, taken in self.guests.values() if taken == slot), None)

    @property
    def full(self) -> bool:
        """Whether no further terminal may authenticate here."""
        return len(self.guests) >= MOST_TERMINALS

    def seat(self, identity: str, session: Session, slot: int) -> None:
        """The session, which was arriving, is from now on the guest of this slot."""
        if self.guests is _NOBODY:
            self.guests = {}
        self.guests[identity] = session, slot
        self.dismiss(identity)

    def dismiss(self, identity: str) -> None:
        """Who arrived is here, or was refused too often."""
        self._arriving.pop(identity, None)

    def leave(self, slot: int) -> None:
        """The terminal of this slot speaks here no more."""
        if slot == self.slot:
            self.session = None
        else:
            self.guests = {identity: guest for identity, guest in self.guests.items() if guest[1] != slot}
