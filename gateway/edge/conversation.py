"""Conversation: the packets of a linger that are taken one by one (register, authenticate, parts, answers ...).

What a session returns is done here: records go through the log like everything else, and their answers wait for the disk;
other answers are written at once; who authenticates replaces the older session of the same terminal.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import structlog

from columns.identity import device_of, partition_of
from columns.positions import Quality
from columns.reason import Reason
from gateway.edge.part import Gathering
from gateway.edge.records import describe, header_hex
from gateway.edge.rejected import DEAD_PER_LINGER
from protocols.jt808 import splitting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gateway.edge.connection import Connection
    from gateway.edge.hub import Hub
    from gateway.edge.telemetry import Senders
    from protocols.contract import Intake, Response
    from protocols.jt808.header import Packet, Packets
    from protocols.jt808.session import Session

_UNKNOWN = (
    "registration refused: bind the terminal in the console's list of unbound terminals"
    " (POST /api/v1/terminals/PHONE/bindings); LEZGATE_ENROLMENT=open would admit any"
    " | 终端注册被拒绝：请在控制台「待绑定终端」中绑定；LEZGATE_ENROLMENT=open 可接受任何终端"
)
log = structlog.get_logger()
UNPATIENT = frozenset({Reason.UNKNOWN_TERMINAL, Reason.BAD_CODE})


class Reported(NamedTuple):
    """Reports that came in the conversation, over which slot and from whom, as it was when they came.

    acknowledged: whether the terminal waits for that.
    """

    slot: int
    reports: Intake[Packets]
    senders: Senders
    acknowledged: bool


class Talk:
    """One linger's conversation. ``reported``: what came of it for the columns; when they have it, `finish`."""

    def __init__(self, hub: Hub, received: int) -> None:
        self.reported: list[Reported] = []
        self._hub = hub
        self._received = received
        self._gathering = Gathering(hub.appender.add)
        self._last = Gathering(hub.appender.add)
        self._opened: list[int] = []
        self._swapped_here: list[str] = []
        self._letters = 0

    def converse(self, intake: Intake[Packets], hosts: NDArray[np.int64]) -> None:
        """Takes intake.conversation in. hosts: the own slot of each chunk's connection."""
        packets = intake.packets
        for row in intake.conversation.tolist():
            connection = self._hub.sessions.connections[int(hosts[packets.chunk[row]])]
            if connection is None or connection.dropped:
                continue
            packet = packets.packet(row)
            session = connection.conversation(packet.identity)
            if connection.full and session is not connection.session and packet.identity not in connection.guests:
                self._hub.count(Reason.NOT_AUTHENTICATED)
                self._hub.tracer.refused(packet.identity, packet.message, packet.serial, Reason.NOT_AUTHENTICATED)
                continue
            response = session.receive(packet, self._hub.registry, self._received)
            if response.authenticated is not None:
                phone = int(packets.phone_hi[row]), int(packets.phone_lo[row])
                self._authenticated(connection, session, packet, phone, unverified=response.unverified)
            if not self._account(connection, session, packet, packets.raw(row), response):
                self._end(connection, session, packet.identity, "refused")
                continue
            self._answer(connection, session, packet, response)
            if session.identity is None:
                _left(self._hub, connection, session, packet.identity)
            if response.close is not None:
                self._end(connection, session, packet.identity, response.close)
        self._gathering.finish()
        if self._opened:
            self._hub.rivals.tell(self._opened, self._swapped_here)

    def finish(self) -> None:
        """Hands over the answers that must not come before anything else that this linger brought is on disk."""
        self._last.finish()

    def _account(
        self, connection: Connection, session: Session, packet: Packet, raw: bytes, response: Response
    ) -> bool:
        """Counts what was refused or lost, and keeps what an authenticated terminal said in vain.

        Returns whether the packet is answered at all: who was refused too often is heard no more.
        """
        hub = self._hub
        for reason in response.lost:
            hub.count(reason)
        hub.assemblies.note(connection, session)
        if response.reason is None:
            return True
        hub.count(response.reason)
        if hub.tracer.following:
            hub.tracer.refused(packet.identity, packet.message, packet.serial, response.reason)
        if response.reason is Reason.UNKNOWN_TERMINAL and response.record is not None:
            said = {name: response.record.get(name) for name in ("result", "plate", "maker", "terminal_id")}
            log.warning(_UNKNOWN, terminal=packet.identity, **said)
        if session.identity != packet.identity:
            return response.reason not in UNPATIENT or hub.patience.spend(packet.identity, self._received)
        if self._letters < DEAD_PER_LINGER:
            self._letters += 1
            part = self._gathering.part(partition_of(packet.identity, hub.partitions))
            part.letter(device_of(packet.identity), self._received, response.reason, raw)
        return True

    def _end(self, connection: Connection, session: Session, identity: str, why: str) -> None:
        """Ends who was refused too often, and with it the connection, unless other terminals speak over that."""
        if session is connection.session:
            self._hub.end(connection.slot, why)
        else:
            self._hub.counts[f"ended_{why}"] += 1
            connection.dismiss(identity)

    def _answer(self, connection: Connection, session: Session, packet: Packet, response: Response) -> None:
        hub, host, slot = self._hub, connection.slot, connection.slot_of(packet.identity)
        frames = b"".join(response.resend)
        for message, body in response.replies:
            frames += _framed(hub, slot, session, packet, message, body)
        if response.reports is not None:
            acknowledged = not response.replies and response.record is None
            packets, rows = response.reports.packets, response.reports.telemetry
            senders = hub.telemetry.senders(packets, rows, np.full(len(packets), slot))
            self.reported.append(Reported(slot, response.reports, senders, acknowledged))
        record, partition = response.record, partition_of(packet.identity, hub.partitions)
        if response.upload is not None and record is not None:
            told = describe(hub, packet.identity, record, self._received)
            hub.uploads.take(connection, session, response, told, frames)
        elif record is not None:
            part = self._gathering.part(partition)
            part.record(describe(hub, packet.identity, record, self._received))
            if frames:
                part.reply(host, int(hub.sessions.generation[host]), frames)
        elif response.ordered:
            if not hub.uploads.storing(session):  # else its file may be the one: 0x8800 will answer it
                self._last.part(partition).reply(host, int(hub.sessions.generation[host]), frames)
        elif frames:
            hub.writer.hand(host, frames)

    def _authenticated(
        self, connection: Connection, session: Session, packet: Packet, phone: tuple[int, int], *, unverified: bool
    ) -> None:
        """The packet's terminal speaks over this connection from now on."""
        hub, identity = self._hub, packet.identity
        device = device_of(identity)
        sessions, slot = hub.sessions, connection.slot_of(identity)
        if slot == connection.slot and session is not connection.session:
            slot = sessions.guest(connection, *phone, time.monotonic())
            connection.seat(identity, session, slot)
        partition = partition_of(identity, hub.partitions)
        before = sessions.authenticate(slot, device, partition, *phone, v2019=packet.v2019)
        hub.counts["authenticated"] += 1
        self._opened.append(device)
        if before is not None and before != slot:
            hub.end(before, "replaced")
            self._swapped(session, identity, phone)  # before the next line asks whether it is disputed
        disputed = hub.swaps.disputed(identity, self._received)
        sessions.mark[slot] = (Quality.UNVERIFIED if unverified else 0) | (Quality.DISPUTED if disputed else 0)

    def _swapped(self, session: Session, identity: str, phone: tuple[int, int]) -> None:
        hub = self._hub
        part = self._gathering.part(partition_of(identity, hub.partitions))
        self._swapped_here.append(identity)
        edition = session.edition or "2013"
        header = header_hex(phone[0] << 64 | phone[1], edition)
        for record in hub.swaps.note(identity, header, edition, self._received):
            part.record(describe(hub, identity, record, self._received))


def _framed(hub: Hub, slot: int, session: Session, packet: Packet, message: int, body: bytes) -> bytes:
    """A message of ours to the packet's terminal: in parts, and remembered, where it is longer than a packet."""
    count = splitting.parts(body)
    serial = hub.sessions.next_serials(slot, count)
    frames = splitting.split(message, body, packet.phone, packet.edition, serial)
    if count > 1:
        session.sent = session.sent or splitting.Sent()
        session.sent.remember(serial, frames)
    return b"".join(frames)


def _left(hub: Hub, connection: Connection, session: Session, identity: str) -> None:
    """Nobody speaks through this session any more, or nobody did yet."""
    if session is connection.session:
        hub.sessions.release(connection.slot)
    elif identity in connection.guests:
        slot = connection.slot_of(identity)
        connection.leave(slot)
        hub.sessions.close(slot)
