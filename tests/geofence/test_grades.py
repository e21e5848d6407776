"""Grades, bound by bound."""

import numpy as np
import pytest

from geofence.grades import GRADES, Grade, ranks


@pytest.mark.parametrize(
    ("engine", "speed", "grade"),
    [
        (1, 0, Grade.WORKING), (1, 399, Grade.WORKING), (1, 400, Grade.UNKNOWN), (1, 900, Grade.UNKNOWN),
        (0, 0, Grade.PARKED), (0, 1, Grade.UNKNOWN), (0, 199, Grade.UNKNOWN), (0, 200, Grade.TRANSPORT),
    ],
)  # fmt: skip
@pytest.mark.parametrize("other_bits", [0, 0xFFFFFFFE])
def test_one_fix(engine, speed, grade, other_bits):
    """The engine's bit and the speed (0.1 km/h), and no other bit."""
    found = ranks(np.array([engine | other_bits], np.uint32), np.array([speed], np.uint16))
    assert GRADES[found[0]] is grade


def test_the_order_of_grades():
    """A visit has the highest grade of its fixes: working before parked before unknown before transport."""
    assert GRADES == (Grade.TRANSPORT, Grade.UNKNOWN, Grade.PARKED, Grade.WORKING)
