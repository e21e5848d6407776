"""Structured logs: JSON lines, or readable ones on a terminal."""

from __future__ import annotations

import logging
import sys

import structlog


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # its errors reach us through error_cb
