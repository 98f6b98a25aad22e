"""The placeholders of a child process's template: a closed set, filled in one pass."""

import difflib
import re
from collections.abc import Mapping
from typing import Final

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


def placeholders_in(text: str) -> list[str]:
    """Returns the names between single braces, known or not, in the order of the text."""
    return [found[2] for found in _BRACES.finditer(text) if found[2]]


def check_placeholders(text: str) -> str:
    """Returns `text`; raises ValueError for a placeholder that does not exist."""
    for name in placeholders_in(text):
        if name not in PLACEHOLDERS:
            near = difflib.get_close_matches(name, PLACEHOLDERS, n=1)
            known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            hint = f"did you mean {{{near[0]}}}?" if near else f"known: {known};"
            raise ValueError(
                f"unknown placeholder {{{name}}}; {hint}"
                f" For these letters as text write {{{{{name}}}}}"
            )
    return text


def fill(text: str, values: Mapping[str, str]) -> str:
    """Returns `text` with its placeholders replaced; values are not looked at again.

    `{{name}}` becomes `{name}`. Raises KeyError for a name without a value.
    """
    return _BRACES.sub(
        lambda found: values[found[2]] if found[2] else f"{{{found[1]}}}", text
    )
