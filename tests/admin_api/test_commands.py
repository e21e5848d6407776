"""The commands that work on the registry, against a database given by its URL."""

from __future__ import annotations

import orjson
import pytest
from click.testing import CliRunner

from admin_api.passwords import matches
from gateway.cli import main
from tests.admin_api.conftest import zone_feature


@pytest.fixture
def run(database, monkeypatch, tmp_path):
    monkeypatch.setenv("LEZGATE_DATABASE_URL", database)
    monkeypatch.setenv("LEZGATE_DATA_DIR", str(tmp_path))

    def command(*words, stdin=None, fails=False):
        result = CliRunner().invoke(main, words, input=stdin)
        assert (result.exit_code != 0) == fails, result.output
        return result

    return command


def test_a_token_is_shown_once_and_works(run, facts):
    """stdout is the token and nothing else; the database has its hash; a role without its district is refused."""
    result = run("tokens", "create", "--role", "branch_handler", "--district", "371581")
    text = result.stdout.strip()
    assert len(text) == 43
    assert facts.run("SELECT kind, role, district FROM token") == [("bearer", "branch_handler", "371581")]
    assert facts.run("SELECT count(*) FROM token WHERE hash = sha256(%s)", text.encode()) == [(1,)]
    assert facts.run("SELECT count(*) FROM district WHERE code = '371581'") == [(1,)]
    assert "district" in run("tokens", "create", "--role", "branch_handler", fails=True).output
    assert "未知角色" in run("tokens", "create", "--role", "king", fails=True).output


def test_an_account_has_the_password_that_was_given(run, facts):
    """The password comes by stdin, is kept as a hash, must be long, and a login is taken once."""
    words = ("accounts", "create", "li", "--role", "branch_admin", "--district", "371502", "--password-stdin")
    run(*words, stdin="a long password\n")
    ((login, hashed),) = facts.run("SELECT login, password FROM account")
    assert login == "li"
    assert matches("a long password", hashed)
    assert "已存在" in run(*words, stdin="a long password\n", fails=True).output
    assert (
        "12"
        in run("accounts", "create", "wu", "--role", "auditor", "--password-stdin", stdin="short\n", fails=True).output
    )
    assert facts.run("SELECT action FROM audit") == [("account.create",)]


def test_zones_go_in_and_out(run, facts, tmp_path):
    """An import publishes all or nothing; the same again changes nothing; an export goes in again as the same; changes are versions."""
    file = tmp_path / "zones.json"

    def write(*features):
        file.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": list(features)}))
        return str(file)

    one, two = zone_feature(name="一", crs=None), zone_feature(name="二", crs=None, doc_no=None)
    assert "feature 2" in run("zones", "import", write(one, two), "--crs", "gcj02", "--publish", fails=True).output
    assert facts.run("SELECT count(*) FROM zone") == [(0,)]
    two["properties"]["doc_no"] = "2号"
    run("zones", "import", write(one, two), "--crs", "gcj02", "--publish")
    assert facts.run("SELECT state, crs FROM zone_version") == [("active", "gcj02")] * 2
    assert run("zones", "import", str(file), "--crs", "gcj02", "--publish").output.count("unchanged") == 2
    exported = orjson.loads(run("zones", "export").stdout)
    assert [feature["properties"]["name"] for feature in exported["features"]] == ["一", "二"]
    assert run("zones", "import", write(*exported["features"]), "--publish").output.count("unchanged") == 2
    one["properties"]["rules"] = [{"any_of": [{"stage_below": "4"}]}]
    run("zones", "import", write(one), "--crs", "gcj02", "--publish")
    assert facts.run("SELECT max(version) FROM zone_version") == [(2,)]
    listed = run("zones", "list").stdout.splitlines()
    assert [line.split("\t")[1] for line in listed] == ["v2", "v1"]
    assert "crs" in run("zones", "import", write(one), fails=True).output
    file.write_text("nonsense")
    assert "JSON" in run("zones", "import", str(file), fails=True).output


def test_machines_go_in(run, facts, tmp_path):
    """A dry run writes nothing and names the refused rows; an import says what it did; the list shows it."""
    file = tmp_path / "machines.csv"
    file.write_bytes(
        "环保登记号码,终端手机号,机械类型,排放阶段\n003-1,0139,挖掘机,国三\n3-2,140,叉车,国九\n".encode("gbk")
    )
    dry = run("machines", "import", str(file), "--dry-run").output
    assert "第 3 行" in dry
    assert "row 3" in dry
    assert facts.run("SELECT count(*) FROM machine") == [(0,)]
    assert "1 created" in run("machines", "import", str(file)).output
    assert run("machines", "list").stdout.split("\t")[1:5] == ["003-1", "139", "excavator", "3"]
    file.write_text("nonsense")
    assert "缺少" in run("machines", "import", str(file), fails=True).output
