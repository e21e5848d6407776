"""lezgate tokens create: a bearer token, shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.commands._database import Connection


@click.group(short_help="Bearer tokens for programs | 访问令牌")
def tokens() -> None:
    """Bearer tokens for programs | 访问令牌"""


@tokens.command(short_help="Print a new token, once | 生成访问令牌")
@click.option("--role", required=True, help="What it may do | 角色")
@click.option("--district", help="Code of its district, for branch and township roles | 辖区代码")
@click.option("--name", default="cli", show_default=True, help="Shown in the audit | 名称，用于审计记录")
@click.option("--days", type=click.IntRange(1, 3650), help="Days until it ends; default: never | 有效天数")
@click.pass_obj
def create(config: str | None, role: str, district: str | None, name: str, days: int | None) -> None:
    """Prints a new bearer token, once, and nothing else: only its hash is kept | 生成访问令牌，仅显示一次"""
    from datetime import timedelta  # noqa: PLC0415

    from admin_api.authentication import new_token  # noqa: PLC0415
    from gateway.commands._database import with_database  # noqa: PLC0415
    from gateway.commands._roles import check_role  # noqa: PLC0415
    from storage.queries import audit, districts  # noqa: PLC0415
    from storage.queries import tokens as queries  # noqa: PLC0415

    district = check_role(role, district)
    text, digest = new_token()

    async def work(connection: Connection) -> None:
        await districts.ensure(connection, [district])
        lifetime = None if days is None else timedelta(days=days)
        await queries.add(
            connection, digest=digest, kind="bearer", name=name, role=role, district=district, lifetime=lifetime
        )
        await audit.add(
            connection, actor="command line", role="owner", action="token.create", object_=f"token:{name}",
            detail={"role": role, "district": district},
        )  # fmt: skip

    with_database(config, work)
    click.echo(text)
