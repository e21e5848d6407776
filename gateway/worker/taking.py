"""Taking: messages of one partition become one transaction, and after it what the worker remembers.

    gather -> sift (what is new) -> judge -> commit -> remember

Invariants: nothing is remembered before its commit. What raises before it leaves everything as it was, so the same messages
may be taken again, whole or in parts (parking.py); what raises after it is ForgottenError: recall, and go on behind it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gateway.worker import decision as deciding
from gateway.worker import gaps
from gateway.worker.memory import Memory
from gateway.worker.parking import ForgottenError, Stopped, alarm
from gateway.worker.rejudging import rejudge_late
from gateway.worker.showing import Showing
from geofence.tampering import follow
from storage.errors import EpochChangedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from columns.positions import Positions
    from gateway.histogram import Histogram
    from gateway.log import Stream
    from gateway.worker.asking import Asking
    from gateway.worker.decision import Gathered, Judged
    from gateway.worker.rules import Rules, RulesCache
    from gateway.worker.store import Clock, Session
    from storage.load import Offset
    from storage.work import Row

_UNREADABLE = "unreadable_batch"


class Taking:
    """Of one partition, for one owner after the other: begin() with each session.

    ``showing``: what the map is to be shown next; the counters are of this process.
    """

    def __init__(self, number: int, rules: RulesCache, asking: Asking, clock: Clock, latency: Histogram) -> None:
        self.number = number
        self.memory = Memory()
        self.sequence = 0
        self.showing = Showing()
        self.newest = 0
        self.commits = self.rows = self.duplicates = 0
        self._rules = rules
        self._asking = asking
        self._clock = clock
        self._latency = latency

    def begin(self, session: Session, stream: Stream, offset: Offset) -> None:
        self.session, self.stream, self.sequence, self._accepted = session, stream, offset.sequence, offset.accepted

    def now(self) -> int:
        return self._clock.now()

    def gather(self, messages: Sequence[tuple[int, bytes]]) -> Gathered:
        """Raises Stopped where batches are missing that nobody has given up."""
        gathered = deciding.gather(messages, self.memory.boots)
        if lost := [gap for gap in gathered.gaps if gap.sequence > self._accepted]:
            raise Stopped(gaps.described(self.number, lost))
        return gathered

    async def settle(self, gathered: Gathered, signals: Sequence[Row] = (), *, trial: bool = False) -> None:
        """All of it, or all but the end of it: a trial is rolled back."""
        if gathered.rejected.get(_UNREADABLE) and not signals:
            signals = alarm(self.number, 0, {_UNREADABLE: gathered.rejected[_UNREADABLE]}, self.now())
        new = await self._new(gathered)
        epoch = 0
        while True:
            rules = await self._known_rules(epoch)
            judged = await self._judge(rules, new)
            tampering = follow(self.memory.watch, self.memory.state, rules.ruleset, new)
            work = deciding.work(
                gathered, new, judged, rules, memory=self.memory, partition=self.number,
                stream=self.stream.identity, previous=self.sequence, now=self.now(), tampering=tampering,
            )  # fmt: skip
            if signals:
                work = replace(work, signals=[*work.signals, *signals])
            begun = self._clock.monotonic()
            try:
                committed = await (self.session.trial(work) if trial else self.session.commit(work))
            except EpochChangedError as changed:
                epoch = changed.new
                continue
            break
        if trial:
            return
        self._latency.observe(self._clock.monotonic() - begun)
        self.sequence = gathered.sequence
        self.commits += 1
        self.rows += len(new)
        self.duplicates += work.duplicate + committed.duplicate
        try:
            self.memory.boots = gathered.boots
            self.memory.recent.remember(new)
            deciding.remember(self.memory, judged)
            self.memory.watch = tampering.after
            self._asking.ask(deciding.to_ask(judged))
        except Exception as error:
            raise ForgottenError(f"committed up to {self.sequence}, and not remembered: {error!r}") from error
        self.newest = int(gathered.positions.received[-1]) if len(gathered.positions) else self.now()
        self.showing.add(new)

    async def _known_rules(self, epoch: int) -> Rules:
        """Rules that do not load are no fault of a batch's."""
        try:
            return await self._rules.get(self.session, epoch)
        except UnavailableError:
            raise
        except Exception as error:
            raise Stopped(f"the rules do not load: {error!r} | 规则无法加载，请检查区域与规则数据") from error

    async def _judge(self, rules: Rules, new: Positions) -> Judged:
        """Terminals with rows so late that memory does not reach back to them are judged one by one, with their history."""
        judged = deciding.judge(self.memory, rules, new)
        for device in judged.late:
            rows = new.take(np.flatnonzero(new.device == device))
            judged.rejudged[device] = await rejudge_late(self.session, rules.ruleset, device, rows)
        return judged

    async def _new(self, gathered: Gathered) -> Positions:
        """The rows that are not stored yet."""
        positions = gathered.positions
        sifted = self.memory.recent.sift(positions)
        if not len(sifted.suspects):
            return positions if len(sifted.fresh) == len(positions) else positions.take(sifted.fresh)
        asked = positions.take(sifted.suspects)
        known = await self.session.known(asked)
        return positions.take(np.union1d(sifted.fresh, sifted.suspects[~known]))
