"""A process that has imported what commands need, and forks for each of them.

Starting Python and Django anew takes most of the time of a short command. Each command is
a process of its own all the same: it can be killed, and nothing was opened before the fork.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any


class Forked:
    """A Python file that runs in a process of its own; its output goes to files."""

    def __init__(self, server: "ForkingProcess", out: Path, words: tuple[str, ...]):
        self.server, self._out = server, out
        self.pid = server.ask("start", str(out), *words)

    def wait(self) -> int:
        """Wait for its end; returns its exit code, or minus the signal that ended it."""
        return self.server.ask("wait", str(self.pid))

    @property
    def out(self) -> str:
        """What it has printed."""
        return self._out.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        """What it has said on the side."""
        return self._out.with_suffix(".err").read_text()


class ForkingProcess:
    """Starts Python files in an environment, from a process that has imported modules."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process, self._folder, self._numbers = process, folder, count()

    def start(self, *words: str) -> Forked:
        """Start a Python file with its arguments."""
        return Forked(self, self._folder / f"forked-{next(self._numbers)}", words)

    def ask(self, *words: str) -> int:
        """Ask the process for something, and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


@contextmanager
def forking_process(
    cwd: Path, environ: Mapping[str, str], folder: Path, *modules: str
) -> Iterator[ForkingProcess]:
    """Run a process that imports modules and forks; outputs are kept in a folder."""
    process = subprocess.Popen(
        [sys.executable, __file__, *modules],
        cwd=cwd, env=environ, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with process:
        try:
            yield ForkingProcess(process, folder)
        finally:
            # What it has forked has the same group.
            os.killpg(process.pid, signal.SIGKILL)


def run(out: str, *words: str) -> int:
    """Run a Python file as Python does; returns its exit code."""
    for number, name in ((0, os.devnull), (1, f"{out}.out"), (2, f"{out}.err")):
        opened = os.open(name, os.O_CREAT | os.O_RDWR if number else os.O_RDONLY, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = list(words)
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def answer(verb: str, *words: Any) -> int:
    """Do what was asked: start a Python file, or wait for the end of one."""
    if verb == "wait":
        return os.waitstatus_to_exitcode(os.waitpid(int(words[0]), 0)[1])
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = run(*words)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return pid


if __name__ == "__main__":
    for module in sys.argv[1:]:
        import_module(module)
    for line in sys.stdin:
        print(answer(*json.loads(line)), flush=True)
