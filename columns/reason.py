"""Reason: why bytes did not become a stored row. Nothing is dropped without one, and each is counted."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Numbers travel in the log and names in the database and /metrics, so neither may change."""

    NOISE = 1
    """A run between flags too short to hold a header and a checksum."""
    OVERSIZE = 2
    """A run longer than the longest legal packet on the wire (JT/T 808 4.4.3: 2 x 1045 + 2 bytes)."""
    CHECKSUM = 3
    """The XOR of the packet is not zero."""
    LENGTH = 4
    """The declared body length is not the packet's."""
    ENCRYPTED = 5
    """The body is encrypted with a key that we don't have (properties bits 10-12)."""
    BODY = 6
    """The body is shorter than its kind, or a field in it does not read."""
    ITEM = 7
    """One item of a 0x0704 does not read; its neighbours are stored."""
    UNSUPPORTED = 8
    """A message id that we don't know (answered with 0x8001 result 3)."""
    UNKNOWN_TERMINAL = 9
    """A terminal that is not in the registry asked to register or to authenticate."""
    BAD_CODE = 10
    """The authentication code is not the terminal's."""
    NOT_AUTHENTICATED = 11
    """A message that is heard only after authentication."""
    SUBPACKAGED = 12
    """A part of a sub-packaged message that is not reassembled."""
    UNREADABLE_BATCH = 13
    """A message of the log that is no batch of ours: parked whole, since it was acknowledged."""
    PART = 14
    """A part whose number cannot be: 0, beyond its message's total, or of a total of 0."""
    PART_CONFLICT = 15
    """A sub-packaged message of which a later part gave another total or other bytes: what was held of it is dropped."""
    PART_LIMIT = 16
    """A sub-packaged message of more parts or bytes than are gathered."""
    INCOMPLETE = 17
    """A sub-packaged message given up with parts missing: they did not come, or newer messages needed its room."""
    FAILED = 18
    """A part of a batch that makes our own code raise, each time: parked as a batch of its own, to be replayed after a fix."""
    REFUSED = 19
    """A part of a batch that the database refuses, each time: parked likewise."""
