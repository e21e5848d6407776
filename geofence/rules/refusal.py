"""How a rule that does not read is refused."""

from __future__ import annotations

from geofence.errors import ZoneError


def expected(what_en: str, what_zh: str, where: str) -> ZoneError:
    """The error for what stands at a path: what is possible there."""
    return ZoneError("rules", f"expected {what_en}", f"此处应为{what_zh}", where)
