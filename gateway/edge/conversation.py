"""Conversation: the packets of a linger that are taken one by one (register, authenticate, leave ...).

What a session returns is done here: records go through the log like everything else, and their answers wait for the disk;
other answers are written at once; who authenticates replaces the older connection of the same terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from columns.identity import device_of, partition_of
from gateway.edge.part import Gathering
from protocols.jt808 import framing

if TYPE_CHECKING:
    from gateway.edge.connection import Connection
    from gateway.edge.hub import Hub
    from protocols.contract import Intake
    from protocols.jt808.header import Packets

MAX_TEXT = 64  # characters of a text that a terminal says of itself; the standard's longest field has 30


def converse(hub: Hub, intake: Intake[Packets], owners: list[Connection], received: int) -> None:
    """Takes intake.conversation in; ``owners``: each chunk's connection."""
    packets, sessions = intake.packets, hub.sessions
    gathering = Gathering(hub.appender.add)
    opened: list[int] = []
    for row in intake.conversation.tolist():
        connection = owners[packets.chunk[row]]
        if connection.dropped:
            continue
        slot = connection.slot
        packet = packets.packet(row)
        session = connection.conversation()
        response = session.receive(packet, hub.registry, received)
        if response.reason is not None:
            hub.count(response.reason)
        if response.authenticated is not None:
            phone_hi, phone_lo = int(packets.phone_hi[row]), int(packets.phone_lo[row])
            opened.append(_authenticate(hub, slot, packet.identity, phone_hi, phone_lo))
        frames = b""
        for message, body in response.replies:
            frames += framing.encode(message, body, packet.phone, packet.edition, sessions.next_serials(slot, 1))
        if response.record is not None:
            part = gathering.part(partition_of(packet.identity, hub.partitions))
            part.record(_trace(hub, packet.identity, response.record, received))
            if frames:
                part.reply(slot, int(sessions.generation[slot]), frames)
        elif frames:
            connection.transport.write(frames)
        if session.identity is None:
            sessions.release(slot)
        if response.close is not None:
            hub.drop(connection, response.close)
    gathering.finish()
    if opened:
        hub.announce(opened)


def _authenticate(hub: Hub, slot: int, identity: str, phone_hi: int, phone_lo: int) -> int:
    """The device that this slot speaks for from now on."""
    device = device_of(identity)
    before = hub.sessions.authenticate(slot, device, partition_of(identity, hub.partitions), phone_hi, phone_lo)
    hub.counts["authenticated"] += 1
    if before is not None:
        hub.drop_slot(before, "replaced")
    return device


def _trace(hub: Hub, identity: str, record: dict[str, Any], received: int) -> dict[str, Any]:
    source = {"source": "open"} if identity in hub.registry.enrolled else {}
    said = {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in record.items()}
    return {**said, "device": device_of(identity), "received": received, **source}
