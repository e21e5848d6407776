"""Dead letters are read again with today's code, and what reads goes back through the log, the one road into the database.

    letter -> read() -> claim: which batch it is -> append -> done

What is appended is a batch of a boot of its own, so duplicates are found, rows decided and stored as of any edge. After a crash
anywhere in between the letter is claimed and not done: the same batch is appended again, and the worker, which has seen its
number, takes it once. A letter is never deleted here, and what does not read stays to be replayed.

A replayed report has the time of receipt that it had: it is as late as it is.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from columns.batch import MAGIC, Batch, BatchError, DeadLetters, decode, encode
from columns.identity import device_of, partition_of
from columns.positions import Positions
from columns.reason import Reason
from protocols.contract import Trust
from protocols.jt808 import framing, header, intake
from protocols.jt808.session import Session, State
from storage import dead_letters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.log import Log
    from protocols.contract import Intake
    from protocols.jt808.header import Packets
    from storage.dead_letters import Connection, Letter

_AS_RECEIVED = {"noise", "oversize", "checksum", "length"}  # the others are unescaped
_UNKNOWN = 0


class BusyError(RuntimeError):
    """Somebody else replays."""


class _Nobody:
    """A directory for packets that ask it nothing: registrations and the like are not replayed."""

    def register(self, identity: str, registration: Mapping[str, Any]) -> tuple[int, str]:  # noqa: ARG002
        return 1, ""

    def verify(self, identity: str, code: str) -> Trust:  # noqa: ARG002
        return Trust.NONE


@dataclass(frozen=True, slots=True)
class Read:
    """What a letter holds by today's code; ``problem``: why that is nothing."""

    positions: Positions = field(default_factory=Positions.empty)
    sessions: Sequence[dict[str, Any]] = ()
    dead_letters: DeadLetters = field(default_factory=DeadLetters.empty)
    rejected: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None

    @property
    def outcome(self) -> str:
        if self.problem is not None:
            return self.problem
        return f"{len(self.positions)} positions, {len(self.sessions)} records, {len(self.dead_letters)} dead letters"


def read(letter: Letter) -> Read:
    """Raises nothing: whatever is wrong is a problem."""
    try:
        if _is_batch(letter):
            return _parked(letter)
        found = _item(letter) if letter.reason == "item" else _packet(letter)
    except Exception as error:  # noqa: BLE001  the fault for which it was put aside may be there still
        return Read(problem=repr(error))
    if found.problem is None and not len(found.positions) and not found.sessions:
        return Read(problem="nothing that is kept")
    return found


def _is_batch(letter: Letter) -> bool:
    return letter.data[:4] == MAGIC or letter.reason in dead_letters.ACKNOWLEDGED


def _parked(letter: Letter) -> Read:
    """A batch of ours: one that did not read then, or a part of one that could not be decided or stored."""
    try:
        batch = decode(letter.data)
    except BatchError as error:
        return Read(problem=str(error))
    rejected = batch.rejected if letter.reason == "unreadable_batch" else {}  # of parts these are counted already
    return Read(batch.positions, batch.sessions, batch.dead_letters, rejected)


def _item(letter: Letter) -> Read:
    """One report of a 0x0704, with its length before it; nobody knows the packet's serial any more."""
    body = b"\x00\x01\x00" + letter.data
    packet = header.Packet(intake.BATCH, 0, 0, v2019=False, phone=bytes(6), identity="", part=None, body=body)
    return _telemetry(letter, intake.read_whole(packet, letter.received))


def _packet(letter: Letter) -> Read:
    run = letter.data if letter.reason in _AS_RECEIVED else framing.escape(letter.data)
    found = intake.read([run + b"\x7e"], letter.received)
    if len(found.packets) != 1:
        reasons = {Reason(reason).name.lower() for reason in found.rejects.reason.tolist()}
        return Read(problem=f"still {', '.join(sorted(reasons)) or 'no packet'}")
    packet = found.packets.packet(0)
    if letter.device not in {_UNKNOWN, device_of(packet.identity)}:
        return Read(problem="it names another terminal than the one that sent it")
    if not len(found.conversation):
        return _telemetry(replace(letter, device=device_of(packet.identity)), found)
    session = Session()
    session.state, session.identity = State.AUTHENTICATED, packet.identity
    response = session.receive(packet, _Nobody(), letter.received)
    if response.reason is not None:
        return Read(problem=f"still {response.reason.name.lower()}")
    device, records = device_of(packet.identity), []
    if response.record is not None and response.record["event"] == "message":
        records = [{**response.record, "device": device}]
    reports = [] if response.reports is None else [response.reports.positions]
    rows = reports[0] if reports else Positions.empty()
    return Read(rows.with_columns(device=np.full(len(rows), device, "<i8")), records)


def _telemetry(letter: Letter, found: Intake[Packets]) -> Read:
    if not len(found.positions):
        return Read(problem="still " + ("body" if len(found.malformed) else "item"))
    n = len(found.rejects)
    rest = DeadLetters(
        np.full(n, letter.device, "<i8"), np.full(n, letter.received, "<i8"), found.rejects.reason.astype("<u1"),
        found.rejects.data,
    )  # fmt: skip
    rows = found.positions
    return Read(rows.with_columns(device=np.full(len(rows), letter.device, "<i8")), (), rest)


def _batch(found: Read, boot: str, number: int) -> bytes:
    return encode(
        Batch(boot, number, "jt808", found.positions, found.dead_letters, list(found.sessions), dict(found.rejected))
    )


def _partition(letter: Letter, partitions: int) -> int | None:
    """Of its terminal; of a batch the one that it was in, where the log has as many partitions as then."""
    if letter.phone is not None and not _is_batch(letter):
        return partition_of(letter.phone, partitions)
    return letter.partition if letter.partition < partitions else None


async def preview(
    conn: Connection, *, ids: Sequence[int] = (), reason: str | None = None
) -> list[tuple[int, bool, str]]:
    """What a replay would tell; nothing is changed."""
    told, after = [], 0
    while letters := await dead_letters.waiting(conn, ids=ids, reason=reason, after=after):
        for letter in letters:
            after = letter.id
            found = read(letter)
            told.append((letter.id, found.problem is None, found.outcome))
    return told


async def replay(
    conn: Connection, log: Log, *, by: str, ids: Sequence[int] = (), reason: str | None = None
) -> list[tuple[int, bool, str]]:
    """(letter, whether it was replayed, what came of it) of every letter that is wanted, and of those that a replay before
    this one was cut off at. conn: autocommit, rows as tuples. Raises BusyError.
    """
    told: list[tuple[int, bool, str]] = []
    async with dead_letters.alone(conn) as ours:
        if not ours:
            raise BusyError
        while pending := await dead_letters.claimed(conn):
            told += [await _again(conn, log, letter, by) for letter in pending]
        partitions = (await log.stream()).partitions
        boot, numbers, after = secrets.token_hex(8), Counter[int](), 0
        while letters := await dead_letters.waiting(conn, ids=ids, reason=reason, after=after):
            for letter in letters:
                after = letter.id
                found, partition = read(letter), _partition(letter, partitions)
                if partition is None:
                    found = Read(problem=f"it was in partition {letter.partition}, and the log has {partitions}")
                if found.problem is not None or partition is None:
                    await dead_letters.failed(conn, letter.id, found.outcome)
                    told.append((letter.id, False, found.outcome))
                    continue
                numbers[partition] += 1
                batch = dead_letters.Batch(boot, partition, numbers[partition])
                await dead_letters.claim(conn, letter.id, batch)
                await _append(log, found, batch)
                await dead_letters.done(conn, letter.id, by, found.outcome)
                told.append((letter.id, True, found.outcome))
    return told


async def _again(conn: Connection, log: Log, letter: Letter, by: str) -> tuple[int, bool, str]:
    """A replay was cut off here, before or after the append. Without its number the log would seem to lack a batch."""
    assert letter.batch is not None  # noqa: S101  it is claimed
    found = read(letter)
    await _append(log, found, letter.batch)
    if found.problem is None:
        await dead_letters.done(conn, letter.id, by, found.outcome)
    else:
        await dead_letters.failed(conn, letter.id, found.problem)
    return letter.id, found.problem is None, found.outcome


async def _append(log: Log, found: Read, batch: dead_letters.Batch) -> None:
    data = _batch(found, batch.boot, batch.number)
    await log.append(batch.partition, data, f"{batch.boot}-{batch.partition}-{batch.number}")
