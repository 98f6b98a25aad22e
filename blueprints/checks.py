"""System checks: what must hold before anything is started.

swarm.E001: a dotted path of settings.SWARM can't be imported.
"""

from typing import Any

from django.core.checks import CheckMessage, Error

from blueprints.conf import wiring_faults


def check_wiring(**_: Any) -> list[CheckMessage]:
    """Returns an error for each path of settings.SWARM that can't be imported."""
    hint = "Correct the path in settings.py or install the extra it belongs to."
    return [
        Error(f"settings.{place}: {reason}", hint=hint, id="swarm.E001")
        for place, reason in wiring_faults()
    ]
