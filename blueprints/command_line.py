"""Commands as a person types them: how to write one, and what a misspelt one means."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Final

USAGE: Final = 2


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
