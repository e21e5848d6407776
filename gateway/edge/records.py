"""Records: what an edge writes into the log about a terminal that is no position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from columns.identity import device_of

if TYPE_CHECKING:
    from gateway.edge.hub import Hub

MAX_TEXT = 64  # characters of a text that a terminal says of itself; the standard's longest field has 30
_RAW = {"body"}  # hex, as long as the message is


def describe(hub: Hub, identity: str, record: dict[str, Any], received: int) -> dict[str, Any]:
    """The record as it goes into the log."""
    source = {"source": "open"} if identity in hub.registry.enrolled else {}
    said = {
        name: value[:MAX_TEXT] if isinstance(value, str) and name not in _RAW else value
        for name, value in record.items()
    }
    return {**said, "device": device_of(identity), "received": received, **source}


def header_hex(phone: int, edition: str) -> str:
    """The phone as its header has it."""
    return f"{phone:0{20 if edition == '2019' else 12}x}"
