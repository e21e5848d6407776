"""Where the stores are: the user's own, or the embedded ones of this data directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.nats_server import NatsServer
from gateway.secrets import load_secrets
from storage.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from gateway.config import Settings


def nats_server(settings: Settings) -> NatsServer:
    return NatsServer(settings.data / "nats", load_secrets(settings.data), settings.log_max_bytes)


def postgres(settings: Settings) -> EmbeddedPostgres:
    return EmbeddedPostgres(settings.data / "postgres", load_secrets(settings.data))


def nats_url(settings: Settings, role: str) -> str:
    """``role``: edge, worker or api."""
    return settings.nats_url or nats_server(settings).url(role)


def database_url(settings: Settings, role: str) -> str:
    """``role``: owner, worker or api."""
    return settings.database_url or postgres(settings).url(role)


def auth_key(settings: Settings) -> bytes:
    return bytes.fromhex(settings.auth_key or load_secrets(settings.data)["auth_key"])
