"""What an edge knows about terminals: its own copy of the registry and the key of the authentication codes.

The copy is a file, so an edge starts and authenticates while the database is away; changes come over NATS. A code is a
keyed HMAC of (identity, generation): nothing has to be looked up to check it, and a new generation revokes the old.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OK = 0
NO_SUCH_TERMINAL = 4
_CODE_BYTES = 10  # 80 bits as 16 characters of base32: short enough for every terminal's memory, not to be guessed
FIRST_GENERATION = 1


class Registry:
    """A protocols.contract.Directory. ``enrolled``: those that this edge admitted itself (open enrolment)."""

    def __init__(self, path: Path, key: bytes, *, enrol: bool) -> None:
        self.path = path
        self.enrol = enrol
        self.version = 0
        self.generations: dict[str, int] = {}
        self.revoked: set[str] = set()
        self.enrolled: set[str] = set()
        self._key = key
        if path.exists():
            kept = json.loads(path.read_text())
            self._take(kept["version"], kept["terminals"])

    def replace(self, version: int, terminals: list[list[Any]]) -> set[str]:
        """Takes a whole new snapshot, [identity, generation, state] each, and keeps it on disk.

        Returns whose codes are no longer good: they were removed or revoked, or have another generation. Who was only
        enrolled here and is not in the snapshot yet is none of them.
        """
        before, revoked = self.generations, self.revoked
        self._take(version, terminals)
        withdrawn = {
            identity for identity, generation in before.items() if self.generations.get(identity) != generation
        }
        withdrawn |= self.revoked - revoked
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_suffix(f".{os.getpid()}")
        with scratch.open("w") as file:
            json.dump({"version": version, "terminals": terminals}, file)
        scratch.replace(self.path)
        return withdrawn

    def _take(self, version: int, terminals: list[list[Any]]) -> None:
        self.version = version
        self.generations = {identity: generation for identity, generation, state, *_ in terminals if state != "revoked"}
        self.revoked = {identity for identity, _, state, *_ in terminals if state == "revoked"}
        self.enrolled -= self.generations.keys() | self.revoked

    def code(self, identity: str, generation: int) -> str:
        digest = hmac.digest(self._key, f"{identity}/{generation}".encode(), hashlib.sha256)
        return base64.b32encode(digest[:_CODE_BYTES]).decode()

    def register(self, identity: str, registration: Mapping[str, Any]) -> tuple[int, str]:  # noqa: ARG002
        """(result of 0x8100, authentication code or "")."""
        generation = self._generation(identity)
        if generation is None:
            if not self.enrol or identity in self.revoked:
                return NO_SUCH_TERMINAL, ""
            self.enrolled.add(identity)
            generation = FIRST_GENERATION
        return OK, self.code(identity, generation)

    def verify(self, identity: str, code: str) -> bool:
        """Whether this is the terminal's code of its present generation; in constant time."""
        generation = self._generation(identity)
        if generation is None:
            # Enrolled by an edge whose record has not come back to us yet: only we can have made the code.
            if not self.enrol or identity in self.revoked:
                return False
            generation = FIRST_GENERATION
        return hmac.compare_digest(self.code(identity, generation).encode(), code.encode())

    def _generation(self, identity: str) -> int | None:
        generation = self.generations.get(identity)
        return FIRST_GENERATION if generation is None and identity in self.enrolled else generation
