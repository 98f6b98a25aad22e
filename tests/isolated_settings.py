"""The settings of a test run: those of the project, in an environment of its own.

pytest-django imports settings before any conftest.py, so the environment is changed
here: a test run leaves `var/` alone, and no server or database of the developer's
reaches it.
"""

import os
import tempfile

os.environ["SWARM_VAR"] = tempfile.mkdtemp(prefix="swarm-tests.")
for _name in ("SWARM_REDIS_URL", "DATABASE_URL", "SWARM_SECRET_KEY", "SWARM_DEBUG"):
    os.environ.pop(_name, None)
# Advice names `python manage.py`, also where `uv run` started the tests.
os.environ.pop("UV", None)
# tests/postgres runs suites once more on a database of its own.
if _url := os.environ.pop("SWARM_TEST_DATABASE_URL", ""):
    os.environ["DATABASE_URL"] = _url
# Hundreds of processes are started: each would compile the project's modules anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Processes that tests start are to use the real ones.
os.environ["DJANGO_SETTINGS_MODULE"] = "swarm_project.settings"
# Several of them may serve at the same time, each at a free port.
os.environ["SWARM_BIND"] = "127.0.0.1:0"

from swarm_project.settings import *  # noqa: E402, F403

# Users log in by the dozen, and a hash that costs an attacker time costs it here.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A file, since Django never closes connections to a database in memory: threads that
# tests start would leave theirs to the garbage collector.
if not _url:
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}  # noqa: F405
