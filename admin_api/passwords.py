"""Passwords: scrypt, with its costs beside the salt. No default password anywhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

# 32 MiB and about 80 ms of one core: dear for a thief with a table, cheap for one sign-in a shift.
_LOG_N, _R, _P = 15, 8, 1
_MEMORY = 64 * 1024 * 1024
MIN_LENGTH = 12


class PasswordError(ValueError):
    """A password that may not be used."""


def _derive(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MEMORY, dklen=32)


def make_hash(password: str) -> str:
    if len(password) < MIN_LENGTH:
        raise PasswordError(f"a password has at least {MIN_LENGTH} characters | 密码至少 {MIN_LENGTH} 个字符")
    salt = secrets.token_bytes(16)
    parts = (base64.b64encode(part).decode() for part in (salt, _derive(password, salt, _LOG_N, _R, _P)))
    return f"scrypt${_LOG_N}${_R}${_P}${'$'.join(parts)}"


def matches(password: str, kept: str | None) -> bool:
    """Takes as long for an account that does not exist (``kept`` None) as for one that does."""
    name, *rest = (kept or _NOBODY).split("$")
    if name != "scrypt" or len(rest) != 5:
        return False
    log_n, r, p = map(int, rest[:3])
    salt, key = map(base64.b64decode, rest[3:])
    same = hmac.compare_digest(_derive(password, salt, log_n, r, p), key)
    return same and kept is not None


_NOBODY = f"scrypt${_LOG_N}${_R}${_P}${base64.b64encode(bytes(16)).decode()}${base64.b64encode(bytes(32)).decode()}"
