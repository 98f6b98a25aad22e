"""Real servers and real worker processes to be killed; see installation.py."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from installation import Installation


@pytest.fixture
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation of its own: embedded server, database, no worker yet."""
    made = Installation(tmp_path_factory.mktemp("v"))
    try:
        made.start()
        yield made
    finally:
        made.stop()
