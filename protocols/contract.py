"""What every terminal protocol gives to an edge, and what it may ask of one.

A protocol cuts a byte stream into packets (its `framing`), reads all packets of one linger as columns (its `intake`),
holds one conversation per connection (its `session`) and answers (its `replies`). It owns no socket and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from columns.ragged import Ragged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from columns.outcome import Outcome
    from columns.positions import Positions
    from columns.reason import Reason


class Columns(Protocol):
    """The packets of one intake: equal-length columns, one row per intact packet; a protocol adds its own columns."""

    def __len__(self) -> int: ...

    @property
    def chunk(self) -> NDArray[np.int32]:
        """Row of the chunk list that the packet came in."""

    def raw(self, row: int) -> bytes:
        """The packet's unescaped bytes, header to checksum: what a dead letter keeps."""


PacketsT_co = TypeVar("PacketsT_co", bound=Columns, covariant=True)
PacketT_contra = TypeVar("PacketT_contra", contravariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Rejects:
    """Bytes that became no row, in the order they were found.

    chunk: int32, row of the chunk list; reason: uint8, Reason; data: the bytes, unescaped where a packet was intact.
    """

    chunk: NDArray[np.int32]
    reason: NDArray[np.uint8]
    data: Ragged

    def __len__(self) -> int:
        return len(self.chunk)

    @staticmethod
    def empty() -> Rejects:
        return Rejects(np.empty(0, np.int32), np.empty(0, np.uint8), Ragged.empty())


@dataclass(frozen=True, slots=True, eq=False)
class Intake(Generic[PacketsT_co]):
    """All chunks of one linger, read. Every packet is in exactly one of telemetry, conversation and malformed.

    positions     rows in packet order; `packet` points into packets, `device` is 0 until the edge fills it in
    telemetry     rows of packets, ascending, that were read in columns: acknowledged once the log holds them
    conversation  rows of packets, ascending, for the session
    malformed     rows of packets, ascending, whose body does not read (Reason.BODY): answered, and kept as dead letters
    """

    packets: PacketsT_co
    positions: Positions
    telemetry: NDArray[np.intp]
    conversation: NDArray[np.intp]
    malformed: NDArray[np.intp]
    rejects: Rejects


class Trust(Enum):
    """What a terminal's authentication code is worth."""

    NONE = auto()
    """It is not the terminal's, or nobody knows the terminal."""
    PROVEN = auto()
    LEGACY = auto()
    """Not the terminal's, but any is accepted from it: its positions say so (Quality.UNVERIFIED)."""


class Directory(Protocol):
    """Whom an edge knows. Asked by a session, answered from memory: neither call may wait for anything."""

    def register(self, identity: str, registration: Mapping[str, Any]) -> tuple[int, str]:
        """(0, authentication code), or (the protocol's reason for refusing, "")."""

    def verify(self, identity: str, code: str) -> Trust:
        """What this code is worth from this terminal."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a terminal sent (a picture, sound, a film): to be stored before it is acknowledged.

    about: what is said of it, for its record: media_id, kind, format, trigger, channel, device_time, lon, lat.
    """

    about: dict[str, Any]
    data: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What to do about one conversation packet; the session itself does nothing.

    The edge stores `upload`, appends `record` to the log, then sends `replies`, then closes if `close` says why.
    """

    outcome: Outcome
    replies: tuple[tuple[int, bytes], ...] = ()
    """(message id, body), to be framed for the packet's own phone and edition."""
    record: dict[str, Any] | None = None
    authenticated: str | None = None
    """The identity that this very packet authenticated; who the session belongs to now is `session.identity`."""
    unverified: bool = False
    """With `authenticated`: any code would have done (Trust.LEGACY)."""
    reports: Intake[Any] | None = None
    """Position reports that came in the conversation: reassembled, or an answer to a query. Stored as telemetry."""
    upload: Upload | None = None
    whole: Any = None
    """The reassembled packet, for `not_stored` where it could not be."""
    resend: tuple[bytes, ...] = ()
    """Frames sent before, to be sent again as they were."""
    ordered: bool = False
    """Whether the replies wait until all that was said before is on disk."""
    reason: Reason | None = None
    """Why the packet was refused, to be counted; None where it was not."""
    lost: tuple[Reason, ...] = ()
    """One for each sub-packaged message that was given up for this packet, to be counted."""
    close: str | None = None


class Conversation(Protocol[PacketT_contra]):
    """The conversation of one connection."""

    @property
    def identity(self) -> str | None:
        """The authenticated terminal, None before authentication and after it has left."""

    def receive(self, packet: PacketT_contra, directory: Directory, now: int) -> Response:
        """Takes one packet of the conversation lane in; now: int64 us UTC."""
