"""What `manage.py doctor` looks at in child processes: the launcher and its limits.

Nothing is taken on trust: real children are started that overstep each limit.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from workers.findings import Finding
from workers.process import Finished, Limits, ProcessRunner, environment
from workers.process.privacy import hide

# Where there is no /proc, other ways show an environment to every process of the user.
PEEK: Final = (
    "import os\n"
    "try: open('/proc/%d/environ', 'rb').read(); print('seen')\n"
    "except PermissionError: print('held')"
)
PATIENCE_S: Final = 10.0
MIB: Final = 1024 * 1024

# Leaves a process behind that belongs to no session or parent of ours.
LEAVER: Final = (
    "import os, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork(): os._exit(0)\n"
    "    os.setsid(); os.close(1); os.close(2); time.sleep(30)\n"
    "print('left')"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One limit: what it is, a child that oversteps it, and what it then prints."""

    name: str
    setting: str
    number: int
    limits: Limits
    code: str


# Each prints `held` where the limit stopped it, or is killed by the limit's signal.
PROBES: Final = (
    Probe(
        "CPU time", "SWARM_CHILD_CPU", resource.RLIMIT_CPU,
        Limits(cpu_s=1),
        "import time\nend = time.process_time() + 4\n"
        "while time.process_time() < end: pass",
    ),
    Probe(
        "memory", "SWARM_CHILD_MEMORY", resource.RLIMIT_DATA,
        Limits(memory=128 * MIB),
        "try: b = bytearray(512 * 1024 * 1024)\nexcept MemoryError: print('held')",
    ),
    Probe(
        "open files", "SWARM_CHILD_OPEN_FILES", resource.RLIMIT_NOFILE,
        Limits(open_files=32),
        "try: f = [open('/dev/null') for _ in range(64)]\n"
        "except OSError: print('held')",
    ),
    Probe(
        "file size", "SWARM_CHILD_FILE_SIZE", resource.RLIMIT_FSIZE,
        Limits(file_size=4096),
        "import tempfile\nf = tempfile.TemporaryFile(buffering=0)\n"
        "try: print('' if f.write(b'x' * 8192) == 8192 else 'held')\n"
        "except OSError: print('held')",
    ),
)  # fmt: skip


def child_processes() -> list[Finding]:
    """Return what launcher, limits and secrets showed; takes about two seconds."""
    with contextlib.closing(ProcessRunner()) as runner:
        first = launcher(runner)
        if first.level == "fail":
            return [first]
        return [first, *unenforced(runner), *ceilings(), secrets(runner)]


def launcher(runner: ProcessRunner) -> Finding:
    """Start a child that leaves a process behind, and see that it is swept."""
    try:
        done = _run(runner, LEAVER, Limits())
    except OSError as error:
        text = f"can't be started: {error}"
        return Finding("launcher", "fail", text, "is Python's own program gone?")
    if done.error is not None or done.exit_code != 0:
        why = done.error or f"its child exited with {done.exit_code}"
        hint = "agents of kind subprocess can't run: is a process limit reached?"
        return Finding("launcher", "fail", f"does not work: {why}", hint)
    if done.swept != 1:
        text = "starts children, but does not find what they leave behind"
        hint = "run agents of kind subprocess on Linux with /proc"
        return Finding("launcher", "warn", text, hint)
    return Finding("launcher", "ok", "starts children and ends what they leave behind")


def unenforced(runner: ProcessRunner) -> Iterator[Finding]:
    """Overstep each limit; yield what this host does not enforce, or one ok."""
    missing = [probe for probe in PROBES if not _holds(runner, probe)]
    for probe in missing:
        text = (
            f"{probe.name} ({probe.setting}) is not enforced on this host: a child"
            " process may take as much as there is"
        )
        hint = "run such workers on Linux, or in a container that has this limit"
        yield Finding("child limits", "warn", text, hint)
    if not missing:
        names = ", ".join(probe.name for probe in PROBES)
        yield Finding("child limits", "ok", f"enforced: {names}")


def ceilings() -> Iterator[Finding]:
    """Yield the settings above this process's own hard limits."""
    for probe in PROBES:
        wanted = getattr(settings, probe.setting)
        _, hard = resource.getrlimit(probe.number)
        if hard != resource.RLIM_INFINITY and hard < wanted:
            text = f"{probe.setting} is {wanted}, this host allows {hard}"
            hint = "lower the setting or raise the worker's hard limit (ulimit -H)"
            yield Finding("child limits", "warn", text, hint)


def secrets(runner: ProcessRunner) -> Finding:
    """Have a child try to read the environment of this process, hidden as a worker is."""
    hide()
    done = _run(runner, PEEK % os.getpid(), Limits())
    if done.stdout.strip() == b"held":
        text = "child processes can't read what their worker was started with"
        return Finding("secrets", "ok", text)
    text = (
        "a child process can read the environment of its worker, and every secret in it"
    )
    hint = (
        "run workers on Linux, /proc without `hidepid`; else give them no secrets that"
        " their agents' programs must not have"
    )
    return Finding("secrets", "warn", text, hint)


def _holds(runner: ProcessRunner, probe: Probe) -> bool:
    done = _run(runner, probe.code, probe.limits)
    # A child that our own patience ended was not ended by its limit.
    by_signal = done.signal is not None and not done.timed_out
    return by_signal or done.stdout.strip() == b"held"


def _run(runner: ProcessRunner, code: str, limits: Limits) -> Finished:
    return runner.run(
        [sys.executable, "-I", "-S", "-B", "-c", code],
        stdin=None,
        env=environment(),
        cwd=None,
        timeout=PATIENCE_S,
        max_output=MIB,
        limits=limits,
    )
