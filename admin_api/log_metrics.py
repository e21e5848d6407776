"""What the log's stream says of itself, as families for /metrics: how much waits in it, how full it is, its copies."""

from __future__ import annotations

from typing import Any

from admin_api.metrics import Family, Sample


def families(seen: dict[str, Any] | None) -> list[Family]:
    """seen: the log's figures (gateway/log_watch.py), None where nobody has seen them lately."""
    known = seen or {}
    batches = known.get("batches", {})
    numbers = [str(number) for number in range(known.get("partitions", 0))]
    return [
        Family("lezgate_log_up", "gauge", "1 while the log's stream answers.", [Sample({}, seen is not None)]),
        Family(
            "lezgate_log_batches",
            "gauge",
            "Queue depth: batches in the log that are not stored yet, or were within the last 10 seconds.",
            [Sample({"partition": number}, batches.get(number, 0)) for number in numbers],
        ),
        _one("lezgate_log_bytes", "What they take on the log's disk.", known.get("bytes")),
        _one("lezgate_log_max_bytes", "What the log may take; beyond it edges pause.", known.get("max_bytes")),
        _one("lezgate_log_last_sequence", "Sequence of the newest batch of the log.", known.get("last_sequence")),
        Family(
            "lezgate_log_replicas",
            "gauge",
            "Copies of the log by state; a commit needs most of them current.",
            [Sample({"state": state}, n) for state, n in known.get("replicas", {}).items()],
        ),
    ]


def _one(name: str, text: str, value: float | None) -> Family:
    return Family(name, "gauge", text, [] if value is None else [Sample({}, value)])
