"""Conversation: the packets of a linger that are taken one by one (register, authenticate, leave ...).

What a session returns is done here: records go through the log like everything else, and their answers wait for the disk;
other answers are written at once; who authenticates replaces the older session of the same terminal.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from columns.identity import device_of, partition_of
from columns.reason import Reason
from gateway.edge.part import Gathering
from protocols.jt808 import framing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gateway.edge.connection import Connection
    from gateway.edge.hub import Hub
    from protocols.contract import Intake
    from protocols.jt808.header import Packets
    from protocols.jt808.session import Session

MAX_TEXT = 64  # characters of a text that a terminal says of itself; the standard's longest field has 30


def converse(hub: Hub, intake: Intake[Packets], hosts: NDArray[np.int64], received: int) -> None:
    """Takes intake.conversation in. hosts: the own slot of each chunk's connection."""
    packets, sessions = intake.packets, hub.sessions
    gathering = Gathering(hub.appender.add)
    opened: list[int] = []
    for row in intake.conversation.tolist():
        host = int(hosts[packets.chunk[row]])
        connection = sessions.connections[host]
        if connection is None or connection.dropped:
            continue
        packet = packets.packet(row)
        identity = packet.identity
        session = connection.conversation(identity)
        if connection.full and session is not connection.session and identity not in connection.guests:
            hub.count(Reason.NOT_AUTHENTICATED)
            continue
        response = session.receive(packet, hub.registry, received)
        if response.reason is not None:
            hub.count(response.reason)
        if response.authenticated is not None:
            phone = int(packets.phone_hi[row]), int(packets.phone_lo[row])
            opened.append(_authenticate(hub, connection, session, identity, phone))
        frames = b""
        for message, body in response.replies:
            frames += framing.encode(message, body, packet.phone, packet.edition, sessions.next_serials(host, 1))
        if response.record is not None:
            part = gathering.part(partition_of(identity, hub.partitions))
            part.record(_trace(hub, identity, response.record, received))
            if frames:
                part.reply(host, int(sessions.generation[host]), frames)
        elif frames:
            connection.transport.write(frames)
        if session.identity is None:
            _left(hub, connection, session, identity)
        if response.close is not None:
            hub.drop(connection, response.close)
    gathering.finish()
    if opened:
        hub.announce(opened)


def _authenticate(hub: Hub, connection: Connection, session: Session, identity: str, phone: tuple[int, int]) -> int:
    """The device that speaks over this connection from now on."""
    sessions, device = hub.sessions, device_of(identity)
    slot = connection.slot_of(identity)
    if slot == connection.slot and session is not connection.session:
        slot = sessions.guest(connection, *phone, time.monotonic())
        connection.seat(identity, session, slot)
    before = sessions.authenticate(slot, device, partition_of(identity, hub.partitions), *phone)
    hub.counts["authenticated"] += 1
    if before is not None and before != slot:
        hub.end(before, "replaced")
    return device


def _left(hub: Hub, connection: Connection, session: Session, identity: str) -> None:
    """Nobody speaks through this session any more, or nobody did yet."""
    if session is connection.session:
        hub.sessions.release(connection.slot)
    elif identity in connection.guests:
        slot = connection.slot_of(identity)
        connection.leave(slot)
        hub.sessions.close(slot)


def _trace(hub: Hub, identity: str, record: dict[str, Any], received: int) -> dict[str, Any]:
    source = {"source": "open"} if identity in hub.registry.enrolled else {}
    said = {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in record.items()}
    return {**said, "device": device_of(identity), "received": received, **source}
