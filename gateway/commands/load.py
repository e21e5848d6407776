"""lezgate load: a load test against a running gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from protocols.jt808.framing import Edition


@click.command(short_help="Load test against a running gateway | 负载测试")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the gateway | 网关地址")
@click.option("--port", type=int, default=7808, show_default=True, help="Port of the gateway | 网关端口")
@click.option(
    "--connections",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Terminals, one connection each | 连接数",
)
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=0,
    help="Reports/s over all connections (open loop); 0: closed loop | 每秒上报数",
)
@click.option(
    "--window",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Closed loop: unanswered reports per connection | 闭环窗口",
)
@click.option("--duration", type=click.FloatRange(0.1), default=10, show_default=True, help="Seconds | 时长（秒）")
@click.option("--edition", type=click.Choice(["2011", "2013", "2019"]), default="2013", show_default=True,
              help="Edition of JT/T 808 that they speak | 协议版本")  # fmt: skip
@click.option(
    "--first-phone",
    type=int,
    default=13_920_000_001,
    show_default=True,
    help="Phone of the first terminal | 首个终端手机号",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed reports the same | 随机种子")
@click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write the report here; - is stdout | 报告文件",
)
def load(
    host: str,
    port: int,
    connections: int,
    rate: float,
    window: int,
    duration: float,
    edition: str,
    first_phone: int,
    seed: int,
    file: str | None,
) -> None:
    """Load test: terminals that report, and how long acknowledgements take | 负载测试

    The terminals need to be in the registry, or the gateway run with LEZGATE_ENROLMENT=open.
    """
    import uvloop  # noqa: PLC0415

    from gateway.simulator.load import Plan, run  # noqa: PLC0415

    plan = Plan(host, port, connections, rate or None, duration, window, cast("Edition", edition), first_phone, seed)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(run(plan))
    except ConnectionError as error:
        raise click.ClickException(f"no terminal got in: {error} | 没有终端能够接入：{error}") from error
    text = json.dumps(report, indent=2)
    if file == "-":
        print(text)
        return
    if file:
        Path(file).write_text(text + "\n", encoding="utf-8")
    print(_words(report))


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


def _words(report: dict[str, Any]) -> str:
    times = "  ".join(f"{name} {_ms(report[name])}" for name in ("p50", "p90", "p99", "p99.9", "max"))
    return (
        f"connections 连接: {report['connections']} / {report['connections_wanted']},"
        f" opened in 建连用时 {report['opened_in']} s\n"
        f"sent 发送: {report['sent']}, acknowledged 已应答: {report['acked']}, unanswered 未应答: {report['unanswered']},"
        f" bad 异常应答: {report['bad']}, errors 连接错误: {report['errors']}\n"
        f"rate 速率: {report['achieved_rate']} /s; acknowledgement 应答时延: {times}"
    )
