"""Media: who may see which, a purpose and an audit row for every look, and bytes that a browser only saves."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from admin_api.app import create_app
from storage.blobs import Folder
from tests.admin_api.conftest import OTHER, TOWNSHIP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio

PICTURE = b"\xff\xd8\xff\xe0picture"
SHA256 = hashlib.sha256(PICTURE).hexdigest()
PHONE = "13900000001"
LIST, BYTES = f"/api/v1/terminals/{PHONE}/media", f"/api/v1/media/{SHA256}"
NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
DAY = {"from": "2026-03-01T00:00", "to": "2026-03-02T00:00", "purpose": "核查"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "blobs")


@pytest_asyncio.fixture
async def client(facts, api_database: str, folder: Folder) -> AsyncIterator[httpx.AsyncClient]:
    await folder.put(PICTURE)
    app = create_app(api_database, blobs=folder)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://lezgate") as one:
            yield one


def upload(facts, device: int, **more) -> None:
    row = {"device": device, "media_id": 7, "sha256": SHA256, "size": len(PICTURE), "kind": 0, "format": 0, "trigger": 1,
           "channel": 2, "received": NOON + timedelta(minutes=3), "time": NOON, "lon": 115950000, "lat": 36450000,
           **more}  # fmt: skip
    facts.run(f"INSERT INTO media ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))})", *row.values())


async def test_an_upload_is_listed_and_given(client, facts):
    """Names for codes, degrees, the machine of then; the bytes with their type, to be saved and never sniffed or cached."""
    machine = facts.machine()
    upload(facts, facts.terminal(PHONE, machine))
    (item,) = (await client.get(LIST, params=DAY, headers=facts.bearer())).json()["items"]
    assert item == {
        "id": item["id"], "media_id": 7, "kind": "image", "format": "jpeg", "trigger": "timer", "channel": 2,
        "size": len(PICTURE), "sha256": SHA256, "time": "2026-03-01T12:00:00+08:00",
        "received_at": "2026-03-01T12:03:00+08:00", "longitude": 115.95, "latitude": 36.45, "machine_id": machine,
    }  # fmt: skip
    answer = await client.get(BYTES, params={"purpose": "取证"}, headers=facts.bearer())
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"] == f'attachment; filename="media-{PHONE}-7.jpeg"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"
    assert facts.audits() == [
        ("token:test", "media.list", f"terminal/{PHONE}", "核查"),
        ("token:test", "media.read", f"media/{SHA256}", "取证"),
    ]
    assert facts.run("SELECT detail FROM audit WHERE action = 'media.read'") == [({"terminal": PHONE, "media_id": 7},)]


async def test_every_look_needs_a_purpose_and_a_sign_in(client, facts):
    """Without a purpose 422, without a token 401, and neither leaves a row or gives anything away."""
    upload(facts, facts.terminal(PHONE))
    for path in (LIST, BYTES):
        for query in ("", "?purpose=%20"):
            answer = await client.get(path + query, headers=facts.bearer())
            assert (answer.status_code, answer.json()["type"].rsplit(":")[-1]) == (422, "purpose-required")
        assert (await client.get(path, params={"purpose": "t"})).status_code == 401
        for role in ("operations", "engineer", "auditor"):
            answer = await client.get(path, params={"purpose": "t"}, headers=facts.bearer(role))
            assert answer.status_code == 403
    assert facts.audits() == []


async def test_a_township_sees_the_media_of_its_alarms(client, facts):
    """Others don't exist for it: not the terminal, nor the bytes, though it knows their name; a city sees all."""
    machine = facts.machine()
    device = facts.terminal(PHONE, machine)
    upload(facts, device)
    facts.alarm(OTHER, device=device, machine=machine)
    township = facts.bearer("township_handler", TOWNSHIP)
    for path in (LIST, BYTES):
        assert (await client.get(path, params=DAY, headers=township)).status_code == 404
        assert (await client.get(path, params=DAY, headers=facts.bearer("city_viewer"))).status_code == 200
    assert len(facts.audits()) == 2
    facts.run("UPDATE alarm SET exited_at = now()")  # it leaves the other district
    facts.alarm(TOWNSHIP, device=device, machine=machine)
    for path in (LIST, BYTES):
        assert (await client.get(path, params=DAY, headers=township)).status_code == 200


async def test_the_same_bytes_of_two_terminals(client, facts):
    """A township gets them under the name of its own terminal alone."""
    mine = facts.terminal("13900000002")
    machine = facts.machine()
    upload(facts, mine, media_id=1)
    upload(facts, facts.terminal(PHONE), media_id=2)
    facts.alarm(TOWNSHIP, device=mine, machine=machine)
    answer = await client.get(BYTES, params=DAY, headers=facts.bearer("township_handler", TOWNSHIP))
    assert "media-13900000002-1.jpeg" in answer.headers["content-disposition"]


async def test_pages_join_to_the_whole(client, facts):
    """By the time they were taken, or received where the device told none; `to` is not included."""
    device = facts.terminal(PHONE)
    for i, minutes in enumerate((5, 0, 0, 12 * 60, 3, 1440)):
        upload(facts, device, media_id=i, time=NOON + timedelta(minutes=minutes) if i != 4 else None)
    got, cursor = [], None
    while True:
        page = (await client.get(LIST, params={**DAY, "limit": 2, **({"cursor": cursor} if cursor else {})},
                                 headers=facts.bearer())).json()  # fmt: skip
        got += [item["media_id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert got == [1, 2, 4, 0]
    assert (await client.get(LIST, params={**DAY, "cursor": "bm9uc2Vuc2U"}, headers=facts.bearer())).status_code == 422


async def test_what_is_not_there(client, facts, folder):
    """No such record, no such file, a damaged file, codes that are reserved: each has its answer."""
    device = facts.terminal(PHONE)
    upload(facts, device, kind=9, format=200, trigger=77, time=None, lon=None, lat=None)
    (item,) = (await client.get(LIST, params=DAY, headers=facts.bearer())).json()["items"]
    assert (item["kind"], item["format"], item["trigger"], item["time"], item["longitude"]) == (
        "9",
        "200",
        "77",
        None,
        None,
    )
    answer = await client.get(BYTES, params=DAY, headers=facts.bearer())
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].endswith('.bin"')
    (path,) = await asyncio.to_thread(lambda: list(folder._root.rglob(SHA256)))
    path.write_bytes(b"other")
    damaged = await client.get(BYTES, params=DAY, headers=facts.bearer())
    assert (damaged.status_code, damaged.json()["type"].rsplit(":")[-1]) == (503, "media-unavailable")
    path.unlink()
    for missing in (BYTES, f"/api/v1/media/{'0' * 64}"):
        assert (await client.get(missing, params=DAY, headers=facts.bearer())).status_code == 404
    for odd in ("abc", "A" * 64, "..%2f" * 8):
        assert (await client.get(f"/api/v1/media/{odd}", params=DAY, headers=facts.bearer())).status_code in {404, 422}
