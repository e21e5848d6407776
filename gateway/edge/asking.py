"""Asking: what a worker asks of terminals is passed on to those that speak here; see gateway.position_query.

Every edge hears every question. Nothing but 0x8201 comes of one, and only for terminals that are authenticated here, alone
on their connection or behind a forwarding platform, whatever carries it. The answer, 0x0201, is heard by the session as any
other message; nobody waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.edge.records import header_hex
from gateway.position_query import QueryError, read
from protocols.jt808 import catalogue, framing

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from gateway.edge.hub import Hub
    from protocols.jt808.framing import Edition

QUERY = 0x8201


class Asking:
    """Counts, among the hub's: position_asked, and position_query_malformed, which was none."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def hear(self, message: Msg) -> None:
        try:
            devices = read(message.data)
        except QueryError:
            self._hub.counts["position_query_malformed"] += 1
            return
        for device in devices:
            slot = self._hub.sessions.by_device.get(device)
            if slot is not None:  # else it speaks to another edge, or to none
                self._ask(slot)

    def _ask(self, slot: int) -> None:
        sessions = self._hub.sessions
        connection = sessions.connections[slot]
        if connection is None or connection.dropped:
            return
        edition: Edition = "2019" if sessions.v2019[slot] else "2013"  # of the header; the body is empty in all three
        phone = header_hex(int(sessions.phone_hi[slot]) << 64 | int(sessions.phone_lo[slot]), edition)
        serial = sessions.next_serials(slot, 1)
        body = catalogue.encode(QUERY, {}, edition)
        self._hub.writer.hand(slot, framing.encode(QUERY, body, bytes.fromhex(phone), edition, serial))
        self._hub.counts["position_asked"] += 1
