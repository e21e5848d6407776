"""lezgate trace: one terminal's frames both ways, live, while somebody looks at it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from nats.aio.client import Client

    from gateway.commands._database import Connection

_POLL_S = 0.5
_SILENT_S = 4.0  # more than one repetition: an edge that runs has answered
_NO_GATEWAY = (
    "no gateway answers: start `lezgate serve`, or give the LEZGATE_DATA_DIR or LEZGATE_NATS_URL of the one that runs"
    " | 没有运行中的网关：请先运行 lezgate serve，或设置其 LEZGATE_DATA_DIR 或 LEZGATE_NATS_URL"
)
_NO_EDGE = (
    "no edge answers yet: look at /readyz of the gateway; going on waiting"
    " | 尚无接入进程应答：请查看网关的 /readyz；继续等待"
)


@click.command(short_help="One terminal's frames both ways, live | 实时跟踪一台终端的报文")
@click.argument("phone")
@click.option("--purpose", required=True, help="Why, for the audit | 查看目的，记入审计")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End after so long | 多少秒后结束")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line | 每行一个 JSON 对象")
@click.pass_obj
def trace(config: str | None, phone: str, purpose: str, seconds: float | None, *, as_json: bool) -> None:
    """One terminal's frames both ways, live, with what was refused and why | 实时跟踪一台终端的上下行报文及拒绝原因

    Each packet is one line: local time, direction, message, [connection], unescaped bytes, what they say. Ctrl-C ends it.
    """
    from admin_api.phones import normalise  # noqa: PLC0415
    from gateway.commands import _trace_lines as lines  # noqa: PLC0415
    from gateway.commands._database import with_database  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.nodes import auth_key, nats_url  # noqa: PLC0415
    from gateway.trace_order import GOOD_FOR_US, Order, derive_key, sign  # noqa: PLC0415
    from storage.queries import audit  # noqa: PLC0415

    try:
        identity = normalise(phone)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="PHONE") from None
    purpose = purpose.strip()
    if not purpose:
        raise click.BadParameter("say why | 请说明目的", param_hint="--purpose")
    settings = load(config)
    url, key = nats_url(settings, "api"), derive_key(auth_key(settings))
    asyncio.run(_probe(url))

    async def write_down(connection: Connection) -> int:
        return await audit.add(
            connection, actor="command line", role="owner", action="terminal.trace", object_=f"terminal/{identity}",
            purpose=purpose, detail={"seconds": seconds},
        )  # fmt: skip

    row = with_database(config, write_down)
    show = lines.json if as_json else lines.text

    def order() -> bytes:
        return sign(Order(row, identity, time.time_ns() // 1000 + GOOD_FOR_US), key)

    shown = asyncio.run(_follow(url, row, order, show, seconds))
    click.echo(f"ended after {shown} lines | 跟踪结束，共 {shown} 行", err=True)


async def _connect(url: str) -> Client:
    """Raises click.ClickException where nothing answers; a trace that is cut off ends, it does not come back."""
    import nats.errors  # noqa: PLC0415
    from nats.aio.client import Client  # noqa: PLC0415

    async def quiet(_: Exception) -> None:
        """What it means is told by whoever asks next."""

    client = Client()
    try:
        await client.connect(
            url,
            name="lezgate-trace",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # of the first connection: 0 and -1 try for ever
            reconnect_time_wait=0,
            connect_timeout=2,
            error_cb=quiet,
        )
    except (TimeoutError, OSError, ValueError, nats.errors.Error) as error:
        raise click.ClickException(f"{_NO_GATEWAY}\n{error!r}") from error
    return client


async def _probe(url: str) -> None:
    """Before the audit is written: of what can't be, there is no record."""
    await (await _connect(url)).close()


async def _follow(
    url: str, row: int, order: Callable[[], bytes], show: Callable[[dict[str, Any]], str], seconds: float | None
) -> int:
    """Prints what edges publish until the time is over or somebody ends it; how many lines that were."""
    import nats.errors  # noqa: PLC0415
    import orjson  # noqa: PLC0415

    from gateway.trace_order import FOLLOW, REPEAT_S, frames_subject  # noqa: PLC0415

    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    client = await _connect(url)
    begun = time.monotonic()
    end = begun + seconds if seconds is not None else float("inf")
    again, warned, lines = begun, False, 0
    try:
        frames = await client.subscribe(frames_subject(row))
        await client.flush()
        while not stopping.is_set() and (now := time.monotonic()) < end:
            if now >= again:
                again = now + REPEAT_S
                await client.publish(FOLLOW, order())
            if not lines and not warned and now > begun + _SILENT_S:
                warned = True
                click.echo(_NO_EDGE, err=True)
            with contextlib.suppress(nats.errors.TimeoutError):
                message = await frames.next_msg(timeout=min(_POLL_S, end - now))
                for event in orjson.loads(message.data):
                    click.echo(show(event))
                    lines += 1
    except nats.errors.Error as error:
        raise click.ClickException(f"the gateway has gone | 网关已停止\n{_NO_GATEWAY}") from error
    finally:
        await client.close()
    if not lines:
        raise click.ClickException("no edge answered: look at /readyz | 没有接入进程应答：请查看 /readyz")
    return lines
