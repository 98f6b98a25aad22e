"""Child processes that end with the worker: a launcher that sweeps, a runner with limits."""

from workers.process.job import DEFAULT_ALLOW, Limits, environment
from workers.process.runner import Finished, ProcessRunner

__all__ = ["DEFAULT_ALLOW", "Finished", "Limits", "ProcessRunner", "environment"]
