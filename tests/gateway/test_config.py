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
        ({"LEZGATE_EDGES": "many"}, "", "应为整数"),
        ({"LEZGATE_ENROLMENT_FORCE": "perhaps"}, "", "应为 true 或 false"),
        ({"LEZGATE_EDGES": "0"}, "", "LEZGATE_EDGES: 0 is out of range; give at least 1 .*不小于 1"),
        ({"LEZGATE_WORKERS": "0"}, "", "at least 1"),
        ({"LEZGATE_JT808_PORT": "0"}, "", "1 to 65535 .*应为 1 至 65535"),
        ({}, "http_port = 65536", "LEZGATE_HTTP_PORT: .*1 to 65535"),
        ({"LEZGATE_LINGER_MS": "0"}, "", "1 to 1000"),
        ({"LEZGATE_GATHER_MS": "1001"}, "", "1 to 1000"),
        ({"LEZGATE_LOG_MAX_BYTES": "0"}, "", "at least 1048576"),
        ({"LEZGATE_LOG_REPLICAS": "6"}, "", "1 to 5"),
        ({"LEZGATE_AUTH_KEY": "secret"}, "", "32 hexadecimal digits.*十六进制"),
        ({"LEZGATE_AUTH_KEY": "a" * 33}, "", "even"),
        ({"LEZGATE_AUTH_KEY": "ab" * 15}, "", "at least 32"),
        ({"LEZGATE_NATS_URL": "nats://a:4222,b:4222"}, "", "nats://HOST:PORT.*逗号"),
        ({"LEZGATE_NATS_URL": "nats://a:4222,"}, "", "several separated by commas"),
        ({"LEZGATE_NATS_URL": "nats://a:port"}, "", "nats://HOST:PORT"),
        ({"LEZGATE_DISK_FLOOR_BYTES": "-1"}, "", "not a whole number"),
        ({"LEZGATE_MQTT_URL": "http://broker"}, "", "mqtt://HOST:PORT"),
        ({"LEZGATE_MQTT_URL": "broker:1883"}, "", "mqtt://HOST:PORT"),
        ({"LEZGATE_BLOBS_URL": "https://bucket"}, "", "LEZGATE_BLOBS_URL: give a folder or s3://.*应为目录"),
        ({"LEZGATE_BLOBS_URL": "s3://key:secret@bucket"}, "", "without credentials"),
        ({"LEZGATE_HTTP_TLS_CERT": "a.pem"}, "", "LEZGATE_HTTP_TLS_KEY: .*go together"),
        ({"LEZGATE_JT808_TLS_CERT": "none.pem", "LEZGATE_JT808_TLS_KEY": "none.pem"}, "", "none.pem.*文件不存在"),
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


def test_values_that_work_are_taken(tmp_path):
    """The ends of the ranges, both schemes of MQTT, a key of 32 digits, TLS files that are there; flags are checked too."""
    file = tmp_path / "one.pem"
    file.touch()
    pem = {f"LEZGATE_{name}_TLS_{part}": str(file) for name in ("HTTP", "JT808") for part in ("CERT", "KEY")}
    for url in ("mqtt://user:word@broker:1883", "mqtts://broker"):
        load(None, {**pem, "LEZGATE_MQTT_URL": url, "LEZGATE_AUTH_KEY": "0aF1" * 8, "LEZGATE_JT808_PORT": "65535",
                    "LEZGATE_LINGER_MS": "1000"}, {"http_port": 1})  # fmt: skip
    with pytest.raises(click.UsageError, match="LEZGATE_HTTP_PORT"):
        load(None, {}, {"http_port": 0})
