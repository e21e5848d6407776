"""The first start of a gateway, and what it waits for."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e


def test_the_first_start(gateway_over):
    """Over an empty directory everything is made, and it is ready; a restart of the same directory is, too."""
    one = gateway_over(first=True)
    assert one.get("/api/v1/alarms")["items"] == []
    one.stop()
    one.start()
    assert one.get("/api/v1/alarms")["items"] == []
