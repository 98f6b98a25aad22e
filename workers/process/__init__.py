"""Child processes that end with the worker: a launcher that sweeps, a runner with limits."""

from workers.process.runner import (
    DEFAULT_ALLOW,
    Finished,
    Limits,
    ProcessRunner,
    environment,
)

__all__ = ["DEFAULT_ALLOW", "Finished", "Limits", "ProcessRunner", "environment"]
