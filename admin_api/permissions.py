"""Who may do what: one table of roles. Everything else asks `Account.may`.

Two scopes, not one (articles 10 and 17 of the seed): *reading* - city and branch accounts see the whole city, a
township sees its own alarms and the machines in them - and *handling*, which is always the account's own district and
what lies below it (the whole city for a city account).

Operations people issue accounts and keep terminals, engineers keep the gateway: neither sees where a machine is, so
neither has alarms or tracks. The auditor sees who read what and the alarms' paper trail, not the tracks themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    ALARMS_READ = "alarms.read"
    ALARMS_HANDLE = "alarms.handle"
    """Accept, work on, feed back."""
    ALARMS_REVIEW = "alarms.review"
    """Assign, transfer, return, close, reopen."""
    TRACKS_READ = "tracks.read"
    """Tracks, latest positions, position frames, media and messages."""
    ZONES_READ = "zones.read"
    ZONES_WRITE = "zones.write"
    """Draw, submit, withdraw; retire what was never published."""
    ZONES_PUBLISH = "zones.publish"
    """Approve, reject, retire; with a bearer token, publish at once."""
    MACHINES_READ = "machines.read"
    MACHINES_WRITE = "machines.write"
    TERMINALS_READ = "terminals.read"
    TERMINALS_WRITE = "terminals.write"
    DISTRICTS_READ = "districts.read"
    ACCOUNTS_WRITE = "accounts.write"
    AUDIT_READ = "audit.read"
    DEAD_LETTERS_READ = "dead_letters.read"
    """Packets that could not be decoded: of one at a time the bytes, too, for a purpose and with an audit row."""


P = Permission
_LOOK = {P.ALARMS_READ, P.ZONES_READ, P.MACHINES_READ, P.TERMINALS_READ, P.DISTRICTS_READ}


@dataclass(frozen=True, slots=True)
class Role:
    name_zh: str
    permissions: frozenset[Permission]
    needs_district: bool = False
    reads_city: bool = True
    """False: reads only what is in its own district."""


def _role(name_zh: str, *permissions: Permission, needs_district: bool = False, reads_city: bool = True) -> Role:
    return Role(name_zh, frozenset(permissions), needs_district, reads_city)


ROLES: dict[str, Role] = {
    "city_admin": _role("市局管理员", *Permission),
    "city_viewer": _role("市局查看人员", *_LOOK, P.TRACKS_READ),
    "branch_admin": _role(
        "分局平台管理人员", *_LOOK, P.TRACKS_READ, P.ALARMS_HANDLE, P.ALARMS_REVIEW, P.ZONES_WRITE, P.MACHINES_WRITE,
        P.TERMINALS_WRITE, needs_district=True,
    ),
    "branch_handler": _role(
        "分局工作人员", *_LOOK, P.TRACKS_READ, P.ALARMS_HANDLE, P.ALARMS_REVIEW, needs_district=True
    ),
    "township_handler": _role(
        "乡镇(街道)工作人员", P.ALARMS_READ, P.ZONES_READ, P.DISTRICTS_READ, P.TRACKS_READ, P.ALARMS_HANDLE,
        needs_district=True, reads_city=False,
    ),
    "operations": _role(
        "系统运维人员", P.ACCOUNTS_WRITE, P.TERMINALS_READ, P.TERMINALS_WRITE, P.MACHINES_READ, P.ZONES_READ,
        P.DISTRICTS_READ, P.DEAD_LETTERS_READ,
    ),
    "engineer": _role("技术人员", P.TERMINALS_READ, P.ZONES_READ, P.DISTRICTS_READ, P.DEAD_LETTERS_READ),
    "auditor": _role("审计人员", *_LOOK, P.AUDIT_READ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks: an account's session, or a bearer token. ``districts``: own district and all below it."""

    actor: str
    role: str
    district: str | None
    districts: frozenset[str]
    token: bytes
    """SHA-256 of the token that was shown."""
    account: int | None = None
    bearer: bool = False
    """A program's token, not somebody's session."""

    def may(self, permission: Permission) -> bool:
        role = ROLES.get(self.role)
        return role is not None and permission in role.permissions

    @property
    def permissions(self) -> list[str]:
        role = ROLES.get(self.role)
        return sorted(role.permissions) if role else []

    @property
    def reads(self) -> frozenset[str] | None:
        """The districts whose alarms this account may see; None: the whole city."""
        role = ROLES[self.role]
        return None if role.reads_city else self.districts

    def sees(self, *districts: str | None) -> bool:
        """Whether an alarm of these districts is within what this account reads."""
        return self.reads is None or not self.reads.isdisjoint(districts)

    @property
    def handles(self) -> frozenset[str] | None:
        """The districts whose alarms this account may work on; None: the whole city."""
        return self.districts if ROLES[self.role].needs_district else None
