"""Outcome: what became of one packet, in codes that every protocol maps to its own reply."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """``STORED`` may only be said after the log holds the packet on disk."""

    STORED = 0
    FAILED = 1
    MALFORMED = 2
    UNSUPPORTED = 3
    NOT_AUTHENTICATED = 4
    IGNORED = 5
