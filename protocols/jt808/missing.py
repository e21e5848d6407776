"""Missing parts: how the platform asks for them. 0x8003 (补传分包请求) in 2013 and 2019, the list of 0x8800 in 2011."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocols.jt808.framing import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocols.jt808.framing import Edition
    from protocols.jt808.header import Packet

MISSING = 0x8003
MEDIA, MEDIA_ANSWER = 0x0801, 0x8800
_MOST_2013 = 255  # the count is a BYTE
_MOST_2019 = (MAX_BODY - 4) // 2  # a WORD, so the packet ends first


@dataclass(frozen=True, slots=True)
class Ask:
    """A message to send: it names the parts that are missing. phone, edition: of the header to answer."""

    message: int
    body: bytes
    phone: bytes
    edition: Edition


def ask_for(part: Packet, serial: int, held: Mapping[int, bytes], edition: Edition | None) -> Ask | None:
    """What to send about a message of which ``held`` is here, bodies by index; ``part``: any of its parts.

    serial: of the first part. edition: of the terminal, where its registration told it: the header of 2011 is that of
    2013, but its terminals know no 0x8003. There a picture (0x0801) is asked for by its id in 0x8800, once the first part
    has told it; about any other message, None.
    """
    assert part.part is not None  # noqa: S101  of a message in parts
    wanted = [index for index in range(1, part.part[0] + 1) if index not in held]
    if part.v2019 or edition != "2011":
        return Ask(MISSING, missing_parts(serial, wanted, part.edition), part.phone, part.edition)
    media = held.get(1, b"")[:4]
    if part.message != MEDIA or len(media) < 4:
        return None
    return Ask(MEDIA_ANSWER, media + _listed(wanted[:_MOST_2013], 1), part.phone, part.edition)


def missing_parts(serial: int, missing: Sequence[int], edition: Edition) -> bytes:
    """The body of 0x8003 (and of 0x0005): the first part's serial number, how many, which, counted from 1.

    As many as fit one packet are named; the rest is asked for next time.
    """
    width, most = (2, _MOST_2019) if edition == "2019" else (1, _MOST_2013)
    return serial.to_bytes(2, "big") + _listed(missing[:most], width)


def _listed(parts: Sequence[int], width: int) -> bytes:
    return len(parts).to_bytes(width, "big") + b"".join(index.to_bytes(2, "big") for index in parts)
