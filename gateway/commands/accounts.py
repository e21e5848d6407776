"""lezgate accounts create: one login for one person."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gateway.commands._database import Connection


@click.group(short_help="Accounts of staff | 工作人员账号")
def accounts() -> None:
    """Accounts of staff | 工作人员账号"""


@accounts.command(short_help="Create an account | 新建账号")
@click.argument("login")
@click.option("--role", required=True, help="What it may do | 角色")
@click.option("--district", help="Code of its district, for branch and township roles | 辖区代码")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input | 从标准输入读取密码")
@click.pass_obj
def create(config: str | None, login: str, role: str, district: str | None, *, password_stdin: bool) -> None:
    """Creates an account; there is no default password | 新建账号，无默认密码"""
    from admin_api.passwords import PasswordError, make_hash  # noqa: PLC0415
    from gateway.commands._database import with_database  # noqa: PLC0415
    from gateway.commands._roles import check_role  # noqa: PLC0415
    from storage.queries import accounts as queries  # noqa: PLC0415
    from storage.queries import audit, districts  # noqa: PLC0415

    login = login.strip()
    if not login:
        raise click.BadParameter("a login is not empty | 用户名不能为空", param_hint="LOGIN")
    district = check_role(role, district)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password 密码", hide_input=True, confirmation_prompt=True, err=True)
    try:
        hashed = make_hash(password)
    except PasswordError as error:
        raise click.ClickException(str(error)) from None

    async def work(connection: Connection) -> bool:
        await districts.ensure(connection, [district])
        if await queries.add(connection, login, role, district, hashed) is None:
            return False
        await audit.add(
            connection, actor="command line", role="owner", action="account.create", object_=login,
            detail={"role": role, "district": district},
        )  # fmt: skip
        return True

    if not with_database(config, work):
        raise click.ClickException(f"the login {login} is taken | 用户名 {login} 已存在")
    click.echo(f"{login} ({role})")
