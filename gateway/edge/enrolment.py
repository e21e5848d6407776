"""Who may let any terminal in: open enrolment is for this machine alone, unless it is forced."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from gateway.config import Settings


def check_enrolment(settings: Settings) -> None:
    """Open enrolment lets any terminal in: a demo's and a benchmark's way, not a city's."""
    if settings.enrolment != "open" or settings.enrolment_force:
        return
    broker = urlsplit(settings.mqtt_url).hostname if settings.mqtt_url else None
    if is_loopback(settings.jt808_host) and (broker is None or is_loopback(broker)):
        return
    raise SystemExit(
        "LEZGATE_ENROLMENT=open is refused where an address or the MQTT broker is not loopback;"
        " LEZGATE_ENROLMENT_FORCE=true allows it"
        " | 监听地址或 MQTT 服务器不是本机时不允许开放注册；确需如此请设置 LEZGATE_ENROLMENT_FORCE=true"
    )


def is_loopback(host: str) -> bool:
    """Whether this address, or all that this name stands for, is this machine's own; not where it stands for nothing."""
    try:
        found = {str(address[0]) for *_, address in socket.getaddrinfo(host, None)} if host else set()
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found)
