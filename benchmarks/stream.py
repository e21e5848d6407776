"""A reader of GET /api/v1/stream in a thread: every event with the moment at which its last line arrived."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

OPEN_S = 15.0
HEARTBEAT_S = 40.0  # the stream says something every 15 s


@dataclass(frozen=True, slots=True)
class Event:
    """at: monotonic seconds."""

    at: float
    kind: str
    data: dict[str, Any]


class Listener:
    """Reads from the moment it is made until ``stop``; ``events`` grows, ``trouble`` says why it ended by itself."""

    def __init__(self, port: int, token: str) -> None:
        self.events: list[Event] = []
        self.trouble: str | None = None
        self._stopping = False
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HEARTBEAT_S)
        self._connection.connect()
        self._socket: socket.socket = self._connection.sock
        self._connection.request("GET", "/api/v1/stream", headers={"Authorization": f"Bearer {token}"})
        self._answer = self._connection.getresponse()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        if self._answer.status != 200:
            self._close()
            raise ConnectionError(f"the stream answers {self._answer.status}")
        self._thread.start()
        if not self._begun.wait(OPEN_S):
            self.stop()
            raise ConnectionError("the stream says nothing")

    def _listen(self) -> None:
        kind, data = "", ""
        try:
            for raw in self._answer:
                self._begun.set()
                name, _, value = raw.decode().rstrip("\n").partition(":")
                if name == "event":
                    kind = value.strip()
                elif name == "data":
                    data += value.strip()
                elif not name and data:
                    self.events.append(Event(time.monotonic(), kind, json.loads(data)))
                    kind, data = "", ""
            why = "the stream ended"
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = repr(error)
        if not self._stopping:
            self.trouble = why

    def stop(self) -> None:
        """What came until now stays in ``events``."""
        self._stopping = True
        with contextlib.suppress(OSError):  # it may have ended by itself
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._close()

    def _close(self) -> None:
        self._answer.close()
        self._connection.close()
        self._socket.close()
