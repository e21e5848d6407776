"""Zones across releases: the one before works beside this one, and what it left is brought up."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import psycopg

from storage.migrate import GRANTS, MIGRATIONS, migrate
from tests.admin_api.test_zones_law import Zones

if TYPE_CHECKING:
    from pathlib import Path

    from storage.embedded import EmbeddedPostgres

# As release N - 1 publishes and retires: it knows three states and none of the papers.
OLD_PUBLISH = """
    UPDATE zone_version SET valid_from = now() WHERE zone = {zone} AND version = 2 AND valid_from < now();
    UPDATE zone_version old SET state = 'retired',
        valid_to = greatest(old.valid_from, least(coalesce(old.valid_to, 'infinity'), next.valid_from))
    FROM zone_version next
    WHERE next.zone = {zone} AND next.version = 2 AND old.zone = next.zone AND old.state = 'active';
    UPDATE zone_version SET state = 'active' WHERE zone = {zone} AND version = 2;
"""
OLD_RETIRE = """
    UPDATE zone_version SET state = 'retired',
        valid_to = greatest(valid_from, least(coalesce(valid_to, 'infinity'), now()))
    WHERE zone = {zone} AND state = 'active';
"""


def test_the_release_before_goes_on_beside(facts):
    """Its statements to draw, publish, replace and retire work, and what it publishes is marked as published at once."""
    zones = Zones(facts.connection)
    zone = zones.add()
    zones.set(zone, "state = 'active'")
    zones.add(zone, version=2)
    zones.connection.execute(OLD_PUBLISH.format(zone=zone))
    query = f"SELECT version, zone_state(v), direct FROM zone_version v WHERE zone = {zone} ORDER BY version"
    assert zones.connection.execute(query).fetchall() == [(1, "retired", True), (2, "active", True)]
    zones.connection.execute(OLD_RETIRE.format(zone=zone))
    assert zones.connection.execute(query).fetchall() == [(1, "retired", True), (2, "retired", True)]


def test_what_was_published_before_the_workflow_stays_law(postgres_server: EmbeddedPostgres, tmp_path: Path):
    """A database of the release before is brought up: its law is law, published by one; its drafts are drafts."""
    files = tmp_path / "migrations"
    files.mkdir()
    for file in MIGRATIONS.glob("000[1-6]_*.sql"):
        shutil.copy(file, files)
    (files / GRANTS).write_text("SELECT 1")
    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS before_workflow WITH (FORCE)")
        connection.execute("CREATE DATABASE before_workflow OWNER lezgate_owner")
    url = postgres_server.url("owner", "before_workflow")
    migrate(url, files)
    with psycopg.connect(url) as connection:
        zones = Zones(connection)
        zone = zones.add(state="retired", valid_from="2020-01-01Z", valid_to="2021-01-01Z")
        zones.add(zone, version=2, state="retired", valid_from="2020-06-01Z", valid_to="2020-06-01Z", doc_no=None)
        zones.add(zone, version=3, state="active", valid_from="2021-01-01Z")
        zones.add(zone, version=4, doc_no=None)
    migrate(url)
    with psycopg.connect(url) as connection:
        query = "SELECT version, zone_state(v), published_at = created_at, direct FROM zone_version v ORDER BY version"
        assert connection.execute(query).fetchall() == [
            (1, "retired", True, True), (2, "retired", None, False), (3, "active", True, True), (4, "draft", None, False)
        ]  # fmt: skip
