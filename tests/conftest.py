"""What all tests share. Doubles stand only at ports, so there is little here."""

import shutil

from django.conf import settings as django_settings
from hypothesis import settings

# No test fails for the time it took: a busy machine is no bug.
settings.register_profile("swarm", deadline=None)
settings.load_profile("swarm")


def pytest_unconfigure() -> None:
    """Removes what the run kept; isolated_settings.py made it."""
    # With `--ds` of somebody else's it is not ours.
    if django_settings.VAR_DIR.name.startswith("swarm-tests."):
        shutil.rmtree(django_settings.VAR_DIR, ignore_errors=True)
