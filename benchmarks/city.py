"""The yardstick's city without a database: its zones and machines as a ruleset, and what its terminals report as columns.

The same 160 zones, 30,000 machines and ways of moving as `yardstick/world` and `yardstick/loadgen.c`: terminals stand
anywhere in one square degree, stray some metres with every report, and every second one is registered. A seed decides.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from columns.batch import Batch, DeadLetters, encode
from columns.identity import device_of
from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from geofence.fence import Fence
from geofence.machines import Binding, Machine, Machines
from geofence.ruleset import Ruleset
from geofence.zones import parse_feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

YARDSTICK = Path(__file__).resolve().parent / "yardstick"
FIRST_PHONE = 13_800_000_000
LON, LAT = 115.5, 36.0
STRAY = 1e-4  # degrees, from one end to the other
START = 1_770_000_000_000_000
_ITEMS = np.frombuffer(b"\x01\x04\0\0\0\0\x30\x01\x19\x31\x01\x0c", np.uint8)


def write_world(folder: str, seed: int) -> None:
    """Makes zones.geojson and machines.csv in a folder."""
    subprocess.run([sys.executable, YARDSTICK / "world", folder, "--seed", str(seed)], check=True)


def ruleset(seed: int) -> Ruleset:
    """The city's zones and machines, as a worker has them after the import."""
    with tempfile.TemporaryDirectory() as name:
        write_world(name, seed)
        features = json.loads((Path(name) / "zones.geojson").read_text(encoding="utf-8"))["features"]
        with (Path(name) / "machines.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    zones = [parse_feature(feature).publish(number, 1) for number, feature in enumerate(features, 1)]
    machines, bindings = [], []
    for number, row in enumerate(rows, 1):
        phone = row.pop("terminal_phone").lstrip("0")
        bindings.append(Binding(device_of(phone), number, phone=phone))
        machines.append(Machine(number, **{**row, "power_kw": float(row["power_kw"])}))
    return Ruleset(Fence.compile(zones), Machines(bindings, machines))


class Terminals:
    """``count`` terminals from phone ``first`` on, that report in turn, ``rate`` reports a second over all of them."""

    def __init__(self, rng: np.random.Generator, first: int, count: int, rate: float) -> None:
        self._rng = rng
        self._devices = np.array([device_of(str(first + i)) for i in range(count)], np.int64)
        self._place = np.array([[LON], [LAT]]) + rng.random((2, count))
        self._rate = rate
        self._sent = 0

    def report(self, n: int) -> Positions:
        """The next ``n`` reports, all received at once, as an edge hands them over at the end of a linger."""
        turn = np.arange(self._sent, self._sent + n)
        self._sent += n
        who = turn % len(self._devices)
        lon, lat = self._strayed(who)
        now = START + (turn * (1e6 / self._rate)).astype(np.int64)
        columns: dict[str, NDArray[np.generic]] = {name: np.zeros(n, dtype) for name, dtype in DTYPES.items()}
        columns |= {
            "packet": np.arange(n, dtype=np.int32),
            "device": self._devices[who],
            "time": now // 1_000_000 * 1_000_000,
            "fingerprint": self._rng.integers(-(2**63), 2**63, n),
            "received": np.full(n, now[-1]),
            "lon": lon,
            "lat": lat,
            "speed": self._rng.integers(0, 200, n).astype("<u2"),
            "course": self._rng.integers(0, 255, n).astype("<u2"),
            "status": np.full(n, 3, "<u4"),
            "serial": (turn // len(self._devices)).astype("<u2"),
            "altitude": np.full(n, 45, "<i2"),
        }
        return Positions(**columns, extras=_extras(turn))  # type: ignore[arg-type]

    def _strayed(self, who: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where each report is sent from. A terminal that reports twice in a batch strays once for each."""
        step = (self._rng.random((2, len(who))) - 0.5) * STRAY
        place = np.empty_like(step)
        for begin in range(0, len(who), len(self._devices)):
            some = slice(begin, begin + len(self._devices))
            self._place[:, who[some]] += step[:, some]
            place[:, some] = self._place[:, who[some]]
        return np.rint(place[0] * 1e6) / 1e6, np.rint(place[1] * 1e6) / 1e6


def _extras(turn: NDArray[np.int64]) -> Ragged:
    """Mileage, signal and satellites; the mileage is another in every report."""
    items = np.tile(_ITEMS, (len(turn), 1))
    items[:, 2:6] = turn.astype(">u4").view(np.uint8).reshape(-1, 4)
    return Ragged(items.reshape(-1), np.arange(len(turn) + 1, dtype=np.int64) * len(_ITEMS))


def batches(terminals: Terminals, rows: int, number: int = 1) -> Iterator[bytes]:
    """What an edge appends, for ever: one batch of ``rows`` reports after the other, the first with this number."""
    while True:
        yield encode(Batch("bench", number, "jt808", terminals.report(rows), DeadLetters.empty()))
        number += 1
