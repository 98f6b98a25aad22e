"""What all tests share. Doubles stand only at ports, so there is little here."""

import os
import shutil
import tempfile

from hypothesis import settings

# No test fails for the time it took: a busy machine is no bug.
settings.register_profile("swarm", deadline=None)
settings.load_profile("swarm")

# Set before the settings are imported: a test run leaves `var/` alone, and no server or
# database of the developer's reaches it. pytest-django imports settings that pyproject
# names before it reads this file, so they are named here.
_VAR = tempfile.mkdtemp(prefix="swarm-tests.")
os.environ["SWARM_VAR"] = _VAR
for _name in ("SWARM_REDIS_URL", "DATABASE_URL", "SWARM_SECRET_KEY", "SWARM_DEBUG"):
    os.environ.pop(_name, None)
# tests/postgres runs suites once more on a database of its own.
if _URL := os.environ.pop("SWARM_TEST_DATABASE_URL", ""):
    os.environ["DATABASE_URL"] = _URL
os.environ["DJANGO_SETTINGS_MODULE"] = "swarm_project.settings"


def pytest_unconfigure() -> None:
    """Removes what the run kept."""
    shutil.rmtree(_VAR, ignore_errors=True)
