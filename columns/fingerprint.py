"""A 64-bit fingerprint of byte strings, whole columns at a time.

Every 8-byte word is mixed with a key of its place (so that order counts and no carry-free cancellation is possible),
the words are added, the length joins in, and the sum is finalised. The mix is the finaliser of splitmix64. It is not
a defence against forgers: a terminal that invents collisions only hides its own reports from itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MUL1 = np.uint64(0xBF58476D1CE4E5B9)
_MUL2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_WORD = 8
# A row longer than this would widen the whole matrix; such rows are fingerprinted in a matrix of their own.
_NARROW = 128
_KEEP = (np.uint64(1) << (np.arange(_WORD, dtype=np.uint64) * np.uint64(8))) - np.uint64(1)  # bytes of a partial word
_PLACES = np.arange(1, 1 + (1 << 16) // _WORD, dtype=np.uint64) * _GOLDEN


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """In place, since x is always a result of the moment."""
    x ^= x >> _S30
    x *= _MUL1
    x ^= x >> _S27
    x *= _MUL2
    x ^= x >> _S31
    return x


def fingerprints(buffer: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fingerprint of buffer[starts[i]:ends[i]] for every i, as int64.

    A row's fingerprint depends on its own bytes only, never on the batch it is in.
    """
    lengths = ends - starts
    out = np.empty(len(starts), np.int64)
    if not len(starts):
        return out
    wide = lengths > _NARROW
    if wide.any():
        for rows in (np.flatnonzero(~wide), np.flatnonzero(wide)):
            out[rows] = _matrix(buffer, starts[rows], lengths[rows])
        return out
    return _matrix(buffer, starts, lengths)


def _matrix(buffer: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(starts):
        return np.empty(0, np.int64)
    shortest, longest = int(lengths.min()), int(lengths.max())
    words = (longest + _WORD - 1) // _WORD
    width = words * _WORD
    if not width:
        return _mix(np.zeros(len(starts), np.uint64)).view(np.int64)
    if int(starts.max()) + width > len(buffer):
        buffer = np.concatenate([buffer, np.zeros(width, np.uint8)])
    # A record of bytes has no alignment: numpy copies each from where it lies, faster than through a matrix of indices.
    everywhere = np.ndarray((len(buffer) - width + 1,), f"V{width}", buffer, 0, (1,))
    word = everywhere[starts].view("<u8").reshape(len(starts), words)
    if shortest == longest:
        if longest % _WORD:
            word[:, -1] &= _KEEP[longest % _WORD]
        mixed = _mix(word ^ _PLACES[:words])
    else:
        last, rest = np.divmod(lengths, _WORD)
        partial = np.flatnonzero(rest)
        word[partial, last[partial]] &= _KEEP[rest[partial]]
        mixed = _mix(word ^ _PLACES[:words])
        # A word of padding must not count, or a row's fingerprint would depend on the longest row beside it.
        if shortest <= width - _WORD:
            mixed[np.arange(words) * _WORD >= lengths[:, None]] = 0
    total = mixed.sum(axis=1, dtype=np.uint64) + lengths.astype(np.uint64) * _GOLDEN
    return _mix(total).view(np.int64)
