"""Districts: the tree that scopes are read from."""

from fastapi import APIRouter

from admin_api.answers import Json, page
from admin_api.authentication import PREFIX, require
from admin_api.permissions import Permission
from admin_api.state import Here
from storage.queries import districts

router = APIRouter(prefix=PREFIX + "/districts", tags=["districts"])


@router.get("", dependencies=[require(Permission.DISTRICTS_READ)])
async def list_districts(here: Here) -> Json:
    """The city, its branches and their townships: code, gb_code, name, level, parent."""
    async with here.database() as connection:
        return page(await districts.all_of(connection), None)
