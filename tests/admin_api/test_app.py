"""The application as a whole: errors, health, metrics, the console's headers, and its documents."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import httpx
import psycopg
import pytest

from admin_api.app import build
from admin_api.console import policy
from admin_api.permissions import ROLES, Permission
from admin_api.state import Options
from tests.admin_api.conftest import BRANCH

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parents[2]


async def test_every_error_has_one_shape(client, facts, app):
    """404, 405, 413, 422 and 500 are problem+json in two languages; a 500 tells nothing of its cause."""

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret")

    headers = facts.bearer()
    cases = [
        (404, await client.get("/api/v1/nothing", headers=headers)),
        (404, await client.get("/nothing")),
        (404, await client.get("/api/v1/alarms/999", headers=headers)),
        (405, await client.request("PATCH", "/api/v1/zones", headers=headers)),
        (422, await client.get("/api/v1/alarms/abc", headers=headers)),
        (422, await client.get(f"/api/v1/alarms/{10**30}", headers=headers)),
        (422, await client.get("/api/v1/alarms?limit=0", headers=headers)),
        (
            422,
            await client.post("/api/v1/zones", content=b"{", headers={**headers, "Content-Type": "application/json"}),
        ),
        (422, await client.post("/api/v1/session", json={})),
        (500, await client.get("/broken")),
    ]
    for status, answer in cases:
        assert answer.status_code == status, answer.request.url
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json()
        assert {"type", "title", "status", "detail", "detail_zh"} <= document.keys()
        assert document["status"] == status
        assert document["type"].startswith("urn:lezgate:problem:")
        assert "secret" not in answer.text
    assert cases[4][1].json()["errors"][0]["where"] == "path.id"


async def test_the_console_runs_nothing_but_its_own(tmp_path, api_database):
    """The page carries a policy with the hash of its import map and no `unsafe`; modules have a module's type."""
    script = '\n{"imports": {"a": "/assets/a.mjs"}}\n'
    (tmp_path / "index.html").write_text(
        f'<script type="importmap">{script}</script><script type="module" src="/assets/a.mjs"></script>'
    )
    (tmp_path / "a.mjs").write_text("export {}")
    app = build(Options(api_database, console=tmp_path))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://lezgate") as client:
        page = await client.get("/")
        module = await client.get("/assets/a.mjs")
        missing = await client.get("/assets/../app.py")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'self' 'sha256-{digest}'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["object-src"] == "'none'"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert module.headers["content-type"].startswith("text/javascript")
    for answer in (page, module, missing):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert missing.status_code == 404
    assert policy(b"").startswith("default-src 'none'; script-src 'self'; ")


async def test_answers_are_not_kept_by_caches(client, facts):
    """What is behind a token stays out of every cache."""
    answer = await client.get("/api/v1/alarms", headers=facts.bearer())
    assert answer.headers["cache-control"] == "no-store"


async def test_the_audit_pages_and_filters(client, facts):
    """Newest first, pages join, filters by actor and action."""
    for i in range(3):
        facts.run("INSERT INTO audit (actor, role, action, object) VALUES (%s, 'r', 'a', 'o')", f"actor{i}")

    async def actors(**params):
        answer = await client.get("/api/v1/audit", params=params, headers=facts.bearer("auditor"))
        return [item["actor"] for item in answer.json()["items"]], answer.json()["next_cursor"]

    first, cursor = await actors(limit=2)
    second, end = await actors(limit=2, cursor=cursor)
    assert (first + second, end) == (["actor2", "actor1", "actor0"], None)
    assert (await actors(actor="actor1"))[0] == ["actor1"]
    assert (await actors(action="b"))[0] == []


async def test_the_api_role_cannot_rewrite_the_record(facts, api_database):
    """What is append-only for people is so for the API's database role too."""
    facts.alarm(BRANCH)
    async with await psycopg.AsyncConnection.connect(api_database, autocommit=True) as connection:
        for statement in (
            "UPDATE audit SET actor = 'x'",
            "DELETE FROM alarm_action",
            "DELETE FROM event",
            "DELETE FROM alarm",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement)


async def test_the_openapi_document_needs_no_token_and_no_stranger(client):
    """/openapi.json is open, and no page is served that loads scripts from elsewhere."""
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    assert "/api/v1/stream" in answer.json()["paths"]
    for path in ("/docs", "/redoc"):
        assert (await client.get(path)).status_code == 404


async def test_every_route_is_in_the_documents(app):
    """Each method and path of the OpenAPI stands in docs/api.md as a heading, and each heading there exists."""
    text = (ROOT / "docs" / "api.md").read_text()
    documented = set(re.findall(r"^#+ `([A-Z]+ /[^`]*)`", text, re.MULTILINE))
    existing = {
        f"{method.upper()} {path}" for path, operations in app.openapi()["paths"].items() for method in operations
    } | {"GET /openapi.json"}
    assert existing - documented == set()
    assert documented - existing == set()


async def test_roles_and_permissions_are_in_the_documents():
    """Every role and permission is explained in docs/api.md."""
    text = (ROOT / "docs" / "api.md").read_text()
    for name in (*ROLES, *Permission):
        assert f"`{name}`" in text, name


async def test_a_body_without_end_is_refused(client, facts):
    """More than 32 MB is a 413 problem, with and without a length; a form cannot pass for JSON at the sign-in."""
    headers = {**facts.bearer(), "Content-Type": "application/json"}

    async def endless():
        for _ in range(34):
            yield b" " * (1 << 20)

    for content in (b" " * (33 << 20), endless()):
        answer = await client.post("/api/v1/zones", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
    form = await client.post("/api/v1/session/link", content=b'{"token": "x"}', headers={"Content-Type": "text/plain"})
    assert form.status_code == 422
