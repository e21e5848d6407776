"""The evidence of an alarm, whole, with a digest: what a case file is made of, and what a second person can check.

It is location data: a purpose is stated, and the audit has a row that names the digest of what was handed out.
"""

import hashlib
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Id
from admin_api.permissions import Permission
from admin_api.problems import Problem, not_found
from admin_api.records import PurposeText, record, stated
from admin_api.state import Here
from admin_api.tracks import item
from storage.queries import alarms, evidence

router = APIRouter(prefix=PREFIX + "/alarms", tags=["alarms"])

# Two weeks at a fix every 30 s, some 20 MB.
_MOST_FIXES = 50_000


@router.get("/{id}/evidence", dependencies=[require(Permission.ALARMS_READ), require(Permission.TRACKS_READ)])
async def alarm_evidence(
    request: Request, account: Asker, here: Here, alarm: Annotated[Id, Path(alias="id")], purpose: PurposeText = None
) -> Response:
    """The visit as recorded, its copied fixes, and what it was judged by; `sha256` is that of `content` as it stands there."""
    reason = stated(purpose)
    async with here.database() as connection:
        document = await alarms.document(connection, alarm)
        if document is None or not (account.reads is None or document["district"] in account.reads):
            raise not_found("alarm", "报警")
        visit = await evidence.visit(connection, alarm)
        rows = [] if visit is None else await evidence.fixes(connection, visit["id"], _MOST_FIXES + 1)
        if visit is None or not rows:
            raise Problem(
                404, "no-evidence",
                "No fixes are kept of this alarm: it has no visit, they are about to be copied, or their time is over.",
                "该报警没有留存的定位证据：无进区记录、尚未归档，或已超过保存期限。",
            )  # fmt: skip
        if len(rows) > _MOST_FIXES:
            raise Problem(
                413, "too-large", f"This visit has more than {_MOST_FIXES} fixes; read its track in parts.",
                f"该次进区的定位点超过 {_MOST_FIXES} 个；请分段查询轨迹。",
            )  # fmt: skip
        content = {"visit": visit["visit"], "fixes": [_fix(row) for row in rows]}
        content |= await evidence.papers(connection, visit["id"])
        canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        digest = hashlib.sha256(canonical).hexdigest()
        await record(
            connection, request, account, "alarm.evidence", f"alarm/{alarm}", purpose=reason,
            detail={"visit": visit["id"], "fixes": len(rows), "sha256": digest},
        )  # fmt: skip
    head = orjson.dumps({"alarm": alarm, "copied_at": visit["copied_at"], "sha256": digest})
    # Put together by hand, so that the digest is of bytes that are in the answer.
    return Response(head[:-1] + b',"content":' + canonical + b"}", media_type="application/json")


def _fix(row: dict[str, Any]) -> dict[str, Any]:
    """As in a track, and what identifies the report: the fingerprint of its body, and its additional items."""
    return item(row) | {
        "fingerprint": f"{row['fingerprint'] & (1 << 64) - 1:016x}", "extras": bytes(row["extras"]).hex()
    }  # fmt: skip
