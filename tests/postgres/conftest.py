"""A private PostgreSQL: real binaries, a cluster of its own, no network."""

from collections.abc import Iterator

import pytest
from postgres_cluster import Cluster, running_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One cluster for the session."""
    with running_cluster() as made:
        yield made
