"""A test run keeps to itself."""

import os
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.django_db
def test_a_test_run_has_a_var_and_a_database_of_its_own() -> None:
    var = Path(settings.VAR_DIR)
    assert var == Path(os.environ["SWARM_VAR"]).resolve()
    assert var.name.startswith("swarm-tests.")
    assert ROOT not in var.parents
    # Only tests/postgres names one, and then it is the one in use.
    named = "DATABASE_URL" in os.environ
    assert connection.vendor == ("postgresql" if named else "sqlite")
