"""GET /alarms/{id}/evidence: who may have it, that it is whole, and that its digest is of what was handed out."""

from __future__ import annotations

import hashlib
import json

import psycopg
import pytest
import pytest_asyncio

from storage import evidence
from tests.admin_api.conftest import BRANCH, OTHER, TOWNSHIP
from tests.geofence.world import SECOND
from tests.visited import IN, ONE, OUT, START, Worker, drop_tracks, populate, route

pytestmark = pytest.mark.asyncio
PATH = "/api/v1/alarms/1/evidence"


@pytest_asyncio.fixture
async def visited(facts, worker_database):
    """One visit of nine fixes around it, copied, and its tracks dropped."""
    populate(facts.conninfo)
    async with await psycopg.AsyncConnection.connect(worker_database, autocommit=True) as connection:
        worker = await Worker.of(connection)
        await worker.take(route(ONE, [OUT, OUT, *[IN] * 5, OUT, OUT]))
        await evidence.copy_due(connection)
    drop_tracks(facts.conninfo)
    return facts


async def test_the_evidence_is_whole(client, visited):
    """Fixes with their fingerprints, the zone's shape and rules, the registry's word; any second person gets the digest."""
    answer = await client.get(PATH, params={"purpose": "立案"}, headers=visited.bearer())
    assert answer.status_code == 200, answer.text
    body = answer.json()
    content = body["content"]
    assert (body["alarm"], len(content["fixes"])) == (1, 9)
    assert content["visit"]["id"] == f"1-{START + 60 * SECOND}"
    assert [fix["fingerprint"] for fix in content["fixes"][:2]] == [f"{0:016x}", f"{1:016x}"]
    assert {fix["machine_id"] for fix in content["fixes"]} == {1}
    assert (content["zone_versions"][0]["doc_no"], content["zone_versions"][0]["geometry"]["type"]) == (
        "1号",
        "Polygon",
    )
    assert [version["emission_stage"] for version in content["machine_versions"]] == ["2"]
    assert [presence["zone"] for presence in content["presences"]] == [1]
    assert len(content["bindings"]) == 1
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(plain).hexdigest() == body["sha256"]
    assert plain in answer.content
    assert [row[1:] for row in visited.audits()] == [("alarm.evidence", "alarm/1", "立案")]
    assert visited.run("SELECT detail ->> 'sha256' FROM audit") == [(body["sha256"],)]


async def test_who_may_have_it(client, visited):
    """Who may read tracks and this alarm, and says why; to others of its kind the alarm is not there."""
    for role, district, status in (
        ("branch_handler", OTHER, 200), ("township_handler", TOWNSHIP, 404), ("auditor", None, 403),
        ("operations", None, 403), ("engineer", None, 403),
    ):  # fmt: skip
        answer = await client.get(PATH, params={"purpose": "x"}, headers=visited.bearer(role, district))
        assert answer.status_code == status, (role, answer.text)
    assert (await client.get(PATH, headers=visited.bearer("branch_admin", BRANCH))).status_code == 422
    assert (await client.get(PATH, params={"purpose": "x"})).status_code == 401
    assert len(visited.audits()) == 1


async def test_where_there_is_none(client, facts, visited):
    """Nothing copied is a reason of its own."""
    visited.run("DELETE FROM evidence_fix")
    answer = await client.get(PATH, params={"purpose": "x"}, headers=facts.bearer())
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:lezgate:problem:no-evidence")
    missing = await client.get("/api/v1/alarms/99/evidence", params={"purpose": "x"}, headers=facts.bearer())
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:lezgate:problem:not-found")
    assert facts.audits() == []
