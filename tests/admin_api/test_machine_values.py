"""What is said of a value that cannot be taken."""

from __future__ import annotations

import pytest

from admin_api.alarm_states import ACTIONS
from admin_api.alarms import AlarmAction
from admin_api.machine_values import READERS, ValueFault


@pytest.mark.parametrize("field", READERS)
def test_a_fault_names_its_field(field):
    """In the message itself: an import's report shows nothing else."""
    with pytest.raises(ValueFault) as caught:
        READERS[field]("?" * 300)
    assert caught.value.field == field
    assert field in caught.value.message
    assert any("\u4e00" <= character <= "\u9fff" for character in caught.value.message_zh)


def test_the_actions_of_the_api_are_those_of_the_table():
    """One list: what alarm_states knows is what a request may say."""
    schema = AlarmAction.model_json_schema()
    assert schema["properties"]["action"]["enum"] == list(ACTIONS)
