"""Routes of agents: what the compiler makes of them, which bindings they request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from blueprints.api.openapi import COMPILED, route
from blueprints.api.problems import Problem
from blueprints.api.shapes import NamedVersionSerializer
from blueprints.api.versions import VersionQuery, VersionView
from blueprints.authoring.explain import agent_facts, for_people
from blueprints.models.api_keys import Right
from blueprints.preflight import compile_here, known_kinds, legacy_bindings
from blueprints.selectors.blueprints import version_content
from engine.blueprint import Program
from engine.blueprint.analysis.binding import bind_agents, bind_requests
from engine.blueprint.reading import read_blueprint
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean


class RunnerSerializer(serializers.Serializer[Any]):
    """The runner of an agent, and where it comes from."""

    resolved = serializers.DictField(allow_null=True)
    source = serializers.CharField()
    binding_digest = serializers.CharField(allow_null=True)


class PromptSerializer(serializers.Serializer[Any]):
    """The size of a system prompt."""

    bytes = serializers.IntegerField()
    lines = serializers.IntegerField()


class AgentSerializer(serializers.Serializer[Any]):
    """A compiled agent: every reference resolved, every default filled in."""

    agent = serializers.CharField()
    kind = serializers.CharField()
    queue = serializers.CharField()
    timeout_ms = serializers.IntegerField(allow_null=True)
    retry = serializers.DictField()
    spec = serializers.DictField()
    limit = serializers.DictField(allow_null=True)
    verdict = serializers.DictField(allow_null=True)
    worker_binding = serializers.CharField(allow_null=True)
    runner = RunnerSerializer()
    declared_tools = serializers.ListField(
        child=serializers.CharField(), help_text="What it says it uses; not enforced."
    )
    system_prompt = PromptSerializer()
    effective_ctx = serializers.DictField()
    context_policy = serializers.DictField(allow_null=True)
    output_names = serializers.ListField(child=serializers.CharField())
    steps = serializers.ListField(child=serializers.CharField())
    about = serializers.DictField()


class ExplainedAgentSerializer(AgentSerializer):
    """One agent of a version."""

    blueprint = NamedVersionSerializer()


class ExplainedSerializer(serializers.Serializer[Any]):
    """All agents of a version."""

    blueprint = NamedVersionSerializer()
    program_id = serializers.CharField()
    agents = AgentSerializer(many=True)


def explained(document: Json) -> tuple[Program, dict[str, dict[str, Json]]]:
    """Return the program of a document and its agents; raises BlueprintInvalid."""
    program = compile_here(document, anywhere=True)
    notes = for_people(document)["agents"]
    return program, {
        name: _agent(agent_facts(program, agent), notes.get(name, {}))
        for name, agent in program.agents.items()
    }


def _agent(facts: dict[str, Json], about: Json) -> dict[str, Json]:
    profile = facts["profile"] or {}
    runner = facts["runner"] or {}
    same = (
        "kind", "queue", "timeout_ms", "retry", "spec", "limit", "verdict",
        "context_policy", "steps",
    )  # fmt: skip
    return {
        "agent": facts["name"],
        **{name: facts[name] for name in same},
        "worker_binding": profile.get("worker_binding"),
        "runner": {
            "resolved": facts["runner"],
            "source": facts["runner_source"],
            "binding_digest": facts["binding_digest"],
        },
        "declared_tools": list(runner.get("tools") or profile.get("tools") or ()),
        "system_prompt": facts["prompt"],
        "effective_ctx": facts["ctx"],
        "output_names": facts["public_names"],
        "about": about,
    }


class ExplainAgents(VersionView):
    """All agents of a version."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "Explain all agents",
        {200: ExplainedSerializer},
        query=VersionQuery,
        problems=COMPILED,
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer what the compiler makes of each agent."""
        row = self.version_of(id)
        program, agents = explained(version_content(row).document)
        return Response(
            {
                "blueprint": NamedVersionSerializer(row).data,
                "program_id": program.program_id,
                "agents": list(agents.values()),
            }
        )


class ExplainAgent(VersionView):
    """One agent of a version."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "Explain an agent",
        {200: ExplainedAgentSerializer},
        query=VersionQuery,
        problems=[*COMPILED, "agent-unknown"],
    )
    def get(self, request: Request, id: str, agent: str) -> Response:
        """Answer what the compiler makes of an agent."""
        row = self.version_of(id)
        _, agents = explained(version_content(row).document)
        if agent not in agents:
            hint = did_you_mean(agent[:200], agents) or "It has no agents."
            text = f"Blueprint {id!r} has no agent {agent!r}."
            details = {"agents": sorted(agents)}
            raise Problem("agent-unknown", text, hint=hint, details=details)
        body = {"blueprint": NamedVersionSerializer(row).data, **agents[agent]}
        return Response(body)


class RequirementSerializer(serializers.Serializer[Any]):
    """A binding that an agent requests from the provider of its operator or model."""

    agent = serializers.CharField()
    request_digest = serializers.CharField()
    backend = serializers.CharField()
    binding_target = serializers.CharField(allow_null=True)
    requested_model = serializers.CharField(allow_null=True)
    requested_tools = serializers.ListField(child=serializers.CharField())
    launch_variant = serializers.CharField(allow_null=True)


class RequirementsSerializer(serializers.Serializer[Any]):
    """All bindings that the agents of a version request."""

    blueprint_id = serializers.CharField()
    strict_binding = serializers.BooleanField()
    requirements = RequirementSerializer(many=True)


class BindingRequirements(VersionView):
    """What an operator's manifest must cover."""

    rights: Mapping[str, Right] = {"GET": Right.VIEW}

    @route(
        "Get the binding requirements",
        {200: RequirementsSerializer},
        query=VersionQuery,
        problems=COMPILED,
    )
    def get(self, request: Request, id: str) -> Response:
        """Answer which bindings the agents request; 422 if a runner can't be resolved."""
        document = version_content(self.version_of(id)).document
        program = compile_here(document, anywhere=True)
        view = read_blueprint(
            document, kinds=known_kinds(), legacy_bindings=legacy_bindings()
        )
        bound = bind_agents(view.blueprint, legacy_bindings=legacy_bindings())
        return Response(
            {
                "blueprint_id": id,
                "strict_binding": program.strict_binding,
                "requirements": [one.to_json() for one in bind_requests(bound)],
            }
        )
