"""lezgate explain: an alarm's verdict, made again from what is kept of its inputs."""

from __future__ import annotations

import asyncio

import click

AGREES, DIFFERS, CANNOT = 0, 1, 2


@click.command(short_help="Make an alarm's verdict again from its inputs | 复算报警判定")
@click.argument("alarm", type=click.IntRange(1, 2**63 - 1))
@click.option("--purpose", default="command line", show_default=True, help="Why, for the audit | 查看目的，记入审计")
@click.option("--json", "as_json", is_flag=True, help="One JSON object | 输出一个 JSON 对象")
@click.pass_context
def explain(context: click.Context, alarm: int, purpose: str, *, as_json: bool) -> None:
    """Makes an alarm's verdict again from the fixes, zones and registry entries it was made from | 由留存的依据复算报警判定

    Says what was where, when, by which rule and on whose word. Exit status: 0 it comes out as recorded, 1 it does not,
    2 it cannot be told.
    """
    import orjson  # noqa: PLC0415
    import psycopg  # noqa: PLC0415
    from psycopg.rows import dict_row  # noqa: PLC0415

    from gateway.commands import _explain_lines as lines  # noqa: PLC0415
    from gateway.commands._database import troubles_told  # noqa: PLC0415
    from gateway.config import load  # noqa: PLC0415
    from gateway.database import running_database  # noqa: PLC0415
    from gateway.explaining import Explanation, NoEvidenceError  # noqa: PLC0415
    from gateway.explaining import explain as made_again  # noqa: PLC0415
    from storage.queries import audit  # noqa: PLC0415

    purpose = purpose.strip()
    if not purpose:
        raise click.BadParameter("say why | 请说明目的", param_hint="--purpose")

    async def run(conninfo: str) -> Explanation | None:
        name = "lezgate-command"
        async with await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, row_factory=dict_row, application_name=name
        ) as connection:
            await audit.add(
                connection, actor="command line", role="owner", action="alarm.explain", object_=f"alarm/{alarm}",
                purpose=purpose,
            )  # fmt: skip
        async with await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, application_name=name
        ) as connection:
            return await made_again(connection, alarm)

    try:
        with troubles_told(), running_database(load(context.obj)) as conninfo:
            found = asyncio.run(run(conninfo))
    except NoEvidenceError as error:
        click.echo(f"cannot be told | 无法复算: {error}", err=True)
        context.exit(CANNOT)
    if found is None:
        click.echo(f"there is no alarm {alarm} | 没有报警 {alarm}", err=True)
        context.exit(CANNOT)
    if as_json:
        click.echo(orjson.dumps(lines.document(found), option=orjson.OPT_INDENT_2))
    else:
        for line in lines.text(found):
            click.echo(line)
    context.exit(AGREES if found.agrees else DIFFERS)
