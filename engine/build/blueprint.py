"""A whole Blueprint: a flow, its agents and their policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from engine.agent_names import Agent, Function, agent_name, require_importable
from engine.blueprint.kinds.python_fn import KIND as PYTHON_FN
from engine.build.expressions import Value, unwrapped
from engine.build.nodes import Keys, Node, caller
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean, near

POLICY: Final = ("timeout", "retry", "queue", "priority", "limit")
"""What a Blueprint says of its agents, each in an argument of its own."""

Duration: TypeAlias = float | str
"""Seconds, or a text such as `30s`, `5m`, `1h30m`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When an attempt is retried; `max_attempts` counts the first one too.

    `never` names the errors after which nothing is retried.
    """

    max_attempts: int | None = None
    base: Duration | None = None
    cap: Duration | None = None
    jitter: float | None = None
    budget: Duration | None = None
    never: Sequence[str] | None = None

    def to_json(self) -> Json:
        """Return the given fields in the words of a document."""
        words = {
            "max_attempts": self.max_attempts,
            "base": self.base,
            "cap": self.cap,
            "jitter": self.jitter,
            "budget": self.budget,
            "not": None if self.never is None else list(self.never),
        }
        return {word: value for word, value in words.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max` attempts with an equal value of the expression `key` at once."""

    key: Value
    max: int

    def to_json(self) -> Json:
        """Return the limit in the words of a document."""
        return {"key": unwrapped(self.key, "Limit: key").to_json(), "max": self.max}


class Blueprint:
    """A flow with its agents: `document` is the Blueprint as JSON.

    Functions that the flow names are agents by that alone. `agents` are those of other
    kinds, as in a document, and steps name them by text.
    """

    def __init__(
        self,
        id: str,
        flow: Node,
        *,
        agents: Sequence[Mapping[str, Json]] = (),
        timeout: Mapping[Agent, Duration] | None = None,
        retry: Mapping[Agent, Retry] | None = None,
        queue: Mapping[Agent, str] | None = None,
        priority: Mapping[Agent, Literal["hi", "std", "lo"]] | None = None,
        limit: Mapping[Agent, Limit] | None = None,
        init_ctx: Json = None,
        description: str | None = None,
        fields: Mapping[str, Json] | None = None,
    ) -> None:
        """Build the document; `fields` are other fields of it, in its words.

        Raises TypeError for what is no flow, and for a policy of an unknown agent.
        """
        if not isinstance(flow, Node):
            raise TypeError(f"Blueprint: expected a node such as seq(…), got {flow!r}")
        self.id = id
        self.flow = flow
        self.file, self.line = caller()
        try:
            written = flow.written()
        except RecursionError:
            text = f"the flow of {id!r} is nested too deeply; split it"
            raise TypeError(text) from None
        self.functions = dict(_functions(flow))
        policies = (timeout, retry, queue, priority, limit)
        defined = {name: self._agent(name) for name in self.functions}
        defined |= {str(one["name"]): dict(one) for one in agents}
        for word, values in zip(POLICY, policies, strict=True):
            for agent, value in (values or {}).items():
                name = agent_name(agent)
                if name not in defined:
                    hint = _meant(name, defined)
                    text = f"Blueprint: {word} names {name!r}, but no step does"
                    raise TypeError(f"{text}; {hint}" if hint else text)
                defined[name][word] = _policy(value)
        about = None if description is None else {"description": description}
        given = {"default_init_ctx": init_ctx, "metadata": about}
        own: dict[str, Json] = {
            "dialect": "swarm",
            "id": id,
            "flow": written,
            "agents": list(defined.values()),
            **{word: value for word, value in given.items() if value is not None},
        }
        if taken := own.keys() & (fields or {}).keys():
            raise TypeError(f"Blueprint: fields repeats {', '.join(sorted(taken))}")
        self.document: dict[str, Json] = {**own, **(fields or {})}

    def _agent(self, name: str) -> dict[str, Json]:
        return {"name": name, "kind": PYTHON_FN.name, "spec": {"fn": name}}

    def check(self) -> None:
        """Raise TypeError if a worker would import another function than a step names."""
        for name, function in self.functions.items():
            require_importable(name, function)

    def lines(self) -> Iterator[tuple[Keys, str, int]]:
        """Yield the keys of each node in the document, with the file and the line.

        The document itself, without keys, has those of the Blueprint.
        """
        yield (), self.file, self.line
        for keys, node in self.flow.walk(("flow",)):
            yield keys, node.file, node.line


def _functions(flow: Node) -> Iterator[tuple[str, Function]]:
    """Yield the functions that steps name; raise TypeError for two of one name."""
    found: dict[str, Function] = {}
    for _, node in flow.walk():
        if node.agent is None or isinstance(node.agent, str):
            continue
        name = agent_name(node.agent)
        if found.setdefault(name, node.agent) is not node.agent:
            raise TypeError(f"two functions are named {name}; rename one of them")
        yield name, node.agent


def _policy(value: Any) -> Json:
    return value.to_json() if isinstance(value, Retry | Limit) else value


def _meant(name: str, defined: Mapping[str, Any]) -> str:
    """Return which agent may be meant; the name of a function alone is near its own."""
    functions = {one.rpartition(":")[2]: one for one in defined}
    found = near(name.rpartition(":")[2], functions)
    return did_you_mean(functions[found] if found else name, defined)
