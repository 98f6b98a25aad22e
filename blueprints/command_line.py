"""Commands as a person types them: how one speaks and ends, what a misspelt one means."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any, Final

from django.core.management.base import BaseCommand, OutputWrapper

from blueprints.terminal import Mouth, mouths

USAGE: Final = 2


class SwarmCommand(BaseCommand):
    """A command that says nothing for a terminal to obey, and ends well unheard.

    Every command of ours is one: what is printed while it works passes a mouth.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Be without Django's colours, which are escapes like any other."""
        super().__init__(*args, **{**kwargs, "no_color": True})

    def run_from_argv(self, argv: list[str]) -> None:
        """Be a process: what is said at its very end passes the mouths, too."""
        out, err = Mouth.over(sys.stdout), Mouth.over(sys.stderr)
        sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
        self.stdout, self.stderr = OutputWrapper(out), OutputWrapper(err)
        try:
            super().run_from_argv(argv)
        except SystemExit as ended:
            if not unheard(out):
                raise
            sys.exit(ended.code or USAGE)
        if unheard(out):
            sys.exit(USAGE)

    def execute(self, *args: Any, **options: Any) -> Any:
        """Be called by another program."""
        with mouths():
            return super().execute(*args, **options)


def unheard(out: Mouth) -> bool:
    """Tell on standard error that what a command said is lost, unless that is known.

    Whoever closes a pipe (`| head`) has seen enough.
    """
    out.flush()
    if out.lost is None or isinstance(out.lost, BrokenPipeError) or out.excused:
        return False
    sys.stderr.write(f"standard output can't be written: {out.unread}\n")
    return True


def typed(command: str) -> str:
    """Return a command of manage.py as it has to be typed where this one was started.

    `uv run` sets UV for what it starts; without it, Python itself is in the environment.
    """
    start = "uv run" if os.environ.get("UV") else "python"
    return f"{start} manage.py {command}"


def refuse_unknown_verb(argv: Sequence[str], verbs: Collection[str]) -> None:
    """End with exit code 2 if a command's first word is no verb of it, but near to one.

    `argv` is that of `manage.py`; what is near to none is left to the parser.
    """
    word = argv[2] if len(argv) > 2 else ""
    near = [] if word in verbs else get_close_matches(word, verbs, n=1)
    if near:
        sys.stderr.write(
            f"`manage.py {argv[1]}` has no verb {word!r}; did you mean {near[0]!r}?"
            f" (all: {', '.join(verbs)})\n"
        )
        sys.exit(USAGE)
