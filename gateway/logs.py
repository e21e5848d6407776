"""Structured logs: JSON lines, or readable ones on a terminal; no flood, and no position.

Invariants, whoever writes the line, ours or a library through `logging`: of one event about one terminal (partition,
child, store) at most one line in REPEAT_S, of one event at most LINES_PER_S a second about all of them, and the next one
says how many were held back (``more_like_this``). What a database says of a row's contents (DETAIL, CONTEXT) is cut: a
row is a position.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from structlog.typing import Processor

REPEAT_S = 1.0
TERMINAL_REPEAT_S = 60.0  # a terminal that does something wrong does it again within seconds, for days
LINES_PER_S = 20  # of one event: what a person can read of a storm; the rest is a number
MOST_KEYS = 20_000  # a city's terminals; 4 MB
SUBJECTS = ("partition", "child", "store", "why")
# psycopg's messages: "Failing row contains (...)", "Key (...)=(...) already exists", "COPY position, line 1: ..."
_CONTENTS = re.compile(r"\n?\b(DETAIL|CONTEXT):.*?(?=\n\s*(?:File|Traceback|During|The above)|\Z)", re.DOTALL)


class _Stderr:
    """The process's stderr as it is at each line: a logger lives longer than a stream that a test puts in its place."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class Repeats:
    """Which lines are said: a processor for structlog, and the same for records of `logging`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._again: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._events: OrderedDict[str, tuple[float, int, int]] = OrderedDict()

    def __call__(self, _: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        terminal = line.get("terminal")
        about = ",".join(str(line[name]) for name in SUBJECTS if name in line) if terminal is None else str(terminal)
        held_back = self.take(str(line.get("event", "")), about, REPEAT_S if terminal is None else TERMINAL_REPEAT_S)
        if held_back is None:
            raise structlog.DropEvent
        if held_back:
            line["more_like_this"] = line.get("more_like_this", 0) + held_back
        return line

    def take(self, event: str, about: str, seconds: float) -> int | None:
        """None where the line is held back; else how many of its kind were, since the last that was said."""
        now, key = self._clock(), (event, about)
        again, held = self._again.get(key, (0.0, 0))
        second, said, others = self._events.get(event, (now, 0, 0))
        if now - second >= 1.0:
            second, said = now, 0
        if now < again:
            self._keep(self._again, key, (again, held + 1))
            return None
        if said >= LINES_PER_S:
            self._keep(self._events, event, (second, said, others + 1))
            return None
        self._keep(self._again, key, (now + seconds, 0))
        self._keep(self._events, event, (second, said + 1, 0))
        return held + others

    @staticmethod
    def _keep(table: OrderedDict[Any, Any], key: Any, value: Any) -> None:
        table[key] = value
        table.move_to_end(key)
        if len(table) > MOST_KEYS:
            table.popitem(last=False)


class _Bounded(logging.Filter):
    """Repeats, for what libraries say: their event is the text before its arguments are put in."""

    def __init__(self, repeats: Repeats) -> None:
        super().__init__()
        self._repeats = repeats

    def filter(self, record: logging.LogRecord) -> bool:
        held_back = self._repeats.take(str(record.msg), record.name, REPEAT_S)
        if held_back:
            record.more_like_this = held_back
        return held_back is not None


def _with_held_back(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = line.get("_record")
    if record is not None:
        line["logger"] = record.name
        if held_back := getattr(record, "more_like_this", 0):
            line["more_like_this"] = held_back
    return line


def cut_contents(text: str) -> str:
    """What a database says, without what is in the row that it says it of."""
    return _CONTENTS.sub("", text) if "DETAIL:" in text or "CONTEXT:" in text else text


def without_contents(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in line.items():
        if isinstance(value, str):
            line[name] = cut_contents(value)
    return line


def configure(process: str) -> None:
    """``process`` is on every line. Logs go to stderr: stdout belongs to what a command answers."""
    readable = sys.stderr.isatty()
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[Processor] = (
        [without_contents, structlog.dev.ConsoleRenderer()]
        if readable
        else [
            structlog.processors.format_exc_info,
            without_contents,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    )
    repeats = Repeats()
    structlog.configure(
        processors=[*common, repeats, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(cast("TextIO", _Stderr()))
    handler.addFilter(_Bounded(repeats))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, _with_held_back],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    others = [one for one in root.handlers if not isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)]
    root.handlers[:] = [*others, handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # its errors reach us through error_cb


class Seldom:
    """Says one thing at most once in ``seconds``, with how often it was held back: a flood is a line a second."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._again = 0.0
        self._held_back = 0

    def __call__(self, say: Callable[..., Any], event: str, **more: Any) -> None:
        """``say``: a method of a logger."""
        now = self._clock()
        if now < self._again:
            self._held_back += 1
            return
        say(event, **more, **({"more_like_this": self._held_back} if self._held_back else {}))
        self._again, self._held_back = now + self._seconds, 0
