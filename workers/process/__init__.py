"""Child processes that end with the worker: a launcher that sweeps, a runner with limits."""
