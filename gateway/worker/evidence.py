"""The evidence of visits: copied every few seconds, dropped every hour where it is old and its case is closed."""

from __future__ import annotations

import asyncio
import time

import psycopg
import structlog

from storage import evidence

COPY_EVERY_S = 10.0
DROP_EVERY_S = 3600.0
RETRY_S = 5.0
log = structlog.get_logger()


async def keep_evidence(database: str, days: int) -> None:
    """For ever; nothing is lost while it cannot, since tracks are kept for longer than any outage. days: to keep it."""
    dropped_at = -DROP_EVERY_S
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                database, autocommit=True, connect_timeout=5, application_name="lezgate-evidence"
            ) as connection:
                while True:
                    await evidence.copy_due(connection)
                    if time.monotonic() - dropped_at >= DROP_EVERY_S:
                        dropped = await evidence.drop_old(connection, days)
                        # As many as one round takes: there may be more.
                        dropped_at = time.monotonic() if dropped < evidence.VISITS_AT_ONCE else dropped_at
                    await asyncio.sleep(COPY_EVERY_S)
        except Exception as error:  # noqa: BLE001  reports must be decided, whatever is wrong with a chore
            log.warning("evidence not copied yet", error=repr(error))
        await asyncio.sleep(RETRY_S)
