"""Real servers and real worker processes to be killed; see support/fault_installation.py."""

from collections.abc import Iterator

import pytest
from fault_installation import Installation


@pytest.fixture
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation of its own: embedded server, database, no worker yet."""
    made = Installation(tmp_path_factory.mktemp("v"))
    try:
        made.start()
        yield made
    finally:
        made.stop()
