"""lezgate log: what to do where the log lost what it acknowledged."""

from __future__ import annotations

import click


@click.group(short_help="The log of acknowledged reports | 日志")
def log() -> None:
    """The log of acknowledged reports | 已确认数据的日志"""


@log.command(name="accept-loss", short_help="Go on without what the log lost | 放弃丢失的数据并继续")
@click.option("--partition", type=click.IntRange(0), required=True, help="As /readyz names it | 分区号")
@click.option("--data-dir", help="Where everything embedded lives | 数据目录")
@click.option("--yes", is_flag=True, help="What is missing is given up | 确认放弃")
@click.pass_obj
def accept_loss(config: str | None, partition: int, data_dir: str | None, *, yes: bool) -> None:
    """Let the worker of a stopped partition go on without batches that the log lacks | 放弃丢失的批次并继续处理

    It says what is given up, and does it with --yes; the audit has who did. The gateway may run meanwhile.
    """
    from gateway.backup.errors import BackupError  # noqa: PLC0415
    from gateway.backup.lost import accept_loss as accept  # noqa: PLC0415
    from gateway.commands._database import troubles_told  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415

    with troubles_told():
        try:
            english, chinese = accept(load(config, flags={"data_dir": data_dir}), partition, really=yes)
        except BackupError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{english} | {chinese}")
    if not yes:
        raise click.UsageError("nothing was changed: say --yes to give it up | 未作任何更改：请加 --yes 确认放弃")
