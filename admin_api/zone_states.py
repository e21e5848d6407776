"""The life of a zone's version as a table: state and action to the next state. Nothing else moves a version.

    draft ─submit▶ in_review ─approve▶ approved ─its day▶ active ─its end, a successor, retire▶ retired
      ▲◀──withdraw───┘    └─reject▶ rejected
      └──publish (a city admin's token, at once)──▶ approved or active

A version's content never changes: what was rejected is drawn anew, as the next version. `approved` turns `active` and
`active` turns `retired` by date alone (`zone_state` in migration 0007): nothing has to run.
"""

from __future__ import annotations

from dataclasses import dataclass

from admin_api.permissions import Permission

STATES = {
    "draft": "草稿",
    "in_review": "待审核",
    "rejected": "退回修改",
    "approved": "待生效",
    "active": "生效中",
    "retired": "已停用",
}


@dataclass(frozen=True, slots=True)
class Action:
    name_zh: str
    of: str
    """The state that it is for."""
    to: str
    permission: Permission
    second_person: bool = False
    """Not for who drew or submitted the version."""


ACTIONS = {
    "submit": Action("提交审核", "draft", "in_review", Permission.ZONES_WRITE),
    "withdraw": Action("撤回", "in_review", "draft", Permission.ZONES_WRITE),
    "approve": Action("审核通过", "in_review", "approved", Permission.ZONES_PUBLISH, second_person=True),
    "reject": Action("退回修改", "in_review", "rejected", Permission.ZONES_PUBLISH, second_person=True),
}


def allowed(state: str) -> list[str]:
    """What may be done to a version in this state."""
    return [name for name, action in ACTIONS.items() if action.of == state]
