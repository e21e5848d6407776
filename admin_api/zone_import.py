"""Files of zones over the API: what one would change, taking it in, and previews of repairs."""

import asyncio
import hashlib
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Form, Query, Request, UploadFile

from admin_api.answers import Json
from admin_api.authentication import PREFIX, Asker, require
from admin_api.permissions import Permission
from admin_api.problems import Problem, invalid
from admin_api.records import record
from admin_api.state import Here
from admin_api.zone_editing import check_publishes_at_once, refused
from admin_api.zone_plan import apply, counts, plan
from geofence.errors import ZoneError
from geofence.importing.reading import read
from geofence.repairs import preview

router = APIRouter(prefix=PREFIX + "/zones", tags=["zones"])

Crs = Annotated[
    str | None,
    Query(description="wgs84, cgcs2000, gcj02, bd09, epsg:N or a .prj's text, where the file doesn't state its own"),
]


@router.post("/import", dependencies=[require(Permission.ZONES_WRITE)])
async def import_file(
    request: Request,
    account: Asker,
    here: Here,
    file: UploadFile,
    *,
    crs: Crs = None,
    publish: Annotated[bool, Query(description="Put them in force at once (a city_admin's bearer token)")] = False,
    dry_run: Annotated[bool, Query(description="The diff alone; false takes the file in")] = True,
    district: Annotated[str | None, Query(description="Of zones whose file names none; so the next four")] = None,
    tier: Annotated[str | None, Query()] = None,
    doc_no: Annotated[str | None, Query()] = None,
    valid_from: Annotated[str | None, Query()] = None,
    valid_to: Annotated[str | None, Query()] = None,
    rules: Annotated[str | None, Form(description="Rules as JSON, of zones whose file names none")] = None,
) -> Json:
    """GeoJSON, KML, KMZ or a zipped Shapefile: the diff against what is there, and without `dry_run` all of it or nothing."""
    if publish:
        check_publishes_at_once(account)
    data = await file.read()
    defaults = {
        "district": district, "tier": tier, "doc_no": doc_no, "valid_from": valid_from, "valid_to": valid_to,
        "rules": _rules(rules),
    }  # fmt: skip
    try:
        # A province's borders in a projection take a while: other requests go on meanwhile.
        reading = await asyncio.to_thread(read, data, crs=crs, defaults=defaults)
    except ZoneError as error:
        raise refused(error) from None
    async with here.database() as connection:
        planned = await plan(connection, reading.incoming, publish=publish, account=account, hold=not dry_run)
        found = counts(planned)
        if not dry_run:
            if found["refused"]:
                raise Problem(
                    422,
                    "zone-import-refused",
                    f"{found['refused']} zones of the file are refused, so nothing was imported.",
                    f"文件中有 {found['refused']} 个禁用区不能导入，因此未导入任何禁用区。",
                    counts=found,
                    items=[each.document() for each in planned],
                )

            async def written(action: str, object_: str, detail: dict[str, Any]) -> None:
                await record(connection, request, account, action, object_, detail={**detail, "file": file.filename})

            await apply(
                connection, planned, written, author=account.actor, publish=publish,
                note="published at once by token, no second person",
            )  # fmt: skip
            digest = hashlib.sha256(data).hexdigest()
            await record(
                connection, request, account, "zone.import", file.filename or "-", detail={**found, "sha256": digest}
            )
    return Json(
        {
            "dry_run": dry_run,
            "format": reading.format,
            "counts": found,
            "notes": [{"message": note.message_en, "message_zh": note.message_zh} for note in reading.notes],
            "items": [each.document() for each in planned],
        }
    )


@router.post("/repair", dependencies=[require(Permission.ZONES_WRITE)])
async def repair(
    geometry: Annotated[dict[str, Any], Body(embed=True, description="GeoJSON Polygon or MultiPolygon")],
    crs: Annotated[str, Body(embed=True, description="wgs84, cgcs2000, gcj02, bd09, epsg:N or a .prj's text")],
) -> Json:
    """What a broken shape might have meant. Nothing is stored: who agrees hands the answer's geometry in."""
    try:
        found = await asyncio.to_thread(preview, geometry, crs)
    except ZoneError as error:
        raise refused(error) from None
    return Json(
        {
            "crs": found.crs,
            "valid": found.fault is None,
            "reason": found.fault and found.fault.message_en,
            "reason_zh": found.fault and found.fault.message_zh,
            "geometry": found.geometry,
            "area_before_m2": round(found.area_before_m2, 1),
            "area_after_m2": round(found.area_after_m2, 1),
        }
    )


def _rules(text: str | None) -> Any:
    if text is None or not text.strip():
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise invalid("body.rules", "rules must be JSON.", "rules 须为 JSON。") from None
