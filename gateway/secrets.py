"""The secrets of the embedded stores and of the terminals' authentication codes: random, kept in one 0600 file."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAMES = (
    "postgres_superuser",
    "postgres_owner",
    "postgres_worker",
    "postgres_api",
    "nats_edge",
    "nats_worker",
    "nats_api",
    "auth_key",
)


def load_secrets(data: Path) -> dict[str, str]:
    """The secrets of this data directory; made at the first call, and a name that a newer version adds at its first."""
    path = data / "secrets.json"
    data.mkdir(parents=True, exist_ok=True)
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if all(name in kept for name in NAMES):
        return kept
    with (data / "secrets.lock").open(
        "w"
    ) as lock:  # processes that start together for the first time get the same ones
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = json.loads(path.read_text()) if path.exists() else {}
        missing = [name for name in NAMES if name not in kept]
        kept.update({name: secrets.token_hex(32) for name in missing})
        scratch = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(kept, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    return kept
