"""How the processes log: one line a record on stderr, quiet below the chosen level."""

from collections.abc import Iterable
from typing import Any

LINE = "%(asctime)s %(levelname)s %(name)s[%(process)d] %(message)s"
# Celery gives these a handler and a format of its own unless they have one.
_CELERYS = ("celery.task", "multiprocessing")

# These report every delivery or connection at INFO; a step must not cost a log line.
_QUIET = ("celery", "kombu", "amqp", "billiard", "asyncio")


def logging_config(*, level: str, agents: Iterable[str] = ()) -> dict[str, Any]:
    """Returns the LOGGING setting; `level` is that of our own and the agents' loggers.

    What an agent logs also goes into its step's log (workers/spawners/step_log.py).
    """
    own = {"level": level, "handlers": ["stderr"], "propagate": False}
    names = ("engine", "blueprints", "workers", "swarm_project")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "class": "swarm_project.secrecy.Formatter",
                "format": LINE,
            },
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            **{name: {"level": level} for name in agents},
            **dict.fromkeys(names, own),
            **{name: {"level": "WARNING"} for name in _QUIET},
            **{name: {"handlers": ["stderr"], "propagate": False} for name in _CELERYS},
        },
    }
