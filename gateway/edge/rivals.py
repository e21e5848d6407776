"""Rivals: sessions of one terminal on several connections, of this edge or of others. The newest wins, everywhere.

Edges tell one another on `session.opened` which devices speak there now, and which terminals' older sessions they ended for
that: {"boot", "devices", "swapped"}. So a terminal that changes edges has one session, and every edge counts all its swaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from columns.identity import device_of, partition_of
from columns.positions import Quality
from gateway.edge.part import Part
from gateway.edge.records import describe, header_hex

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.msg import Msg

    from gateway.edge.hub import Hub

SUBJECT = "session.opened"


class Rivals:
    """publish: sends on a subject, soon."""

    def __init__(self, hub: Hub, publish: Callable[[str, bytes], None]) -> None:
        self._hub = hub
        self._publish = publish
        self._quarantined = self._held()

    def tell(self, devices: list[int], swapped: list[str]) -> None:
        """One message for all that authenticated here in a linger, and whose older session this edge has ended."""
        said = {"boot": self._hub.appender.boot, "devices": devices, "swapped": swapped}
        self._publish(SUBJECT, orjson.dumps(said))

    async def hear(self, message: Msg) -> None:
        """What another edge tells: who speaks there speaks here no more."""
        said = orjson.loads(message.data)
        if said["boot"] == self._hub.appender.boot:
            return
        now = self._hub.now()
        lost = [identity for device in said["devices"] if (identity := self._yield(device, now)) is not None]
        if lost:
            self.tell([], lost)
        for identity in said["swapped"]:
            self._hub.swaps.note(identity, "", "", now)
            self._mark(identity, disputed=self._hub.swaps.disputed(identity, now))

    def _yield(self, device: int, now: int) -> str | None:
        """Ends this device's session, if it has one here: its identity."""
        hub = self._hub
        slot = hub.sessions.by_device.get(device)
        connection = None if slot is None else hub.sessions.connections[slot]
        session = None if connection is None or slot is None else connection.session_of(slot)
        if slot is None or session is None or session.identity is None:
            return None
        identity, edition = session.identity, session.edition or "2013"
        phone = int(hub.sessions.phone_hi[slot]) << 64 | int(hub.sessions.phone_lo[slot])
        hub.end(slot, "replaced")
        self._record(hub.swaps.note(identity, header_hex(phone, edition), edition, now), identity, now)
        return identity

    def _record(self, records: list[dict[str, Any]], identity: str, now: int) -> None:
        part = Part()
        for record in records:
            part.record(describe(self._hub, identity, record, now))
        self._hub.appender.add(partition_of(identity, self._hub.partitions), part)

    def withdrawn(self, identities: set[str]) -> None:
        """The registry has changed: whose code is no longer good is ended, and quarantines begin or end."""
        for identity in identities:
            slot = self._hub.sessions.by_device.get(device_of(identity))
            if slot is not None:
                self._hub.end(slot, "withdrawn")
        held = self._held()
        self._hub.swaps.settle(self._quarantined - held)
        for identity in held ^ self._quarantined:
            self._mark(identity, disputed=identity in held)
        self._quarantined = held

    def sweep(self, now: int) -> None:
        """Lifts the mark of those whose quarantine has ended by itself. now: int64 us UTC."""
        sessions = self._hub.sessions
        for slot in np.flatnonzero(sessions.mark[: len(sessions.connections)] & Quality.DISPUTED).tolist():
            connection = sessions.connections[slot]
            session = None if connection is None else connection.session_of(slot)
            if session is not None and session.identity is not None:
                self._mark(session.identity, disputed=self._hub.swaps.disputed(session.identity, now))

    def _held(self) -> set[str]:
        """Who is in quarantine now, by the registry."""
        now = self._hub.now()
        return {identity for identity, until in self._hub.registry.quarantined.items() if until > now}

    def _mark(self, identity: str, *, disputed: bool) -> None:
        slot = self._hub.sessions.by_device.get(device_of(identity))
        if slot is not None:
            mark = int(self._hub.sessions.mark[slot]) & ~Quality.DISPUTED
            self._hub.sessions.mark[slot] = mark | (Quality.DISPUTED if disputed else 0)
