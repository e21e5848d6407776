"""What a draft changes in the version that is there: fields, areas and how far a border moved."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence.importing.differences import _furthest, area_m2, differences
from geofence.nested import LocalPlane
from geofence.zones import Zone, parse_feature
from tests.geofence.map_files import RULES, square

PLANE = LocalPlane(115.95, 36.45)


def metres(ring):
    """A ring in metres around 115.95, 36.45 as degrees."""
    return shapely.get_coordinates(PLANE.to_degrees(shapely.Polygon(ring))).tolist()


OUTER = metres(square(-500, -500, 1000))


def draft_of(*rings, **properties):
    given_ = {"name": "甲", "district": "371502", "crs": "wgs84", "rules": RULES, **properties}
    geometry = {"type": "Polygon", "coordinates": list(rings or (OUTER,))}
    return parse_feature({"type": "Feature", "properties": given_, "geometry": geometry})


def stored(draft):
    """The zone as it comes back from the database: JSON, and numbers of 32 bits."""
    numbers = {name: float(str(np.float32(getattr(draft, name)))) for name in
               ("guard_m", "halo_m", "merge_s", "lost_s", "lost_merge_s")}  # fmt: skip
    same = ("name", "district", "tier", "unknown_policy", "valid_from", "valid_to", "doc_no", "slow_terminals")
    return Zone.stored(
        id=1, version=1, geometry=json.loads(json.dumps(draft.to_wgs84_geojson())), rules=draft.rules_json(),
        **numbers, **{name: getattr(draft, name) for name in same},
    )  # fmt: skip


def changed(draft, base):
    return {each.field: each for each in differences(draft, base)}


def test_the_same_is_no_difference():
    """Also with numbers that 32 bits round, another first corner, a corner more on a straight edge, and no beginning."""
    base = stored(draft_of(guard_m=12.3456789, merge_s=601.7, valid_from="2026-01-01T00:00:00+08:00"))
    kept = {"guard_m": 12.3456789, "merge_s": 601.7}
    assert changed(draft_of(**kept, valid_from="2026-01-01T00:00:00+08:00"), base) == {}
    turned = [*OUTER[2:-1], *OUTER[:3]]
    middle = [(a + b) / 2 for a, b in zip(OUTER[0], OUTER[1], strict=True)]
    assert changed(draft_of(turned, **kept), base) == {}
    assert changed(draft_of([OUTER[0], middle, *OUTER[1:]], **kept), base) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tier", "core"), ("doc_no", "2号"), ("unknown_policy", "alarm"), ("slow_terminals", "wait"), ("guard_m", 31),
        ("halo_m", 0), ("merge_s", 0), ("lost_s", 60), ("lost_merge_s", 1), ("rules", []),
    ],
)  # fmt: skip
def test_each_property_is_compared(name, value):
    """With what it was and what it becomes."""
    base = stored(draft_of())
    found = changed(draft_of(**{name: value}), base)
    assert list(found) == [name]
    assert (found[name].before, found[name].after) == (RULES if name == "rules" else getattr(base, name), value)


def test_dates_are_compared():
    """A date given, moved or taken away; a beginning that is not given is none."""
    base = stored(draft_of(valid_from="2026-01-01T00:00:00Z", valid_to="2027-01-01T00:00:00Z"))
    assert list(changed(draft_of(), base)) == ["valid_to"]
    found = changed(draft_of(valid_from="2026-01-02T00:00:00Z", valid_to="2027-01-01T00:00:00Z"), base)
    assert found["valid_from"].after - found["valid_from"].before == 86_400_000_000


def test_a_moved_border():
    """A square that grows by 10 m to the east: 10,000 m2 and 10 m; a hole of 100 m by 100 m, 200 m from the border."""
    base = stored(draft_of())
    wider = metres([[-500, -500], [-500, 500], [510, 500], [510, -500], [-500, -500]])
    found = changed(draft_of(wider), base)["geometry"]
    assert (found.before, found.after) == (pytest.approx(1e6, rel=1e-6), pytest.approx(1.01e6, rel=1e-6))
    assert (found.area_m2, found.shift_m) == (pytest.approx(1e4, rel=1e-4), pytest.approx(10, rel=1e-4))
    holed = changed(draft_of(OUTER, metres(square(-300, -300, 100, clockwise=False))), base)["geometry"]
    assert (holed.area_m2, holed.shift_m) == (pytest.approx(1e4, rel=1e-4), pytest.approx(300, rel=1e-4))


def test_the_area_on_the_ground():
    """Against the ellipsoid's, over a county 50 km high: within half a per cent."""
    import pyproj  # noqa: PLC0415

    county = shapely.box(115.6, 36.2, 116.2, 36.65)
    truth = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(county)[0])
    assert area_m2(county) == pytest.approx(truth, rel=5e-3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0.5, 1.5), st.floats(0.5, 1.5)), min_size=3, max_size=12))
def test_how_far_a_border_moved(radii):
    """Corner by corner against shapely's own distance to the whole border."""
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    one, other = (
        shapely.Polygon(np.column_stack([r * 100 * np.cos(angles), r * 100 * np.sin(angles)]))
        for r in np.array(radii).T
    )
    slow = max(shapely.boundary(other).distance(shapely.Point(corner)) for corner in shapely.get_coordinates(one))
    assert _furthest(one, other) == pytest.approx(slow)
