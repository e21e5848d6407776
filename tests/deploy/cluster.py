"""The three nats-servers of deploy/nats, with addresses and directories of a test."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from gateway.nats_server import binary
from tests.plugins.serve import free_port

CONF = Path(__file__).resolve().parents[2] / "deploy" / "nats"
PASSWORDS = {role: f"12e4-{role}" for role in ("edge", "worker", "api", "routes")}


class Cluster:
    """The deployed configuration with ports, addresses and directories of a test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clients = [free_port() for _ in range(3)]
        self.routes = [free_port() for _ in range(3)]
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        (self.directory / "users.conf").write_text((CONF / "users.conf").read_text())
        quoted = {f"NATS_{role.upper()}_PASSWORD": f'"{word}"' for role, word in PASSWORDS.items()}
        routes = {
            f"NATS_ROUTE_{i + 1}": f'"nats-route://routes:{PASSWORDS["routes"]}@127.0.0.1:{port}"'
            for i, port in enumerate(self.routes)
        }
        for i in range(3):
            text = (CONF / "nats.conf").read_text()
            for before, after in (
                ("0.0.0.0:4222", f"127.0.0.1:{self.clients[i]}"),
                ("0.0.0.0:6222", f"127.0.0.1:{self.routes[i]}"),
                ("127.0.0.1:8222", f"127.0.0.1:{free_port()}"),
                ('"/data"', f'"{self.directory / str(i)}"'),
            ):
                assert before in text
                text = text.replace(before, after)
            path = self.directory / f"nats-{i}.conf"
            path.write_text(text)
            own = {"NATS_NAME": f"nats-{i}", "NATS_MAX_FILE_STORE": str(1 << 30), "PATH": os.environ["PATH"]}
            with (self.directory / f"{i}.log").open("wb") as log:
                self.processes.append(
                    subprocess.Popen([binary(), "-c", path], env={**own, **quoted, **routes}, stdout=log, stderr=log)
                )

    def url(self, role: str, i: int = 0) -> str:
        return f"nats://{role}:{PASSWORDS[role]}@127.0.0.1:{self.clients[i]}"

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
