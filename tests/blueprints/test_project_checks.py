"""System checks of a project that has settings of its own."""

from pathlib import Path
from typing import Any

import pytest

from blueprints.checks import check_database, check_project, check_secret_key

SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}


def ids(found: list[Any]) -> list[str]:
    return [one.id for one in found]


def test_our_own_settings_lack_nothing() -> None:
    assert check_project() == []
    assert check_database() == []


@pytest.mark.parametrize("app", ["blueprints", "workers"])
def test_an_app_that_is_not_installed_is_named(app: str, settings: Any) -> None:
    settings.INSTALLED_APPS = [one for one in settings.INSTALLED_APPS if one != app]
    [found] = check_project()
    assert (found.id, found.hint) == ("swarm.E004", f"Add {app!r}.")


def test_settings_without_ours_are_named(settings: Any) -> None:
    del settings.SWARM_SETTINGS
    [found] = check_project()
    assert found.id == "swarm.E005"
    assert "from swarm_project.settings import *" in found.hint


def test_a_broker_of_another_celery_app_is_named(settings: Any) -> None:
    settings.CELERY_BROKER_URL = "redis://localhost"
    assert ids(check_project()) == ["swarm.E006"]


@pytest.mark.parametrize(
    ("database", "found"),
    [
        (SQLITE, ["swarm.W004"]),
        ({**SQLITE, "OPTIONS": {"transaction_mode": "IMMEDIATE"}}, []),
        (POSTGRESQL, []),
    ],
)
def test_a_sqlite_whose_writers_do_not_wait_is_a_warning(
    database: dict[str, Any], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blueprints.checks.settings.DATABASES", {"default": database})
    assert ids(check_database()) == found


def test_only_a_generated_key_is_a_warning(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = tmp_path
    assert check_secret_key() == []
    (tmp_path / "secret_key").write_text(settings.SECRET_KEY)
    assert ids(check_secret_key()) == ["swarm.W003"]
    settings.SECRET_KEY = "of the settings module"
    assert check_secret_key() == []
