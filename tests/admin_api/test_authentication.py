"""Who gets in: tokens, sessions, links, roles."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from admin_api.app import create_app
from admin_api.authentication import COOKIE, OPEN
from admin_api.passwords import make_hash, matches
from admin_api.permissions import ROLES, Permission
from admin_api.throttle import Throttle
from tests.admin_api.conftest import BRANCH

pytestmark = pytest.mark.asyncio


def routes(app):
    """Every route under /api/v1 as (method, path with ids filled in)."""
    found = []

    def walk(paths):
        for path, operations in paths.items():
            if path.startswith("/api/v1"):
                filled = path.replace("{id}", "1").replace("{phone}", "13900000001")
                found.extend((method.upper(), filled) for method in operations)

    walk(app.openapi()["paths"])
    return found


async def test_without_a_token_every_route_is_closed(app, client):
    """401 as problem+json in both languages on every route but the two where a token is earned."""
    checked = 0
    for method, path in routes(app):
        if (method, path) in OPEN:
            continue
        answer = await client.request(method, path, json={} if method in {"POST", "PUT"} else None)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert {"type", "title", "status", "detail", "detail_zh"} <= answer.json().keys()
        checked += 1
    assert checked >= 25


async def test_what_is_no_good_bearer_token_is_refused(client, facts):
    """Nonsense, another scheme, a token that is over, a link's token: a 401, whatever it looks like."""
    over = facts.token(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    link = facts.token(kind="link")
    for header in ("Bearer nonsense", "Bearer ", "Basic abc", "nonsense", "Bearer " + "x" * 5000, f"Bearer {over}",
                   f"Bearer {link}"):  # fmt: skip
        answer = await client.get("/api/v1/session", headers={"Authorization": header})
        assert answer.status_code == 401, header


EXPECTED = {
    "city_admin": {"alarms": 200, "zones": 200, "machines": 200, "terminals": 200, "audit": 200, "positions": 200},
    "city_viewer": {"alarms": 200, "zones": 200, "machines": 200, "terminals": 200, "audit": 403, "positions": 200},
    "branch_admin": {"alarms": 200, "zones": 200, "machines": 200, "terminals": 200, "audit": 403, "positions": 200},
    "branch_handler": {"alarms": 200, "zones": 200, "machines": 200, "terminals": 200, "audit": 403, "positions": 200},
    "township_handler": {
        "alarms": 200,
        "zones": 200,
        "machines": 403,
        "terminals": 403,
        "audit": 403,
        "positions": 200,
    },
    "operations": {"alarms": 403, "zones": 200, "machines": 200, "terminals": 200, "audit": 403, "positions": 403},
    "engineer": {"alarms": 403, "zones": 200, "machines": 403, "terminals": 200, "audit": 403, "positions": 403},
    "auditor": {"alarms": 200, "zones": 200, "machines": 200, "terminals": 200, "audit": 200, "positions": 403},
}


async def test_each_role_reads_what_it_should(client, facts):
    """The matrix of roles and reads, row by row; nobody but who needs it sees where a machine is."""
    assert set(EXPECTED) == set(ROLES)
    for role, expected in EXPECTED.items():
        headers = facts.bearer(role, BRANCH if ROLES[role].needs_district else None)
        for name, status in expected.items():
            path = "/api/v1/positions/latest?purpose=test" if name == "positions" else f"/api/v1/{name}"
            assert (await client.get(path, headers=headers)).status_code == status, (role, name)


async def test_only_the_city_publishes_and_only_it_and_auditors_audit():
    """Permissions that must stay rare are rare."""
    having = {p: {name for name, role in ROLES.items() if p in role.permissions} for p in Permission}
    assert having[Permission.ZONES_PUBLISH] == {"city_admin"}
    assert having[Permission.AUDIT_READ] == {"city_admin", "auditor"}
    assert having[Permission.ACCOUNTS_WRITE] == {"city_admin", "operations"}
    assert not having[Permission.TRACKS_READ] & {"operations", "engineer", "auditor"}


PASSWORD = "a long password"


async def sign_in(client, login="li", password=PASSWORD):
    return await client.post("/api/v1/session", json={"login": login, "password": password})


def account(facts, login="li", role="branch_admin", district=BRANCH):
    facts.run(
        "INSERT INTO account (login, role, district, password) VALUES (%s, %s, %s, %s)",
        login, role, district, make_hash("a long password"),
    )  # fmt: skip


async def test_signing_in_and_out(client, facts):
    """A right password gives a strict, script-proof cookie and who one is; signing out ends the session for good."""
    account(facts)
    answer = await sign_in(client)
    assert answer.status_code == 201
    assert (answer.json()["login"], answer.json()["role"], answer.json()["district"]) == ("li", "branch_admin", BRANCH)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    kept = client.cookies[COOKIE]
    assert (await client.get("/api/v1/session")).json()["permissions"] == sorted(ROLES["branch_admin"].permissions)
    assert (await client.delete("/api/v1/session", headers={"X-Lezgate": "1"})).status_code == 204
    assert (await client.get("/api/v1/session", headers={"Cookie": f"{COOKIE}={kept}"})).status_code == 401
    assert [row[:2] for row in facts.audits()] == [("li", "session.create")]


async def test_a_cookie_alone_changes_nothing(client, facts):
    """An unsafe method with a cookie needs the header that no other site's form can set."""
    account(facts)
    await sign_in(client)
    answer = await client.delete("/api/v1/session")
    assert answer.status_code == 403
    assert answer.json()["type"].endswith("header-required")
    assert (await client.get("/api/v1/session")).status_code == 200


async def test_wrong_login_and_wrong_password_look_alike_and_are_slowed(client, facts):
    """Both get the same answer; after five failures the sixth try waits, the right password too."""
    account(facts)
    wrong = await sign_in(client, password="not the password")
    nobody = await sign_in(client, login="nobody")
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json() == nobody.json()
    for _ in range(4):
        await sign_in(client, password="not the password")
    late = await sign_in(client)
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) > 0


async def test_a_disabled_account_has_no_session(client, facts):
    """Disabling an account ends its sessions at once."""
    account(facts)
    await sign_in(client)
    facts.run("UPDATE account SET state = 'disabled'")
    assert (await client.get("/api/v1/session")).status_code == 401
    assert (await sign_in(client)).status_code == 401


async def test_a_link_signs_in_once(client, facts):
    """The first redeemer gets a session of the link's role, the second a 401; so does one who comes too late."""
    over = facts.token(kind="link", expires_at=datetime.now(UTC) - timedelta(minutes=1))
    assert (await client.post("/api/v1/session/link", json={"token": over})).status_code == 401
    token = facts.token("city_viewer", kind="link")
    first = await client.post("/api/v1/session/link", json={"token": token})
    assert first.status_code == 201
    assert first.json()["role"] == "city_viewer"
    assert (await client.get("/api/v1/session")).status_code == 200
    second = await client.post("/api/v1/session/link", json={"token": token})
    assert second.status_code == 401
    assert second.json()["type"].endswith("link-refused")


async def test_the_cookie_is_secure_behind_https(facts, api_database):
    """With an https public address the browser sends the session over TLS only."""
    app = create_app(api_database, public_url="https://lez.example.cn", demo=True)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="https://lezgate") as client:
            answer = await client.post("/api/v1/session/link", json={"token": facts.token(kind="link")})
    assert "secure" in answer.headers["set-cookie"].lower()
    assert answer.json()["demo"] is True


async def test_passwords_are_hashed_with_their_own_salt():
    """Two hashes of one password differ, both match it, and neither another; no account matches nothing."""
    one, two = make_hash("correct horse battery"), make_hash("correct horse battery")
    assert one != two
    assert matches("correct horse battery", one)
    assert not matches("correct horse batterz", two)
    assert not matches("", None)
    with pytest.raises(ValueError, match="12"):
        make_hash("short")


async def test_the_throttle_forgives_with_time():
    """Five failures close a key for the window, no longer, and no other key."""
    now = 0.0
    throttle = Throttle(failures=5, window_seconds=60, clock=lambda: now)
    for _ in range(5):
        assert throttle.wait("a") == 0
        throttle.failed("a")
    assert throttle.wait("a") > 0
    assert throttle.wait("b") == 0
    now = 61.0
    assert throttle.wait("a") == 0


async def test_while_the_database_is_away_it_says_so(monkeypatch, request, facts, postgres_server):
    """Requests get a 503 problem, /livez stays well, /readyz names the reason, and it all comes back by itself."""
    monkeypatch.setattr("admin_api.app._WAIT_SECONDS", 0.5)
    monkeypatch.setattr("admin_api.health._PROBE_SECONDS", 0.5)
    one = create_app(request.getfixturevalue("api_database"))
    transport = httpx.ASGITransport(app=one, raise_app_exceptions=False)
    async with one.router.lifespan_context(one), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await away_and_back(client, facts, postgres_server)


async def away_and_back(client, facts, postgres_server):
    name = psycopg.conninfo.conninfo_to_dict(facts.conninfo)["dbname"]
    headers = facts.bearer()
    with psycopg.connect(postgres_server.url("superuser", "postgres"), autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        answer = await client.get("/api/v1/alarms", headers=headers)
        assert answer.status_code == 503
        assert answer.json()["type"].endswith("database-unavailable")
        assert (await client.get("/livez")).status_code == 200
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert any(reason.startswith("database") for reason in ready.json()["reasons"])
        assert "lezgate_database_up 0" in (await client.get("/metrics")).text
        owner.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    for _ in range(20):
        answer = await client.get("/api/v1/alarms", headers=headers)
        if answer.status_code == 200:
            break
    assert answer.status_code == 200
