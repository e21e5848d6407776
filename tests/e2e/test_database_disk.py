"""The database's disk is full: terminals are acknowledged, /readyz says why, and it heals by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from protocols.jt808 import terminal
from storage.errors import FULL
from tests.plugins.serve import Gateway, copy_data

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

PHONE = "13800009003"
HEALS_S = 5.0


@pytest.fixture
def small(made_data: Path, reachable_dir: Path) -> Iterator[Gateway]:
    """A gateway whose PostgreSQL, and nothing else, is on a file system of 160 MiB."""
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None or os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs")
    data = Path(tempfile.mkdtemp(dir=reachable_dir)) / "var"
    data.parent.chmod(0o755)
    copy_data(made_data, data)
    place, aside = data / "postgres", data / "aside"
    if not place.exists():
        pytest.skip("the cluster lives elsewhere here")
    place.rename(aside)
    place.mkdir()
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=160m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"may not mount a tmpfs: {done.stderr.decode().strip()}")
    subprocess.run(["cp", "--archive", f"{aside}/.", place], check=True)
    one = Gateway(data, enrolment="open")
    try:
        one.start()
        yield one
    finally:
        one.stop()
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    """To the last byte, as another program does; what to remove afterwards."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def until(wanted, seconds: float = 60):
    end = time.monotonic() + seconds
    while not (found := wanted()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def reports(one, n: int) -> int:
    """n reports of 800 bytes, all acknowledged; their number."""
    for _ in range(n):
        items = {0xE1 + k: os.urandom(250) for k in range(3)}
        body = terminal.location(time.time_ns() // 1000, 117.1, 36.6, items=items)
        assert one.ask(0x0200, body).result == 0
    return n


def ready(gateway: Gateway) -> tuple[int, str]:
    """Status and text of /readyz; 0: the api does not answer."""
    try:
        answer = httpx.get(f"{gateway.base}/readyz", timeout=5)
    except httpx.HTTPError as error:
        return 0, repr(error)
    return answer.status_code, answer.text


@pytest.mark.parametrize("crash", [False, True])
def test_a_full_disk(small: Gateway, terminals, crash: bool) -> None:
    """Every report is acknowledged meanwhile; with space all are stored within seconds, once. PostgreSQL may have ended
    meanwhile, and cannot start while there is no room: it is started when there is.
    """
    one = terminals(small, PHONE)
    one.join()
    sent = reports(one, 5)
    assert until(lambda: small.stored() == sent)
    ballast = fill(small.data / "postgres")
    if crash:
        small.kill("postgres")
    sent += reports(one, 300)
    assert until(lambda: FULL in ready(small)[1]), ready(small)
    assert ready(small)[0] == 503
    sent += reports(one, 20)
    ballast.unlink()
    freed = time.monotonic()
    assert until(lambda: ready(small)[0] == 200), ready(small)
    healed = time.monotonic() - freed
    assert until(lambda: small.stored() == sent), (small.stored(), sent)
    assert healed < 5 * HEALS_S
    rows = small.get(f"/api/v1/terminals/{PHONE}/track", purpose="测试", limit=1000)["items"]
    assert len(rows) == sent
