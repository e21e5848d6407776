"""make drill-upgrade: a gateway that was filled on an older major version of PostgreSQL, brought to the wheel's by `lezgate db upgrade`.

The old server is killed, so it has to recover first. Before the upgrade `lezgate serve` must refuse and say what to do; after
it rows, alarms, roles and statistics are there, terminals go on, and the old cluster stays until `--drop-old`.
Needs an older version's programs: `apt-get install postgresql-15`, or --old-bin.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from gateway.config import load
from gateway.nodes import postgres
from gateway.secrets import load_secrets
from storage.embedded import EmbeddedPostgres
from tests.drills.report import Findings, carry_out
from tests.drills.travellers import Ledger, Traveller, acknowledged, settle
from tests.plugins.serve import LEZGATE, Gateway

DEBIAN = Path("/usr/lib/postgresql/15/bin")


@dataclass
class Upgrade:
    scratch: Path
    old: Path
    fill_s: float = 15
    terminals: int = 6
    found: Findings = field(default_factory=Findings)

    def run(self) -> None:
        data = self.scratch / "var"
        before, travellers = self._fill(data)
        gateway = Gateway(data, enrolment="open")
        refused = subprocess.run(
            [LEZGATE, "serve"], env=gateway.environment, capture_output=True, text=True, timeout=60, check=False
        )
        self.found.figures["serve before"] = refused.stderr.strip().splitlines()[-1][:150]
        if refused.returncode == 0 or "db upgrade" not in refused.stderr or "再执行" not in refused.stderr:
            self.found.faults.append(f"serve did not refuse: {refused.stderr[-500:]}")
        begun = time.monotonic()
        said = gateway.command("db", "upgrade", "--old-bin", str(self.old))
        self.found.figures["db upgrade"] = f"{time.monotonic() - begun:.1f} s"
        if "without statistics" in said:
            self.found.faults.append(said)
        self.found.figures["disk"] = said.splitlines()[0].split(" | ")[0]
        try:
            gateway.start()
            self._compare(gateway, before, travellers)
            store = postgres(load(None, gateway.environment))
            if not list(store.data_dir.glob("cluster.[0-9]*")):
                self.found.faults.append("the old cluster is gone")
        finally:
            gateway.stop()
        gateway.command("db", "upgrade", "--drop-old")
        if list(store.data_dir.glob("cluster.[0-9]*")):
            self.found.faults.append("the old cluster is still there")

    def _fill(self, data: Path) -> tuple[Ledger, list[Traveller]]:
        server = EmbeddedPostgres(data / "postgres", load_secrets(data), programs=self.old)
        server.start()
        gateway = Gateway(data, enrolment="open", database_url=server.url("owner"))
        try:
            gateway.start()
            settle(gateway, self.terminals, self.scratch)
            travellers = [Traveller(gateway.jt808_port, n, n) for n in range(self.terminals)]
            for one in travellers:
                one.start()
            time.sleep(self.fill_s)
            for one in travellers:
                one.stopping = True
            for one in travellers:
                one.join(30)
            end = time.monotonic() + 30
            while Ledger.read(server.url("owner")).lost(acknowledged(travellers)) and time.monotonic() < end:
                time.sleep(0.2)
        finally:
            gateway.stop()
        before = Ledger.read(server.url("owner"))
        with psycopg.connect(server.url("superuser", "postgres")) as conn:
            self.found.figures["old server"] = conn.info.parameter_status("server_version") or ""
        if before.lost(acknowledged(travellers)):
            self.found.faults.append("reports were lost before the upgrade")
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        server.stop()
        return before, travellers

    def _compare(self, gateway: Gateway, before: Ledger, travellers: list[Traveller]) -> None:
        store = postgres(load(None, gateway.environment))
        after = Ledger.read(store.url("owner"))
        self.found.figures["rows, alarms"] = (
            f"{len(after.rows)} of {len(before.rows)}, {len(after.alarms)} of {len(before.alarms)}"
        )
        if (sorted(after.rows), after.alarms) != (sorted(before.rows), before.alarms) or not after.alarms:
            self.found.faults.append("rows or alarms differ")
        for role in ("superuser", "owner", "worker", "api"):
            with psycopg.connect(store.url(role)) as conn:
                self.found.figures["new server"] = conn.info.parameter_status("server_version") or ""
        with psycopg.connect(store.url("superuser")) as conn:
            analysed = conn.execute("SELECT count(*) FROM pg_stats WHERE tablename LIKE 'position%%'").fetchone()
            self.found.figures["columns of position with statistics"] = str(analysed[0] if analysed else 0)
            if not analysed or not analysed[0]:
                self.found.faults.append("no statistics")
        again = [
            Traveller(gateway.jt808_port, n, 1e9, first=one.next, code=one.code) for n, one in enumerate(travellers)
        ]
        for one in again:
            one.start()
        time.sleep(3)
        for one in again:
            one.stopping = True
        for one in again:
            one.join(30)
        end = time.monotonic() + 30
        promised = acknowledged(travellers + again)
        while Ledger.read(store.url("owner")).lost(promised) and time.monotonic() < end:
            time.sleep(0.2)
        final = Ledger.read(store.url("owner"))
        counts = f"acknowledged {len(promised)}, lost {final.lost(promised)}, doubled {final.doubled}"
        self.found.figures["afterwards"] = f"{counts}, doubled alarms {final.doubled_alarms}"
        if final.lost(promised) or final.doubled or final.doubled_alarms or not acknowledged(again):
            self.found.faults.append(f"afterwards: {counts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old-bin", type=Path, default=DEBIAN)
    parser.add_argument("--fill", type=float, default=15)
    options = parser.parse_args()
    if not (options.old_bin / "postgres").exists():
        sys.exit(
            f"{options.old_bin}: no postgres there: apt-get install postgresql-15, or --old-bin | 缺少旧版本 PostgreSQL"
        )
    carry_out(lambda scratch: Upgrade(scratch, options.old_bin, options.fill))


if __name__ == "__main__":
    main()
