"""Rewrites documents of older dialects in the current words.

Only unambiguous parts are rewritten. The others stay as they are, and the compiler
reports them.
"""

import copy
from collections.abc import Mapping
from typing import Final

from engine.blueprint.findings.diagnostics import (
    BlueprintInvalid,
    Diagnostic,
    Level,
    place_in,
    resolve_place,
)
from engine.blueprint.upgrade_texts import expr_with_text, with_texts
from engine.flow.json_text import Json, find_fault
from engine.flow.source import in_source_words

RENAMED_OPS: Final[Mapping[str, str]] = {"le": "lte", "ge": "gte"}
# The old and the new name of a field, by operator.
RENAMED_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "and": ("operands", "args"),
    "or": ("operands", "args"),
    "not": ("operand", "arg"),
    "len": ("of", "arg"),
    "exists": ("at", "arg"),
}
KIND: Final = "older-dialect"


def upgrade(document: Json) -> tuple[Json, list[Diagnostic]]:
    """Return the document in the current words and a note for each change.

    The given document stays as it is, and the notes have places in it. Raises
    BlueprintInvalid for a value that is not JSON.
    """
    fault = find_fault(document)
    if fault is not None:
        raise BlueprintInvalid([Diagnostic("$", "not-json", f"{fault[0]}: {fault[1]}")])
    upgrader = _Upgrader()
    document = copy.deepcopy(document)
    if isinstance(document, dict):
        if "flow" in document:
            document["flow"] = upgrader.flow(document["flow"], "$.flow")
        upgrader.hints(document)
        if document.get("dialect") == "swarm":
            upgrader.words(document)
            upgrader.texts(document)
        upgrader.agents(document)
    return document, upgrader.notes


def older_words(value: Json, place: str) -> str | None:
    """Return the older word in the expression that a parse error points to.

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


class _Upgrader:
    """Rewrites a copy of a document and notes each change."""

    def __init__(self) -> None:
        self.notes: list[Diagnostic] = []

    def flow(self, value: Json, place: str) -> Json:
        """Return a part of a flow in the current words."""
        if isinstance(value, list):
            return [self.flow(part, f"{place}[{n}]") for n, part in enumerate(value)]
        if not isinstance(value, dict) or value.get("op") == "lit" or "lit" in value:
            return value
        entries = value.get("object")
        if "op" not in value and isinstance(entries, dict):
            # Its keys are data: an `op` among them makes no tree of it.
            return {**value, "object": self._parts(entries, f"{place}.object")}
        # Inner parts first, while the places are those of the given document.
        value = self._parts(value, place)
        return self._expr(value, place) if isinstance(value.get("op"), str) else value

    def _parts(self, value: dict[str, Json], place: str) -> dict[str, Json]:
        return {
            key: self.flow(part, place_in(place, [key])) for key, part in value.items()
        }

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
        return _renamed({**expr, old: value}, old, new)

    def hints(self, document: dict[str, Json]) -> None:
        """Rewrite the policies of agents: their retries and the keys of their limits."""
        for name, own in _object_in(document, "hints", "per_agent").items():
            place = place_in("$.hints.per_agent", [name])
            limit, retry = _object_in(own, "limit"), _object_in(own, "retry")
            if "key" in limit:
                limit["key"] = self.flow(limit["key"], f"{place}.limit.key")
            if "max" in retry and "max_attempts" not in retry:
                self._note(f"{place}.retry.max", "'max' is now 'max_attempts'")
                own["retry"] = _renamed(retry, "max", "max_attempts")

    def words(self, document: dict[str, Json]) -> None:
        """Rewrite the fields of nodes, and say what fanouts collect."""
        if "flow" in document:
            document["flow"] = in_source_words(document["flow"], "$.flow", self._note)

    def texts(self, document: dict[str, Json]) -> None:
        """Rewrite trees of operators as text."""
        if "flow" in document:
            document["flow"] = with_texts(document["flow"], "$.flow", self._note)
        hints, agents = (
            _object_in(document, "hints", "per_agent"),
            document.get("agents"),
        )
        policies = {
            place_in("$.hints.per_agent", [name]): hints[name] for name in hints
        }
        for number, agent in enumerate(agents if isinstance(agents, list) else []):
            policies[f"$.agents[{number}]"] = agent
        for place, own in policies.items():
            limit = _object_in(own, "limit")
            if "key" in limit:
                at = f"{place}.limit.key"
                limit["key"] = expr_with_text(limit["key"], at, self._note)

    def agents(self, document: dict[str, Json]) -> None:
        """Rewrite the runners of agents that have an older form of them."""
        agents = document.get("agents")
        for number, agent in enumerate(agents if isinstance(agents, list) else []):
            given = _object_in(agent)
            if given.get("runner") is None and given.get("runner_ref") is None:
                self._runner(given, f"$.agents[{number}]", document)

    def _runner(
        self, agent: dict[str, Json], place: str, document: dict[str, Json]
    ) -> None:
        profile = _object_in(agent, "profile")
        variant, tools = profile.get("worker_binding"), profile.get("tools", [])
        if isinstance(variant, str) and isinstance(tools, list):
            del profile["worker_binding"]
            backend = "ws_claude_code"
            runner = {"backend": backend, "variant": variant, "tools": list(tools)}
            agent["runner"] = runner
            self._note(f"{place}.profile.worker_binding", "the binding is now a runner")
            return
        name = agent.get("name")
        if isinstance(name, str):
            hints = _object_in(document, "hints", "per_agent", name)
            if isinstance(hints.get("subprocess_template"), str):
                template = hints.pop("subprocess_template")
                agent["runner"] = {"backend": "subprocess", "template": template}
                at = place_in("$.hints.per_agent", [name, "subprocess_template"])
                self._note(at, "the template is now named by the agent's runner")

    def _note(self, place: str, message: str) -> None:
        self.notes.append(Diagnostic(place, KIND, message, level=Level.INFO))


def _object_in(value: Json, *keys: str) -> dict[str, Json]:
    """Return the object at some keys, an empty one where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _renamed(value: dict[str, Json], old: str, new: str) -> dict[str, Json]:
    """Return an object whose new field stands where the old one stood."""
    return {new if key == old else key: part for key, part in value.items()}


def _old_path(path: str) -> str:
    """Return a path whose root and first key had no dot between them with one."""
    if len(path) > 1 and path[0] == "$" and path[1] not in '.["':
        return f"$.{path[1:]}"
    return path
