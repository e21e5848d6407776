"""docs/jt808.md draws the conversation from the tables of the code; when a table changes, so must the drawing."""

from __future__ import annotations

from pathlib import Path

from protocols.jt808 import hearing
from protocols.jt808.catalogue import CATALOGUE
from protocols.jt808.hearing import MESSAGES, Event
from protocols.jt808.session import TRANSITIONS, State

PAGE = Path(__file__).parents[2] / "docs" / "jt808.md"
SAID = {
    Event.ACCEPTED: "0x0102 accepted",
    Event.LEFT: "0x0003",
    Event.EXHAUSTED: "10th refusal in a row",
    Event.REFUSED: "refused",
}


def diagram() -> str:
    """A Mermaid state diagram: the arrows of TRANSITIONS, and in each state what is heard there."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.CONNECTED.name}"]
    lines += [f"    {state.name} --> {after.name}: {SAID[event]}" for (state, event), after in TRANSITIONS.items()]
    early = sorted(number for number, heard in MESSAGES.items() if heard.before_authentication)
    lines.append(f"    note left of {State.CONNECTED.name}: heard {', '.join(f'0x{n:04x}' for n in early)}")
    lines.append(f"    note right of {State.AUTHENTICATED.name}: heard everything")
    lines.append(f"    {State.CLOSED.name} --> [*]")
    return "\n".join(lines)


def answers() -> dict[str, list[int]]:
    """Messages by what they are answered with."""
    names = {
        "_kept": "kept", "_answer": "answer", "_position": "answer", "_received": "answer",
    }  # fmt: skip
    found: dict[str, list[int]] = {"kept": [], "answer": []}
    for number, heard in sorted(MESSAGES.items()):
        kind = names.get(heard.handler.__name__)
        if kind is not None:
            found[kind].append(number)
    return found


def test_the_diagram_is_the_table():
    """Copied from here into the page."""
    assert f"```mermaid\n{diagram()}\n```" in PAGE.read_text("utf-8"), diagram()


def test_the_lists_of_messages_are_the_table():
    """Which are kept and acknowledged, and which answer a command, as the page lists them."""
    page = PAGE.read_text("utf-8")
    for numbers in answers().values():
        row = ", ".join(f"0x{number:04x}" for number in numbers)
        assert row in page, row


def test_every_message_that_a_terminal_sends_is_heard():
    """All of the catalogue, whichever edition has it; telemetry is not the conversation's."""
    telemetry = {0x0200, 0x0704}
    up = {number for number, message in CATALOGUE.items() if message.direction == "up"}
    assert up - telemetry == set(MESSAGES)
    assert hearing.REGISTERED in CATALOGUE
