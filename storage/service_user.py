"""Who the embedded PostgreSQL runs as: never root, and able to reach what it needs."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from pathlib import Path

NAME = "lezgate"
# Where no user can be made (a read-only /etc, no useradd): who else may own a database directory.
_FALLBACKS = ("postgres", "nobody")


class UnreachablePathError(RuntimeError):
    """The service user cannot pass through a directory: says which, and what to do about it."""

    def __init__(self, path: Path, blocked: Path, user: str) -> None:
        self.path, self.blocked, self.user = path, blocked, user
        super().__init__(
            f"{path}: user {user} cannot pass through {blocked}. As root, PostgreSQL runs as {user}: "
            f"run `chmod o+x {blocked}`, or put the program and LEZGATE_DATA_DIR elsewhere (for example under /opt and "
            f"/var/lib/lezgate), or start lezgate as an ordinary user. | 用户 {user} 无法进入目录 {blocked}："
            f"请执行 `chmod o+x {blocked}`，或把程序和 LEZGATE_DATA_DIR 放到其他目录，或以普通用户启动。"
        )


def service_user(cluster: Path) -> str | None:
    """The user to start PostgreSQL as, or None for the present one (we are not root).

    An existing cluster keeps its owner, so that a machine that gains a `lezgate` user later still starts it.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat().st_uid) != 0:
        return pwd.getpwuid(owner).pw_name
    if not _exists(NAME) and (useradd := shutil.which("useradd")):
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME]
        subprocess.run(command, capture_output=True, check=False)
    for name in (NAME, *_FALLBACKS):
        if _exists(name):
            return name
    raise RuntimeError("no user to run PostgreSQL as: PostgreSQL refuses root | 没有可用于运行 PostgreSQL 的系统用户")


def require_reachable(path: Path, user: str | None) -> None:
    """Raises UnreachablePathError unless ``user`` may pass through every directory above ``path``."""
    if user is None:
        return
    entry = pwd.getpwnam(user)
    groups = set(os.getgrouplist(user, entry.pw_gid))
    for directory in reversed(path.resolve().parents):
        if not directory.exists():  # what we make ourselves is made so that it can be passed
            break
        state = directory.stat()
        if state.st_uid == entry.pw_uid:
            allowed = state.st_mode & 0o100
        elif state.st_gid in groups:
            allowed = state.st_mode & 0o010
        else:
            allowed = state.st_mode & 0o001
        if not allowed:
            raise UnreachablePathError(path, directory, user)


def give(path: Path, user: str | None) -> None:
    """Makes ``path`` the service user's own; nothing to do where it is ours."""
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


class Identity(TypedDict, total=False):
    """Arguments of subprocess that change who a child is."""

    user: int
    group: int
    extra_groups: list[int]


def identity_of(user: str | None) -> Identity:
    """What makes a child run as ``user`` with no group but its own; nothing for None."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
