"""The base of all commands: arguments, output, exit codes, misspelt verbs."""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, Final

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, OutputWrapper

from blueprints.checks import TAG, check_project
from blueprints.terminal import Output, visible_output
from engine.flow.spelling import hint_at

DONE: Final = 0
FAILED: Final = 1
REFUSED: Final = 2
TIMED_OUT: Final = 3
INTERRUPTED: Final = 130
MANAGE: Final = "manage"
SWARM: Final = "swarm"
"""Our console script."""
CODE: Final = Path(__file__).resolve().parents[1]
"""The checkout, or the folder of installed packages."""


class SwarmCommand(BaseCommand):
    """The base class of all commands: what they print passes through an Output.

    So no text from outside controls the terminal, and a closed pipe ends no command.
    """

    verbs: Collection[str] = ()
    """The names of its subcommands, if any."""
    suppressed_base_arguments = frozenset(
        {"--verbosity", "--no-color", "--force-color"}
    )
    """Options of Django that have no effect here: no help shows them."""
    requires_system_checks: Any = (TAG, Tags.models)
    """Loading the pages of the web takes longer than most commands."""
    needs_project = True
    """Whether it works only with the settings and apps of a project."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Turn off Django's colours, which an Output would show as text."""
        super().__init__(*args, **{**kwargs, "no_color": True})

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as a process: what Python prints at exit passes through an Output, too."""
        out, err = Output.of(sys.stdout), Output.of(sys.stderr)
        sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
        self.stdout, self.stderr = OutputWrapper(out), OutputWrapper(err)
        try:
            self._refuse_unfit_project()
            self._refuse_unknown_verb(argv)
            super().run_from_argv(argv)
        except SystemExit as ended:
            if not report_loss(out):
                raise
            sys.exit(ended.code or REFUSED)
        if report_loss(out):
            sys.exit(REFUSED)

    def _refuse_unfit_project(self) -> None:
        """Exit if the project lacks a part, before one is used to parse arguments."""
        faults = check_project() if self.needs_project else []
        for fault in faults:
            sys.stderr.write(f"{fault.msg}. {fault.hint}\n")
        if faults:
            sys.exit(REFUSED)

    def _refuse_unknown_verb(self, argv: Sequence[str]) -> None:
        """Exit if the verb is misspelt; the parser refuses all other unknown verbs."""
        word = argv[2] if len(argv) > 2 else ""
        hint = hint_at(word, self.verbs)
        if hint and word not in self.verbs:
            sys.stderr.write(
                f"`{typed(argv[1])}` has no verb {word!r}; {hint}"
                f" (all: {', '.join(self.verbs)})\n"
            )
            sys.exit(REFUSED)

    def execute(self, *args: Any, **options: Any) -> Any:
        """Run in another program."""
        with visible_output():
            return super().execute(*args, **options)


def login_name() -> str:
    """Return the login of the person at this machine, `uid-N` where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def report_loss(out: Output) -> bool:
    """Return whether output was lost, and report it on standard error once.

    A pipe that its reader closes (`| head`) loses nothing.
    """
    out.flush()
    if out.error is None or isinstance(out.error, BrokenPipeError) or out.reported:
        return False
    sys.stderr.write(f"standard output can't be written: {out.fault}\n")
    return True


def typed(command: str) -> str:
    """Return the command line that runs a command as this one was started.

    A worker or a server was started by neither `swarm` nor manage.py: it names manage.py
    if the project has one. `uv run` sets UV in the environment of its command.
    """
    program, uv = Path(sys.argv[0]).stem, uv_run(Path())
    if program not in (MANAGE, SWARM):
        has_one = Path(settings.SWARM_PROJECT_DIR, f"{MANAGE}.py").is_file()
        program = MANAGE if has_one else SWARM
    if program == MANAGE:
        return f"{uv or 'python'} manage.py {command}"
    return f"{uv} swarm {command}".lstrip()


def uv_run(folder: Path) -> str:
    """Return the words that start a program in a folder by uv; "" without uv.

    Outside of the checkout, uv finds it only by its name.
    """
    if not os.environ.get("UV"):
        return ""
    checkout = (CODE / "pyproject.toml").is_file()
    if not checkout or folder.resolve().is_relative_to(CODE):
        return "uv run"
    return f"uv run --project {quote(str(CODE))}"


def console_script(folder: Path) -> str:
    """Return what starts our console script in a folder: its path if PATH lacks it."""
    if uv := uv_run(folder):
        return f"{uv} {SWARM}"
    script = Path(sys.executable).with_name(SWARM)
    found = shutil.which(SWARM)
    on_path = found and Path(found).resolve() == script.resolve()
    return SWARM if on_path else quote(str(script))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type if the text is empty."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def counted_as(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a parser of arguments that are whole numbers from `least` to `most`."""
    bounds = f"from {least}" + ("" if most is None else f" to {most}")

    def read(text: str) -> int:
        # Only digits: int() also accepts spaces, underscores and signs.
        digits = text.isascii() and text.isdecimal() and len(text) < 12
        if not digits or int(text) < least or (most is not None and int(text) > most):
            raise ArgumentTypeError(f"expected a whole number {bounds}, got {text!r}")
        return int(text)

    return read


def names(text: str) -> list[str]:
    """Parse names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def file_to_write(text: str) -> Path:
    """Parse the path of a file that is to be written, in a folder that exists."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        fault = "a folder" if path.is_dir() else "in no folder that exists"
        raise ArgumentTypeError(f"expected the path of a file, but {text!r} is {fault}")
    return path


def positive_seconds(text: str) -> float:
    """Parse a number of seconds greater than 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    # NaN fails this comparison, too.
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"expected seconds greater than 0, got {text!r}")
    return value
