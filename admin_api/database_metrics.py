"""What the database knows, as families for /metrics: law 8's sum, alarms, terminals, dead letters.

The books are a few rows. Counts go through tables that grow, so they are asked apart and may be left out: a table that is
too long to be counted in time is no database that is away. What is not known has a family and no samples: a collector sees a
gap, never a step back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admin_api.alarm_states import STATES
from admin_api.metrics import Family, Sample
from storage.queries import health

if TYPE_CHECKING:
    from admin_api.state import Connection

OUTCOMES = ("stored", "duplicate", "quarantined")


async def books(connection: Connection) -> dict[str, Any]:
    """What `families` shows of single rows."""
    return {
        "partitions": await health.partitions(connection),
        "enrolment": await health.enrolment(connection),
        "dropped": {row["kind"]: row["dropped"] for row in await health.dropped_by_kind(connection)},
        "backup": await health.last_backup(connection),
        "epoch": await health.rules_epoch(connection),
    }


async def counts(connection: Connection) -> dict[str, Any]:
    """What `families` shows by counting."""
    return {
        "alarms": {row["state"]: row["n"] for row in await health.alarms_by_state(connection)},
        "terminals": {row["state"]: row["n"] for row in await health.terminals_by_state(connection)},
        "dead_letters": {row["reason"]: row["n"] for row in await health.dead_letters_by_reason(connection)},
    }


def families(known: dict[str, Any] | None) -> list[Family]:
    """known: what `books` and, where it could, `counts` returned; None while the database is away."""
    up = known is not None
    known = known or {}
    partitions = known.get("partitions", [])
    alarms, enrolment = known.get("alarms"), known.get("enrolment", {})
    return [
        Family("lezgate_database_up", "gauge", "1 while the database answers.", [Sample({}, up)]),
        *_positions(partitions),
        Family(
            "lezgate_log_sequence",
            "gauge",
            "Last sequence of the log whose rows are in the database.",
            [Sample({"partition": str(row["partition"])}, row["sequence"]) for row in partitions],
        ),
        Family(
            "lezgate_alarms",
            "gauge",
            "Alarms by state.",
            [] if alarms is None else [Sample({"state": state}, alarms.get(state, 0)) for state in STATES],
        ),
        Family(
            "lezgate_terminals",
            "gauge",
            "Terminals by state; refused ones wait for a machine.",
            [Sample({"state": state}, n) for state, n in sorted(known.get("terminals", {}).items())],
        ),
        Family(
            "lezgate_terminals_quarantined",
            "gauge",
            "Terminals in quarantine.",
            [Sample({}, enrolment["quarantined"])] if enrolment else [],
        ),
        Family(
            "lezgate_enrolment_dropped_total",
            "counter",
            "Refused terminals that the bounded queue has forgotten.",
            [Sample({}, enrolment["dropped"])] if enrolment else [],
        ),
        Family(
            "lezgate_dead_letters",
            "gauge",
            "What could not be read or taken, is kept, and was not replayed yet, by reason.",
            [Sample({"reason": reason}, n) for reason, n in sorted(known.get("dead_letters", {}).items())],
        ),
        Family(
            "lezgate_retention_dropped_total",
            "counter",
            "Rows that were dropped for their age, by kind.",
            [Sample({"kind": kind}, n) for kind, n in sorted(known.get("dropped", {}).items())],
        ),
        Family(
            "lezgate_last_backup_time_seconds",
            "gauge",
            "When the newest verified backup was taken, Unix time.",
            [Sample({}, known["backup"])] if known.get("backup") is not None else [],
        ),
        Family(
            "lezgate_rules_epoch",
            "gauge",
            "Epoch of zones, rules and machines in the database.",
            [Sample({}, known["epoch"])] if known.get("epoch") is not None else [],
        ),
    ]


def _positions(partitions: list[dict[str, Any]]) -> list[Family]:
    """Law 8: positions in = stored + duplicate + quarantined + rejected, per partition, from the offset's row."""
    return [
        Family(
            "lezgate_positions_total",
            "counter",
            "Position reports by what became of them.",
            [
                Sample({"partition": str(row["partition"]), "outcome": outcome}, row[outcome])
                for row in partitions
                for outcome in OUTCOMES
            ],
        ),
        Family(
            "lezgate_rejected_total",
            "counter",
            "What was refused, by reason.",
            [
                Sample({"partition": str(row["partition"]), "reason": reason}, int(count))
                for row in partitions
                for reason, count in sorted(row["rejected"].items())
            ],
        ),
    ]
