"""Settings: where they come from, and what is said when one is wrong."""

from __future__ import annotations

import click
import pytest

from gateway.config import load


def test_precedence(tmp_path):
    """TOML file < environment < flag."""
    path = tmp_path / "lezgate.toml"
    path.write_text("jt808_port = 1\nhttp_port = 1\nedges = 5\n")
    settings = load(str(path), {"LEZGATE_JT808_PORT": "2", "LEZGATE_HTTP_PORT": "2"}, {"http_port": 3})
    assert (settings.edges, settings.jt808_port, settings.http_port) == (5, 2, 3)


@pytest.mark.parametrize(
    ("environ", "toml", "said"),
    [
        ({"LEZGATE_JT808_PROT": "1"}, "", "did you mean LEZGATE_JT808_PORT"),
        ({}, "http_hots = 'x'", "did you mean http_host"),
        ({"LEZGATE_EDGES": "many"}, "", "not a whole number"),
        ({"LEZGATE_ENROLMENT": "maybe"}, "", "strict or open"),
        ({}, "this is not toml", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path, environ, toml, said):
    """An unknown key names the nearest one; a wrong value says what is wanted."""
    path = tmp_path / "lezgate.toml"
    path.write_text(toml)
    with pytest.raises(click.UsageError, match=said):
        load(str(path), environ)


def test_children_get_the_same_settings():
    """What the supervisor hands down reads back as what it has."""
    settings = load(None, {"LEZGATE_ENROLMENT": "open", "LEZGATE_ENROLMENT_FORCE": "true"})
    assert load(None, settings.environment()) == settings
