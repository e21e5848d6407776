"""The life of an alarm as a table: state and action to the next state. Nothing else moves an alarm.

    new ─assign▶ assigned ─accept▶ accepted ─start▶ in_progress ─feedback▶ feedback ─close▶ closed
     └──────────accept───────────▶    └─────────feedback────────▶    └return▶ in_progress   └reopen▶ in_progress

`transfer` hands an open alarm to another district, where it is assigned anew; `false_alarm` and `exempt` are feedback
with a given result, and wait for review like any other; `note` only adds to the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from admin_api.permissions import Permission

STATES = {
    "new": "待派发",
    "assigned": "待接收",
    "accepted": "已接收",
    "in_progress": "处理中",
    "feedback": "已反馈(待审核)",
    "closed": "已办结",
}

KINDS = {
    "zone_entry": "进入高排放禁用区",
    "power_cut": "主电源断电",
    "antenna_cut": "定位天线或模块故障",
    "displacement": "非法位移",
    "silent": "区内终端失联",
    "cancelled": "已注销机械仍上报",
    "two_places": "同一机械两地同时上报",
    "identity": "多台设备共用终端号",
    "parked": "数据无法处理，已搁置",
}
"""What an alarm is about. All but an entry are open once for a terminal, a machine or a partition, and have no visit."""

RESULTS = {
    "confirmed": "属实",
    "not_found": "到场未找到机械",
    "left": "已离开",
    "number_mismatch": "号牌不符",
    "unregistered": "未备案机械",
    "not_working": "未作业",
    "false_alarm": "误报",
}

MEASURES = {
    "persuaded": "劝离",
    "ordered": "责令改正",
    "case": "立案",
    "penalty": "处罚",
    "handed_over": "移交",
    "none": "无违法",
}


@dataclass(frozen=True, slots=True)
class Action:
    name_zh: str
    to: str | None
    """The next state; None: it stays."""
    permission: Permission
    needs_note: bool = False
    needs_result: bool = False
    needs_district: bool = False
    result: str | None = None
    """The result that the action itself says."""


_HANDLE, _REVIEW = Permission.ALARMS_HANDLE, Permission.ALARMS_REVIEW

ACTIONS = {
    "assign": Action("派发", "assigned", _REVIEW, needs_district=True),
    "accept": Action("接收", "accepted", _HANDLE),
    "start": Action("开始处理", "in_progress", _HANDLE),
    "feedback": Action("反馈", "feedback", _HANDLE, needs_result=True),
    "false_alarm": Action("误报", "feedback", _HANDLE, needs_note=True, result="false_alarm"),
    "exempt": Action("豁免", "feedback", _HANDLE, needs_note=True, result="exempt"),
    "return": Action("退回补充", "in_progress", _REVIEW, needs_note=True),
    "close": Action("办结", "closed", _REVIEW, needs_note=True),
    "reopen": Action("重新办理", "in_progress", _REVIEW, needs_note=True),
    "transfer": Action("转办", "assigned", _REVIEW, needs_note=True, needs_district=True),
    "note": Action("说明", None, _HANDLE, needs_note=True),
}

_OPEN_ENDS = ("false_alarm", "exempt", "transfer", "note")
ALLOWED: dict[str, tuple[str, ...]] = {
    "new": ("assign", "accept", *_OPEN_ENDS),
    "assigned": ("assign", "accept", *_OPEN_ENDS),
    "accepted": ("start", "feedback", *_OPEN_ENDS),
    "in_progress": ("feedback", *_OPEN_ENDS),
    "feedback": ("close", "return", "note"),
    "closed": ("reopen", "note"),
}

ALLOWED_MERGED = ("note",)
"""Of an alarm that late data joined to another, whatever its state."""


def next_state(state: str, action: str) -> str | None:
    """The state after the action, or None where it is not allowed now."""
    if action not in ALLOWED.get(state, ()):
        return None
    return ACTIONS[action].to or state
