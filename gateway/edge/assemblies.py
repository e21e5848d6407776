"""Assemblies: who has sent parts of messages that are not whole yet. Bounded over all sessions, and asked after.

Each session bounds what it holds itself (protocols.jt808.reassembly); thousands of them together would still be too much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocols.jt808 import framing

if TYPE_CHECKING:
    from gateway.edge.connection import Connection
    from gateway.edge.hub import Hub
    from protocols.jt808.session import Session

MOST_BYTES = 128 * 1024 * 1024  # some 600 pictures on their way at once


class Assemblies:
    """nbytes: what all sessions of this edge hold."""

    def __init__(self, hub: Hub) -> None:
        self.nbytes = 0
        self._hub = hub
        self._held: dict[Session, tuple[Connection, int]] = {}

    def note(self, connection: Connection, session: Session) -> None:
        """The session has taken a packet in: it may hold more or less than before."""
        held, before = session.held, self._held.pop(session, None)
        if not held and before is None:
            return
        self.nbytes += held - (0 if before is None else before[1])
        if held:
            self._held[session] = connection, held
        if self.nbytes > MOST_BYTES:  # who holds most gives up, and will be sent it again
            most = max(self._held, key=lambda one: self._held[one][1])
            self._give_up(most)

    def sweep(self, now: int) -> None:
        """Asks for missing parts, and forgets those of who speaks no more over its connection. now: int64 us UTC."""
        for session, (connection, _) in list(self._held.items()):
            if connection.slot < 0 or connection.dropped or not connection.hears(session):
                self._give_up(session)
                continue
            due = session.due(now)
            for reason in due.lost:
                self._hub.count(reason)
            for ask in due.asks:
                serial = self._hub.sessions.next_serials(connection.slot_of(session.identity or ""), 1)
                frame = framing.encode(ask.message, ask.body, ask.phone, ask.edition, serial)
                self._hub.writer.hand(connection.slot, frame)
            self.note(connection, session)

    def _give_up(self, session: Session) -> None:
        self.nbytes -= self._held.pop(session)[1]
        for reason in session.give_up():
            self._hub.count(reason)
