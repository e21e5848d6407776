"""`lezgate demo` seeds a database once, and only adds what is missing."""

from __future__ import annotations

import hashlib

import psycopg
import pytest

from columns.identity import device_of
from gateway.demo.fleet import fleet
from gateway.demo.seed import LOGIN, demo_address, seed, sign_in_token

COUNTS = {"district": 148, "zone": 147, "zone_version": 147, "machine": 300, "terminal": 300, "binding": 300}


def counts(connection) -> dict[str, int]:
    return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COUNTS}


@pytest.fixture
def connection(database):
    with psycopg.connect(database) as connection:
        yield connection


def test_seeds_once(connection) -> None:
    """A second run changes nothing, not even the epoch that workers reload at."""
    seed(connection)
    assert counts(connection) == COUNTS
    before = connection.execute("SELECT epoch FROM ruleset").fetchone()
    versions = connection.execute("SELECT zone, version, xmin::text FROM zone_version ORDER BY 1").fetchall()
    seed(connection)
    assert counts(connection) == COUNTS
    assert versions == connection.execute("SELECT zone, version, xmin::text FROM zone_version ORDER BY 1").fetchall()
    assert connection.execute("SELECT epoch FROM ruleset").fetchone() == before


def test_an_operators_work_stays(connection) -> None:
    """A stage that was corrected, a zone that was retired, a terminal that was moved: all as they were left."""
    seed(connection)
    first = fleet()[0]
    connection.execute(
        "UPDATE machine SET emission_stage = '4' WHERE registration_number = %s", (first.registration_number,)
    )
    connection.execute("UPDATE zone_version SET state = 'retired' WHERE zone = (SELECT min(zone) FROM zone_version)")
    connection.execute("UPDATE binding SET during = tstzrange(lower(during), now()) WHERE device = %s",
                       (device_of(first.terminal_phone),))  # fmt: skip
    seed(connection)
    assert counts(connection) == COUNTS
    stage = connection.execute(
        "SELECT emission_stage FROM machine WHERE registration_number = %s", (first.registration_number,)
    ).fetchone()
    assert stage == ("4",)
    assert connection.execute("SELECT count(*) FROM zone_version WHERE state = 'retired'").fetchone() == (1,)


def test_a_district_known_by_its_code_gets_its_name(connection) -> None:
    """An import creates a district with its code for a name; the demonstration knows better."""
    connection.execute("INSERT INTO district (code, name, level) VALUES ('371502', '371502', 'branch')")
    seed(connection)
    row = connection.execute("SELECT name, parent FROM district WHERE code = '371502'").fetchone()
    assert row == ("东昌府区", "371500")


def test_the_link_is_one_time_and_hashed(connection) -> None:
    """A new token a start; the database holds its SHA-256, the address carries it behind the #."""
    seed(connection)
    first, second = sign_in_token(connection), sign_in_token(connection)
    assert first != second
    row = connection.execute(
        "SELECT t.kind, t.role, a.login, t.used_at, t.expires_at > now() FROM token t JOIN account a ON a.id = t.account"
        " WHERE hash = %s",
        (hashlib.sha256(first.encode()).digest(),),
    ).fetchone()
    assert row == ("link", "city_admin", LOGIN, None, True)
    assert demo_address("http://127.0.0.1:8808", first) == f"http://127.0.0.1:8808/#signin={first}"


def test_the_account_has_no_password(connection) -> None:
    """There is no default password to guess."""
    seed(connection)
    assert connection.execute("SELECT password FROM account WHERE login = %s", (LOGIN,)).fetchone() == (None,)
