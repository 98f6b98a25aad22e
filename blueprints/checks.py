"""System checks, made before each command: project, wiring, settings, limits and lease.

With --deploy also: agent modules and the secret key. Their ids begin with `swarm.`.
"""

from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from blueprints.conf import importable_kinds, load_kinds, spawner_class, wiring_faults

TAG: Final = "swarm"
"""The tag of these checks, by which commands make them and not those of web pages."""
SHORT_LEASE_S: Final = 3.0
OUR_BROKER: Final = "swarm://"
IMPORT: Final = "from swarm_project.settings import *"


def check_project(**_: Any) -> list[CheckMessage]:
    """Return an error for each part that the settings of a project lack."""
    found: list[CheckMessage] = [
        Error(
            f"settings.INSTALLED_APPS has no {app!r}",
            hint=f"Add {app!r}.",
            id="swarm.E004",
        )
        for app in ("blueprints", "workers")
        if not apps.is_installed(app)
    ]
    if not hasattr(settings, "SWARM_SETTINGS"):
        text = "the settings module does not have the settings of Swarm"
        hint = f"Begin it with `{IMPORT}`; what stands below wins."
        found.append(Error(text, hint=hint, id="swarm.E005"))
    elif settings.CELERY_BROKER_URL != OUR_BROKER:
        text = (
            "settings.CELERY_BROKER_URL is not Swarm's, whose workers would serve another"
            " broker"
        )
        hint = "Give the settings of your own Celery app another prefix than CELERY."
        found.append(Error(text, hint=hint, id="swarm.E006"))
    return found


def check_database(**_: Any) -> list[CheckMessage]:
    """Return a warning for a SQLite in which writers do not wait for each other."""
    default = settings.DATABASES["default"]
    options = default.get("OPTIONS", {})
    if not default["ENGINE"].endswith(".sqlite3"):
        return []
    if options.get("transaction_mode") == "IMMEDIATE":
        return []
    text = "several processes write to this SQLite, and some will find it locked"
    hint = 'Add "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20}.'
    return [Warning(text, hint=hint, id="swarm.W004")]


def check_wiring(**_: Any) -> list[CheckMessage]:
    """Return an error for each path of settings.SWARM that can't be imported."""
    hint = "Correct the path in settings.py or install the extra it belongs to."
    return [
        Error(f"settings.{place}: {reason}", hint=hint, id="swarm.E001")
        for place, reason in wiring_faults()
    ]


def check_agents(**_: Any) -> list[CheckMessage]:
    """Return a warning for each agent module or function that can't be used.

    A warning, since workers serve all other functions. Only `manage.py check --deploy`
    makes this check: importing these modules may take long.
    """
    faults = load_kinds(importable_kinds())
    hint = "Fix the module, or take it out of SWARM_AGENT_MODULES."
    return [Warning(fault, hint=hint, id="swarm.W002") for fault in faults]


def check_secret_key(**_: Any) -> list[CheckMessage]:
    """Return a warning if the secret key was generated in the `var` folder."""
    generated = Path(settings.VAR_DIR, "secret_key")
    if not generated.is_file() or generated.read_text().strip() != settings.SECRET_KEY:
        return []
    text = f"SWARM_SECRET_KEY is not set: the key in {generated} is used"
    hint = "Set it to one value on all machines: each generates its own key."
    return [Warning(text, hint=hint, id="swarm.W003")]


def check_agent_limits(**_: Any) -> list[CheckMessage]:
    """Return an error for each limit of agents whose default is above its maximum."""
    hint = "Raise the second or lower the first."
    found: list[CheckMessage] = []
    limits = {
        one
        for kind in importable_kinds()
        for one in spawner_class(kind).limits.values()
    }
    for limit in sorted(limits):
        usual, most = getattr(settings, limit.usual), getattr(settings, limit.most)
        if usual > most:
            text = f"{limit.usual} ({usual}) is more than {limit.most} ({most})"
            found.append(Error(text, hint=hint, id="swarm.E003"))
    return found


def check_settings(**_: Any) -> list[CheckMessage]:
    """Return an error for each setting out of bounds, and a warning for a short lease.

    Variables are checked when they are read; this check is for settings modules.
    """
    hint = "Correct it in the environment or in your settings module."
    found: list[CheckMessage] = []
    for setting in (one for group in settings.SWARM_SETTINGS.values() for one in group):
        value = getattr(settings, setting.name, setting.default)
        if not setting.allows(value):
            text = f"settings.{setting.name}: {setting.refusal(value)}"
            found.append(Error(text, hint=hint, id="swarm.E002"))
    if not found and settings.SWARM_LEASE < SHORT_LEASE_S:
        text = (
            f"settings.SWARM_LEASE is {settings.SWARM_LEASE:g} s: the keeper renews leases"
            " once a second, so a short delay of a worker loses its claims, and steps run"
            " twice"
        )
        hint = f"Set SWARM_LEASE to {SHORT_LEASE_S:g} or more; 10 is the default."
        found.append(Warning(text, hint=hint, id="swarm.W001"))
    return found
