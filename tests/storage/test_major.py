"""A cluster of another major version is refused with what to do; an upgrade that was cut off is ended. (make drill-upgrade: a real one.)"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from storage.embedded import EmbeddedPostgres, binaries
from storage.major import MADE, UPGRADED, ClusterError, check_cluster
from storage.major_upgrade import drop_old, old_programs, upgrade
from storage.programs import ProgramError, major_of_cluster, major_of_programs, run
from tests.plugins.postgres import new_secrets

if TYPE_CHECKING:
    from pathlib import Path


def say(english: str, chinese: str) -> None:
    assert english
    assert chinese


@pytest.fixture(scope="module")
def stopped(reachable_dir: Path) -> EmbeddedPostgres:
    """A cluster of the wheel's own version with a row in it, at rest."""
    server = EmbeddedPostgres(reachable_dir / "major", new_secrets())
    server.start()
    with psycopg.connect(server.url("owner")) as conn:
        conn.execute("CREATE TABLE kept (n int)")
    server.stop()
    return server


def test_versions_are_read() -> None:
    """Of programs and clusters, in every form that PostgreSQL writes."""
    assert major_of_programs(binaries()) >= 18
    with pytest.raises(ProgramError, match="no-such"):
        run(binaries(), "no-such")


@pytest.mark.parametrize(
    ("version", "words"), [("9.6", "db upgrade"), ("17", "再执行"), ("99", "use a lezgate with 99")]
)
def test_another_major_is_refused(stopped: EmbeddedPostgres, version: str, words: str) -> None:
    """Older: the command that mends it; newer: which lezgate. Before anything is started or changed."""
    file = stopped.cluster / "PG_VERSION"
    true = file.read_text()
    file.write_text(version + "\n")
    try:
        assert major_of_cluster(stopped.cluster) == int(version.split(".", maxsplit=1)[0])
        with pytest.raises(ClusterError, match=words):
            stopped.start()
        assert stopped.pid is None
    finally:
        file.write_text(true)


def test_the_same_major_has_nothing_to_do(stopped: EmbeddedPostgres) -> None:
    """And nothing to remove."""
    check_cluster(stopped.cluster, binaries())
    assert not upgrade(stopped.data_dir, stopped._secrets, None, say)
    assert drop_old(stopped.data_dir, stopped._secrets) == []


def test_an_upgrade_that_was_cut_off_is_ended(stopped: EmbeddedPostgres) -> None:
    """Between its two renames a start refuses, lest it begin anew; the command goes on; the old one stays until told."""
    old = stopped.data_dir / "cluster.17"
    old.mkdir()
    stopped.cluster.rename(stopped.data_dir / UPGRADED)
    with pytest.raises(ClusterError, match="interrupted"):
        stopped.start()
    with pytest.raises(ClusterError, match="all there is"):
        drop_old(stopped.data_dir, stopped._secrets)
    assert upgrade(stopped.data_dir, stopped._secrets, None, say)
    stopped.start()
    with psycopg.connect(stopped.url("owner")) as conn:
        conn.execute("SELECT FROM kept")
    stopped.stop()
    assert old.exists()
    assert drop_old(stopped.data_dir, stopped._secrets) == [old]
    assert not old.exists()


def test_a_lost_cluster_is_not_made_anew(stopped: EmbeddedPostgres) -> None:
    """An empty database beside a log that goes on would look well, and know no zone: a start says what to do instead."""
    aside = stopped.data_dir / "aside"
    stopped.cluster.rename(aside)
    try:
        with pytest.raises(ClusterError, match="--keep-log"):
            stopped.start()
        assert (stopped.data_dir / MADE).exists()
    finally:
        aside.rename(stopped.cluster)
    assert stopped.start() == "started"
    stopped.stop()


def test_old_programs_are_looked_for(tmp_path: Path) -> None:
    """A directory that holds none of that version is an error that says how to get them; a wheel's folder will do."""
    with pytest.raises(ClusterError, match="--old-bin"):
        old_programs(tmp_path, 17)
    with pytest.raises(ClusterError, match="pip install --target"):
        old_programs(None, 3)
    ours = major_of_programs(binaries())
    assert old_programs(binaries(), ours) == binaries()
    assert old_programs(binaries().parents[2], ours) == binaries()
