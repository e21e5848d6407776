"""Statistics by day: counts alone, no place and no machine, so they need no purpose."""

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.permissions import Permission
from admin_api.problems import invalid, not_found
from admin_api.state import Here
from storage.queries import statistics

router = APIRouter(prefix=PREFIX + "/statistics", tags=["statistics"])

MOST_DAYS = 366


@router.get("/days", dependencies=[require(Permission.ALARMS_READ)])
async def list_days(
    account: Asker,
    here: Here,
    first: Annotated[date, Query(alias="from", description="First day in Asia/Shanghai: 2026-03-01")],
    last: Annotated[date, Query(alias="to", description="Last day, included")],
    district: Annotated[str | None, Query(description="This district and those below it")] = None,
) -> Json:
    """What terminals reported and which visits began, day by day."""
    if not timedelta(0) <= last - first < timedelta(days=MOST_DAYS):
        raise invalid(
            "query.from",
            f"Give `from` and `to`, in this order, at most {MOST_DAYS} days.",
            f"请给出起止日期，先后有序，最多 {MOST_DAYS} 天。",
        )
    if district is not None and not account.sees(district):
        raise not_found("district", "辖区")
    asked = {district} if district is not None else account.reads
    async with here.database() as connection:
        return page(await statistics.days(connection, first, last, asked), None)
