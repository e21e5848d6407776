"""What edges, workers and the api say of themselves on `health.*`, as families for /metrics.

A process is named by role, host and pid: its counters begin at zero with it, under labels of their own, so rate() sees
no step back. Figures that a process does not give (an older release, another role) are left out; what it gives and we
do not know is not shown. Labels are bounded: roles, hosts, pids, partitions, and names of events from our own code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from admin_api.metrics import Family, Sample, buckets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Status = tuple[str, dict[str, Any]]

# key of the status, family, kind, what it is
_FIGURES = (
    ("ready", "lezgate_process_ready", "gauge", "1 where this process says that it is ready."),
    ("started", "lezgate_process_start_time_seconds", "gauge", "When this process started, Unix time."),
    ("resident_bytes", "lezgate_process_resident_bytes", "gauge", "Memory of this process."),
    ("cpu_s", "lezgate_process_cpu_seconds_total", "counter", "CPU that this process has used."),
    ("nats_reconnects", "lezgate_nats_reconnects_total", "counter", "Times that the log's server was lost and found again."),
    ("connections", "lezgate_connections", "gauge", "Connections of terminals that are open."),
    ("paused", "lezgate_edge_paused", "gauge", "1 while this edge reads nothing, because the log takes no batches."),
    ("pending_bytes", "lezgate_edge_pending_bytes", "gauge", "What this edge holds and the log has not taken yet."),
    ("pending_parts", "lezgate_edge_pending_parts", "gauge", "Parts of batches that wait: what one linger added to a partition."),
    ("in_flight", "lezgate_edge_in_flight_reports", "gauge", "Reports that this edge took and the log has not yet."),
    ("paused_s", "lezgate_edge_paused_seconds_total", "counter", "How long this edge has read nothing, in all."),
    ("disk_free_bytes", "lezgate_log_disk_free_bytes", "gauge", "Free on the embedded log's disk."),
    ("disk_floor_bytes", "lezgate_log_disk_floor_bytes", "gauge", "What edges leave free there: below it they append nothing."),
    ("appended_batches", "lezgate_appended_batches_total", "counter", "Batches that this edge put on the log's disk."),
    ("appended_rows", "lezgate_appended_positions_total", "counter", "Positions in them."),
    ("clock_ahead_s", "lezgate_clock_ahead_seconds", "gauge", "How far this server's clock is ahead of its fleet's; 0: they agree."),
    ("registry_version", "lezgate_registry_version", "gauge", "Version of the registry that this edge admits terminals by."),
    ("connected", "lezgate_broker_connected", "gauge", "1 while the MQTT broker's topics are read."),
    ("workers", "lezgate_workers", "gauge", "Workers among which this one shares the partitions."),
    ("rules_epoch", "lezgate_worker_rules_epoch", "gauge", "Epoch of zones, rules and machines that this worker decides by."),
)  # fmt: skip
_HISTOGRAMS = (
    ("ack_latency", "lezgate_ack_latency_seconds", "From a report's arrival to its 0x8001, which means: on disk."),
    (
        "append_latency",
        "lezgate_append_latency_seconds",
        "From sending a batch to the log's answer, all tries together.",
    ),
    (
        "commit_latency",
        "lezgate_commit_latency_seconds",
        "One transaction of a worker: rows, visits, alarms and offset.",
    ),
)
_EVENTS = (
    ("counts", "lezgate_edge_events_total", "What happened on an edge: refusals by reason, endings by cause, uploads."),
    ("reports", "lezgate_edge_reports_total", "Reports on this edge: taken = appended + refused + in flight."),
    ("queries", "lezgate_queries_total", "Position queries (0x8201) of a worker, by what became of them."),
)
_OF_OWNERS = (
    ("lag_s", "lezgate_lag_seconds", "How late what is stored now is, and its alarms; it grows while nothing is."),
)
_OF_PARTITIONS = (
    ("commits", "lezgate_commits_total", "counter", "Transactions of this worker."),
    ("rows", "lezgate_committed_positions_total", "counter", "Positions in them."),
    (
        "parked",
        "lezgate_parked_total",
        "counter",
        "What could not be taken and was put aside, so that the partition goes on.",
    ),
)
_NAME = re.compile(r"[a-z]+(_[a-z]+)*")  # of our own code: no number, so no phone


def families(statuses: Sequence[Status]) -> list[Family]:
    """statuses: (role, status) of every process that was heard lately."""
    named = [(_who(role, status), status) for role, status in statuses]
    workers = [(who, status.get("partitions", {})) for who, status in named if status.get("partitions")]
    return [
        *(Family(name, kind, text, list(_plain(named, key))) for key, name, kind, text in _FIGURES),
        *(
            Family(name, "histogram", text, [s for who, one in named if key in one for s in buckets(who, one[key])])
            for key, name, text in _HISTOGRAMS
        ),
        *(Family(name, "counter", text, list(_events(named, key))) for key, name, text in _EVENTS),
        Family(
            "lezgate_partition_owned",
            "gauge",
            "1 where this worker owns the partition of the log.",
            [
                Sample({**who, "partition": number}, bool(one.get("owned")))
                for who, all_of_it in workers
                for number, one in all_of_it.items()
            ],
        ),
        *(Family(name, "gauge", text, _of_owners(workers, key)) for key, name, text in _OF_OWNERS),
        *(
            Family(
                name,
                kind,
                text,
                [
                    Sample({**who, "partition": number}, one[key])
                    for who, all_of_it in workers
                    for number, one in all_of_it.items()
                    if key in one
                ],
            )
            for key, name, kind, text in _OF_PARTITIONS
        ),
    ]


def _who(role: str, status: dict[str, Any]) -> dict[str, str]:
    return {"role": role, "host": str(status.get("host", "")), "pid": str(status.get("pid", ""))}


def _plain(named: Iterable[tuple[dict[str, str], dict[str, Any]]], key: str) -> Iterator[Sample]:
    for who, status in named:
        if isinstance(status.get(key), (bool, int, float)):
            yield Sample(who, status[key])


def _events(named: Iterable[tuple[dict[str, str], dict[str, Any]]], key: str) -> Iterator[Sample]:
    for who, status in named:
        for what, n in sorted(status.get(key, {}).items()):
            if _NAME.fullmatch(what):
                yield Sample({**who, "what": what}, n)


def _of_owners(workers: Iterable[tuple[dict[str, str], dict[str, Any]]], key: str) -> list[Sample]:
    """One sample per partition, whoever owns it: a series that a take-over does not break. Of two owners the worse."""
    worst: dict[str, float] = {}
    for _, partitions in workers:
        for number, one in partitions.items():
            # A worker that lost its database owns nothing, and what it had is as late as it says.
            if (one.get("owned") or one.get("trouble")) and key in one:
                worst[number] = max(worst.get(number, one[key]), one[key])
    return [
        Sample({"partition": number}, value) for number, value in sorted(worst.items(), key=lambda one: int(one[0]))
    ]
