"""The embedded server's life: made once, found again, killed, adopted, and closed to whoever has no password."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from storage import embedded, placement, service_user
from storage.embedded import EmbeddedPostgres, EmbeddedPostgresError
from storage.postmaster import forget_stranger, postmaster
from tests.plugins.postgres import new_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def wait_until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def mortal(reachable_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this module's own to kill."""
    server = EmbeddedPostgres(reachable_dir / "mortal", new_secrets())
    assert server.start() == "created"
    yield server
    server.stop()


@pytest.fixture
def running(mortal: EmbeddedPostgres) -> EmbeddedPostgres:
    mortal.start()
    return mortal


def test_restart_keeps_data(running: EmbeddedPostgres) -> None:
    """What was committed is there after a stop and a start; a stopped server is not alive."""
    with psycopg.connect(running.url("owner")) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        conn.execute("INSERT INTO kept VALUES (1)")
    running.stop()
    assert not running.alive()
    assert running.pid is None
    assert running.start() == "started"
    assert running.alive()
    with psycopg.connect(running.url("owner")) as conn:
        assert conn.execute("SELECT count(*) > 0 FROM kept").fetchone() == (True,)


def test_survives_kill_of_postmaster(running: EmbeddedPostgres) -> None:
    """After kill -9 it is found dead and starts again, though an old backend lives a moment longer."""
    with psycopg.connect(running.url("owner"), autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS survived (n int)")
        os.kill(running.pid, signal.SIGKILL)
        wait_until(lambda: not running.alive())
        assert running.start() == "started"
    with psycopg.connect(running.url("owner")) as conn:
        conn.execute("SELECT FROM survived")


def test_second_start_adopts(running: EmbeddedPostgres) -> None:
    """Another process that starts the same directory finds the server running, and may stop it."""
    other = EmbeddedPostgres(running.data_dir, running._secrets)
    assert other.start() == "adopted"
    assert other.pid == running.pid
    assert other.url("api") == running.url("api")
    other.stop()
    assert not running.alive()


def test_dies_with_the_process_that_started_it(running: EmbeddedPostgres) -> None:
    """A supervisor that is killed leaves no server behind: the death signal survives the change of user."""
    running.stop()
    script = (
        "import json, pathlib, sys, time; from storage.embedded import EmbeddedPostgres\n"
        "pg = EmbeddedPostgres(pathlib.Path(sys.argv[1]), json.loads(sys.stdin.read()))\n"
        "print(pg.start(), flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(running.data_dir)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdin.write(json.dumps(running._secrets).encode())
        child.stdin.close()
        assert child.stdout.readline() == b"started\n"
        assert running.alive()
        child.kill()
        child.wait()
    wait_until(lambda: postmaster(running.cluster) is None)


@pytest.mark.parametrize("role", ["superuser", "owner", "worker", "api"])
def test_no_trust(running: EmbeddedPostgres, role: str) -> None:
    """On the socket, too, a role without its password is refused."""
    wrong = EmbeddedPostgres(running.data_dir, dict.fromkeys(running._secrets, "guess"))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong.url(role))
    psycopg.connect(running.url(role)).close()


def test_no_network_and_no_secrets_in_sight(running: EmbeddedPostgres) -> None:
    """It listens on no address; no password is in its arguments, its environment or its log; it is not root."""
    with psycopg.connect(running.url("superuser")) as conn:
        assert conn.execute("SHOW listen_addresses").fetchone() == ("",)
        assert conn.execute("SHOW data_checksums").fetchone() == ("on",)
        assert conn.execute("SHOW synchronous_commit").fetchone() == ("on",)
        assert conn.execute("SHOW timezone").fetchone() == ("UTC",)
    process = Path(f"/proc/{running.pid}")
    seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes() + running.log.read_bytes()
    for password in running._secrets.values():
        assert password.encode() not in seen
    assert process.stat().st_uid != 0
    assert running.log.stat().st_mode & 0o077 == 0
    assert running.data_dir.stat().st_mode & 0o077 == 0


def test_changed_password_takes_effect(running: EmbeddedPostgres) -> None:
    """A role's new secret is set at the next start."""
    changed = EmbeddedPostgres(running.data_dir, {**running._secrets, "postgres_api": "a new/one?&"})
    running.stop()
    changed.start()
    psycopg.connect(changed.url("api")).close()
    changed.stop()


def test_pid_of_another_program(running: EmbeddedPostgres) -> None:
    """A stale postmaster.pid whose number is now this very process neither counts as alive nor blocks the start."""
    running.stop()
    stale = running.cluster / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{running.cluster}\n0\n5432\n{running.data_dir}\n\n0 0\nready   \n")
    assert not running.alive()
    assert running.start() == "started"


def test_half_made_cluster_is_made_again(running: EmbeddedPostgres) -> None:
    """An initdb that was killed leaves only cluster.new, which the next start removes: a cluster is whole or absent."""
    running.stop()
    scrap = running.data_dir / "cluster.new"
    scrap.mkdir()
    (scrap / "PG_VERSION").write_text("18")
    running.cluster.rename(running.data_dir / "aside")
    (running.data_dir / "made").unlink()  # the first start of all
    assert running.start() == "created"
    assert not scrap.exists()


def test_long_path_gets_a_short_socket(reachable_dir: Path) -> None:
    """A data directory whose socket path would exceed 107 bytes has its socket in a short private directory, kept."""
    deep = reachable_dir / ("d" * 60) / ("e" * 60)
    server = EmbeddedPostgres(deep, new_secrets())
    server.start()
    try:
        assert len(str(server.socket_dir)) < 60
        assert server.socket_dir.stat().st_mode & 0o077 == 0
        psycopg.connect(server.url("owner")).close()
        assert EmbeddedPostgres(deep, server._secrets).url("owner") == server.url("owner")
    finally:
        server.stop()
        server.socket_dir.rmdir()


def test_says_what_the_log_says(running: EmbeddedPostgres) -> None:
    """A server that cannot start is an error that ends with its log, within the timeout."""
    running.stop()
    conf = running.cluster / "postgresql.conf"
    text = conf.read_text()
    conf.write_text(text + "\nno_such_setting = 1\n")
    try:
        with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
            running.start(timeout=0.5)
    finally:
        conf.write_text(text)


def test_stranger_without_file_is_no_error(tmp_path: Path) -> None:
    """No file, or one that was cut short, is nobody."""
    forget_stranger(tmp_path)
    assert postmaster(tmp_path) is None
    (tmp_path / "postmaster.pid").write_text("")
    assert postmaster(tmp_path) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_unreachable_directory_is_named(tmp_path: Path) -> None:
    """The error names the directory that is closed to the service user, and says what to do."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    user = service_user.service_user(closed / "cluster")
    with pytest.raises(service_user.UnreachablePathError, match=r"chmod o\+x"):
        service_user.require_reachable(closed / "cluster", user)
    service_user.require_reachable(closed / "cluster", None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_a_closed_data_directory_is_no_obstacle(tmp_path: Path, reachable_dir: Path, monkeypatch) -> None:
    """As root in /root: cluster and binaries live where their user can reach them, and are found there again."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = embedded.binaries().parents[1]
    for name in (package.name, package.name + ".libs"):
        shutil.copytree(package.with_name(name), closed / name, symlinks=True)
    monkeypatch.setattr(embedded, "binaries", lambda: closed / package.name / "pginstall" / "bin")
    monkeypatch.setattr(placement, "SYSTEM", reachable_dir / "system")
    passwords = new_secrets()
    server = EmbeddedPostgres(closed / "postgres", passwords)
    assert server.start() == "created"
    try:
        with psycopg.connect(server.url("owner")) as conn:
            conn.execute("CREATE TABLE kept (n int)")
    finally:
        server.stop()
    assert not (closed / "postgres" / "cluster").exists()
    assert len(list((reachable_dir / "system").iterdir())) == 2, "one cluster, one copy of the binaries"
    closed.chmod(0o755)  # reachable now, but the data stay where they are
    again = EmbeddedPostgres(closed / "postgres", passwords)
    assert again.start() == "started"
    try:
        with psycopg.connect(again.url("owner")) as conn:
            assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    finally:
        again.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its user")
def test_a_data_directory_that_was_deleted_begins_anew(tmp_path: Path, reachable_dir: Path, monkeypatch) -> None:
    """New secrets never meet the old cluster: its place is random and noted, not a function of the path."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(placement, "SYSTEM", reachable_dir / "begun-anew")
    first = placement.home_of(closed / "postgres")
    assert first.parent == reachable_dir / "begun-anew"
    assert placement.home_of(closed / "postgres") == first
    shutil.rmtree(closed / "postgres")
    assert placement.home_of(closed / "postgres") != first
    assert [path.name for path in (closed / "postgres").iterdir()] == ["elsewhere"]
