"""make drill: a gateway under load is backed up while it runs, destroyed in three ways, and restored.

a  the database is destroyed, the log survives: nothing that was acknowledged is lost
b  the machine is lost: what was acknowledged before the backup is there
c  the log is destroyed, the database survives: the worker stops and says so, until an operator accepts another log

Prints a table and exits with 1 where a figure is not what it must be. tests/e2e/test_backup.py does the same, smaller.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import psycopg

from gateway.config import load
from gateway.nodes import database_url, nats_server, postgres
from tests.drills.report import Findings, carry_out
from tests.drills.travellers import Ledger, Traveller, acknowledged, settle
from tests.plugins.serve import LEZGATE, Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Drill:
    scratch: Path
    terminals: int
    fill_s: float
    more_s: float
    load_rate: int = 0
    found: Findings = field(default_factory=Findings)

    def run(self) -> None:
        gateway = Gateway(self.scratch / "var", enrolment="open", trim_after="backup")
        restored: Gateway | None = None
        travellers: list[Traveller] = []
        try:
            gateway.start()
            settle(gateway, self.terminals, self.scratch)
            travellers = self._fill(gateway)
            at_backup = acknowledged(travellers)
            with self._timed("backup, gateway under load"):
                gateway.command("backup", "create", str(self.scratch / "backup"))
            time.sleep(self.more_s)
            before = self._ledger(gateway)
            self._a(gateway, travellers, before)
            travellers = self._stop(travellers)
            restored = self._b(travellers, at_backup)
            restored.stop()
            self._c(gateway, travellers)
        finally:
            for one in travellers:
                one.stopping = True
            for one in (gateway, restored):
                if one is not None:
                    one.stop()

    def _fill(self, gateway: Gateway) -> list[Traveller]:
        """Half of the machines are inside before the backup, the others enter until the database is lost."""
        whole = self.fill_s + self.more_s
        travellers = [
            Traveller(gateway.jt808_port, n, whole * (n + 0.5) / self.terminals) for n in range(self.terminals)
        ]
        for one in travellers:
            one.start()
        if self.load_rate:
            words = ["--port", str(gateway.jt808_port), "--connections", "200", "--rate", str(self.load_rate)]
            command = [LEZGATE, "load", *words, "--duration", str(whole)]
            subprocess.Popen(command, env=gateway.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.fill_s)
        return travellers

    def _a(self, gateway: Gateway, travellers: list[Traveller], before: Ledger) -> None:
        assert gateway.process is not None
        gateway.process.kill()
        gateway.process.wait()
        settings = load(None, gateway.environment)
        store = postgres(settings)
        while store.pid is not None or nats_server(settings).in_use():  # they die with their supervisor
            time.sleep(0.1)
        promised = acknowledged(travellers)
        shutil.rmtree(store.cluster)
        self._refuses(gateway)
        with self._timed("a: restore beside the log"):
            gateway.command("backup", "restore", str(self.scratch / "backup"), "--keep-log")
        with self._timed("a: start until ready and caught up"):
            gateway.start()
            after = self._caught_up(gateway, promised)
        self._compare("a", promised, after, before)
        time.sleep(self.more_s)
        self._stop(travellers)
        everything = acknowledged(travellers)
        self._compare("a, later", everything, self._caught_up(gateway, everything), after)
        if len(everything) <= len(promised):
            self.found.faults.append("a: nothing was acknowledged after the restore")
        self._audited(gateway, "backup.restore")
        gateway.stop()

    def _b(self, travellers: list[Traveller], at_backup: set[tuple[str, int]]) -> Gateway:
        gateway = Gateway(self.scratch / "new", enrolment="open")
        with self._timed("b: restore into a new data directory"):
            gateway.command("backup", "restore", str(self.scratch / "backup"), "--data-dir", str(gateway.data))
        with self._timed("b: start until ready and caught up"):
            gateway.start()
            after = self._caught_up(gateway, at_backup)
        known = acknowledged(travellers)
        self._compare("b", at_backup, after, after)
        strange = set(after.rows) - known
        if len(strange) > len(travellers):
            self.found.faults.append(f"b: {len(strange)} rows that nobody was told of")
        one = travellers[0]  # its authentication code is of before: the key was restored
        again = Traveller(gateway.jt808_port, 0, 1e9, first=one.next, code=one.code)
        again.start()
        self._goes_on("b", [again])
        self._stop([again])
        self._compare(
            "b, later", at_backup | acknowledged([again]), self._caught_up(gateway, acknowledged([again])), after
        )
        self._audited(gateway, "backup.restore")
        return gateway

    def _c(self, gateway: Gateway, travellers: list[Traveller]) -> None:
        gateway.start()
        before = self._ledger(gateway)
        gateway.stop()
        shutil.rmtree(gateway.data / "nats" / "store")
        gateway.spawn()
        reason = self._unready(gateway, "日志")
        self.found.figures["c: /readyz says"] = reason.split(" | ")[0][:100]
        again = [
            Traveller(gateway.jt808_port, n, 1e9, first=one.next, code=one.code) for n, one in enumerate(travellers)
        ]
        for one in again:
            one.start()
        self._goes_on("c", again)  # acknowledged into the new log, and not yet stored
        with self._timed("c: accept-loss until ready"):
            gateway.command("log", "accept-loss", "--partition", "0", "--yes")
            gateway.wait_ready()
        self._goes_on("c", again)
        self._stop(again)
        promised = set(before.rows) | acknowledged(again)
        self._compare("c", promised, self._caught_up(gateway, promised), before)
        self._audited(gateway, "log.accept_loss")

    def _refuses(self, gateway: Gateway) -> None:
        """A start over a lost database begins nothing anew."""
        ended = subprocess.run(
            [LEZGATE, "serve"], env=gateway.environment, capture_output=True, timeout=60, check=False
        )
        if ended.returncode == 0 or b"--keep-log" not in ended.stderr:
            self.found.faults.append("a: serve does not say that the database is lost")

    # ---- hands ----

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.found.figures[what] = f"{time.monotonic() - begun:.1f} s"

    @staticmethod
    def _stop(travellers: list[Traveller]) -> list[Traveller]:
        for one in travellers:
            one.stopping = True
        for one in travellers:
            one.join(30)
        return travellers

    @staticmethod
    def _database(gateway: Gateway) -> str:
        return database_url(load(None, gateway.environment), "owner")

    def _ledger(self, gateway: Gateway) -> Ledger:
        return Ledger.read(self._database(gateway))

    def _caught_up(self, gateway: Gateway, promised: set[tuple[str, int]]) -> Ledger:
        """What is stored once all that was promised is, or after a time in which it should be."""
        end = time.monotonic() + 60
        while True:
            ledger = self._ledger(gateway)
            if not ledger.lost(promised) or time.monotonic() > end:
                return ledger
            time.sleep(0.3)

    def _goes_on(self, part: str, travellers: list[Traveller]) -> None:
        """Every one of them is acknowledged a few reports more."""
        wanted = [len(one.acknowledged) + 5 for one in travellers]
        end = time.monotonic() + 40
        while any(len(one.acknowledged) < least for one, least in zip(travellers, wanted, strict=True)):
            if time.monotonic() > end:
                self.found.faults.append(f"{part}: reports are not acknowledged")
                return
            time.sleep(0.1)

    def _unready(self, gateway: Gateway, word: str) -> str:
        end = time.monotonic() + 40
        while time.monotonic() < end:
            try:
                answer = httpx.get(f"{gateway.base}/readyz", timeout=2)
            except httpx.HTTPError:
                time.sleep(0.2)
                continue
            found = [reason for reason in answer.json()["reasons"] if word in reason and "worker" in reason]
            if answer.status_code == 503 and found:
                return str(found[0])
            time.sleep(0.2)
        self.found.faults.append("c: /readyz does not say that the log is another")
        return "nothing"

    def _audited(self, gateway: Gateway, action: str) -> None:
        with psycopg.connect(self._database(gateway)) as connection:
            row = connection.execute("SELECT actor FROM audit WHERE action = %s", [action]).fetchone()
        if row is None:
            self.found.faults.append(f"{action} is not in the audit")

    def _compare(self, part: str, promised: set[tuple[str, int]], after: Ledger, before: Ledger) -> None:
        counts = {
            "acknowledged": len(promised), "stored": len(after.rows), "lost": after.lost(promised),
            "doubled": after.doubled, "alarms": len(after.alarms), "missed": after.missed_alarms(before),
            "doubled alarms": after.doubled_alarms,
        }  # fmt: skip
        self.found.figures[part] = ", ".join(f"{name} {count}" for name, count in counts.items())
        self.found.faults += [
            f"{part}: {name} {counts[name]}" for name in ("lost", "doubled", "missed", "doubled alarms") if counts[name]
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--terminals", type=int, default=40)
    parser.add_argument("--fill", type=float, default=60, help="seconds under load before the backup")
    parser.add_argument("--more", type=float, default=20, help="seconds under load after it")
    parser.add_argument("--rate", type=int, default=1000, help="reports/s of another 200 terminals")
    options = parser.parse_args()
    carry_out(lambda scratch: Drill(scratch, options.terminals, options.fill, options.more, options.rate))


if __name__ == "__main__":
    main()
