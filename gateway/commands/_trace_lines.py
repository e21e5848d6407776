"""What `lezgate trace` prints for each event of an edge's tracer: one line, and where something is wrong, what to do.

received   a packet of the terminal, or what was rejected as one (`reason`)
refused    why the packet before was refused; the answer follows
sent       a frame of ours
closed     the connection or session ended (`reason`)
left_out   how many lines would have been too many
edge       an edge has begun to follow, and what it knows
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

_BIND = (
    "bind it to its machine in the console's queue of waiting terminals (待绑定终端); its next 0x0100 succeeds"
    " | 请在控制台「待绑定终端」中将其绑定到机械，下次注册即可通过"
)
_NEW_CODE = (
    "let it register again (0x0100): it has an old code or another platform's; a code of another platform is"
    " accepted with trust legacy"
    " | 请让终端重新注册（0x0100）：其鉴权码已失效或来自其他平台；沿用其他平台的鉴权码须将信任方式设为 legacy"
)
_JOIN = "let it register (0x0100) and authenticate (0x0102) first | 终端须先注册（0x0100）并鉴权（0x0102）"
_MAKER = "ask the terminal's maker, and show him this line | 请联系终端厂家，并提供此行内容"
_LINE = "look at the antenna and the mobile network | 请检查天线与移动网络"

# result of 0x8001 and of 0x8100 -> (what it means, what to do)
_GENERAL = {
    0: "success | 成功",
    1: "failure | 失败",
    2: "message has an error | 消息有误",
    3: "not supported | 不支持",
}
_REGISTRATION: dict[int, tuple[str, str]] = {
    0: ("success | 成功", ""),
    1: ("vehicle registered: another terminal sits on the machine with this plate | 车辆已被注册：该牌号的机械已装有其他终端", _BIND),
    2: ("no such vehicle: it is on no machine, and its plate names none | 数据库中无该车辆：未绑定机械，牌号也无对应机械",
        "correct the plate that is set in the terminal, or bind it in the console | 请更正终端内设置的牌号，或在控制台绑定"),
    3: ("terminal registered | 终端已被注册", ""),
    4: ("no such terminal: not in the registry, or revoked | 数据库中无该终端：未登记或已注销", _BIND),
}  # fmt: skip

# columns.reason.Reason -> (what it means, what to do)
REASONS: dict[str, tuple[str, str]] = {
    "noise": ("too short to be a packet | 太短，不是完整的数据包", ""),
    "oversize": ("longer than any packet | 超过数据包的最大长度", _MAKER),
    "checksum": ("the checksum does not match | 校验码不符", _MAKER),
    "length": ("the declared body length does not match | 消息体长度与声明不符", _MAKER),
    "encrypted": ("the body is encrypted, and we have no key | 消息体已加密，无密钥", "turn the terminal's encryption off | 请关闭终端的加密"),
    "body": ("the body does not read | 消息体无法解析", _MAKER),
    "item": ("one report of a 0x0704 does not read; the others count | 批量上报中有一条无法解析，其余有效", _MAKER),
    "unsupported": ("a message that is not handled | 不支持的消息", ""),
    "unknown_terminal": ("the registration is refused; the answer says why | 注册被拒绝，原因见应答", ""),
    "bad_code": ("the authentication code is not the terminal's | 鉴权码不符", _NEW_CODE),
    "not_authenticated": ("not heard before authentication | 鉴权之前不受理", _JOIN),
    "subpackaged": ("a part of a message that must come whole | 该消息不接受分包", _MAKER),
    "part": ("a part with an impossible number | 分包序号无效", _MAKER),
    "part_conflict": ("parts that contradict each other | 分包内容前后矛盾", _MAKER),
    "part_limit": ("too many parts or bytes | 分包过多或过长", _MAKER),
    "incomplete": ("parts are missing | 分包缺失", _LINE),
}  # fmt: skip

# why a connection or session ended -> (what it means, what to do)
CLOSED: dict[str, tuple[str, str]] = {
    "hung_up": ("the terminal hung up, or its network did | 终端或网络断开", ""),
    "replaced": ("the same terminal authenticated on a newer connection | 同一终端已在新连接上鉴权",
                 "if it happens again and again, two devices have this phone | 若反复出现，说明有两台设备使用同一手机号"),
    "idle": ("silent for too long, or not authenticated in time | 长时间无数据，或未及时鉴权", _LINE),
    "half_frame": ("the end of a packet did not come | 数据包未收完", _LINE),
    "slow_reader": ("it does not read our answers | 终端未读取应答", _LINE),
    "refused": ("too many refused attempts | 被拒绝次数过多", "see the refusals above | 见上文的拒绝原因"),
    "garbage": ("nothing but what is no packet | 一直发送非报文数据", "set the terminal to JT/T 808 | 请将终端设为 JT/T 808 协议"),
    "paused": ("the gateway takes nothing in now | 网关暂停接入", "look at /readyz; the terminal comes again by itself | 请查看 /readyz，终端会自动重连"),
    "withdrawn": ("its code is no longer good: revoked, removed or renewed | 鉴权码已失效：已注销、移除或更换", _NEW_CODE),
}  # fmt: skip

_LISTED = {
    "enrolled": "in the registry | 已登记",
    "open": "not in the registry; open enrolment admits it | 未登记，开放注册将接受",
    "no_machine": "in the registry, on no machine: admitted if its plate names a machine without a terminal"
    " | 已登记但未绑定机械：牌号对应的机械未装终端时才能注册",
    "unknown": "not in the registry: its registration will be refused | 未登记：注册将被拒绝",
    "revoked": "revoked: its registration will be refused | 已注销：注册将被拒绝",
}
_DIRECTION = {"received": "terminal ->", "sent": "<- gateway "}
_INDENT = " " * 13


def text(event: dict[str, Any]) -> str:
    """For people: the line, and below it what to do."""
    kind = event["kind"]
    words = {"refused": _refused, "closed": _closed, "left_out": _left_out, "edge": _edge}.get(kind, _frame)(event)
    line = _safe(f"{_local(event['time']):%H:%M:%S.%f}"[:-3] + " " + words)
    advice = advise(event)
    return f"{line}\n{_INDENT}=> {advice}" if advice else line


def json(event: dict[str, Any]) -> str:
    """For programs: the event, its time in ISO 8601, and ``advice`` where there is any."""
    advice = advise(event)
    time = _local(event["time"]).isoformat(timespec="milliseconds")
    return _safe(orjson.dumps({**event, "time": time, **({"advice": advice} if advice else {})}).decode())


def advise(event: dict[str, Any]) -> str:
    """What to do about it, or nothing."""
    kind = event["kind"]
    if kind == "closed":
        return CLOSED.get(event["reason"], ("", ""))[1]
    if kind == "edge":
        return _BIND if event["registry"] == "unknown" else ""
    if kind == "sent":
        packet = event["packet"]
        if packet.get("message_id") == "0x8100":
            return _REGISTRATION.get(packet.get("body", {}).get("result"), ("", ""))[1]
        return ""
    return REASONS.get(event.get("reason", ""), ("", ""))[1]


def _frame(event: dict[str, Any]) -> str:
    packet = event.get("packet", {})
    what = [_DIRECTION.get(event["kind"], event["kind"])]
    if "message_id" in packet:
        what.append(f"{packet['message_id']} {packet['name']} | {packet['name_zh']} #{packet['serial']}")
    what.append(f"[{event['connection']}] {event['hex']}")
    if "part" in packet:
        what.append(f"part {packet['part']['index']}/{packet['part']['total']}")
    if packet.get("body"):
        what.append(orjson.dumps(packet["body"]).decode())
    if event["kind"] == "sent":
        what.append(_result(packet))
    elif "reason" in event:
        what.append(_refused(event))
    return " ".join(filter(None, what))


def _result(packet: dict[str, Any]) -> str:
    result = packet.get("body", {}).get("result")
    if packet.get("message_id") == "0x8001":
        return f"result {result}: {_GENERAL.get(result, '?')}"
    if packet.get("message_id") == "0x8100":
        return f"result {result}: {_REGISTRATION.get(result, ('?', ''))[0]}"
    return ""


def _refused(event: dict[str, Any]) -> str:
    reason = event["reason"]
    which = f" {event['message_id']} #{event['serial']}" if event["kind"] == "refused" else ""
    return f"refused 拒绝{which} {reason}: {REASONS.get(reason, ('?', ''))[0]}"


def _closed(event: dict[str, Any]) -> str:
    reason = event["reason"]
    return f"closed 断开 [{event['connection']}] {reason}: {CLOSED.get(reason, ('?', ''))[0]}"


def _left_out(event: dict[str, Any]) -> str:
    return f"… {event['count']} frames left out | 省略 {event['count']} 条"


def _edge(event: dict[str, Any]) -> str:
    here = "connected here | 已在此接入" if event["speaks_here"] else "not connected here | 未在此接入"
    said = [f"edge {event['edge']}", _LISTED.get(event["registry"], event["registry"]), here]
    if event["quarantined"]:
        said.append("in quarantine: two devices speak as it | 隔离中：有两台设备使用其身份")
    if event["paused"]:
        said.append("the gateway takes nothing in now | 网关暂停接入")
    return "; ".join(said)


def _local(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / 1e6, UTC).astimezone()


def _safe(line: str) -> str:
    """A terminal's texts must not move the reader's cursor: what can't be printed is shown as its number."""
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in line)
