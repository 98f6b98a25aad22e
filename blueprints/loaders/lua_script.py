"""Runs a `.bp.lua` script in the sandbox; what it returns is the document.

The script finds its parameters in `_CTX` and may require `flow_dsl` and `bp_dsl`.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings

from blueprints.conf import lua_host
from blueprints.loaders.documents import DocumentInvalid
from blueprints.loaders.files import MAX_BYTES, Unreadable, read_file
from engine.flow.json_text import Json
from engine.ports import LuaFault, LuaLimits, LuaScript
from engine.run.outputs import Log, OutputEvent, Progress
from engine.visible import visible

MODULES: Final = ("bp_dsl", "flow_dsl")
_INNER: Final = "dsl_checks"
_FOLDER: Final = Path(__file__).resolve().parent / "lua"
_WARNING: Final = "dsl-warning"
_ENDING: Final = "end the script with `return B.bp{id = ..., flow = ..., agents = ...}`"


def run_script(
    path: Path, params: Json
) -> tuple[Json, tuple[str, ...], tuple[str, ...]]:
    """Returns the document of a script, the DSL's warnings, and what was printed.

    It may take SWARM_LUA_TIME and SWARM_LUA_MEMORY, and give 4 MiB. Raises
    DocumentInvalid.
    """
    if params is not None and not isinstance(params, dict):
        rule = "the parameters of a script must be a JSON object"
        raise DocumentInvalid(path, rule, code="params")
    script = LuaScript(
        source=_source(path),
        label=path.name,
        input={} if params is None else params,
        find_module=_find_module,
    )
    limits = LuaLimits(settings.SWARM_LUA_TIME, settings.SWARM_LUA_MEMORY, MAX_BYTES)
    warnings: list[str] = []
    log: list[str] = []

    def hear(event: OutputEvent) -> None:
        match event:
            case Progress(stage, note) if stage == _WARNING:
                warnings.append(visible(note))
            case Log(text):
                log.append(visible(text))

    try:
        document = lua_host().run(script, limits, emit=hear)
    except LuaFault as fault:
        raise _invalid(path, fault) from None
    return _checked(path, document), tuple(warnings), tuple(log)


def _source(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8")
    except Unreadable as error:
        raise DocumentInvalid(path, str(error), code="io") from None
    except UnicodeDecodeError as error:
        rule = f"byte {error.start}: not UTF-8"
        raise DocumentInvalid(path, rule, code="io") from None


@cache
def _sources() -> Mapping[str, str]:
    names = (*MODULES, _INNER)
    return {name: (_FOLDER / f"{name}.lua").read_text("utf-8") for name in names}


def _find_module(name: str) -> str:
    source = _sources().get(name)
    if source is None:
        known = " and ".join(MODULES)
        raise LookupError(f"no Lua module is named {name!r}; a Blueprint has {known}")
    return source


def _invalid(path: Path, fault: LuaFault) -> DocumentInvalid:
    text, place = fault.text, ""
    match fault.kind:
        case "result":
            place = fault.place
            text = text.removeprefix(f"its result at {place}: ")
        case "time":
            text = (
                f"the script {text} (SWARM_LUA_TIME); is there a loop without an end?"
            )
        case "memory":
            text = f"the script {text} (SWARM_LUA_MEMORY)"
        case "output":
            text = f"the document has more than {MAX_BYTES} bytes (4 MiB)"
    return DocumentInvalid(path, visible(text), place, f"lua-{fault.kind}")


def _checked(path: Path, document: Json) -> Json:
    if isinstance(document, dict):
        if "kind" in document and "flow" not in document:
            rule = f"the script returns a node and no Blueprint; {_ENDING}"
            raise DocumentInvalid(path, rule, code="lua-result")
        return document
    what = "nothing" if document is None else "no table with names"
    rule = f"the script returns {what}; {_ENDING}"
    raise DocumentInvalid(path, rule, code="lua-result")
