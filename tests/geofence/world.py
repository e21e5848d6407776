"""Shapes, zones and position columns for the tests, made from seeds."""

from __future__ import annotations

import numpy as np
import shapely

from columns.positions import DTYPES, Positions
from columns.ragged import Ragged
from geofence.nested import LocalPlane
from geofence.rules import parse_rules
from geofence.zones import Zone

HOME = LocalPlane(115.98, 36.45)
NO_STAGE_1_OR_2 = parse_rules([{"any_of": [{"stage_below": "3"}]}])
SECOND = 1_000_000
START = 1_760_000_000 * SECOND


def at(east_m, north_m):
    """Degrees of a point so many metres from HOME."""
    kx, ky = HOME.metres_per_degree
    return HOME.lon + np.asarray(east_m) / kx, HOME.lat + np.asarray(north_m) / ky


def box(west_m, south_m, east_m, north_m):
    """A rectangle in metres from HOME, as degrees."""
    return HOME.to_degrees(shapely.box(west_m, south_m, east_m, north_m))


def star(rng, lon, lat, radius, vertices, holes=0):
    """A jagged valid polygon around a point; radius in degrees."""

    def ring(lon, lat, radius, vertices):
        angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
        waves = np.arange(1, 8)
        bumps = (rng.normal(0, 0.2, 7) / waves * np.sin(np.outer(angle, waves) + rng.uniform(0, 6, 7))).sum(1)
        reach = radius * np.clip(1 + bumps, 0.4, 2) * (1 + rng.normal(0, 0.002, vertices))
        return np.column_stack([lon + reach * np.cos(angle) / 0.8, lat + reach * np.sin(angle)])

    inner = [ring(lon + radius * 0.15 * (-1) ** h, lat, radius * 0.08, 30) for h in range(holes)]
    shape = shapely.Polygon(ring(lon, lat, radius, vertices), inner)
    assert shape.is_valid
    return shape


def zone(number, geometry, **fields):
    """A zone that bans stages 1 and 2."""
    given = {"version": 1, "name": f"zone {number}", "district": "371502", "tier": "general", "rules": NO_STAGE_1_OR_2}
    return Zone(id=number, geometry=geometry, **{**given, **fields})


def positions(device, time, lon, lat, **columns):
    """Positions of good fixes with ACC on at 3 km/h, received a second later; the columns are broadcast."""
    time = np.atleast_1d(np.asarray(time, np.int64))
    given = {
        "device": device,
        "time": time,
        "lon": lon,
        "lat": lat,
        "received": time + SECOND,
        "status": 3,
        "speed": 30,
    }
    filled = {name: np.zeros(len(time), dtype) for name, dtype in DTYPES.items()}
    for name, values in {**given, **columns}.items():
        filled[name][:] = values
    return Positions(**filled, extras=Ragged.empty(len(time)))
