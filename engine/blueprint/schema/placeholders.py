"""The placeholders of a child process's template: a closed set, filled in one pass."""

import re
from collections.abc import Mapping
from typing import Final

from engine.flow.spelling import near

PLACEHOLDERS: Final = (
    "system",
    "system_file",
    "prompt",
    "model",
    "tools_csv",
    "work_dir",
    "task_id",
    "attempt",
)
# A brace pair is a placeholder only if it holds small letters; doubled braces are text.
_BRACES: Final = re.compile(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}")

PROGRAM: Final = r"^(?:\{\{[a-z_]+\}\}|\{work_dir\}|(?!\{[a-z_]+\})[^\x00])+$"
"""The text of a program: no placeholder but the folder of the run."""


def placeholders_in(text: str) -> list[str]:
    """Return the names between single braces, known or not, in the order of the text."""
    return [found[2] for found in _BRACES.finditer(text) if found[2]]


def check_placeholders(text: str) -> str:
    """Return `text`; raises ValueError for a placeholder that does not exist."""
    for name in placeholders_in(text):
        if name not in PLACEHOLDERS:
            meant = near(name, PLACEHOLDERS)
            known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            hint = f"did you mean {{{meant}}}?" if meant else f"known: {known};"
            raise ValueError(
                f"unknown placeholder {{{name}}}; {hint}"
                f" For these letters as text write {{{{{name}}}}}"
            )
    return text


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with its placeholders replaced, but not those inside of values.

    `{{name}}` becomes `{name}`. Raises KeyError for a name without a value.
    """
    return _BRACES.sub(
        lambda found: values[found[2]] if found[2] else f"{{{found[1]}}}", text
    )
