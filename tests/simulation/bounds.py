"""Bounds of the code made so small, in some runs, that a few hundred reports reach them: what happens there is the same."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from gateway import log
from gateway.edge import appender, hub, part, telemetry
from gateway.worker import duplicates, partition, rejudging

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

BATCH_BYTES = 1200  # some ten reports
_SMALL = (
    (hub, "PAUSE_BYTES", 4000),
    (log, "PULL_BATCH", 2),
    (duplicates, "GENERATION", 5),
    (partition, "GATHER_BYTES", 1500),
    (partition, "SNAPSHOT_EVERY_S", 1.0),
    (rejudging, "FIRST_PAGE", 3),
)


@contextmanager
def bounds(chance: random.Random) -> Iterator[None]:
    with ExitStack() as stack:
        for module, name, value in _SMALL:
            if chance.random() < 0.4:
                stack.enter_context(mock.patch.object(module, name, value))
        if chance.random() < 0.4:
            for module in (part, appender, telemetry):
                stack.enter_context(mock.patch.object(module, "MAX_BYTES", BATCH_BYTES))
        yield
