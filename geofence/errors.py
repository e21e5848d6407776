"""ZoneError: why a zone cannot be taken as it is, in both languages, with the place."""

from __future__ import annotations


class ZoneError(ValueError):
    """A zone was refused. Nothing was changed or repaired.

    code        stable name for programs, for example "ring_open"
    message_en  one sentence for English readers
    message_zh  the same for the console
    where       path inside the Feature, for example "geometry.coordinates[0][3]"; "" where it is the whole
    place       (x, y) in the Feature's own coordinates where a map can show the fault, else None
    """

    def __init__(
        self,
        code: str,
        message_en: str,
        message_zh: str,
        where: str = "",
        place: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(code, message_en, message_zh, where, place)
        self.code = code
        self.message_en = message_en
        self.message_zh = message_zh
        self.where = where
        self.place = place

    def __str__(self) -> str:
        return f"{self.where}: {self.message_en}" if self.where else self.message_en
