"""lezgate demo: everything in one go, with made-up zones, machines and terminals."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.supervisor import Supervisor


@click.command(short_help="Everything in one go, with made-up machines | 演示")
@click.option("--data-dir", help="Where everything embedded lives | 数据目录")
@click.option("--jt808-port", type=int, help="Port where terminals connect; 7808 | 终端接入端口")
@click.option("--http-port", type=int, help="Port of the console and API; 8808 | 控制台与接口端口")
@click.option(
    "--terminals", type=click.IntRange(0), help="Simulated terminals; all 300 unless told otherwise | 模拟终端数量"
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed moves the same way | 随机种子")
@click.pass_obj
def demo(config: str | None, /, terminals: int | None, seed: int, **flags: object) -> None:
    """The gateway with sample zones, machines and moving terminals | 演示：虚构的禁用区、机械与终端"""
    from gateway.commands._database import troubles_told  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.supervisor import Supervisor  # noqa: PLC0415

    settings = load(config, flags=flags)
    print("Starting; the first start takes up to a minute. 正在启动，首次启动约需一分钟……", flush=True)
    seeded: list[str] = []
    supervisor = Supervisor(settings, demo=True, on_ready=lambda: seeded.append(_prepare(settings)))
    if terminals != 0:
        # Under the supervisor, so that Ctrl-C ends them and a crash starts them again.
        words = ["simulate", "--scene", "demo", "--quiet", "--seed", str(seed), "--host", settings.jt808_host]
        scheme = "https" if settings.http_tls_cert else "http"
        words += ["--after", f"{scheme}://{settings.http_host}:{settings.http_port}/readyz"]
        words += ["--port", str(settings.jt808_port)] + (["--terminals", str(terminals)] if terminals else [])
        supervisor.extra.append(("terminals", words))
    with troubles_told(), asyncio.Runner() as runner:  # asyncio's own loop: it starts children with preexec_fn
        runner.run(_run(supervisor, settings, seeded))
    print("Stopped. 已停止。", flush=True)


async def _run(supervisor: Supervisor, settings: Settings, seeded: list[str]) -> None:
    announcing = asyncio.get_running_loop().create_task(_announce(settings, seeded))
    try:
        await supervisor.run()
    finally:
        announcing.cancel()


def _prepare(settings: Settings) -> str:
    """Seeds the database; the address that signs a browser in."""
    import psycopg  # noqa: PLC0415

    from gateway.demo.seed import demo_address, seed, sign_in_token  # noqa: PLC0415
    from gateway.nodes import database_url  # noqa: PLC0415

    with psycopg.connect(database_url(settings, "owner")) as connection:
        seed(connection)
        return demo_address(settings.base_url, sign_in_token(connection))


async def _announce(settings: Settings, seeded: list[str]) -> None:
    """Says where the console is, once there is one."""
    while True:
        await asyncio.sleep(0.2)
        with contextlib.suppress(OSError):
            if seeded:
                _, writer = await asyncio.open_connection(settings.http_host, settings.http_port)
                writer.close()
                break
    print(
        "\n"
        "  lezgate demo · 演示数据 · 边界为虚构 · all zones, machines and positions are made up\n"
        "\n"
        f"  Console 控制台:                 {settings.base_url}/\n"
        f"  One-time sign-in 一次性登录链接: {seeded[0]}\n"
        f"  Terminals 终端接入:              {settings.jt808_host}:{settings.jt808_port} (JT/T 808)\n"
        "\n"
        "  The first alarms follow within a minute. Ctrl-C stops everything.\n"
        "  首批报警将在一分钟内出现；按 Ctrl-C 停止全部进程。\n",
        flush=True,
    )
