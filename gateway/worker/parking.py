"""Parking: what cannot be decided or stored is found by halves and put aside, so that the rest goes on.

    messages ── fail ──▶ halves ... one message ── fails ──▶ halves of its rows ... one row ── fails ──▶ parked

A part is one report, one session record or one dead letter of a message. Parts are tried in transactions that are rolled
back; then one commit writes all that pass and all that is parked, and moves the offset. So a crash at any moment changes
nothing, and everything is counted once. What is parked is a dead letter that says why, and holds a batch of its own
(columns/batch.py) of that one part: whoever replays it after a fix appends it under a boot and a number of his own.

Nothing is parked where the fault is not the batch's: of the database that is away, of rules that do not load, of a memory
that ran out, or where FAULTY parts in a row fail; these stop the partition.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import structlog

from columns.batch import Batch, DeadLetters, decode, encode
from columns.ragged import Ragged, concatenate
from columns.reason import Reason
from gateway.log import StreamChangedError
from storage.errors import CommitError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from columns.positions import Positions
    from gateway.worker.decision import Gathered
    from storage.work import Row

    Messages = Sequence[tuple[int, bytes]]
    Places = NDArray[np.intp]

TRIES = 3
FAULTY = 200  # a broken terminal is one of hundreds in a batch; a broken release or schema is all of them
KIND = "parked"
log = structlog.get_logger()


class Stopped(Exception):  # noqa: N818  not an error: what to do next
    """The partition must not go on by itself; the message says why."""


class ForgottenError(Exception):
    """It was committed, and could not be remembered: recall, and go on behind it."""


class Taker(Protocol):
    """What a partition does with messages."""

    number: int
    sequence: int

    def now(self) -> int:
        """The time, us UTC."""

    def gather(self, messages: Messages) -> Gathered: ...

    async def settle(self, gathered: Gathered, signals: Sequence[Row] = (), *, trial: bool = False) -> None:
        """Decides, commits and remembers, or raises and leaves all as it was; a trial leaves all as it was anyway."""


def is_the_batchs(error: Exception) -> bool:
    """Whether what was raised may be due to what is in the batch."""
    if isinstance(error, RefusedError):
        return True
    return not isinstance(error, _NOT_THE_BATCHS)


_NOT_THE_BATCHS = (CommitError, StreamChangedError, Stopped, ForgottenError, OSError, MemoryError)


class Parking:
    """Takes messages apart for one partition. ``parked`` counts since the process began."""

    def __init__(self, taker: Taker) -> None:
        self.parked = 0
        self._taker = taker
        self._in_a_row = 0

    async def take_apart(self, messages: Messages) -> None:
        """Has everything taken that can be, in order, and parks the rest."""
        if len(messages) == 1:
            await self._take_one(messages)
            return
        half = len(messages) // 2
        for part in (messages[:half], messages[half:]):
            try:
                await self._taker.settle(self._taker.gather(part))
            except Exception as error:
                if not is_the_batchs(error):
                    raise
                await self.take_apart(part)

    async def _take_one(self, messages: Messages) -> None:
        sequence, data = messages[0]
        try:
            gathered = self._taker.gather(messages)
        except Exception as error:
            if not is_the_batchs(error):
                raise
            raise Stopped(
                f"message {sequence} of the log does not read: {error!r}; nothing is lost, it waits for a release that reads it"
                f" | 日志消息 {sequence}（{len(data)} 字节）无法读取，等待可读取该消息的版本，数据未丢失"
            ) from error
        found = _Found()
        await self._sort_out(gathered, np.arange(size(gathered)), found, together=False)
        if found.bad and await self._fails(some(gathered, np.concatenate([*found.good, _NONE]))):
            # Each passes alone, and not all of them together: those are tried with all that passed before them.
            found = _Found()
            await self._sort_out(gathered, np.arange(size(gathered)), found, together=True)
        await self._settle(gathered, found, sequence)

    async def _settle(self, gathered: Gathered, found: _Found, sequence: int) -> None:
        letters, counts, number = [], Counter[str](), self._taker.number
        for place, failed in found.bad:
            reason = Reason.REFUSED if isinstance(failed, RefusedError) else Reason.FAILED
            counts[reason.name.lower()] += 1
            letters.append(parked(some(gathered, np.array([place])), reason, f"{KIND}-{number}-{sequence}-{place}"))
            log.error("parked | 已搁置", partition=number, reason=reason.name.lower(), device=int(letters[-1].device[0]),
                      error=repr(failed), exc_info=failed)  # fmt: skip
        rest = some(gathered, np.concatenate([*found.good, _NONE]))
        rest = replace(
            rest, dead_letters=_together([rest.dead_letters, *letters]), rejected=dict(counts + Counter(rest.rejected))
        )
        device = int(letters[0].device[0]) if letters else 0
        try:
            await self._taker.settle(rest, alarm(number, device, counts, self._taker.now()))
        except Exception as error:
            if not is_the_batchs(error):
                raise
            raise Stopped(
                f"what cannot be taken cannot be parked either: {error!r} | 无法处理的数据亦无法搁置"
            ) from error
        self.parked += len(letters)

    async def _sort_out(self, gathered: Gathered, places: Places, found: _Found, *, together: bool) -> None:
        """Which of these parts pass, and which do not."""
        if not len(places):
            return
        tried = np.concatenate([*found.good, places]) if together else places
        failed: Exception | None = None
        for _ in range(TRIES if len(places) == 1 else 1):
            if (failed := await self._fails(some(gathered, tried))) is None:
                found.good.append(places)
                self._in_a_row = 0
                return
        if len(places) > 1:
            for half in np.array_split(places, 2):
                await self._sort_out(gathered, half, found, together=together)
            return
        self._in_a_row += 1
        if self._in_a_row > FAULTY:
            raise Stopped(
                f"{FAULTY} reports in a row fail, the last with {failed!r}: that is no fault of theirs. Nothing is lost; install a"
                f" release without this fault | 连续 {FAULTY} 条数据处理失败，并非数据本身的问题；数据未丢失，请安装修复后的版本"
            ) from failed
        assert failed is not None  # noqa: S101
        found.bad.append((int(places[0]), failed))

    async def _fails(self, part: Gathered) -> Exception | None:
        try:
            await self._taker.settle(part, trial=True)
        except Exception as error:
            if not is_the_batchs(error):
                raise
            return error
        return None


@dataclass(slots=True)
class _Found:
    """Places of parts, in their order: those that pass, and those that do not, with what was raised."""

    good: list[Places] = field(default_factory=list)
    bad: list[tuple[int, Exception]] = field(default_factory=list)


_NONE = np.empty(0, np.intp)


def size(gathered: Gathered) -> int:
    """Of how many parts it consists."""
    return len(gathered.positions) + len(gathered.sessions) + len(gathered.dead_letters)


def some(gathered: Gathered, places: Places) -> Gathered:
    """The parts at these places, ascending: positions, then session records, then dead letters."""
    letters = gathered.dead_letters
    n, m = len(gathered.positions), len(gathered.positions) + len(gathered.sessions)
    rows = places[places >= m] - m
    return replace(
        gathered,
        positions=gathered.positions.take(places[places < n]),
        sessions=[gathered.sessions[place - n] for place in places[(places >= n) & (places < m)].tolist()],
        dead_letters=DeadLetters(
            letters.device[rows], letters.received[rows], letters.reason[rows], letters.data.take(rows)
        ),
    )


def parked(part: Gathered, reason: Reason, boot: str) -> DeadLetters:
    """One part as a dead letter: a batch that holds nothing else."""
    positions, letters = part.positions, part.dead_letters
    data = encode(Batch(boot, 1, "", positions, letters, sessions=part.sessions))
    of = positions if len(positions) else letters
    return DeadLetters(
        of.device[:1] if len(of) else np.zeros(1, "<i8"),
        of.received[:1] if len(of) else np.zeros(1, "<i8"),
        np.array([reason], "<u1"),
        Ragged.of([data]),
    )


def alarm(partition: int, device: int, counts: Mapping[str, int], now: int) -> list[Row]:
    """That somebody must look at what is parked. It is of a moment: the next one after staff closed it is another.

    device: the first of those that it is of; 0: unknown.
    """
    if not counts:
        return []
    subject = str(partition)
    return [
        {
            "kind": KIND, "subject": subject, "district": "", "device": device, "at": now,
            "confirmed_at": now, "received": now, "paged_at": now, "page_reason": "prompt", "late": False,
            "detail": {"partition": partition, "parked": dict(counts)},
        },
        {"kind": KIND, "subject": subject, "at": now, "reason": KIND},
    ]  # fmt: skip


def keys(rows: Positions) -> list[tuple[int, int, int]]:
    """What each report is known by."""
    columns = rows.device, rows.time, rows.fingerprint
    return list(zip(*(column.tolist() for column in columns), strict=True))


def without_parked(rows: Positions, letters: Iterable[bytes]) -> Positions:
    """These rows but for those that are parked: they are not stored, so nobody remembers them."""
    passed = {key for letter in letters for key in keys(decode(letter).positions)}
    if not passed:
        return rows
    return rows.take(np.array([place for place, key in enumerate(keys(rows)) if key not in passed], np.intp))


def _together(letters: Sequence[DeadLetters]) -> DeadLetters:
    return DeadLetters(
        np.concatenate([letter.device for letter in letters]),
        np.concatenate([letter.received for letter in letters]),
        np.concatenate([letter.reason for letter in letters]),
        concatenate([letter.data for letter in letters]),
    )
