"""Checks a role and its district for the commands that give one out."""

from __future__ import annotations

import click

from admin_api.permissions import ROLES


def check_role(role: str, district: str | None) -> str | None:
    """The district that goes with the role. Raises click.BadParameter."""
    if role not in ROLES:
        raise click.BadParameter(
            f"unknown role {role}; known are {', '.join(ROLES)} | 未知角色 {role}", param_hint="--role"
        )
    if ROLES[role].needs_district and not district:
        raise click.BadParameter(
            f"{role} needs a district | {ROLES[role].name_zh}必须指定辖区", param_hint="--district"
        )
    # A whole-city role has no district: the setting would promise a limit that is not kept.
    return district if ROLES[role].needs_district else None
