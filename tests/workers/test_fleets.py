"""Starting and ending worker processes."""

from workers import fleets_child


def test_who_waits_for_another_is_more_patient() -> None:
    keeper, guard = fleets_child.WARM_S, fleets_child.PATIENCE_S
    assert keeper + 2 < guard < fleets_child.STOP_S
