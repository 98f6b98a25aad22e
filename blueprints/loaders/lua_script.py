"""Run a `.bp.lua` script in the sandbox; its result is the document.

The script has its parameters in `_CTX` and may require `flow_dsl` and `bp_dsl`.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings

from blueprints.conf import lua_host
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import MAX_BYTES, FileUnreadable, read_text
from engine.flow.json_text import Json
from engine.flow.source import in_source_words
from engine.ports import LuaFault, LuaLimits, LuaScript
from engine.run.journal.outputs import Log, OutputEvent, Progress
from engine.visible import visible

SCRIPT: Final = ".bp.lua"
MODULES: Final = ("bp_dsl", "flow_dsl")
_INNER: Final = "dsl_checks"
_FOLDER: Final = Path(__file__).resolve().parent / "lua"
_PLACED: Final = re.compile(r"(\d+): (.*)", re.DOTALL)
# The text of a script follows on the same line, so that its lines keep their numbers.
_NOTING: Final = f"return require('{_INNER}').noted_lines(function(...) "
_WARNING: Final = "dsl-warning"
_ENDING: Final = "end the script with `return B.bp{id = ..., flow = ..., agents = ...}`"


def run_script(
    path: Path, params: Json
) -> tuple[Json, tuple[str, ...], tuple[str, ...]]:
    """Return the document of a script, the DSL's warnings and the script's log lines.

    The limits are SWARM_LUA_TIME, SWARM_LUA_MEMORY and 4 MiB for the document. Raises
    DocumentInvalid.
    """
    if params is not None and not isinstance(params, dict):
        rule = "the parameters of a script must be a JSON object"
        raise DocumentInvalid(path, rule, code="params")
    try:
        source = read_text(path)
    except FileUnreadable as error:
        raise DocumentInvalid(path, str(error), code="io") from None
    return run_source(path, source, params)


def run_source(
    path: Path, source: str, params: dict[str, Json] | None
) -> tuple[Json, tuple[str, ...], tuple[str, ...]]:
    """Return what `run_script` returns, for a script's text; `path` names it in errors."""
    script = _script(path, source, params)
    limits = _limits()
    warnings: list[str] = []
    log: list[str] = []

    def collect(event: OutputEvent) -> None:
        match event:
            case Progress(stage, note) if stage == _WARNING:
                warnings.append(visible(note))
            case Log(text):
                log.append(visible(text))

    try:
        document = lua_host().run(script, limits, emit=collect)
    except LuaFault as fault:
        raise _invalid(path, fault) from None
    return _checked(path, document), tuple(warnings), tuple(log)


def lines_of_script(path: Path, params: Json) -> list[tuple[list[str | int], int]]:
    """Return keys and line of each part of a script's document that a call made.

    The script runs again, and its calls note their lines. Raises LookupError if it
    fails, and FileUnreadable.
    """
    source = f"{_NOTING}{read_text(path)}\nend)"
    script = _script(path, source, params)
    try:
        return [(keys, line) for keys, line in lua_host().run(script, _limits())]
    except LuaFault as fault:
        raise LookupError(fault.text) from None


def _script(path: Path, source: str, params: Json) -> LuaScript:
    return LuaScript(
        source=source,
        label=path.name,
        input={} if params is None else params,
        find_module=_find_module,
    )


def _limits() -> LuaLimits:
    return LuaLimits(settings.SWARM_LUA_TIME, settings.SWARM_LUA_MEMORY, MAX_BYTES)


@cache
def _sources() -> Mapping[str, str]:
    names = (*MODULES, _INNER)
    return {name: (_FOLDER / f"{name}.lua").read_text("utf-8") for name in names}


def _find_module(name: str) -> str:
    source = _sources().get(name)
    if source is None:
        known = " and ".join(MODULES)
        raise LookupError(f"no Lua module is named {name!r}; a script has {known}")
    return source


def _invalid(path: Path, fault: LuaFault) -> DocumentInvalid:
    text, place = fault.text, ""
    match fault.kind:
        case "result":
            place = fault.place
            text = text.removeprefix(f"its result at {place}: ")
        case "time":
            text = f"the script {text} (SWARM_LUA_TIME); is there an endless loop?"
        case "memory":
            text = f"the script {text} (SWARM_LUA_MEMORY)"
        case "output":
            text = f"the document has more than {MAX_BYTES} bytes (4 MiB)"
    text, line = visible(text), 0
    label = f"{visible(path.name)}:"
    if found := _PLACED.fullmatch(text.removeprefix(label)):
        line, text = int(found[1]), found[2]
    return DocumentInvalid(path, text, place, f"lua-{fault.kind}", line=line)


def _checked(path: Path, document: Json) -> Json:
    if not isinstance(document, dict):
        result = "nothing" if document is None else "no table with names"
    elif "kind" in document and "flow" not in document:
        result = "a node and no Blueprint"
    else:
        if document.get("dialect") == "swarm" and "flow" in document:
            # The constructors make the nodes before they could know the dialect.
            document["flow"] = in_source_words(document["flow"])
        return document
    rule = f"the script returns {result}; {_ENDING}"
    raise DocumentInvalid(path, rule, code="lua-result")
