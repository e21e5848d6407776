"""Are the ports free on which the gateway is about to listen?"""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING

import click
import structlog

if TYPE_CHECKING:
    from gateway.config import Settings

WAIT_S = 10.0  # children of a supervisor that was killed take up to 8 s to finish
POLL_S = 0.2
log = structlog.get_logger()


def check_free(settings: Settings) -> None:
    """Raises click.ClickException: without it a child would only try again and again, or share another's terminals."""
    for name in ("http", "jt808"):
        host, port = getattr(settings, f"{name}_host"), getattr(settings, f"{name}_port")
        end, told = time.monotonic() + WAIT_S, False
        while (error := _trouble(host, port)) is not None:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise click.ClickException(
                    f"{host}:{port}: {error.strerror}; choose another with --{name}-host and --{name}-port"
                    f" | 端口不可用，请用 --{name}-host、--{name}-port 另行指定"
                ) from error
            if not told:
                log.warning("port in use; waiting for an earlier lezgate to end | 端口被占用，等待先前的进程退出",
                            host=host, port=port, wait_s=WAIT_S)  # fmt: skip
                told = True
            time.sleep(POLL_S)


def _trouble(host: str, port: int) -> OSError | None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None
