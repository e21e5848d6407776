"""What a file of zones held: values that every reader gives, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from geofence.errors import ZoneError

# A province has some 2,000 townships; more zones than this in one file is a file of something else.
MOST_FEATURES = 5_000


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a person should know, and that refuses nothing."""

    message_en: str
    message_zh: str


@dataclass(slots=True)
class Found:
    """One zone of a file.

    number: its place in the file, from 1; geometry: GeoJSON Polygon or MultiPolygon in the file's coordinates, or None
    with the fault; properties: as the file names them; crs: what the file states of it (.prj), or None; layer: the file
    inside an archive, "" where there is none.
    """

    number: int
    geometry: object
    properties: dict[str, Any]
    crs: str | None = None
    layer: str = ""
    fault: ZoneError | None = None


@dataclass(slots=True)
class Contents:
    """format: geojson, kml, kmz or shapefile."""

    format: str
    found: list[Found] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def note(self, message_en: str, message_zh: str) -> None:
        self.notes.append(Note(message_en, message_zh))

    def add(self, found: Found) -> None:
        """Raises ZoneError file_too_large."""
        if len(self.found) >= MOST_FEATURES:
            raise ZoneError(
                "file_too_large",
                f"the file has more than {MOST_FEATURES} zones",
                f"文件中的图形超过 {MOST_FEATURES} 个",
            )
        self.found.append(found)


def malformed(message_en: str, message_zh: str) -> ZoneError:
    """The file as a whole does not read."""
    return ZoneError("file_malformed", message_en, message_zh)
