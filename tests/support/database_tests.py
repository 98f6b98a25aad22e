"""A plugin of pytest that keeps the tests that use the database: `-p database_tests`.

Without its mark or a fixture of it, pytest-django refuses every query.
"""

import pytest

FIXTURES = {"db", "transactional_db", "django_db_setup"}


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what has neither the mark nor a fixture."""
    kept, left = [], []
    for item in items:
        fixtures = FIXTURES.intersection(getattr(item, "fixturenames", ()))
        uses = fixtures or item.get_closest_marker("django_db")
        (kept if uses else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept
