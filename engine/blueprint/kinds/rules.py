"""The base class of agent kinds, and an agent with its bindings."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.blueprint.findings.diagnostics import Element, Finding
from engine.blueprint.schema.agents import AgentDef, ContextPolicy, Runner
from engine.blueprint.schema.strict import Strict
from engine.blueprint.schema.subprocess_template import SubprocessDef, SubprocessRunner
from engine.flow.json_text import Json


@dataclass(frozen=True, slots=True)
class BoundAgent:
    """An agent with its kind, runner, template and context policy resolved.

    `source` names the step of the cascade that gave the runner; `fault` is set where the
    cascade failed.
    """

    place: str
    agent: AgentDef
    kind: str
    rules: "AgentKind"
    runner: Runner | None
    source: str
    template: SubprocessDef | None
    context_policy: ContextPolicy | None
    fault: Finding | None = None

    @property
    def element(self) -> Element:
        """The element of findings about this agent."""
        return Element("Agent", self.agent.name)

    @property
    def spec(self) -> dict[str, Json]:
        """The agent's own spec, empty where it is absent or no object."""
        return self.agent.spec if isinstance(self.agent.spec, dict) else {}

    @property
    def tools(self) -> list[str]:
        """The tools the agent is granted: the runner's, else the profile's."""
        if self.runner is not None and not isinstance(self.runner, SubprocessRunner):
            return list(self.runner.tools)
        return [] if self.agent.profile is None else list(self.agent.profile.tools)

    def digest(self) -> str:
        """Return the digest of the snapshot as `sha256:` and 64 hex digits.

        It covers the content of a template, so that an edit of it changes the digest.
        """
        policy = self.context_policy
        snapshot: dict[str, Json] = {
            "agent": self.agent.name,
            "runner": None if self.runner is None else self.runner.model_dump(),
            "context_policy": None if policy is None else policy.model_dump(),
            "runner_source": self.source,
            "attestation": None,
        }
        if self.template is not None:
            snapshot["template"] = self.template.model_dump()
        text = json.dumps(snapshot, ensure_ascii=False, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


# Compared by identity: the table of lacks is searched for each agent.
@dataclass(frozen=True, slots=True, eq=False)
class Lack:
    """A part of the document that has no effect yet.

    `at` are its possible places (`[]` for each item of a list, `{}` of a map), `missing`
    describes what does not happen, `instead` the alternative. `applies` selects agents;
    a place outside of agents has no effect if any agent is selected.
    """

    at: tuple[str, ...]
    missing: str
    instead: str
    applies: Callable[[BoundAgent], bool] = lambda _: True


UNUSED_PROFILE: Final = Lack(
    tuple(
        f"agents[].profile.{field}"
        for field in ("system_prompt", "model", "tools", "effort", "extras")
    ),
    "a function or script is given its step's input, and nothing of its profile",
    "give the step what it needs in its `in`",
)
"""The lack of kinds that run code and read no prompt."""


class AgentKind:
    """One kind of agent: each difference between kinds is an attribute or method.

    The base class stands for a kind that an installation adds: its spec is free.
    """

    name = ""
    aliases: tuple[str, ...] = ()
    """Older names of the kind."""
    backends: tuple[str, ...] = ()
    """The backends of the runners that serve the kind."""
    spec: type[Strict] | None = None
    """The shape of `agents[].spec`."""
    other_specs: tuple[type[Strict], ...] = ()
    """The other shapes that `model` may return."""
    schema: Mapping[str, Json] | None = None
    """The JSON Schema of an agent, where `spec` alone does not give it."""
    answers = False
    """Whether a person or model reads a prompt and answers in words."""
    holds_worker = True
    """Whether a worker is busy while the agent works, so that fleets limit the work."""
    needs_timeout = False
    """Whether the duration of an attempt depends on a person or a program."""
    needs_runner = False
    """Whether an agent of this kind cannot work without a runner."""
    has_context = False
    """Whether an agent receives its context."""
    is_markdown_default = False
    """Whether this is the default kind of agents in Markdown files."""
    lacks: tuple[Lack, ...] = ()
    """The parts of a document that have no effect on agents of this kind yet."""

    def model(self, bound: BoundAgent) -> type[Strict] | None:
        """Return the shape of this agent's spec, None for a free one."""
        return self.spec

    def check(self, bound: BoundAgent) -> Iterator[Finding]:
        """Yield the faults of a spec that its shape cannot express."""
        yield from ()

    def shared_spec(self, bound: BoundAgent) -> Mapping[str, Json] | None:
        """Return the spec if it is outside of the agent, else None."""
        return None

    def takes_default_runner(self, agent: AgentDef) -> bool:
        """Return whether an agent without a runner uses the document's default one."""
        return True

    def seat(self, bound: BoundAgent) -> str | None:
        """Return the seat that the agent needs."""
        return None

    def mcp_servers(self, bound: BoundAgent) -> list[str] | None:
        """Return the names of the agent's MCP servers, None if the kind has none."""
        return None

    def template_variables(self, spec: Mapping[str, Json]) -> list[str]:
        """Return the placeholders that an attempt fills in a checked spec, sorted."""
        return []

    def describe(self, spec: Mapping[str, Any]) -> str:
        """Return a one-line description: the function, script, program or seat."""
        return ""
