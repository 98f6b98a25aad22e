"""The agent of runs that Redis loses."""

import pytest
from lost_runs import Noting
from rig import Rig


@pytest.fixture
def noting(rig: Rig) -> Noting:
    """The agent of the rig's runs, which notes the steps that it makes."""
    rig.spawner = made = Noting()
    return made
