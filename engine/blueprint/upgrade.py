"""Brings documents of older dialects up to today's words (reference-language 1.10).

Only what can mean one thing is rewritten. The rest stays as it is, and the compiler
says what is wrong with it.
"""

import copy
from collections.abc import Mapping
from typing import Final

from engine.blueprint.diagnostics import (
    BlueprintInvalid,
    Diagnostic,
    Level,
    place_in,
    resolve_place,
)
from engine.flow.json_text import Json, find_fault

RENAMED_OPS: Final[Mapping[str, str]] = {"le": "lte", "ge": "gte"}
# What a field of an operator was called, and what it is called now.
RENAMED_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "and": ("operands", "args"),
    "or": ("operands", "args"),
    "not": ("operand", "arg"),
    "len": ("of", "arg"),
    "exists": ("at", "arg"),
}
KIND: Final = "older-dialect"


def upgrade(document: Json) -> Json:
    """Returns a Blueprint document in today's words; the given one is not changed.

    Raises BlueprintInvalid for what is no JSON.
    """
    return upgrade_with_notes(document)[0]


def upgrade_with_notes(document: Json) -> tuple[Json, list[Diagnostic]]:
    """Returns the document in today's words and a note for each thing rewritten.

    The places of the notes are those of the given document.
    """
    fault = find_fault(document)
    if fault is not None:
        raise BlueprintInvalid([Diagnostic("$", "not-json", f"{fault[0]}: {fault[1]}")])
    writer = _Writer()
    document = copy.deepcopy(document)
    if isinstance(document, dict):
        if "flow" in document:
            document["flow"] = writer.flow(document["flow"], "$.flow")
        writer.hints(document)
        writer.agents(document)
    return document, writer.notes


def older_words(value: Json, place: str) -> str | None:
    """Returns what is old about the expression that a parse error points to.

    `value` is the flow and `place` the error's place in it, from its own `$`.
    """
    try:
        found = resolve_place(value, place)
        owner = resolve_place(value, place.rpartition(".")[0]) if "." in place else None
    except LookupError:
        return None
    if place.endswith(".op") and isinstance(found, str) and found in RENAMED_OPS:
        return f"an older word for '{RENAMED_OPS[found]}'"
    if place.endswith(".at") and isinstance(found, str) and _old_path(found) != found:
        return f"an older spelling of {_old_path(found)!r}"
    for expr in (found, owner):
        if isinstance(expr, dict) and isinstance(expr.get("op"), str):
            old, new = RENAMED_FIELDS.get(expr["op"], ("", ""))
            if old in expr and new not in expr:
                return f"'{old}' is an older word for '{new}'"
    return None


class _Writer:
    """Rewrites a copy of a document and notes what it did."""

    def __init__(self) -> None:
        self.notes: list[Diagnostic] = []

    def flow(self, value: Json, place: str) -> Json:
        """Returns a part of a flow in today's words."""
        if isinstance(value, list):
            return [self.flow(part, f"{place}[{n}]") for n, part in enumerate(value)]
        if not isinstance(value, dict) or value.get("op") == "lit":
            return value
        # What is inside first, while the places are those of the given document.
        value = {
            key: self.flow(part, place_in(place, [key])) for key, part in value.items()
        }
        return self._expr(value, place) if isinstance(value.get("op"), str) else value

    def _expr(self, expr: dict[str, Json], place: str) -> dict[str, Json]:
        op = expr["op"]
        if op in RENAMED_OPS:
            self._note(f"{place}.op", f"'{op}' is now '{RENAMED_OPS[op]}'")
            return {**expr, "op": RENAMED_OPS[op]}
        if op == "path" and isinstance(expr.get("at"), str):
            path = _old_path(expr["at"])
            if path != expr["at"]:
                self._note(f"{place}.at", f"the path is now {path!r}")
            return {**expr, "at": path}
        old, new = RENAMED_FIELDS.get(op, ("", ""))
        if old not in expr or new in expr:
            return expr
        value = expr[old]
        if op == "exists":
            if not isinstance(value, str):
                return expr
            value = {"op": "path", "at": _old_path(value)}
            extra = "; a value of null counts as absent now"
        else:
            extra = ""
        self._note(place, f"'{old}' of '{op}' is now '{new}'{extra}")
        # The new field stands where the old one stood.
        return {
            new if key == old else key: value if key == old else part
            for key, part in expr.items()
        }

    def hints(self, document: dict[str, Json]) -> None:
        """Writes the policies of agents: their retries and the keys of their limits."""
        hints = document.get("hints")
        per_agent = hints.get("per_agent") if isinstance(hints, dict) else None
        for name, own in per_agent.items() if isinstance(per_agent, dict) else ():
            if not isinstance(own, dict):
                continue
            place, limit = place_in("$.hints.per_agent", [name]), own.get("limit")
            if isinstance(limit, dict) and "key" in limit:
                limit["key"] = self.flow(limit["key"], f"{place}.limit.key")
            retry = own.get("retry")
            if isinstance(retry, dict) and "max" in retry:
                own["retry"] = self._retry(retry, f"{place}.retry")

    def _retry(self, retry: dict[str, Json], place: str) -> dict[str, Json]:
        if "max_attempts" in retry:
            return retry
        self._note(f"{place}.max", "'max' is now 'max_attempts'")
        return {
            "max_attempts" if key == "max" else key: part for key, part in retry.items()
        }

    def agents(self, document: dict[str, Json]) -> None:
        """Writes the runners of agents that name them the old way."""
        agents = document.get("agents")
        hints = document.get("hints")
        per_agent = hints.get("per_agent") if isinstance(hints, dict) else None
        for number, agent in enumerate(agents if isinstance(agents, list) else []):
            if not isinstance(agent, dict):
                continue
            place = f"$.agents[{number}]"
            self._worker_binding(agent, place)
            name = agent.get("name")
            if not isinstance(per_agent, dict) or not isinstance(name, str):
                continue
            own = per_agent.get(name)
            if isinstance(own, dict) and isinstance(
                own.get("subprocess_template"), str
            ):
                self._template(agent, own, place_in("$.hints.per_agent", [name]))

    def _worker_binding(self, agent: dict[str, Json], place: str) -> None:
        profile = agent.get("profile")
        if not isinstance(profile, dict) or _has_runner(agent):
            return
        variant, tools = profile.get("worker_binding"), profile.get("tools", [])
        if not isinstance(variant, str) or not isinstance(tools, list):
            return
        del profile["worker_binding"]
        runner = {"backend": "ws_claude_code", "variant": variant, "tools": list(tools)}
        agent["runner"] = runner
        self._note(f"{place}.profile.worker_binding", "a runner says it now")

    def _template(
        self, agent: dict[str, Json], hints: dict[str, Json], place: str
    ) -> None:
        if _has_runner(agent):
            return
        template = hints.pop("subprocess_template")
        agent["runner"] = {"backend": "subprocess", "template": template}
        self._note(f"{place}.subprocess_template", "the agent's runner says it now")

    def _note(self, place: str, message: str) -> None:
        self.notes.append(Diagnostic(place, KIND, message, level=Level.INFO))


def _has_runner(agent: dict[str, Json]) -> bool:
    return agent.get("runner") is not None or agent.get("runner_ref") is not None


def _old_path(path: str) -> str:
    """Returns a path whose root and first key had no dot between them with one."""
    if len(path) > 1 and path[0] == "$" and path[1] not in '.["':
        return f"$.{path[1:]}"
    return path
