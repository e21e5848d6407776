"""The application: its parts put together. What runs it (sockets, TLS, signals) is the hall's business."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from admin_api import (
    alarms,
    audit,
    backtest,
    bindings,
    console,
    dead_letters,
    districts,
    evidence,
    exemptions,
    health,
    machines,
    makers,
    media,
    messages,
    positions,
    problems,
    sessions,
    statistics,
    stream,
    terminals,
    tracks,
    zone_import,
    zone_review,
    zones,
)
from admin_api.answers import Json
from admin_api.authentication import Authentication
from admin_api.broadcast import Broadcaster
from admin_api.limits import BodyLimit
from admin_api.state import Health, Options, Pool, State
from admin_api.throttle import Throttle
from storage.blobs import Blobs

# A request that got no connection by then is answered 503; the browser asks again.
_WAIT_SECONDS = 3.0
# Where connecting fails for longer, the next request tries anew instead of a timer with growing pauses.
_RECONNECT_SECONDS = 5.0


def create_app(
    conninfo: str, *, public_url: str = "", demo: bool = False, health: Health | None = None, blobs: Blobs | None = None
) -> FastAPI:
    """The API and the console over one database; connects when it starts, and starts without a database too."""
    return build(Options(conninfo, public_url=public_url, demo=demo, health=health, blobs=blobs))


def build(options: Options) -> FastAPI:
    state = _state(options)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await state.pool.open(wait=False)
        state.broadcaster.start()
        try:
            yield
        finally:
            await state.broadcaster.stop()
            await state.pool.close()

    app = FastAPI(
        title="lezgate",
        version="1",
        summary="JT/T 808 gateway of a low-emission zone: machines, zones, alarms, tracks. 非道路移动机械定位接入网关",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        default_response_class=Json,
    )
    app.state.lezgate = state
    problems.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(Authentication, pool=state.pool)
    for room in (
        health,
        sessions,
        alarms,
        evidence,
        stream,
        positions,
        tracks,
        media,
        messages,
        zones,
        zone_review,
        zone_import,
        backtest,
        machines,
        terminals,
        bindings,
        makers,
        districts,
        exemptions,
        audit,
        statistics,
        dead_letters,
    ):
        app.include_router(room.router)
    console.install(app, options.console, demo=options.demo)
    return app


def _state(options: Options) -> State:
    # Times leave with China's offset; a dead peer is noticed within half a minute.
    conninfo = make_conninfo(
        **{"connect_timeout": "3", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
        | conninfo_to_dict(options.conninfo)  # type: ignore[arg-type]
        | {"options": _with_time_zone(str(conninfo_to_dict(options.conninfo).get("options") or ""))},
        application_name="lezgate-api",
    )
    pool: Pool = AsyncConnectionPool(
        conninfo,
        connection_class=AsyncConnection,
        kwargs={"row_factory": dict_row},
        min_size=1,
        max_size=options.pool_size,
        timeout=_WAIT_SECONDS,
        reconnect_timeout=_RECONNECT_SECONDS,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )
    return State(options, pool, Broadcaster(conninfo, pool), Throttle(), asyncio.Semaphore(2))


def _with_time_zone(options: str) -> str:
    return f"{options} -c timezone=Asia/Shanghai".strip()
