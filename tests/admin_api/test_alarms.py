"""Alarms: who sees which, what may be done when, and what it leaves behind."""

from __future__ import annotations

import pytest

from admin_api.alarm_states import ACTIONS, ALLOWED, KINDS, STATES, next_state
from tests.admin_api.conftest import BRANCH, OTHER, TOWNSHIP

pytestmark = pytest.mark.asyncio


async def act(client, facts, alarm, role="city_admin", home=None, **body):
    return await client.post(f"/api/v1/alarms/{alarm}/actions", json=body, headers=facts.bearer(role, home))


async def test_an_alarm_goes_from_new_to_closed(client, facts):
    """accept, feedback, close: each moves it one step, and the record holds all three in order."""
    alarm = facts.alarm()
    assert (await act(client, facts, alarm, action="accept")).json()["state"] == "accepted"
    answer = await act(client, facts, alarm, action="feedback", result="属实", measures=["persuaded"], note="已劝离")
    assert answer.status_code == 201
    assert answer.json()["state"] == "feedback"
    assert (await act(client, facts, alarm, action="close", note="查实")).json()["state"] == "closed"
    document = (await client.get(f"/api/v1/alarms/{alarm}", headers=facts.bearer())).json()
    assert [(a["action"], a["from"], a["to"]) for a in document["actions"]] == [
        ("accept", "new", "accepted"),
        ("feedback", "accepted", "feedback"),
        ("close", "feedback", "closed"),
    ]
    assert document["actions"][1]["payload"] == {"result": "confirmed", "measures": ["persuaded"]}
    assert [row[1] for row in facts.audits()] == ["alarm.accept", "alarm.feedback", "alarm.close"]


async def test_an_action_out_of_turn_says_what_is_allowed_now(client, facts):
    """Closing a new alarm is a 409 in both languages with the list of what may be done, and changes nothing."""
    alarm = facts.alarm()
    answer = await act(client, facts, alarm, action="close", note="x")
    assert answer.status_code == 409
    assert "accept" in answer.json()["allowed"]
    assert "待派发" in answer.json()["detail_zh"]
    assert facts.run("SELECT state FROM alarm")[0][0] == "new"
    assert facts.run("SELECT count(*) FROM alarm_action")[0][0] == 0


async def test_an_action_needs_its_fields(client, facts):
    """What an action needs and does not get is a 422 that names the field."""
    alarm = facts.alarm()
    await act(client, facts, alarm, action="accept")
    for body, where in (
        ({"action": "feedback", "note": "x"}, "body.result"),
        ({"action": "feedback", "result": "maybe"}, "body.result"),
        ({"action": "feedback", "result": "confirmed", "measures": ["hang"]}, "body.measures"),
        ({"action": "false_alarm"}, "body.note"),
        ({"action": "explode"}, "body.action"),
        ({"action": "transfer", "note": "x", "district": "nowhere"}, "body.district"),
    ):
        answer = await act(client, facts, alarm, **body)
        assert answer.status_code == 422, body
        assert answer.json()["errors"][0]["where"] == where


async def test_a_close_needs_a_reason(client, facts):
    """Nobody closes an alarm without saying why."""
    alarm = facts.alarm()
    await act(client, facts, alarm, action="accept")
    await act(client, facts, alarm, action="feedback", result="left")
    assert (await act(client, facts, alarm, action="close", note="  ")).status_code == 422


async def test_every_state_and_action_of_the_table_is_known():
    """The table names states and actions that exist, every state has a way on, and what it allows leads somewhere."""
    assert set(ALLOWED) == set(STATES)
    for state, actions in ALLOWED.items():
        assert set(actions) <= set(ACTIONS)
        assert any((ACTIONS[action].to or state) != state for action in actions)
    for state in STATES:
        for action in ACTIONS:
            assert (next_state(state, action) is not None) == (action in ALLOWED[state])


async def test_reading_is_the_city_and_handling_is_the_district(client, facts):
    """A branch sees another branch's alarm and may not touch it; its own and its townships' it may."""
    other, below = facts.alarm(OTHER), facts.alarm(TOWNSHIP)
    listed = await client.get("/api/v1/alarms", headers=facts.bearer("branch_handler", BRANCH))
    assert {item["id"] for item in listed.json()["items"]} == {other, below}
    refused = await act(client, facts, other, "branch_handler", BRANCH, action="accept")
    assert refused.status_code == 403
    assert (await act(client, facts, below, "branch_handler", BRANCH, action="accept")).status_code == 201


async def test_a_township_sees_only_its_own(client, facts):
    """For a township another district's alarm does not exist."""
    own, other = facts.alarm(TOWNSHIP), facts.alarm(BRANCH)
    headers = facts.bearer("township_handler", TOWNSHIP)
    assert [item["id"] for item in (await client.get("/api/v1/alarms", headers=headers)).json()["items"]] == [own]
    assert (await client.get(f"/api/v1/alarms/{other}", headers=headers)).status_code == 404
    assert (await act(client, facts, other, "township_handler", TOWNSHIP, action="accept")).status_code == 404
    assert (await act(client, facts, own, "township_handler", TOWNSHIP, action="accept")).status_code == 201


async def test_a_transfer_moves_the_alarm_to_the_other_district(client, facts):
    """After a transfer the receiver handles it and the sender does not."""
    alarm = facts.alarm(BRANCH)
    answer = await act(
        client, facts, alarm, "branch_handler", BRANCH, action="transfer", district=OTHER, note="不在辖区"
    )
    assert answer.json()["district"] == OTHER
    assert answer.json()["allowed"] == []
    assert (await act(client, facts, alarm, "branch_handler", BRANCH, action="accept")).status_code == 403
    assert (await act(client, facts, alarm, "branch_handler", OTHER, action="accept")).status_code == 201


async def test_the_list_filters_and_pages(client, facts):
    """Newest first; pages join without gap or repetition; state `open` leaves the closed out; a district takes its townships."""
    alarms = [facts.alarm(TOWNSHIP if i % 2 else OTHER) for i in range(5)]
    facts.run("UPDATE alarm SET state = 'closed' WHERE id = %s", alarms[0])
    seen, cursor = [], None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/api/v1/alarms", params=params, headers=facts.bearer())).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == alarms[::-1]

    async def ids(**params):
        return [
            i["id"] for i in (await client.get("/api/v1/alarms", params=params, headers=facts.bearer())).json()["items"]
        ]

    assert await ids(state="open") == alarms[:0:-1]
    assert await ids(state="closed") == [alarms[0]]
    assert await ids(district=BRANCH) == [alarms[3], alarms[1]]
    assert await ids(since="2190-01-01") == []
    assert await ids(since="2020-01-01T00:00:00 08:00") == alarms[::-1]
    assert (await client.get("/api/v1/alarms?state=nonsense", headers=facts.bearer())).status_code == 422
    assert (await client.get("/api/v1/alarms?cursor=!!", headers=facts.bearer())).status_code == 422


async def test_an_alarm_carries_what_the_contract_names(client, facts):
    """Machine, terminal phone, zone, version, rule, times, grade, state and late are in every alarm."""
    alarm = facts.alarm()
    document = (await client.get(f"/api/v1/alarms/{alarm}", headers=facts.bearer())).json()
    for name in ("machine", "terminal_phone", "zone", "zone_version", "rule", "entered_at", "confirmed_at", "exited_at",
                 "grade", "state", "late", "actions", "allowed"):  # fmt: skip
        assert name in document


def signal(facts, kind="power_cut", district=BRANCH, *, machine=None, copied_to=None, subject="7"):
    """An alarm of another kind than an entry, without a zone or a place."""
    machine = machine or facts.machine(f"2-{kind}{subject}")
    (row,) = facts.run(
        "INSERT INTO alarm (kind, subject, district, copied_to, machine, device, entered_at, confirmed_at, received_at,"
        " detail) VALUES (%s, %s, %s, %s, %s, 7, now(), now(), now(), '{\"bits\": [8]}') RETURNING id",
        kind, subject, district, copied_to, machine,
    )  # fmt: skip
    return int(row[0])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "zone_entry"])
async def test_every_kind_is_handled_alike(client, facts, kind):
    """Without a visit, a zone or a place it goes from new to closed like any other."""
    alarm = signal(facts, kind)
    document = (await client.get(f"/api/v1/alarms/{alarm}", headers=facts.bearer())).json()
    assert (document["kind"], document["zone"], document["visit"], document["detail"]) == (
        kind,
        None,
        None,
        {"bits": [8]},
    )
    assert document["machine"]["registration_number"].startswith("2-")
    await act(client, facts, alarm, action="accept")
    await act(client, facts, alarm, action="feedback", result="confirmed")
    assert (await act(client, facts, alarm, action="close", note="查实")).json()["state"] == "closed"


async def test_the_list_takes_kinds(client, facts):
    """One, or several with a comma between; one that there is not is a 422."""
    entry, power, silent = facts.alarm(), signal(facts), signal(facts, "silent")

    async def ids(kind):
        answer = await client.get("/api/v1/alarms", params={"kind": kind}, headers=facts.bearer())
        return [item["id"] for item in answer.json()["items"]]

    assert await ids("zone_entry") == [entry]
    assert await ids("power_cut,silent") == [silent, power]
    assert await ids("") == [silent, power, entry]
    answer = await client.get("/api/v1/alarms?kind=theft", headers=facts.bearer())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == "query.kind"


async def test_a_copy_is_seen_and_not_handled(client, facts):
    """The machine's own township reads an alarm of another district, may follow the machine, and handles nothing."""
    machine = facts.machine()
    alarm = facts.alarm(OTHER, device=facts.terminal("13900000009", machine), machine=machine)
    headers = facts.bearer("township_handler", TOWNSHIP)
    assert (await client.get(f"/api/v1/alarms/{alarm}", headers=headers)).status_code == 404
    assert (await client.get(f"/api/v1/machines/{machine}/track?purpose=x", headers=headers)).status_code == 404
    facts.run("UPDATE alarm SET copied_to = %s", TOWNSHIP)
    listed = (await client.get("/api/v1/alarms", headers=headers)).json()["items"]
    assert [item["id"] for item in listed] == [alarm]
    document = (await client.get(f"/api/v1/alarms/{alarm}", headers=headers)).json()
    assert (document["copied_to"], document["allowed"]) == (TOWNSHIP, [])
    assert (await client.get(f"/api/v1/machines/{machine}/track?purpose=x", headers=headers)).status_code == 200
    assert (await client.get("/api/v1/terminals/13900000009/track?purpose=x", headers=headers)).status_code == 200
    assert (await act(client, facts, alarm, "township_handler", TOWNSHIP, action="accept")).status_code == 403
    assert (await act(client, facts, alarm, "branch_handler", OTHER, action="accept")).status_code == 201


async def test_a_merged_alarm_lives_on_in_another(client, facts):
    """It is no open alarm, whatever its state, and is handled where it went; its record stays readable."""
    one, other = facts.alarm(), facts.alarm()
    facts.run("UPDATE alarm SET merged_into = %s WHERE id = %s", one, other)

    async def ids(**params):
        answer = await client.get("/api/v1/alarms", params=params, headers=facts.bearer())
        return [item["id"] for item in answer.json()["items"]]

    assert await ids(state="open") == [one]
    assert await ids() == [other, one]
    facts.run("UPDATE alarm SET state = 'closed' WHERE id = %s", other)
    assert await ids(state="closed") == [other]
    document = (await client.get(f"/api/v1/alarms/{other}", headers=facts.bearer())).json()
    assert (document["merged_into"], document["allowed"]) == (one, ["note"])
    answer = await act(client, facts, other, action="accept")
    assert (answer.status_code, answer.json()["merged_into"]) == (409, one)
    assert (await act(client, facts, other, action="note", note="见并入报警")).status_code == 201
