"""System checks: what must hold before anything is started.

swarm.E001: a dotted path of settings.SWARM can't be imported.
swarm.W002: an agent module can't be imported, or a function can't be called (--deploy).
"""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from blueprints.agents import broken_modules, function_faults
from blueprints.conf import wiring_faults


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
