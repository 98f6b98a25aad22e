"""The logging of all processes: one line for each record, on standard error."""

from collections.abc import Iterable
from typing import Any

from workers.spawners import PRINTED

LINE = "%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"
# Celery adds its own handler and format to these unless they have a handler.
_CELERYS = ("celery.task", "multiprocessing")

# These log every delivery or connection at INFO; a step must not cost a log line.
_QUIET = ("celery", "kombu", "amqp", "billiard", "asyncio")


def logging_config(*, level: str, agents: Iterable[str] = ()) -> dict[str, Any]:
    """Return the LOGGING setting; `level` is for Swarm's and the agents' loggers.

    An agent's log lines also go into its step's log (workers/spawners/step_log.py).
    """
    own = {"level": level, "handlers": ["stderr"], "propagate": False}
    names = ("engine", "blueprints", "workers", "swarm_project")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"class": "blueprints.secrecy.Formatter", "format": LINE}
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            **{name: {"level": level} for name in (*agents, PRINTED)},
            **dict.fromkeys(names, own),
            **{name: {"level": "WARNING"} for name in _QUIET},
            # Each request that is refused would be a line.
            "django.request": {"level": "ERROR"},
            **{name: {"handlers": ["stderr"], "propagate": False} for name in _CELERYS},
        },
    }
