"""The town of tests that run the whole gateway: one zone of about 2 km x 2 km that bans what is below stage 3, and its machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.plugins.serve import Gateway

ZONE = {
    "type": "FeatureCollection",
    "features": [{
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[116.0, 36.4], [116.02, 36.4], [116.02, 36.42], [116.0, 36.42], [116.0, 36.4]]],
        },
        "properties": {
            "name": "测试禁用区", "district": "371502", "tier": "core", "crs": "wgs84", "doc_no": "测试〔2026〕1号",
            "valid_from": "2026-01-01T00:00:00+08:00", "rules": [{"any_of": [{"stage_below": "3"}]}],
        },
    }],
}  # fmt: skip
HEADER = "registration_number,terminal_phone,machine_type,registration_type,emission_stage,power_kw,energy,district\n"


def found(gateway: Gateway, directory: Path, machines: Iterable[str]) -> None:
    """Imports the zone, published, and the machines: rows of CSV, each with its end of line."""
    (directory / "zones.geojson").write_text(json.dumps(ZONE))
    (directory / "machines.csv").write_text(HEADER + "".join(machines))
    gateway.command("zones", "import", str(directory / "zones.geojson"), "--crs", "wgs84", "--publish")
    gateway.command("machines", "import", str(directory / "machines.csv"))
