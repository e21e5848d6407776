"""Keeps an edge's registry the same as the database's: pages over NATS, and a nudge when something changed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import nats.errors
import orjson
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client
    from nats.aio.msg import Msg

    from gateway.edge.registry import Registry

RETRY_S = 1.0
ASK_AGAIN_S = 60.0  # a nudge can be lost while we reconnect
log = structlog.get_logger()


class RegistrySync:
    """``current``: the edge has heard from the database's side since it started; ``known``: it has a registry at all.

    ``withdrawn`` is called with the terminals whose codes are no longer good.
    """

    def __init__(self, client: Client, registry: Registry, withdrawn: Callable[[set[str]], None]) -> None:
        self.current = False
        self.known = asyncio.Event()
        if registry.version:
            self.known.set()
        self._client = client
        self._registry = registry
        self._withdrawn = withdrawn
        self._nudged = asyncio.Event()

    async def run(self) -> None:
        async def nudge(_: Msg) -> None:
            self._nudged.set()

        await self._client.subscribe("registry.changed", cb=nudge)
        told = False
        while True:
            self._nudged.clear()
            try:
                await self._fetch()
                self.current, told = True, False
                self.known.set()
                wait = ASK_AGAIN_S
            except (TimeoutError, nats.errors.Error, orjson.JSONDecodeError, KeyError, OSError) as error:
                if not told:
                    told = True
                    log.info("registry not at hand; using the copy on disk", error=repr(error),
                             terminals=len(self._registry.known))  # fmt: skip
                wait = RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._nudged.wait()

    async def _fetch(self) -> None:
        terminals: list[list[Any]] = []
        vacant: list[str] = []
        version = None
        while True:
            request = orjson.dumps(
                {"from": len(terminals), "vacant_from": len(vacant), "have": self._registry.version, "version": version}
            )
            page = orjson.loads((await self._client.request("registry.get", request, timeout=3)).data)
            if page["version"] == self._registry.version:
                return
            if version is not None and page["version"] != version:  # it changed while we were reading
                terminals, vacant, version = [], [], None
                continue
            version = page["version"]
            terminals += page["terminals"]
            vacant += page["vacant"]
            if len(terminals) >= page["total"] and len(vacant) >= page["vacant_total"]:
                self._withdrawn(self._registry.replace(version, terminals, vacant))
                return
