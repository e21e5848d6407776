"""An explanation for people, a sentence a line in both languages, and for programs, as one JSON object."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from columns.positions import Source
from geofence.rules.terms import ENERGY_WORDS, REGISTRATION_WORDS, SMOKE_WORDS, STAGE_WORDS, TYPE_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.explaining import Explanation
    from geofence.explain import ConfirmingFix, Difference

CHINA = timezone(timedelta(hours=8))
VERDICTS = {
    "violation": ("banned here", "禁止使用"),
    "allowed": ("allowed", "允许"),
    "exempt": ("exempt", "豁免"),
    "unknown": ("not known whether banned", "无法判定"),
}
CAUSES = {
    "crossing": ("it came in", "驶入"),
    "zone_effective": ("the zone came into force around it", "禁用区生效时已在区内"),
    "rule_effective": ("a rule or its hours began to count", "规则或时段生效"),
    "exemption_ended": ("its exemption ended", "豁免到期"),
    "attribute_changed": ("what the registry says of it changed", "台账信息变更"),
}
ENDS = {
    "left": ("left", "离开"),
    "signal_lost": ("signal lost", "信号丢失"),
    "zone_ended": ("the zone went out of force", "禁用区失效"),
    "judged_anew": ("judged otherwise from then on", "此后判定改变"),
}
GRADES = {
    "working": ("working", "作业"),
    "parked": ("parked", "停放"),
    "transport": ("in transport", "运输"),
    "unknown": ("unknown", "不明"),
}
TIERS = {"core": ("core", "核心区"), "general": ("general", "一般区")}
SOURCES = {
    Source.LIVE: ("as it reported", "实时上报"),
    Source.BATCH: ("in a batch", "批量上报"),
    Source.BACKFILL: ("as declared backfill", "补传"),
    Source.QUERY: ("when asked", "点名应答"),
}
GROUNDS = {
    "declared": ("declared", "申报"),
    "label": ("label", "标签"),
    "engine_change": ("engine change", "更换发动机"),
    "verified": ("verified", "核验"),
    "import": ("import", "导入"),
}
PAGES = {
    "prompt": ("at once", "即时"),
    "delayed": ("delayed by an outage of our own", "因系统中断延迟"),
    "after_late_data": ("when it was seen inside after late data", "迟到数据之后再次在区内"),
}
FIELDS = {
    "visit": ("whether there is a visit", "是否进区"),
    "verdict": ("verdict", "判定"),
    "zone": ("zone", "禁用区"),
    "zone_version": ("zone version", "禁用区版本"),
    "rule": ("rule", "规则"),
    "snapshot": ("machine", "机械信息"),
    "entered_at": ("entered", "进入时间"),
    "confirmed_at": ("confirmed", "确认时间"),
    "exited_at": ("left", "离开时间"),
    "exit_reason": ("why it ended", "结束原因"),
    "grade": ("grade", "作业状态"),
    "place": ("place", "位置"),
    "received": ("received", "接收时间"),
}
_TIMES = {"entered_at", "confirmed_at", "exited_at", "last_inside_at", "grade_at", "received"}


def text(found: Explanation) -> Iterator[str]:
    """The statement, line by line: what, where, by which rule, on whose word, which fixes, who was told, and whether it
    comes out as recorded.
    """
    alarm, visit = found.alarm, found.visit
    if alarm["merged_into"] is not None:
        yield f"alarm {alarm['id']} went into alarm {alarm['merged_into']}: late data made one visit of two | 报警 {alarm['id']} 已并入报警 {alarm['merged_into']}：迟到数据表明为同一次进区"
    if visit["withdrawn"]:
        yield f"alarm {alarm['id']} was withdrawn: late data showed that there was no visit | 报警 {alarm['id']} 已撤销：迟到数据表明并未进区"
    if found.found is not None:
        yield from _statement(found)
    yield from _told(found)
    if len(found.phases) > 1:
        for epoch, since in found.phases[1:]:
            yield f"from {when(since)} on it was judged with what had been recorded by then (epoch {epoch}) | 自 {when(since)} 起按当时已更新的资料判定（版次 {epoch}）"
    for difference in found.differs:
        yield _difference(difference)
    if found.agrees:
        yield f"agrees | 一致: made again from {len(found.fixes)} fixes, as recorded | 由 {len(found.fixes)} 个定位点复算，与记录一致"
    else:
        yield "differs | 不一致: what is kept as its inputs does not come to what is recorded | 留存的依据复算结果与记录不符"
    yield from _today(found)


def _statement(found: Explanation) -> Iterator[str]:
    visit, zone = found.found, found.zone
    assert visit is not None and zone is not None  # noqa: S101, PT018 - the caller looked
    seen = visit.snapshot
    stage = STAGE_WORDS[seen["emission_stage"]]
    kind = TYPE_WORDS.get(seen["machine_type"], (seen["machine_type"], seen["machine_type"]))
    name, tier = seen["registration_number"] or f"#{visit.machine}", TIERS[zone.tier]
    verdict, cause, grade = VERDICTS[visit.verdict], CAUSES[visit.cause], GRADES[visit.grade]
    yield (
        f"alarm {found.alarm['id']}: {kind[1]} {name} ({stage[1]}), terminal {found.alarm['phone']}, {verdict[0]}, {grade[0]}"
        f" | 报警 {found.alarm['id']}：{kind[0]} {name}（{stage[0]}），终端 {found.alarm['phone']}，{verdict[1]}，{grade[1]}"
    )
    papers = zone.doc_no or "-"
    yield (
        f"where: zone {zone.id} version {zone.version} {zone.name} ({tier[0]}, {papers}), district {zone.district}"
        f" | 地点：{zone.name}（禁用区 {zone.id} 第 {zone.version} 版，{tier[1]}，{papers}），辖区 {zone.district}"
    )
    end = None if visit.exit_reason is None else ENDS[visit.exit_reason]
    until = (
        ("still inside", "仍在区内")
        if end is None
        else (f"{when(visit.exited_at)} {end[0]}", f"{when(visit.exited_at)} {end[1]}")
    )
    yield (
        f"when: {when(visit.entered_at)} ({cause[0]}) to {until[0]}; certain at {when(visit.confirmed_at)}"
        f" | 时间：{when(visit.entered_at)}（{cause[1]}）至 {until[1]}；确认于 {when(visit.confirmed_at)}"
    )
    if visit.rule is not None:
        rule = zone.rules[visit.rule["index"]]
        yield (
            f"rule {visit.rule['index'] + 1} ({visit.rule['version']}): {rule.wording('en')}"
            f" | 规则 {visit.rule['index'] + 1}（{visit.rule['version']}）：{rule.wording('zh')}"
        )
    version = found.machine_version
    if version is not None:
        ground = GROUNDS[version["source"]]
        told = _attributes(seen)
        since = (
            ("", "")
            if version["since"] is None
            else (f" from {when(version['since'])}", f"（{when(version['since'])} 起）")
        )
        yield (
            f"registry{since[0]}: {told[0]}; {ground[0]}, recorded by {version['recorded_by']} at {when(version['recorded_at'])}"
            f" | 台账{since[1]}：{told[1]}；来源 {ground[1]}，{version['recorded_by']} 记录于 {when(version['recorded_at'])}"
        )
    for fix in found.confirmed_by:
        yield _fix(fix)


def _attributes(machine: Mapping[str, Any]) -> tuple[str, str]:
    """What rules may ask of a machine, as far as it is known."""
    smoke, power = machine["smoke_class"], machine["power_kw"]
    said = [STAGE_WORDS[machine["emission_stage"]], REGISTRATION_WORDS[machine["registration_type"]]]
    if machine["energy"] in ENERGY_WORDS:
        said.append(ENERGY_WORDS[machine["energy"]])
    if power is not None:
        said.append((f"{power:g} 千瓦", f"{power:g} kW"))
    if smoke in SMOKE_WORDS:
        said.append((f"烟度{SMOKE_WORDS[smoke][0]}", f"smoke class {SMOKE_WORDS[smoke][1]}"))
    elif smoke == "none":
        said.append(("烟度各类均不达标", "no smoke class met"))
    return ", ".join(english for _, english in said), "、".join(chinese for chinese, _ in said)


def _fix(fix: ConfirmingFix) -> str:
    source = SOURCES[Source(fix.source)]
    late = (", late", "，迟到") if fix.late else ("", "")
    side = ("inside", "界内") if fix.inside_m >= 0 else ("outside", "界外")
    metres = f"{abs(fix.inside_m):.1f}"
    return (
        f"fix {when(fix.time)}: {fix.lon:.6f}, {fix.lat:.6f}, {metres} m {side[0]} the line, {fix.speed / 10:.1f} km/h, received"
        f" {when(fix.received)} {source[0]}{late[0]}"
        f" | 定位 {when(fix.time)}：{fix.lon:.6f}，{fix.lat:.6f}，{side[1]} {metres} 米，{fix.speed / 10:.1f} km/h，"
        f"{when(fix.received)} 收到，{source[1]}{late[1]}"
    )


def _told(found: Explanation) -> Iterator[str]:
    alarm = found.alarm
    if alarm["paged_at"] is not None:
        why = PAGES[alarm["page_reason"]]
        yield f"paged by the fix received {when(alarm['paged_at'])}, {why[0]} | 推送：{when(alarm['paged_at'])} 收到的定位触发，{why[1]}"
    elif alarm["notice"] == "digest":
        yield "told in a digest: nobody moved | 以汇总方式告知：机械未移动"
    else:
        yield "paged nobody: no fresh fix has seen it inside | 未推送：没有新定位表明其仍在区内"


def _today(found: Explanation) -> Iterator[str]:
    if not found.differs_today:
        return
    verdict = "-" if found.today is None else VERDICTS[found.today.verdict][0]
    verdict_zh = "不构成进区违规" if found.today is None else VERDICTS[found.today.verdict][1]
    yield f"what is known today would judge otherwise: {verdict} | 按今日资料会得出不同结果：{verdict_zh}"
    for difference in found.differs_today:
        yield _difference(difference)
    for relation, row in found.learnt_since:
        yield _learnt(relation, row)


def _learnt(relation: str, row: dict[str, Any]) -> str:
    since = when(row["valid_from"] if relation == "zone" else row["since"])
    if relation == "machine":
        what = ", ".join(f"{name} = {row.get(name, row.get('owner'))}" for name in row["sets"])
        return f"  recorded at {when(row['recorded_at'])} by {row['recorded_by']}: {what}, from {since} on | 台账 {when(row['recorded_at'])} 由 {row['recorded_by']} 更正：{what}，自 {since} 起"
    if relation == "exemption":
        return f"  exemption {row['id']} recorded at {when(row['created_at'])} by {row['created_by']}, from {since} on | 豁免 {row['id']} 于 {when(row['created_at'])} 由 {row['created_by']} 录入，自 {since} 起"
    if relation == "zone":
        return f"  zone {row['zone']} version {row['version']} published at {when(row['published_at'])} by {row['reviewed_by'] or row['author']}, from {since} on | 禁用区 {row['zone']} 第 {row['version']} 版于 {when(row['published_at'])} 由 {row['reviewed_by'] or row['author']} 发布，自 {since} 起"
    return f"  terminal {row['phone']} was bound to machine {row['machine']} from {since} on | 终端 {row['phone']} 自 {since} 起绑定机械 {row['machine']}"


def _difference(difference: Difference) -> str:
    name = FIELDS.get(difference.field, (difference.field, difference.field))
    recorded, found = (_shown(difference.field, value) for value in (difference.recorded, difference.found))
    if isinstance(difference.recorded, dict) and isinstance(difference.found, dict):
        keys = [key for key in difference.found if difference.found[key] != difference.recorded.get(key)]
        recorded, found = (
            ", ".join(f"{key} = {side.get(key)}" for key in keys) for side in (difference.recorded, difference.found)
        )
    return f"  {name[0]} ({name[1]}): recorded 记录 {recorded}, made again 复算 {found}"


def _shown(field: str, value: Any) -> str:
    return when(value) if field in _TIMES else "-" if value is None else str(value)


def when(at: int | None) -> str:
    """A time (us UTC) in China's time, "-" where there is none."""
    return "-" if at is None else datetime.fromtimestamp(at / 1e6, CHINA).strftime("%Y-%m-%d %H:%M:%S")


def document(found: Explanation) -> dict[str, Any]:
    """The explanation as one JSON value; times ISO 8601."""
    return {
        "alarm": found.alarm["id"],
        "visit": found.visit["id"],
        "agrees": found.agrees,
        "merged_into": found.alarm["merged_into"],
        "withdrawn": found.visit["withdrawn"],
        "fixes": len(found.fixes),
        "found": _visit(found.found),
        "confirmed_by": [
            {"time": _iso(fix.time), "received_at": _iso(fix.received), "longitude": fix.lon, "latitude": fix.lat,
             "inside_m": round(fix.inside_m, 2), "speed_kmh": fix.speed / 10, "source": Source(fix.source).name.lower(),
             "late": fix.late}
            for fix in found.confirmed_by
        ],
        "known_from": [{"epoch": epoch, "since": _iso(since)} for epoch, since in found.phases],
        "paged_at": _iso(found.alarm["paged_at"]),
        "page_reason": found.alarm["page_reason"],
        "differences": [_as_json(each) for each in found.differs],
        "today": {"visit": _visit(found.today), "differences": [_as_json(each) for each in found.differs_today]},
    }  # fmt: skip


def _visit(visit: Any) -> dict[str, Any] | None:
    if visit is None:
        return None
    fields = {name: getattr(visit, name) for name in visit.__slots__ if name != "crossed"}
    return {name: _iso(value) if name in _TIMES else value for name, value in fields.items()}


def _as_json(difference: Difference) -> dict[str, Any]:
    values = (difference.recorded, difference.found)
    recorded, found = (_iso(each) if difference.field in _TIMES else each for each in values)
    return {"field": difference.field, "recorded": recorded, "found": found}


def _iso(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1e6, UTC).isoformat()
