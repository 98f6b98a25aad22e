"""Code that a user has written: its frames in a traceback, and why it can't be imported."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blueprints import agent_modules
from blueprints.command_line import CODE
from engine import build
from engine.agents import LIBRARIES
from engine.build.blueprint import POLICY
from engine.flow.spelling import did_you_mean, hint_at

ENGINE: Final = f"{CODE / 'engine'}/"
OURS: Final = (ENGINE, f"{CODE / 'workers'}/")
_NO_OPTION: Final = re.compile(
    r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'"
)
_NO_NAME: Final = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")


def is_written(frame: traceback.FrameSummary) -> bool:
    """Return whether a frame's code is neither ours nor Python's nor a package's.

    Code without a file (`<frozen ...>`, `<string>`) can't be opened.
    """
    return not frame.filename.startswith((*OURS, *LIBRARIES, "<"))


@dataclass(frozen=True, slots=True)
class ImportFault:
    """Why a module can't be imported, and where: the column is 0 where it is unknown."""

    text: str
    file: str = ""
    line: int = 0
    column: int = 0


def import_fault(error: BaseException) -> ImportFault:
    """Return why `load_module` failed with an error, in words for the module's author."""
    if isinstance(error, SyntaxError) and Path(error.filename or "").is_file():
        text = f"Python can't read this: {error.msg}"
        file, line, column = error.filename, error.lineno, error.offset
        return ImportFault(text, file or "", line or 0, column or 0)
    frames = traceback.extract_tb(error.__traceback__)
    ours = [n for n, at in enumerate(frames) if at.filename == agent_modules.__file__]
    frames = frames[ours[-1] + 1 :] if ours else frames
    # The builder's own errors are whole sentences.
    ended = frames[-1].filename if frames else ""
    text = str(error) if ended.startswith(ENGINE) else _text(error)
    written = [one for one in frames if is_written(one)]
    if not written:
        return ImportFault(text)
    return ImportFault(text, written[-1].filename, written[-1].lineno or 0)


def _text(error: BaseException) -> str:
    named = _NO_NAME.match(str(error)) if isinstance(error, ImportError) else None
    if named is not None and named[2] in sys.modules:
        module = sys.modules[named[2]]
        known = getattr(module, "__all__", dir(module))
        return f"{named[2]} has no {named[1]!r}; {did_you_mean(named[1], known)}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"no module {error.name!r} can be found here: correct the name, save it"
            " beside this file, or install it"
        )
    if isinstance(error, SystemExit):
        return "the module ends the process (sys.exit): it is imported, not run"
    option = _NO_OPTION.match(str(error)) if isinstance(error, TypeError) else None
    if option is not None and option[1] in build.__all__:
        return _unknown_option(*option.groups())
    hint = ""
    if isinstance(error, NameError) and error.name and error.__traceback__:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        known = {*frame.f_locals, *frame.f_globals, *frame.f_builtins}
        hint = hint_at(error.name, known)
    return "; ".join(filter(None, (f"{type(error).__name__}: {error}", hint)))


def _unknown_option(function: str, option: str) -> str:
    """Return the fault of an argument that a function of the builder does not have."""
    options = inspect.signature(getattr(build, function)).parameters
    hint = did_you_mean(option, options)
    if function == "step" and option in POLICY:
        hint = f"it belongs to the agent: Blueprint(…, {option}={{AGENT: …}})"
    return f"{function} takes no {option!r}; {hint}"
