"""Settings: TOML file < environment LEZGATE_* < flag. An unknown key is an error that names the nearest one."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from storage.blobs import place

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "LEZGATE_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, its default and its meaning. The environment's name is LEZGATE_ + the name in capitals."""

    data_dir: str = "./var"
    """Everything embedded lives here: PostgreSQL, the log, secrets, the edge's registry snapshot."""
    database_url: str = ""
    """PostgreSQL or TimescaleDB to use; empty: an embedded PostgreSQL."""
    nats_url: str = ""
    """NATS (>= 2.15, JetStream) to use, several servers of a cluster separated by commas; empty: an embedded nats-server."""
    blobs_url: str = ""
    """Where media are kept: a folder, or s3://BUCKET/PREFIX?endpoint=URL&region=NAME; empty: DATA_DIR/blobs."""
    jt808_host: str = "127.0.0.1"
    jt808_port: int = 7808
    jt808_tls_cert: str = ""
    """PEM files; with them the terminals' port speaks TLS only."""
    jt808_tls_key: str = ""
    mqtt_url: str = ""
    """mqtt:// or mqtts://USER:PASSWORD@HOST:PORT of a broker whose topics nrmm/v1/TERMINAL/up are read too; empty: off."""
    http_host: str = "127.0.0.1"
    http_port: int = 8808
    http_tls_cert: str = ""
    """PEM files; with them the console and the API are served over HTTPS."""
    http_tls_key: str = ""
    public_url: str = ""
    """What links in notices and sign-in links begin with; empty: http://HOST:PORT."""
    edges: int = 1
    """Edge processes on this machine (SO_REUSEPORT)."""
    workers: int = 1
    """Worker processes on this machine."""
    enrolment: str = "strict"
    """`strict`: only terminals in the registry may register; `open`: any terminal that registers is enrolled."""
    enrolment_force: bool = False
    """Allow open enrolment on an address that is not loopback."""
    linger_ms: int = 30
    """How long an edge gathers before it appends: the cost of a report against its acknowledgement's delay."""
    gather_ms: int = 250
    """How long a worker gathers before it commits; the acknowledgement does not wait for it."""
    partitions: int = 0
    """Partitions of a log made from now on, 0: one for each worker; an existing log keeps its own number."""
    log_max_bytes: int = 8 * 1024**3
    """Most bytes the log may hold; a full log pauses the edges, it never drops."""
    disk_floor_bytes: int = 1024**3
    """Free bytes below which edges append nothing to the embedded log; 0: no floor. PostgreSQL, on the same disk, needs room
    for what the log holds already: its WAL alone may take 2 GB between two checkpoints, and it must not be the first to stop."""
    log_replicas: int = 1
    """Copies of a log made from now on, for a NATS cluster of your own; an existing log keeps its own number."""
    trim_after: str = "snapshot"
    """What lets the log go: `snapshot`, what the database has; `backup`, what a verified backup has besides."""
    evidence_days: int = 1096
    """How long the fixes that an alarm stands on are kept after its visit; never less than until its case is closed."""
    track_days: int = 180
    """How long tracks are kept: half a year for questions about them; no longer, since they say where people work. What an
    alarm stands on and the daily statistics outlive them."""
    event_days: int = 30
    """How long the live stream's events are kept: who was away for longer reads lists instead."""
    dead_letter_days: int = 180
    """How long packets that could not be decoded are kept; what was acknowledged stays until it is replayed."""
    audit_days: int = 3653
    """How long it is kept who looked at what, and why: ten years, never less than three."""
    silent_minutes: int = 60
    """A terminal inside a zone that sends no position for so long raises an alarm; 0: none does."""
    silent_allowed: bool = False
    """Also for machines that the zone allows."""
    auth_key: str = ""
    """Key of the terminals' authentication codes, hex; empty: kept in DATA_DIR/secrets.json."""

    @property
    def data(self) -> Path:
        return Path(self.data_dir).resolve()

    @property
    def log_partitions(self) -> int:
        """More partitions than workers only cost: a batch and a commit each, of fewer reports."""
        return self.partitions or self.workers

    @property
    def kept_days(self) -> dict[str, int]:
        """For storage.retention.keep."""
        return {
            "position": self.track_days, "event": self.event_days,
            "dead_letter": self.dead_letter_days, "audit": self.audit_days,
        }  # fmt: skip

    @property
    def blobs(self) -> str:
        """For storage.blobs.open_store."""
        return self.blobs_url or str(self.data / "blobs")

    @property
    def base_url(self) -> str:
        scheme = "https" if self.http_tls_cert else "http"
        return self.public_url or f"{scheme}://{self.http_host}:{self.http_port}"

    def environment(self) -> dict[str, str]:
        """These settings as variables, for a child process."""
        return {PREFIX + f.name.upper(): str(getattr(self, f.name)) for f in fields(self)}


_NAMES = {f.name: f for f in fields(Settings)}
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


def _convert(name: str, value: Any, origin: str) -> Any:
    default, text = _NAMES[name].default, str(value).lower()
    if isinstance(default, bool):
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        kind, kind_zh = "true or false", "应为 true 或 false"
    elif isinstance(default, int):
        if text.isascii() and text.isdigit():
            return int(text)
        kind, kind_zh = "a whole number", "应为整数"
    else:
        return str(value)
    raise click.UsageError(f"{origin}: {value!r} is not {kind} | {origin}：{value!r} 无效，{kind_zh}")


_PORT = (1, 65_535)
_RANGES: dict[str, tuple[int, int | None]] = {
    "jt808_port": _PORT,
    "http_port": _PORT,
    "edges": (1, None),
    "workers": (1, None),
    "linger_ms": (1, 1000),
    "gather_ms": (1, 1000),
    "partitions": (0, None),
    "log_max_bytes": (1024**2, None),  # one message of the log, the largest
    "log_replicas": (1, 5),  # what NATS allows
    "disk_floor_bytes": (0, None),
    "silent_minutes": (0, 30 * 24 * 60),
    "evidence_days": (1, 36_525),
    "track_days": (32, 36_525),  # evidence and late data look back a month
    "event_days": (1, 36_525),
    "dead_letter_days": (1, 36_525),
    "audit_days": (1096, 36_525),  # the law wants three years of records; the database refuses less, too
}
_KEY = re.compile(r"(?:[0-9a-fA-F]{2}){16,}")


def _check(settings: Settings) -> None:
    """Refuses what can be converted and cannot work, before anything is started with it."""
    for name, (lowest, highest) in _RANGES.items():
        value = getattr(settings, name)
        if value < lowest or (highest is not None and value > highest):
            wanted = f"at least {lowest}" if highest is None else f"{lowest} to {highest}"
            wanted_zh = f"不小于 {lowest}" if highest is None else f"为 {lowest} 至 {highest}"
            raise _wrong(name, f"{value} is out of range; give {wanted}", f"{value} 超出范围，应{wanted_zh}")
    if settings.enrolment not in {"strict", "open"}:
        raise _wrong("enrolment", "give strict or open", "取值应为 strict 或 open")
    if settings.trim_after not in {"snapshot", "backup"}:
        raise _wrong("trim_after", "give snapshot or backup", "取值应为 snapshot 或 backup")
    if settings.auth_key and not _KEY.fullmatch(settings.auth_key):
        raise _wrong(
            "auth_key",
            "give at least 32 hexadecimal digits, an even number of them",
            "应为至少 32 位、位数为偶数的十六进制数",
        )
    if settings.nats_url and not all(_is_nats(one.strip()) for one in settings.nats_url.split(",")):
        raise _wrong(
            "nats_url",
            "give nats://HOST:PORT or tls://HOST:PORT, several separated by commas",
            "应为 nats://主机:端口 或 tls://主机:端口，多个以逗号分隔",
        )
    if settings.mqtt_url and (
        urlsplit(settings.mqtt_url).scheme not in {"mqtt", "mqtts"} or not urlsplit(settings.mqtt_url).hostname
    ):
        raise _wrong(
            "mqtt_url", "give mqtt://HOST:PORT or mqtts://HOST:PORT", "应为 mqtt://主机:端口 或 mqtts://主机:端口"
        )
    try:
        place(settings.blobs)
    except ValueError as error:
        message, _, message_zh = str(error).partition(" | ")
        raise _wrong("blobs_url", message, message_zh) from error
    for listener in ("jt808", "http"):
        names = [f"{listener}_tls_cert", f"{listener}_tls_key"]
        given = [getattr(settings, name) for name in names]
        if any(given) and not all(given):
            missing = names[given.index("")]
            raise _wrong(missing, "certificate and key go together; give both", "证书与私钥须同时设置")
        for name, path in zip(names, given, strict=True):
            if path and not os.path.isfile(path):  # noqa: PTH113  Path.is_file raises where a directory is closed to us
                raise _wrong(name, f"{path}: no such file that we may see", f"{path}：文件不存在或无权访问")


def _is_nats(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"nats", "tls"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False


def _wrong(name: str, message: str, message_zh: str) -> click.UsageError:
    variable = PREFIX + name.upper()
    return click.UsageError(f"{variable}: {message} | {variable}：{message_zh}")


def _known(name: str, origin: str) -> str:
    if name in _NAMES:
        return name
    near = difflib.get_close_matches(name, _NAMES, 1, 0)
    shown = near[0].upper() if origin.startswith(PREFIX) else near[0]
    shown = PREFIX + shown if origin.startswith(PREFIX) else shown
    raise click.UsageError(f"{origin}: unknown setting; did you mean {shown}? | {origin}：未知配置项，是否为 {shown}？")


def load(
    path: str | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of this process. Raises click.UsageError, which names what is wrong, in two languages."""
    values: dict[str, Any] = {}
    if path:
        with Path(path).open("rb") as file:
            try:
                table = tomllib.load(file)
            except tomllib.TOMLDecodeError as error:
                raise click.UsageError(f"{path}: not TOML: {error} | {path}：不是有效的 TOML 文件") from error
        for key, value in table.items():
            name = _known(key, f"{path}: {key}")
            values[name] = _convert(name, value, f"{path}: {key}")
    for key, value in (os.environ if environ is None else environ).items():
        if key.startswith(PREFIX):
            name = _known(key.removeprefix(PREFIX).lower(), key)
            values[name] = _convert(name, value, key)
    values |= {key: value for key, value in (flags or {}).items() if value is not None}
    settings = Settings(**values)
    _check(settings)
    return settings
