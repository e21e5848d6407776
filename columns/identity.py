"""Who reports: a terminal's normalised identity, its device number, and its partition of the log."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193
_REMEMBERED = 16_384  # a terminal that connects is asked for several times within a second


@lru_cache(_REMEMBERED)
def device_of(identity: str) -> int:
    """The terminal's device number: 63 bits of BLAKE2b over its normalised identity.

    A function of the identity alone, so an edge can enrol a terminal while the database is away and two edges agree
    without asking each other; a 2019 id has 20 digits and would fit no integer as it is. The database holds both under
    unique constraints, so a collision (1 in 10^7 at a million terminals) is a refused enrolment, never a mixed track.
    """
    return int.from_bytes(blake2b(identity.encode(), digest_size=8).digest(), "big") >> 1


@lru_cache(_REMEMBERED)
def partition_of(identity: str, partitions: int) -> int:
    """FNV-1a 32 of the identity's characters, modulo the number of partitions."""
    value = _FNV_OFFSET
    for byte in identity.encode():
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value % partitions
