"""What the database itself refuses of zones, whoever asks: the api's role, or the owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from admin_api.zone_states import ACTIONS, STATES
from tests.admin_api.conftest import RULES, SQUARE

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = (errors.IntegrityError, errors.CheckViolation, errors.ExclusionViolation)
# What a step may set; everything else in a version is its content. The last two are the workers' marks (0008).
PAPERS = {"submitted_by", "submitted_at", "reviewed_by", "reviewed_at", "review_note", "published_at"}
MOVES = {"state", "valid_from", "valid_to", "direct", *PAPERS, "changed", "drawn"}
# Another value of each type.
OTHER = {
    "text": "'x'", "jsonb": "'[1]'", "real": "7", "bigint": "(SELECT max(id) FROM zone)", "integer": "99",
    "timestamp with time zone": "now() - interval '1 year'",
}  # fmt: skip
OTHER_OF = {"tier": "'general'", "unknown_policy": "'alarm'", "slow_terminals": "'wait'"}
DRAFT = {
    "version": 1, "name": "区", "district": "371502", "tier": "core", "state": "draft", "doc_no": "1号", "crs": "wgs84",
    "source": Jsonb(SQUARE), "geometry": Jsonb(SQUARE), "rules": Jsonb(RULES), "valid_from": "2020-01-01Z",
    "author": "li",
}  # fmt: skip
SUBMITTED = {"state": "in_review", "submitted_by": "li", "submitted_at": "2020-01-01Z"}
REVIEWED = {"submitted_by": "li", "reviewed_by": "wang", "reviewed_at": "2020-01-02Z"}
ROWS = {
    "draft": {},
    "in_review": SUBMITTED,
    "rejected": {**REVIEWED, "state": "rejected", "review_note": "否"},
    "approved": {**REVIEWED, "state": "approved", "valid_from": "2090-01-01Z"},
    "active": {**REVIEWED, "state": "active"},
    "retired": {**REVIEWED, "state": "retired", "published_at": "2020-01-02Z", "valid_to": "2021-01-01Z"},
}


class Zones:
    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def add(self, zone: int | None = None, **more: object) -> int:
        if zone is None:
            (zone,) = self.connection.execute("INSERT INTO zone DEFAULT VALUES RETURNING id").fetchone()
        row = {"zone": zone, **DRAFT, **more}
        self.connection.execute(
            f"INSERT INTO zone_version ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values())
        )
        return zone

    def set(self, zone: int, change: str) -> None:
        self.connection.execute(f"UPDATE zone_version SET {change} WHERE zone = {zone}")

    def one(self, query: str) -> tuple:
        return self.connection.execute(query).fetchone()


@pytest.fixture
def zones(database: str) -> Iterator[Zones]:
    """As the owner of the schema, who may do the most."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield Zones(connection)


@pytest.mark.parametrize("state", ROWS)
def test_no_versions_content_ever_changes(zones, state):
    """Every column that is not a step's, one by one, in every state; and a column that is new must be put in either set."""
    columns = zones.connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'zone_version'"
    ).fetchall()
    assert {name for name, _ in columns} > MOVES
    zone = zones.add(**ROWS[state])
    zones.connection.execute("INSERT INTO zone DEFAULT VALUES")
    for name, kind in columns:
        if name not in MOVES:
            with pytest.raises(errors.IntegrityError, match="content never changes"):
                zones.set(zone, f"{name} = {OTHER_OF.get(name, OTHER[kind])}")


@pytest.mark.parametrize("state", ["rejected", "approved", "active", "retired"])
def test_a_decided_version_keeps_its_papers(zones, state):
    """Who submitted, who reviewed, when, why, and from when on it is law."""
    zone = zones.add(**ROWS[state])
    for name in sorted(PAPERS | {"valid_from"}):
        value = "now() - interval '1 hour'" if name.endswith(("_at", "from")) else "'x'"
        for change in (value, "NULL"):
            if zones.one(f"SELECT {name} IS NOT DISTINCT FROM {change} FROM zone_version") == (True,):
                continue
            with pytest.raises(REFUSED):
                zones.set(zone, f"{name} = {change}")


def test_an_end_only_comes_nearer(zones):
    """Not later, not never, and not into the past, where machines were judged by it."""
    zone = zones.add(**ROWS["active"], valid_to="2095-01-01Z")
    for later in ("'2096-01-01Z'", "NULL", "now() - interval '1 s'", "'2019-01-01Z'"):
        with pytest.raises(errors.IntegrityError, match="only comes nearer"):
            zones.set(zone, f"valid_to = {later}")
    zones.set(zone, "valid_to = '2094-01-01Z'")
    zones.set(zone, "valid_to = now()")
    pending = zones.add(**ROWS["approved"])
    with pytest.raises(errors.IntegrityError, match="only comes nearer"):
        zones.set(pending, "valid_to = now()")
    zones.set(pending, "valid_to = valid_from")


def test_a_published_version_is_never_deleted(zones):
    """A draft may be."""
    for state in ("approved", "active", "retired"):
        zone = zones.add(**ROWS[state])
        with pytest.raises(errors.IntegrityError, match="never deleted"):
            zones.connection.execute("DELETE FROM zone_version WHERE zone = %s", [zone])
    draft = zones.add()
    zones.connection.execute("DELETE FROM zone_version WHERE zone = %s", [draft])


@pytest.mark.parametrize("state", ["approved", "active"])
def test_nothing_is_published_without_its_notices_number(zones, state):
    """Neither put in so, nor made so; none and an empty one are the same."""
    for none in (None, ""):
        with pytest.raises(errors.CheckViolation, match="doc_no"):
            zones.add(**ROWS[state], doc_no=none)
        zone = zones.add(doc_no=none)
        with pytest.raises(errors.CheckViolation, match="doc_no"):
            zones.set(zone, f"state = '{state}'")


def test_a_second_person_reviews(zones):
    """Not the author, not who submitted it, not nobody; and what nobody reviewed says that it was published at once."""
    zone = zones.add(**{**SUBMITTED, "submitted_by": "zhao"})
    for own in ("li", "zhao"):
        for state in ("approved", "rejected"):
            with pytest.raises(errors.CheckViolation, match="second_person"):
                zones.set(zone, f"state = '{state}', reviewed_by = '{own}', review_note = '否'")
    with pytest.raises(errors.IntegrityError, match="who reviewed it"):
        zones.set(zone, "state = 'active'")
    with pytest.raises(errors.IntegrityError, match="who reviewed it"):
        zones.set(zone, "published_at = now()")
    zones.set(zone, "state = 'active', reviewed_by = 'wang'")
    assert zones.one("SELECT direct FROM zone_version") == (False,)
    at_once = zones.add()
    zones.set(at_once, "state = 'active'")
    assert zones.one(f"SELECT direct, published_at IS NOT NULL FROM zone_version WHERE zone = {at_once}") == (
        True,
        True,
    )
    with pytest.raises(errors.GeneratedAlways):
        zones.set(at_once, "direct = false")


def test_a_review_has_a_submission_and_a_rejection_a_reason(zones):
    """Half a record is none."""
    for half in ({"state": "in_review"}, {"reviewed_by": "wang"}, {**REVIEWED, "state": "rejected"},
                 {**REVIEWED, "state": "rejected", "review_note": ""}):  # fmt: skip
        with pytest.raises(errors.CheckViolation):
            zones.add(**half)


def test_at_no_time_are_two_versions_the_law(zones):
    """Published spans of a zone do not overlap; drafts, other zones and empty spans do not count."""
    zone = zones.add(**ROWS["active"])
    for dates in ({}, {"valid_from": "2095-01-01Z"}, {"valid_from": "2010-01-01Z", "valid_to": "2020-01-02Z"}):
        with pytest.raises(errors.ExclusionViolation):
            zones.add(zone, **{**ROWS["active"], "version": 2, **dates})
    zones.add(zone, version=2)
    zones.add(zone, **{**ROWS["active"], "version": 3, "valid_from": "2010-01-01Z", "valid_to": "2020-01-01Z"})
    zones.add(zone, **{**ROWS["active"], "version": 4, "valid_from": "2030-01-01Z", "valid_to": "2030-01-01Z"})
    zones.add(**ROWS["active"])


def test_the_databases_steps_are_the_tables(zones):
    """A step that neither the table of actions, nor publishing at once, nor retiring, nor a day knows is refused."""
    known = {(action.of, action.to) for action in ACTIONS.values()}
    known |= {("draft", "approved"), ("draft", "active")}  # published at once
    known |= {("in_review", "active"), ("approved", "active")}  # its day is today, or came
    known |= {(state, "retired") for state in STATES}
    reviewed = ", reviewed_by = coalesce(reviewed_by, 'wang'), review_note = coalesce(review_note, '否')"
    for state, row in ROWS.items():
        for to in STATES:
            zone = zones.add(**row)
            papers = {"in_review": ", submitted_by = 'li'", "draft": ", submitted_by = NULL"}.get(to, "")
            change = f"state = '{to}'" + (reviewed if state == "in_review" and to != "draft" else papers)
            if to == state:
                continue
            if (state, to) in known:
                zones.set(zone, change)
            else:
                with pytest.raises(REFUSED):
                    zones.set(zone, change)


@pytest.mark.parametrize(
    ("row", "at", "state"),
    [
        ("draft", "2100-01-01Z", "draft"),
        ("in_review", "2100-01-01Z", "in_review"),
        ("rejected", "2100-01-01Z", "rejected"),
        ("approved", "2089-12-31Z", "approved"),
        ("approved", "2090-01-01Z", "active"),
        ("active", "2019-12-31Z", "approved"),
        ("active", "2020-01-01Z", "active"),
        ("retired", "2020-12-31Z", "active"),
        ("retired", "2021-01-01Z", "retired"),
    ],
)
def test_a_published_version_is_what_its_dates_say(zones, row, at, state):
    """[valid_from, valid_to), at any time; the others are what they were left as."""
    zones.add(**ROWS[row])
    assert zones.one(f"SELECT zone_state(v, '{at}') FROM zone_version v") == (state,)


def test_what_was_ended_before_its_day_never_was(zones):
    """An empty span is retired at every time, and so is a version that was stopped without a date."""
    zones.add(**ROWS["approved"], valid_to="2090-01-01Z")
    assert zones.one("SELECT zone_state(v), zone_state(v, '2089-01-01Z') FROM zone_version v") == ("retired",) * 2
    stopped = zones.add(**ROWS["active"])
    zones.set(stopped, "state = 'retired'")
    assert zones.one(f"SELECT zone_state(v) FROM zone_version v WHERE zone = {stopped}") == ("retired",)


def test_the_state_is_read_without_the_shape(zones):
    """A list of zones by state does not fetch every geometry: the function is folded into the query."""
    plan = zones.connection.execute("EXPLAIN VERBOSE SELECT zone_state(v) FROM zone_version v").fetchall()
    assert "zone_state" not in str(plan)
    assert "valid_to" in str(plan)
    assert "v.*" not in str(plan)


def test_the_apis_role_is_bound_too(zones, api_database):
    """It may do the steps, and changes, deletes and switches off nothing."""
    zone = zones.add(**ROWS["active"])
    with psycopg.connect(api_database, autocommit=True) as connection:
        for forbidden in (
            f"UPDATE zone_version SET rules = '[]' WHERE zone = {zone}",
            f"DELETE FROM zone_version WHERE zone = {zone}",
            "TRUNCATE zone_version",
            "ALTER TABLE zone_version DISABLE TRIGGER zone_version_guard",
            "SET session_replication_role = replica",
        ):
            with pytest.raises((errors.IntegrityError, errors.InsufficientPrivilege)):
                connection.execute(forbidden)
        connection.execute(f"UPDATE zone_version SET state = 'retired', valid_to = now() WHERE zone = {zone}")
