"""System checks, made before anything is started: swarm.E001 the wiring, E002 a number out
of bounds, E003 a usual limit of agents above the most, W001 a lease so short that steps may
run twice, W002 an agent module or function that can't be used, W003 a secret key that
this machine made for itself (both --deploy).
"""

import math
import os
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from blueprints.agent_limits import limits_of
from blueprints.agents import broken_modules, function_faults
from blueprints.conf import spawner_kinds, wiring_faults
from engine.store.record import MOST_LOST

# The environment's reader says the same; this is for settings modules that set them.
NUMBERS: Final = (
    "SWARM_LEASE",
    "SWARM_STEP_BUDGET",
    "SWARM_STEP_BUDGET_S",
    "SWARM_LANE_BATCH",
    "SWARM_CHORD_WINDOW",
    "SWARM_CONSUMERS",
    "SWARM_MAX_LOST",
    "SWARM_RUN_DEADLINE",
    "SWARM_ATTEMPT_TIMEOUT",
    "SWARM_CTX_LIMIT",
    "SWARM_INPUT_LIMIT",
    "SWARM_CACHE_LIMIT",
    "SWARM_INLINE_LIMIT",
    "SWARM_JOURNAL_LIMIT",
    "SWARM_OUTPUT_LIMIT",
)
LEAST: Final = {"SWARM_LEASE": 2.0, "SWARM_STEP_BUDGET": 0}
"""Where it is not that a number must be more than 0."""
MOST: Final = {"SWARM_MAX_LOST": MOST_LOST}
SHORT_LEASE_S: Final = 3.0


def check_wiring(**_: Any) -> list[CheckMessage]:
    """Returns an error for each path of settings.SWARM that can't be imported."""
    hint = "Correct the path in settings.py or install the extra it belongs to."
    return [
        Error(f"settings.{place}: {reason}", hint=hint, id="swarm.E001")
        for place, reason in wiring_faults()
    ]


def check_agents(**_: Any) -> list[CheckMessage]:
    """Returns a warning for each agent module or function that can't be used.

    A warning, since workers serve what works. It imports what people wrote, which may
    take long, so not every command makes it: only `manage.py check --deploy`.
    """
    faults = list(broken_modules(settings.SWARM_AGENT_MODULES).values())
    faults += [f"{name}: {fault}" for name, fault in function_faults().items()]
    hint = "Mend the module, or take it out of SWARM_AGENT_MODULES."
    return [Warning(fault, hint=hint, id="swarm.W002") for fault in faults]


def check_secret_key(**_: Any) -> list[CheckMessage]:
    """Returns a warning if the secret key is one that was made in the `var` folder."""
    if os.environ.get("SWARM_SECRET_KEY", "").strip():
        return []
    text = (
        f"SWARM_SECRET_KEY is not set: the key in {settings.VAR_DIR}/secret_key is used"
    )
    hint = "Set it, the same on every machine: each would make another one."
    return [Warning(text, hint=hint, id="swarm.W003")]


def check_agent_limits(**_: Any) -> list[CheckMessage]:
    """Returns an error for each limit of agents whose usual value is above the most."""
    hint = "Raise the second or lower the first."
    found: list[CheckMessage] = []
    for limit in sorted({one for kind in _kinds() for one in limits_of(kind).values()}):
        usual, most = getattr(settings, limit.usual), getattr(settings, limit.most)
        if usual > most:
            text = f"{limit.usual} ({usual}) is more than {limit.most} ({most})"
            found.append(Error(text, hint=hint, id="swarm.E003"))
    return found


def _kinds() -> list[str]:
    """Returns the kinds whose spawner can be imported; E001 tells of the others."""
    faulty = {place for place, _ in wiring_faults()}
    return [
        kind for kind in spawner_kinds() if f"SWARM['SPAWNERS'][{kind!r}]" not in faulty
    ]


def check_numbers(**_: Any) -> list[CheckMessage]:
    """Returns an error for each number out of bounds, and a warning for a short lease."""
    hint = "Correct it in the environment or in your settings module."
    found: list[CheckMessage] = []
    for name in sorted({*NUMBERS, *_other_numbers()}):
        value = getattr(settings, name, None)
        least, most = LEAST.get(name), MOST.get(name, math.inf)
        if not _in_bounds(value, least, most):
            rule = "more than 0" if least is None else f"at least {least:g}"
            if most < math.inf:
                rule += f" and at most {most:g}"
            text = f"settings.{name}: expected a number, {rule}, got {value!r}"
            found.append(Error(text, hint=hint, id="swarm.E002"))
    if not found and settings.SWARM_LEASE < SHORT_LEASE_S:
        text = (
            f"settings.SWARM_LEASE is {settings.SWARM_LEASE:g} s: the keeper renews once a"
            " second, so one that is held up for a moment loses its claims and steps run"
            " twice"
        )
        hint = f"Set SWARM_LEASE to {SHORT_LEASE_S:g} or more; 10 is the default."
        found.append(Warning(text, hint=hint, id="swarm.W001"))
    return found


def _other_numbers() -> set[str]:
    names = {name for name in dir(settings) if name.startswith("SWARM_")}
    return {name for name in names if type(getattr(settings, name)) in (int, float)}


def _in_bounds(value: Any, least: float | None, most: float) -> bool:
    if type(value) not in (int, float) or not math.isfinite(value) or value > most:
        return False
    return value > 0 if least is None else value >= least
