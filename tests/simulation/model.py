"""The model: what must be so when a run is over, worked out without the pipeline.

From what terminals sent and were told, the log's archive and the stored rows it follows what the database must hold:
rows, counters, presences (tests/geofence/oracle.py goes over each terminal's whole history, zone by zone), visits and
alarms. Every check says what it found in one line; a run without any line is a good one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from columns.batch import decode
from columns.fingerprint import fingerprints
from columns.positions import concatenate
from gateway.worker.parking import KIND, keys
from geofence.visits import Visit, ZoneFacts, form
from tests.geofence.paging import OracleWorker
from tests.simulation.bad_rows import PARKED, is_bad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from columns.batch import Batch
    from columns.positions import Positions
    from geofence.presences import Presence
    from tests.simulation.database import Key, Tables
    from tests.simulation.jetstream import Server
    from tests.simulation.places import Place
    from tests.simulation.terminals import Terminal

_FOREVER = 1 << 62
_SILENT_US = 3 * 86_400 * 1_000_000


def wrong(terminals: list[Terminal], log: Server, tables: Tables, place: Place) -> list[str]:
    return [
        *_reports(terminals, tables), *_batches(log), *_counters(log, tables), *_presences(terminals, tables, place),
        *_visits(tables, place), *_alarms(tables), *_pages(terminals, log, tables, place),
    ]  # fmt: skip


def kind(failure: str) -> str:
    """What a line is about, in a few words."""
    kinds = {
        "acknowledged and not stored": "lost", "never told": "never acknowledged", "never sent": "invented",
        "is not read to its end": "stuck", "trimmed up to": "trimmed too far", "after": "order of batches",
        "rows for": "rows", "came,": "counters", "rows,": "counters", "rejected": "rejects", "dead letters": "letters", "parked": "parked",
        "presence": "presences", "paged": "pages", "alarm stand": "alarms", "alarms stand": "alarms", "visit": "visits", "raised": "raised",
    }  # fmt: skip
    return next((name for words, name in kinds.items() if words in failure), failure)


def keys_of(terminal: Terminal) -> list[Key]:
    """What each of its reports is known by."""
    bodies = [report.body for report in terminal.reports]
    ends = np.cumsum([len(body) for body in bodies])
    starts = ends - [len(body) for body in bodies]
    marks = fingerprints(np.frombuffer(b"".join(bodies), np.uint8), starts, ends).tolist()
    return [(terminal.device, report.time, mark) for report, mark in zip(terminal.reports, marks, strict=True)]


def _reports(terminals: list[Terminal], tables: Tables) -> Iterator[str]:
    """What was acknowledged is stored, or parked where it is bad, and nothing is that was not sent."""
    sent: set[Key] = set()
    parked = set(_parked(tables))
    for terminal in terminals:
        its = keys_of(terminal)
        sent.update(its)
        lost = [number for number in sorted(terminal.acknowledged) if its[number] not in tables.stored.keys() | parked]
        harmless = [n for n, key in enumerate(its) if key in parked and not is_bad(n, terminal.weather)]
        if harmless:
            yield f"{terminal.phone}: parked without need: {harmless}"
        if lost:
            yield f"{terminal.phone}: acknowledged and not stored: {lost}"
    invented = tables.stored.keys() - sent
    if invented:
        yield f"stored and never sent: {sorted(invented)[:5]}"
    rows = sum(len(part) for parts in tables.visiting.fixes.values() for part in parts)
    if rows != len(tables.stored):
        yield f"{rows} rows for {len(tables.stored)} reports"


def _parked(tables: Tables) -> Iterator[Key]:
    for letter in tables.letters:
        if letter.reason in PARKED:
            yield from keys(decode(letter.data).positions)


def _unique(log: Server) -> dict[int, list[Batch]]:
    """By partition: batches in the log's order, each number of an edge's boot once."""
    seen: set[tuple[int, str, int]] = set()
    found: dict[int, list[Batch]] = {partition: [] for partition in range(log.partitions)}
    for stored in log.archive:
        batch = decode(stored.data)
        key = stored.partition, batch.boot, batch.number
        if key not in seen:
            seen.add(key)
            found[stored.partition].append(batch)
    return found


def _batches(log: Server) -> Iterator[str]:
    """Of each edge's boot the batches of a partition are in the order of their numbers, and none is missing."""
    for partition, batches in _unique(log).items():
        last: Counter[str] = Counter()
        for batch in batches:
            if batch.number != last[batch.boot] + 1:
                yield f"partition {partition}: batch {batch.number} of {batch.boot} after {last[batch.boot]}"
            last[batch.boot] = batch.number


def _counters(log: Server, tables: Tables) -> Iterator[str]:
    """In = stored + duplicate + quarantined + parked, by partition, and the stored ones are the rows; so with rejects."""
    letters = Counter(letter.reason for letter in tables.letters if letter.reason in PARKED)
    if letters and KIND not in tables.signals:
        yield f"parked {sum(letters.values())} reports, and no alarm was raised"
    for partition, batches in _unique(log).items():
        offset = tables.offsets.get(partition)
        if offset is None:
            if batches:
                yield f"partition {partition}: nothing was ever committed"
            continue
        came = sum(len(batch.positions) for batch in batches)
        parked = {name: offset.rejected[name] for name in PARKED.values() if name in offset.rejected}
        counted = offset.stored + offset.duplicate + offset.quarantined + sum(parked.values())
        if came != counted:
            yield f"partition {partition}: {came} came, {counted} are counted: {offset}"
        rows = sum(where == partition for where in tables.stored.values())
        if rows != offset.stored + offset.quarantined:
            yield f"partition {partition}: {rows} rows, {offset.stored} + {offset.quarantined} are counted"
        rejected = Counter(parked)
        for batch in batches:
            rejected.update(batch.rejected)
            letters.update(batch.dead_letters.reason.tolist())
        if rejected != Counter(offset.rejected):
            yield f"partition {partition}: rejected {dict(rejected)}, counted {offset.rejected}"
    found = Counter(letter.reason for letter in tables.letters)
    if letters != found:
        yield f"dead letters {dict(letters)}, stored {dict(found)}"


def _presences(terminals: list[Terminal], tables: Tables, place: Place) -> Iterator[str]:
    for terminal in terminals:
        rows = tables.visiting.history(terminal.device)
        if not len(rows):
            continue
        expected = {one.key: one for one in place.oracle.presences(terminal.device, rows)}
        silent = {one.key: one for one in place.oracle.presences(terminal.device, _much_later(rows))}
        found = {key: one for key, one in tables.visiting.presences.items() if key[0] == terminal.device}
        for key in sorted(expected.keys() | found.keys()):
            if not _same(expected.get(key), silent.get(key), found.get(key)):
                yield f"{terminal.phone}: presence {key}\n    should be {expected.get(key)}\n    but is    {found.get(key)}"


def _much_later(rows: Positions) -> Positions:
    """With one more fix, after everybody had to take the terminal for silent."""
    last = rows.take(np.array([len(rows) - 1]))
    later = int(rows.time.max()) + _SILENT_US
    news = last.with_columns(time=np.array([later]), quality=np.zeros(1, np.uint16), lon=np.zeros(1), lat=np.zeros(1))
    return concatenate([rows, news])


def _same(expected: Presence | None, silent: Presence | None, found: Presence | None) -> bool:
    """Of one that goes on the last time inside is not kept up to date; or it has ended, since nothing more was heard."""
    if expected is None or found is None:
        return expected is found
    if expected.ended_at is None and found.ended_at is None:
        return _rounded(replace(expected, last_inside_at=0)) == _rounded(replace(found, last_inside_at=0))
    if expected.ended_at is None:
        assert silent is not None
        return _rounded(silent) == _rounded(found)
    return _rounded(expected) == _rounded(found)


def _rounded(presence: Presence) -> Presence:
    return replace(presence, lon=round(presence.lon, 6), lat=round(presence.lat, 6))


def _visits(tables: Tables, place: Place) -> Iterator[str]:
    """Those that the stored presences make, machine by machine, formed in one go."""
    facts = {
        (zone.id, zone.version): ZoneFacts(
            zone.tier, zone.district, int(zone.merge_s * 1_000_000), int(zone.lost_merge_s * 1_000_000)
        )
        for zone in place.rules.fence.zones
    }
    presences = list(tables.visiting.presences.values())
    machines = sorted({presence.machine for presence in presences if presence.machine is not None})
    visits = [
        visit for machine in machines for visit in form([one for one in presences if one.machine == machine], facts)
    ]
    expected = {visit.id: _shown(visit) for visit in visits}
    found = {row["id"]: _shown_row(row) for row in tables.visiting.live_visits()}
    for visit in sorted(expected.keys() | found.keys()):
        if expected.get(visit) != found.get(visit):
            yield f"visit {visit}\n    should be {expected.get(visit)}\n    but is    {found.get(visit)}"


_HIDDEN = {"crossed", "last_inside_at", "lon", "lat"}


def _shown(visit: Visit) -> dict[str, Any]:
    return {name: getattr(visit, name) for name in Visit.__slots__ if name not in _HIDDEN}


def _shown_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Visit.__slots__ if name not in _HIDDEN}


def _alarms(tables: Tables) -> Iterator[str]:
    """Every visit that alarms has one alarm, and every alarm that stands is one such visit's."""
    alarming = {row["id"] for row in tables.visiting.live_visits() if row["alarming"]}
    standing = Counter(
        alarm.visit for alarm in tables.visiting.alarms.values() if alarm.merged_into is None and not alarm.withdrawn
    )
    for visit in sorted(alarming ^ standing.keys()):
        yield f"visit {visit}: {'no alarm stands for it' if visit in alarming else 'an alarm stands, but not the visit'}"
    for visit, number in standing.items():
        if number > 1:
            yield f"visit {visit}: {number} alarms stand for it"


def _pages(terminals: list[Terminal], log: Server, tables: Tables, place: Place) -> Iterator[str]:
    """A visit is paged if, and only if, a fix that was fresh at its receipt was inside. Where a terminal's reports came in the
    order of device time: who is paged when they did not is a matter of arrival, and of tests/geofence/test_late.py.
    """
    told: dict[int, list[int]] = {}
    unsure = set(tables.visiting.corrected)
    disordered = _disordered(log)
    for terminal in terminals:
        rows, device = tables.visiting.history(terminal.device), terminal.device
        presences = place.oracle.presences(device, rows) if len(rows) else []
        if device in disordered:
            unsure |= {presence.machine for presence in presences if presence.machine is not None}
        for page in OracleWorker(cast("Any", place))._pages(device, rows, rows, presences) if len(rows) else []:
            told.setdefault(page.machine, []).append(page.at)
    for row in tables.visiting.live_visits():
        if not row["alarming"] or row["machine"] in unsure:
            continue
        until = row["exited_at"] or _FOREVER
        expected = any(row["entered_at"] <= at <= until for at in told.get(row["machine"], []))
        if expected != (tables.visiting.alarms[row["alarm"]].paged is not None):
            yield f"visit {row['id']}: {'not paged' if expected else 'paged without a fresh fix'}"


def _disordered(log: Server) -> set[int]:
    """Terminals of which an older report came after a newer one, the first time that each came."""
    seen: set[Key] = set()
    newest: dict[int, int] = {}
    found: set[int] = set()
    for batches in _unique(log).values():
        for batch in batches:
            for key in keys(batch.positions.take(np.flatnonzero(batch.positions.good))):
                if key not in seen and key[1] < newest.get(key[0], 0):
                    found.add(key[0])
                seen.add(key)
                newest[key[0]] = max(newest.get(key[0], 0), key[1])
    return found
