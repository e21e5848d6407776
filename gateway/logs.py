"""Structured logs: JSON lines, or readable ones on a terminal."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable


class _Stderr:
    """The process's stderr as it is at each line: a logger lives longer than a stream that a test puts in its place."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(process: str) -> None:
    """``process`` is on every line. Logs go to stderr: stdout belongs to what a command answers."""
    readable = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
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
