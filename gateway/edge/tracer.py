"""Tracer: shows what a terminal says and is answered to who may see it, while somebody follows it; see gateway.trace_order.

When nobody does, `following` is empty, and asking it is all that a linger pays. What is followed is bounded (MOST_FOLLOWED
terminals, MOST_ORDERS orders each, so many lines a second of each), and nobody waits for a line to be published: it is lost
where NATS does not take it. It does not decide anything.
"""

from __future__ import annotations

import asyncio
import os
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from columns.reason import Reason
from gateway import trace_order
from gateway.edge.followed import Followed
from gateway.edge.shown import shown
from gateway.trace_order import OrderError, frames_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gateway.edge.hub import Hub
    from protocols.contract import Intake
    from protocols.jt808.header import Packets

MOST_FOLLOWED = 8  # at once, by all who are on the phone with an installer
MOST_ORDERS = 4


class Tracer:
    """following: by identity. publish(subject, data) is given by `open`; without it no order is heard."""

    def __init__(self, hub: Hub) -> None:
        self.following: dict[str, Followed] = {}
        self._hub = hub
        self._sessions = hub.sessions
        self._key = b""
        self._publish: Callable[[str, bytes], None] = _nobody
        self._due = False

    def open(self, key: bytes, publish: Callable[[str, bytes], None]) -> None:
        """From now on orders are heard. key: of trace_order.derive_key."""
        self._key = key
        self._publish = publish

    # ---- orders -------------------------------------------------------------------------------------------------

    def order(self, data: bytes) -> None:
        """Obeys, or counts why not (trace_refused_...); never raises."""
        now = _now()
        self._forget(now)
        try:
            order = trace_order.read(data, self._key, now)
            self._obey(order, now)
        except OrderError as error:
            self._hub.counts[f"trace_refused_{error.reason}"] += 1

    def _obey(self, order: trace_order.Order, now: int) -> None:
        followed = self.following.get(order.identity)
        if followed is None:
            if len(self.following) >= MOST_FOLLOWED:
                raise OrderError("too_many")
            followed = self.following[order.identity] = Followed(order.identity)
        new = order.audit not in followed.orders
        if new and len(followed.orders) >= MOST_ORDERS:
            raise OrderError("too_many")
        followed.orders[order.audit] = max(order.until, followed.orders.get(order.audit, 0))
        slot = self._sessions.by_device.get(followed.device)
        if slot is not None:
            host = self._host(slot)
            followed.speaks_on(host, int(self._sessions.generation[host]))
        if new:  # to this tracer alone; others have heard it before
            event = {"kind": "edge", "time": now, **self._standing(followed, now)}
            self._publish(frames_subject(order.audit), orjson.dumps([event]))
        followed.say_left_out(now)
        self._schedule()

    def _standing(self, followed: Followed, now: int) -> dict[str, Any]:
        """What this edge knows of the terminal before it says anything."""
        registry, identity = self._hub.registry, followed.identity
        known = registry.known.get(identity)
        if known is None:
            listed = "enrolled" if identity in registry.enrolled else "open" if registry.enrol else "unknown"
        elif known.good is None:
            listed = "revoked"
        else:
            listed = "no_machine" if known.number is None else "enrolled"
        return {
            "edge": os.getpid(),
            "registry": listed,
            "speaks_here": followed.device in self._sessions.by_device,
            "quarantined": registry.quarantined.get(identity, 0) > now,
            "paused": self._hub.paused,
        }

    def _forget(self, now: int) -> None:
        for identity, followed in list(self.following.items()):
            followed.orders = {audit: until for audit, until in followed.orders.items() if until > now}
            if not followed.orders:
                del self.following[identity]

    # ---- what the edge tells, while somebody follows -----------------------------------------------------------------

    def received(self, intake: Intake[Packets], hosts: NDArray[np.int64], now: int) -> None:
        """Everything that one linger brought, before any of it is answered. now: int64 us UTC."""
        self._forget(now)
        packets, rejects = intake.packets, intake.rejects
        by_chunk = hosts.tolist()
        malformed = set(intake.malformed.tolist())
        for followed in self.following.values():
            for row in followed.rows(packets).tolist():
                host = by_chunk[packets.chunk[row]]
                followed.speaks_on(host, int(self._sessions.generation[host]))
                self._packet(
                    followed, "received", now, host, packets.raw(row), Reason.BODY if row in malformed else None
                )
            for i, (chunk, reason) in enumerate(zip(rejects.chunk.tolist(), rejects.reason.tolist(), strict=True)):
                host, data = by_chunk[chunk], rejects.data[i]
                here = followed.hosts.get(host) == self._sessions.generation[host]
                if here or followed.names(data):
                    self._packet(followed, "received", now, host, data, Reason(reason))

    def sent(self, data: bytes, slots: Sequence[int], begins: Sequence[int]) -> None:
        """Frames that were written: data[begins[k]:begins[k + 1]] to slots[k]."""
        now = _now()
        for followed in self.following.values():
            for at, packet in followed.frames(data):
                slot = slots[bisect_right(begins, at) - 1]
                self._packet(followed, "sent", now, self._host(slot), packet)

    def refused(self, identity: str, message: int, serial: int, reason: Reason) -> None:
        """A packet that was received, and whose answer follows."""
        followed = self.following.get(identity)
        if followed is not None:
            what = {"message_id": f"0x{message:04x}", "serial": serial, "reason": reason.name.lower()}
            self._tell(followed, {"kind": "refused", "time": _now(), **what})

    def strangers(self, packets: Packets, rows: NDArray[np.int64]) -> None:
        """packets[rows] are reports of terminals that are not authenticated where they came in."""
        for followed in self.following.values():
            for row in np.intersect1d(followed.rows(packets), rows).tolist():
                message, serial = int(packets.message[row]), int(packets.serial[row])
                self.refused(followed.identity, message, serial, Reason.NOT_AUTHENTICATED)

    def closed(self, host: int, why: str) -> None:
        """The connection of this slot ends; its generation is still that of its tenant."""
        for followed in self.following.values():
            if followed.hosts.pop(host, None) == self._sessions.generation[host]:
                self._tell(followed, {"kind": "closed", "time": _now(), **self._on(host), "reason": why})

    def left(self, slot: int, why: str) -> None:
        """The terminal of this slot is heard no more, on a connection that others still use."""
        for followed in self.following.values():
            if followed.device == self._sessions.device[slot]:
                on = self._on(self._host(slot))
                self._tell(followed, {"kind": "closed", "time": _now(), **on, "reason": why})

    # ---- publishing -----------------------------------------------------------------------------------------------

    def _packet(
        self, followed: Followed, kind: str, now: int, host: int, data: bytes, reason: Reason | None = None
    ) -> None:
        if not followed.has_room(now, spared=reason is not None):
            return
        event = {"kind": kind, "time": now, **self._on(host)}
        event |= {"hex": data.hex()} if reason is Reason.ITEM else shown(data)  # an item is no packet
        if reason is not None:
            event["reason"] = reason.name.lower()
        followed.events.append(event)
        self._schedule()

    def _tell(self, followed: Followed, event: dict[str, Any]) -> None:
        if followed.has_room(event["time"], spared=True):
            followed.events.append(event)
            self._schedule()

    def _on(self, host: int) -> dict[str, str]:
        """Tells a connection from others, also from those that had its slot before."""
        return {"connection": f"{os.getpid()}.{host}.{self._sessions.generation[host]}"}

    def _host(self, slot: int) -> int:
        host = self._sessions.guests.host(slot)
        return slot if host is None else host

    def _schedule(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """One message for all that came together: lines stay in order, and there are few messages."""
        self._due = False
        for followed in self.following.values():
            if followed.events:
                data = orjson.dumps(followed.events)
                followed.events = []
                for audit in followed.orders:
                    self._publish(frames_subject(audit), data)


def _now() -> int:
    """By the wall clock, as the api dates its orders: on one machine both jump together."""
    return time.time_ns() // 1000


def _nobody(subject: str, data: bytes) -> None:
    """Before `open`."""
