"""lezgate simulate: terminals that drive about, against a running gateway."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import time
import urllib.request
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.simulator.fleet import Player
    from gateway.simulator.terminal import Counts


@click.command(short_help="Terminals that drive about | 模拟终端")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the gateway | 网关地址")
@click.option("--port", type=int, default=7808, show_default=True, help="Port of the gateway | 网关端口")
@click.option("--terminals", type=click.IntRange(1), help="How many; 100, or all machines of the scene | 终端数量")
@click.option(
    "--interval", type=click.FloatRange(0.1), help="Seconds between reports; 10, or the scene's | 上报间隔（秒）"
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed moves the same way | 随机种子")
@click.option(
    "--first-phone",
    type=int,
    default=13_910_000_001,
    show_default=True,
    help="Phone of the first terminal | 首个终端手机号",
)
@click.option("--scene", type=click.Choice(["open", "demo"]), default="open", show_default=True,
              help="open: anybody, anywhere; demo: the machines that `lezgate demo` registers | 场景")  # fmt: skip
@click.option("--duration", type=click.FloatRange(0), default=0, help="Seconds; 0: until Ctrl-C | 运行时长（秒）")
@click.option("--after", metavar="URL", help="Begin when this address answers 200 | 待该地址就绪后再开始")
@click.option("--quiet", is_flag=True, help="Say nothing while it runs | 不输出统计")
def simulate(
    host: str,
    port: int,
    terminals: int | None,
    interval: float | None,
    seed: int,
    first_phone: int,
    scene: str,
    duration: float,
    after: str | None,
    *,
    quiet: bool,
) -> None:
    """Simulated JT/T 808 terminals (2011, 2013, 2019) that move plausibly | 模拟终端

    They need to be in the registry, or the gateway run with LEZGATE_ENROLMENT=open.
    """
    import uvloop  # noqa: PLC0415

    from gateway.simulator.fleet import anybody, demonstration  # noqa: PLC0415

    if scene == "demo":
        players = demonstration(terminals, seed, interval)
    else:
        players = anybody(terminals or 100, seed, first_phone, interval or 10.0)
    if after:
        _wait_for(after)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(players, host, port, seed, duration, quiet=quiet))


def _wait_for(url: str) -> None:
    """Terminals that come before the registry is known would be written down as refused."""
    # Only the status is asked and nothing is told, so any certificate will do: a loopback address has no proper one.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2, context=trusting):  # noqa: S310  our own address
                return
        except OSError:
            time.sleep(0.3)


async def _run(players: list[Player], host: str, port: int, seed: int, duration: float, *, quiet: bool) -> None:
    from gateway.simulator.fleet import play  # noqa: PLC0415
    from gateway.simulator.terminal import Counts  # noqa: PLC0415

    counts = Counts()
    loop = asyncio.get_running_loop()
    playing = loop.create_task(play(players, host, port, seed, counts))
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, playing.cancel)
    if duration:
        loop.call_later(duration, playing.cancel)
    saying = None if quiet else loop.create_task(_say(counts, len(players)))
    with contextlib.suppress(asyncio.CancelledError):
        await playing
    if saying is not None:
        saying.cancel()
        _line(counts, len(players))


async def _say(counts: Counts, terminals: int) -> None:
    while True:
        await asyncio.sleep(10)
        _line(counts, terminals)


def _line(counts: Counts, terminals: int) -> None:
    c = counts
    print(
        f"{terminals} terminals 终端, {c.connections} connections 连接, {c.reports} reports 上报,"
        f" {c.acknowledged} acknowledged 已应答, {c.again} again 重发, {c.refused} refused 被拒, {c.dropped} dropped 丢弃",
        flush=True,
    )
