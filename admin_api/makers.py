"""Makers of terminals: whether their terminals' authentication codes are checked."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from admin_api import parameters
from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, Asker, require
from admin_api.parameters import Cursor, Limit
from admin_api.permissions import Permission
from admin_api.problems import not_found
from admin_api.records import record
from admin_api.state import Here
from storage.queries import makers

router = APIRouter(prefix=PREFIX + "/makers", tags=["terminals"])


def _named(text: str) -> str:
    text = text.strip()
    if not text or "\x00" in text:
        raise ValueError("a maker has a name | 厂商标识不能为空")
    return text


# A maker's id is whatever five or eleven bytes it chose: a slash is no end of it.
Maker = Annotated[str, Path(max_length=64), AfterValidator(_named)]


class MakerTrust(BaseModel):
    """`legacy`: any code authenticates its terminals, and their positions are marked unverified."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    trust: Literal["strict", "legacy"]
    note: str | None = Field(None, max_length=200)


@router.get("", dependencies=[require(Permission.TERMINALS_READ)])
async def list_makers(here: Here, limit: Limit = 100, cursor: Cursor = None) -> Json:
    """Makers of the registry's terminals, and those that somebody decided about."""
    key = parameters.place(cursor, 1)
    async with here.database() as connection:
        rows = await makers.page(connection, after=str(key[0]) if key else None, limit=limit)
    return page(rows, [rows[-1]["maker"]] if len(rows) == limit else None)


@router.get("/{maker:path}", dependencies=[require(Permission.TERMINALS_READ)])
async def get_maker(here: Here, maker: Maker) -> Json:
    """One maker."""
    async with here.database() as connection:
        row = await makers.find(connection, maker)
    if row is None:
        raise not_found("maker", "厂商")
    return Json(row)


@router.put("/{maker:path}", dependencies=[require(Permission.TERMINALS_WRITE)])
async def put_maker(request: Request, account: Asker, here: Here, maker: Maker, trust: MakerTrust) -> Json:
    """Decides about all terminals of a maker that have no `trust` of their own."""
    async with here.database() as connection:
        await makers.put(connection, maker, trust.trust, trust.note)
        await record(connection, request, account, "maker.update", f"maker/{maker}", detail=trust.model_dump())
        return Json(await makers.find(connection, maker))
