"""Rejected: what became no row is counted, and of authenticated terminals kept, so that somebody can find out why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from columns.reason import Reason
from gateway.edge.part import Gathering

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gateway.edge.hub import Hub
    from protocols.contract import Intake
    from protocols.jt808.header import Packets

GARBAGE_LIMIT = 200  # rejected runs in a row: whoever sends these does not speak JT/T 808
DEAD_PER_LINGER = 100  # dead letters are evidence, not an archive of garbage; the rest is counted only


class Rejected:
    """Counts rejects in a row by connection, and closes one that sends nothing else."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._garbage: Counter[int] = Counter()

    def forget(self, host: int) -> None:
        self._garbage.pop(host, None)

    def pardon(self, hosts: NDArray[np.int64]) -> None:
        """An intact packet came from each of these connections."""
        if self._garbage and len(hosts):
            for host in set(hosts.tolist()) & self._garbage.keys():
                del self._garbage[host]

    def take(self, intake: Intake[Packets], hosts: NDArray[np.int64], slots: NDArray[np.int64], received: int) -> None:
        """hosts: the own slot of each chunk's connection; slots: of each packet, who sent it."""
        packets, rejects, sessions = intake.packets, intake.rejects, self._hub.sessions
        by_chunk = hosts.tolist()
        found = [
            (by_chunk[chunk], by_chunk[chunk], Reason(reason), rejects.data[i])
            for i, (chunk, reason) in enumerate(zip(rejects.chunk.tolist(), rejects.reason.tolist(), strict=True))
        ]
        malformed = intake.malformed
        # Not by the slot alone: a stranger's packets have the slot of the connection's own terminal.
        known = self._hub.telemetry.senders(packets, malformed, slots).known
        found += [
            (by_chunk[packets.chunk[row]], int(slots[row]) if its_own else -1, Reason.BODY, packets.raw(row))
            for row, its_own in zip(malformed.tolist(), known.tolist(), strict=True)
        ]
        kept = Gathering(self._hub.appender.add)
        for i, (host, slot, reason, data) in enumerate(found):
            self._hub.count(reason)
            connection = sessions.connections[host]
            if connection is None or connection.slot != host:  # reports in parts come with a guest's slot
                continue
            self._garbage[host] += 1
            if slot >= 0 and sessions.authenticated[slot] and i < DEAD_PER_LINGER:
                part = kept.part(int(sessions.partition[slot]))
                part.letter(int(sessions.device[slot]), received, reason, data)
            if self._garbage[host] > GARBAGE_LIMIT:
                self._hub.drop(connection, "garbage")
        kept.finish()
