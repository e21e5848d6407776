"""lezgate serve, edge, worker, api: the processes, together or alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click
import uvloop

from gateway.config import Settings, load

if TYPE_CHECKING:
    from collections.abc import Coroutine


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


def _settings(config: str | None, **flags: object) -> Settings:
    return load(config, flags=flags)


@click.command(short_help="Edge, worker and api under one supervisor | 启动全部服务")
@click.option("--data-dir", help="Where everything embedded lives | 数据目录")
@click.option("--jt808-host", help="Address where terminals connect; 127.0.0.1 | 终端接入地址")
@click.option("--jt808-port", type=int, help="Port where terminals connect; 7808 | 终端接入端口")
@click.option("--http-host", help="Address of the console and API; 127.0.0.1 | 控制台与接口地址")
@click.option("--http-port", type=int, help="Port of the console and API; 8808 | 控制台与接口端口")
@click.option("--edges", type=int, help="Edge processes | 接入进程数")
@click.option("--workers", type=int, help="Worker processes | 处理进程数")
@click.option(
    "--enrolment",
    type=click.Choice(["strict", "open"]),
    help="strict: only terminals in the registry; open: any that registers | 终端注册方式：仅已登记，或任何终端",
)
@click.pass_obj
def serve(config: str | None, /, **flags: object) -> None:
    """Edge, worker and api under one supervisor, with embedded stores unless URLs are given | 启动全部服务"""
    from gateway.commands._database import troubles_told  # noqa: PLC0415
    from gateway.edge.enrolment import check_enrolment  # noqa: PLC0415
    from gateway.supervisor import Supervisor  # noqa: PLC0415

    settings = _settings(config, **flags)
    check_enrolment(settings)

    async def run() -> None:
        await Supervisor(settings).run()

    with troubles_told(), asyncio.Runner() as runner:  # asyncio's own loop: it starts children with preexec_fn
        runner.run(run())


@click.command(short_help="One edge process: terminals to the log | 接入进程")
@click.option("--mqtt", is_flag=True, help="Read LEZGATE_MQTT_URL's topics instead of listening | 读取 MQTT 主题")
@click.pass_obj
def edge(config: str | None, *, mqtt: bool) -> None:
    """One edge process: terminals' sockets to the log | 接入进程"""
    from gateway.edge.main import run  # noqa: PLC0415

    _run(run(_settings(config), mqtt=mqtt))


@click.command(short_help="One worker process: the log to the database | 处理进程")
@click.pass_obj
def worker(config: str | None) -> None:
    """One worker process: the log to the database | 处理进程"""
    from gateway.worker.main import run  # noqa: PLC0415

    _run(run(_settings(config)))


@click.command(short_help="The HTTP API, live stream and console | 管理接口与控制台")
@click.option("--demo", is_flag=True, hidden=True)
@click.pass_obj
def api(config: str | None, *, demo: bool) -> None:
    """The HTTP API, live stream and console | 管理接口与控制台"""
    from gateway.api import run  # noqa: PLC0415

    _run(run(_settings(config), demo=demo))
