"""The `lezgate` command. Each sub-command is a module of gateway.commands, imported only when it is called."""

from __future__ import annotations

import importlib

import click

from gateway.logs import configure

# name -> module under gateway.commands that holds a click command of that name (dashes become underscores)
COMMANDS = {
    "accounts": "accounts",
    "api": "serve",
    "backup": "backup",
    "db": "db",
    "dead-letters": "dead_letters",
    "decode": "decode",
    "demo": "demo",
    "edge": "serve",
    "explain": "explain",
    "load": "load",
    "log": "log",
    "machines": "machines",
    "serve": "serve",
    "simulate": "simulate",
    "tokens": "tokens",
    "trace": "trace",
    "worker": "serve",
    "zones": "zones",
}


class LazyGroup(click.Group):
    """Knows the names of its commands without importing them: `lezgate decode` must not load a web framework."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command = getattr(importlib.import_module(f"gateway.commands.{module}"), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)  # noqa: S101
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lezgate")
@click.option("--config", type=click.Path(exists=True, dir_okay=False), help="TOML file | 配置文件")
@click.pass_context
def main(ctx: click.Context, config: str | None) -> None:
    """lezgate: the JT/T 808 gateway of a low-emission zone | 非道路移动机械定位接入网关"""
    ctx.obj = config
    configure(ctx.invoked_subcommand or "lezgate")
