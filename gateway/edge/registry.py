"""What an edge knows about terminals: its own copy of the registry and the key of the authentication codes.

The copy is a file, so an edge starts and authenticates while the database is away; changes come over NATS. A code is a
keyed HMAC of (identity, generation): nothing has to be looked up to check it, and a new generation revokes the old.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from columns.plate import plate_key
from protocols.contract import Trust

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

OK = 0
VEHICLE_REGISTERED = 1
NO_SUCH_VEHICLE = 2
NO_SUCH_TERMINAL = 4
"""Results of 0x8100. 3, terminal already registered, is never said: terminals register at every start, and must succeed."""
_CODE_BYTES = 10  # 80 bits as 16 characters of base32: short enough for every terminal's memory, not to be guessed
FIRST_GENERATION = 1
_REMEMBERED = 4096


class Known(NamedTuple):
    """One terminal of the registry, as the feed tells it after its identity (storage.load.Registry)."""

    generation: int
    state: str
    number: str | None = None
    """Key of its machine's registration number, "" where that has none; None: it has no machine."""
    trust: str = "strict"
    until: int | None = None
    """Of its quarantine, us UTC."""

    @property
    def good(self) -> int | None:
        """The generation whose code is good; None where none is."""
        return None if self.state == "revoked" else self.generation


class Registry:
    """A protocols.contract.Directory. ``enrolled``: those that this edge admitted itself (open enrolment).

    ``quarantined``: until when (int64 us UTC), by identity.
    """

    def __init__(self, path: Path, key: bytes, *, enrol: bool) -> None:
        self.path = path
        self.enrol = enrol
        self.version = 0
        self.known: dict[str, Known] = {}
        self.enrolled: set[str] = set()
        self.quarantined: dict[str, int] = {}
        self._vacant: set[str] = set()
        self._taken: set[str] = set()
        self._key = key
        # A terminal registers and authenticates within a second, and its code is the same.
        self.code = lru_cache(_REMEMBERED)(self._code)
        if path.exists():
            kept = orjson.loads(path.read_bytes())
            self._take(kept["version"], kept["terminals"], kept.get("vacant", []))

    def replace(self, version: int, terminals: Sequence[Sequence[Any]], vacant: Sequence[str] = ()) -> set[str]:
        """Takes a whole new snapshot, [identity, *Known] each, and keeps it on disk.

        vacant: keys of the registration numbers of machines without a terminal. Returns whose codes are no longer good:
        they were removed or revoked, or have another generation. Who was only enrolled here and is not in the snapshot
        yet is none of them.
        """
        before = self.known
        changed = self._take(version, terminals, vacant)
        withdrawn = {
            identity
            for identity in changed | (before.keys() - self.known.keys())
            if (before[identity].good if identity in before else FIRST_GENERATION) not in {None, self._good(identity)}
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(f".{os.getpid()}")
        scratch.write_bytes(orjson.dumps({"version": version, "terminals": terminals, "vacant": list(vacant)}))
        scratch.replace(self.path)
        return withdrawn

    def _take(self, version: int, terminals: Sequence[Sequence[Any]], vacant: Sequence[str]) -> set[str]:
        """Returns who is new or not as before. One pass, since a city has tens of thousands, and terminals wait for it."""
        before, known, changed = self.known, dict[str, Known](), set[str]()
        quarantined, taken = dict[str, int](), set[str]()
        for identity, *rest in terminals:
            one = before.get(identity)
            if one is None or one != tuple(rest):
                one = Known(*rest)
                changed.add(identity)
            known[identity] = one
            if one.number and one.state != "revoked":
                taken.add(one.number)
            if one.until is not None:
                quarantined[identity] = one.until
        self.version, self.known, self.quarantined = version, known, quarantined
        self._taken, self._vacant = taken, set(vacant)
        self.enrolled -= changed
        return changed

    def _code(self, identity: str, generation: int) -> str:
        digest = hmac.digest(self._key, f"{identity}/{generation}".encode(), hashlib.sha256)
        return base64.b32encode(digest[:_CODE_BYTES]).decode()

    def register(self, identity: str, registration: Mapping[str, Any]) -> tuple[int, str]:
        """(result of 0x8100, authentication code or "")."""
        generation = self._good(identity)
        one = self.known.get(identity)
        if generation is None:
            if not self.enrol or one is not None:
                return NO_SUCH_TERMINAL, ""
            self.enrolled.add(identity)
            generation = FIRST_GENERATION
        elif one is not None and one.number is None and not self.enrol:
            # It is ours and waits for a machine: the one on its plate, if that is free, is what staff will bind it to.
            plate = plate_key(registration.get("plate", ""))
            if plate not in self._vacant:
                return (VEHICLE_REGISTERED if plate in self._taken else NO_SUCH_VEHICLE), ""
        return OK, self.code(identity, generation)

    def verify(self, identity: str, code: str) -> Trust:
        """What this code is worth: whether it is the terminal's of its present generation, in constant time."""
        generation = self._good(identity)
        if generation is None:
            # Enrolled by an edge whose record has not come back to us yet: only we can have made the code.
            if not self.enrol or identity in self.known:
                return Trust.NONE
            generation = FIRST_GENERATION
        if hmac.compare_digest(self.code(identity, generation).encode(), code.encode()):
            return Trust.PROVEN
        one = self.known.get(identity)
        return Trust.LEGACY if one is not None and one.trust == "legacy" else Trust.NONE

    def _good(self, identity: str) -> int | None:
        """The generation whose code is good; None where none is."""
        one = self.known.get(identity)
        if one is not None:
            return one.good
        return FIRST_GENERATION if identity in self.enrolled else None
