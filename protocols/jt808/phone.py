"""The terminal's phone number as the header carries it: BCD, 6 bytes, or 10 in the 2019 edition (4.4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocols.jt808.framing import Edition


def identity(phone: bytes) -> str:
    """Who the terminal is, whatever edition it speaks: its digits without leading zeros.

    Where a nibble is no digit (some terminals pack an IMEI) `x` and the hex without leading zeros.
    """
    digits = phone.hex().lstrip("0") or "0"
    return digits if digits.isdigit() else "x" + digits


def phone_bcd(phone: str, edition: Edition) -> bytes:
    """The header's bytes for a number of decimal digits. Raises ValueError where it is none or too long."""
    width = 20 if edition == "2019" else 12
    if not (phone.isascii() and phone.isdigit() and len(phone) <= width):
        raise ValueError(f"{phone!r} is no number of at most {width} digits")
    return bytes.fromhex(phone.zfill(width))
