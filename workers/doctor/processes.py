"""The check of `manage.py doctor` for child processes: launcher, limits and secrets.

It starts real child processes that exceed each limit.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from django.conf import settings

from workers.doctor.check_result import CheckResult, fail, ok, warn
from workers.process.job import ChildLimits, environment
from workers.process.posix import hide
from workers.process.runner import Finished, ProcessRunner

# Where there is no /proc, other ways show an environment to every process of the user.
PEEK: Final = (
    "import os\n"
    "try: open('/proc/%d/environ', 'rb').read(); print('seen')\n"
    "except PermissionError: print('refused')"
)
PATIENCE_S: Final = 10.0
MIB: Final = 1024 * 1024

# Leaves a process behind that has another session and another parent.
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
    """One limit, and the code of a child process that exceeds it."""

    name: str
    setting: str
    number: int
    limits: ChildLimits
    code: str


# Each prints `enforced` where the limit stopped it, or is killed by the limit's signal.
PROBES: Final = (
    Probe(
        "CPU time", "SWARM_CHILD_CPU", resource.RLIMIT_CPU,
        ChildLimits(cpu_s=1),
        "import time\nend = time.process_time() + 4\n"
        "while time.process_time() < end: pass",
    ),
    Probe(
        "memory", "SWARM_CHILD_MEMORY", resource.RLIMIT_DATA,
        ChildLimits(memory=128 * MIB),
        "try: b = bytearray(512 * 1024 * 1024)\nexcept MemoryError: print('enforced')",
    ),
    Probe(
        "open files", "SWARM_CHILD_OPEN_FILES", resource.RLIMIT_NOFILE,
        ChildLimits(open_files=32),
        "try: f = [open('/dev/null') for _ in range(64)]\n"
        "except OSError: print('enforced')",
    ),
    Probe(
        "file size", "SWARM_CHILD_FILE_SIZE", resource.RLIMIT_FSIZE,
        ChildLimits(file_size=4096),
        "import tempfile\nf = tempfile.TemporaryFile(buffering=0)\n"
        "try: print('' if f.write(b'x' * 8192) == 8192 else 'enforced')\n"
        "except OSError: print('enforced')",
    ),
)  # fmt: skip


def child_processes() -> Iterator[CheckResult]:
    """Yield the results for launcher, limits and secrets; takes about two seconds."""
    with contextlib.closing(ProcessRunner()) as runner:
        first = check_launcher(runner)
        yield replace(first, name="launcher")
        if first.level != "fail":
            for result in (*check_limits(runner), *check_ceilings()):
                yield replace(result, name="child limits")
            yield replace(check_secrets(runner), name="secrets")


def check_launcher(runner: ProcessRunner) -> CheckResult:
    """Start a child that leaves a process behind, and check that the launcher ends it."""
    try:
        done = _run(runner, LEAVER, ChildLimits())
    except OSError as error:
        hint = "check that Python's own program is still there"
        return fail(f"can't be started: {error}", hint)
    if done.error is not None or done.exit_code != 0:
        why = done.error or f"its child exited with {done.exit_code}"
        hint = "agents of kind subprocess can't run: check the limit on processes"
        return fail(f"does not work: {why}", hint)
    if done.swept != 1:
        text = "starts children, but does not find the processes they leave behind"
        return warn(text, "run agents of kind subprocess on Linux with /proc")
    return ok("starts children and ends the processes they leave behind")


def check_limits(runner: ProcessRunner) -> Iterator[CheckResult]:
    """Exceed each limit; yield a warning for each that this host does not enforce."""
    missing = [probe for probe in PROBES if not _is_enforced(runner, probe)]
    for probe in missing:
        yield warn(
            f"{probe.name} ({probe.setting}) is not enforced on this host: a child"
            " process may take as much as there is",
            "run workers on Linux, or in a container that has this limit",
        )
    if not missing:
        yield ok(f"enforced: {', '.join(probe.name for probe in PROBES)}")


def check_ceilings() -> Iterator[CheckResult]:
    """Yield a warning for each setting above the hard limit of this process."""
    for probe in PROBES:
        wanted = getattr(settings, probe.setting)
        _, hard = resource.getrlimit(probe.number)
        if hard != resource.RLIM_INFINITY and hard < wanted:
            text = f"{probe.setting} is {wanted}, this host allows {hard}"
            hint = "lower the setting or raise the worker's hard limit (ulimit -H)"
            yield warn(text, hint)


def check_secrets(runner: ProcessRunner) -> CheckResult:
    """Check that a child can't read this process's environment, hidden like a worker's."""
    hide()
    done = _run(runner, PEEK % os.getpid(), ChildLimits())
    if done.stdout.strip() == b"refused":
        return ok("child processes can't read the environment of their worker")
    return warn(
        "a child process can read the environment of its worker, and every secret in it",
        "run workers on Linux, /proc without `hidepid`; else give them no secrets that"
        " their agents' programs must not have",
    )


def _is_enforced(runner: ProcessRunner, probe: Probe) -> bool:
    done = _run(runner, probe.code, probe.limits)
    # A child that PATIENCE_S ended was not ended by its limit.
    by_signal = done.signal is not None and not done.timed_out
    return by_signal or done.stdout.strip() == b"enforced"


def _run(runner: ProcessRunner, code: str, limits: ChildLimits) -> Finished:
    return runner.run(
        [sys.executable, "-I", "-S", "-B", "-c", code],
        stdin=None,
        env=environment(),
        cwd=None,
        timeout=PATIENCE_S,
        max_output=MIB,
        limits=limits,
    )
