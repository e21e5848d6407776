"""Share: which partitions of the log this worker process has, so that all that run have equally many.

Who runs and who has what stands in the database's locks (storage/membership.py): it is true at every moment, whoever dies, and
nobody needs to agree with anybody. Every process looks a few times a second and works out the same shares from it. Who
has more than its share gives one up after a commit; who has less takes what is free. Two that reach for the same one are
kept apart by the partition's lock.

It decides whose turn it is and moves nothing: partitions do.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from storage.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.worker.store import Store
    from storage.membership import Standing

LOOK_S = 0.25  # of the second in which a dead process's partitions are somebody else's
LOOK_ALONE_S = 1.0  # who has all of them waits for nobody but a newcomer
RETRY_S = 0.5
UNABLE_S = 5.0  # a log's server that is started again is no reason to move anything
log = structlog.get_logger()


class Turns(Protocol):
    """What a partition asks before it takes its lock, and after its commits."""

    async def turn(self, partition: int) -> None:
        """Returns once this process should try to take the partition."""

    def elsewhere(self, partition: int) -> bool:
        """Whether another process is known to have it."""

    def taken(self, partition: int) -> None: ...

    def left(self, partition: int) -> None: ...

    def surplus(self, partition: int) -> bool:
        """Whether this process is to give the partition up. Said once: it is left from now on."""


class Everything:
    """The turns of a process that takes whatever it can get."""

    async def turn(self, partition: int) -> None: ...

    def elsewhere(self, partition: int) -> bool:
        del partition
        return False

    def taken(self, partition: int) -> None: ...

    def left(self, partition: int) -> None: ...

    def surplus(self, partition: int) -> bool:
        del partition
        return False


def fair(owned: Mapping[int, int], partitions: int) -> dict[int, int]:
    """Member -> how many it should have: equal but for one, and the one more where there are more already."""
    low, more = divmod(partitions, len(owned))
    order = sorted(owned, key=lambda member: (-owned[member], member))
    return {member: low + (place < more) for place, member in enumerate(order)}


class Share:
    """The turns of one of many processes. ``trouble``: why nothing is known, or None.

    able: whether this process could follow the log now. Who could not for UNABLE_S is no member, and gives up what it has:
    otherwise others would leave their share to somebody who cannot take it.
    """

    def __init__(self, store: Store, partitions: int, able: Callable[[], bool] = lambda: True) -> None:
        self.trouble: str | None = None
        self.members = 0
        self._store = store
        self._partitions = partitions
        self._mine: set[int] = set()
        self._wanted: set[int] = set()
        self._held: frozenset[int] = frozenset()
        self._too_many = 0
        self._looked = asyncio.Event()
        self._able = able
        self._able_at = time.monotonic()

    async def run(self) -> None:
        """Looks, for ever."""
        while True:
            try:
                while not self._able():  # noqa: ASYNC110  nats-py tells nobody else
                    await asyncio.sleep(LOOK_S)
                async with self._store.member() as member:
                    while self._still_able():
                        self.see(member.id, await member.look())
                        self.trouble = None
                        alone = self.members == 1 and not self._wanted
                        await asyncio.sleep(LOOK_ALONE_S if alone else LOOK_S)
                self._rest(len(self._mine))
                log.warning("partitions left to others: the log cannot be followed", partitions=sorted(self._mine))
                continue
            except UnavailableError as error:
                if self.trouble != str(error):
                    self.trouble = str(error)
                    log.warning("no share of the partitions known", reason=self.trouble)
            self._rest(0)
            await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311  so that not all come back at once

    def _still_able(self) -> bool:
        now = time.monotonic()
        if self._able():
            self._able_at = now
        return now - self._able_at < UNABLE_S

    def _rest(self, too_many: int) -> None:
        self._wanted, self._held, self._too_many = set(), frozenset(), too_many

    def see(self, me: int, standing: Standing) -> None:
        """Takes in what the database says; what is ours we know best ourselves."""
        owned = {**standing.owned, me: len(self._mine)}
        self.members = len(owned)
        share = fair(owned, self._partitions)[me]
        self._held = standing.held
        self._too_many = max(0, len(self._mine) - share)
        free = [number for number in range(self._partitions) if number not in standing.held | self._mine]
        begin = me % max(1, len(free))  # each from another one on, so that they seldom meet
        self._wanted = set((free[begin:] + free[:begin])[: max(0, share - len(self._mine))])
        self._looked.set()
        self._looked = asyncio.Event()

    async def turn(self, partition: int) -> None:
        while partition not in self._wanted:
            await self._looked.wait()

    def elsewhere(self, partition: int) -> bool:
        return partition in self._held and partition not in self._mine

    def taken(self, partition: int) -> None:
        self._mine.add(partition)
        self._wanted.discard(partition)

    def left(self, partition: int) -> None:
        self._mine.discard(partition)
        self._held -= {partition}  # who has it now, the next look says

    def surplus(self, partition: int) -> bool:
        if self._too_many <= 0 or partition not in self._mine:
            return False
        self._too_many -= 1
        self._mine.discard(partition)
        return True
