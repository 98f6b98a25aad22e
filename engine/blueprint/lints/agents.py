"""Agents: their kinds, specs, hints, prompts and answers."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.analysis.signatures import find_misfits
from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import (
    ROOT,
    Element,
    Finding,
    Level,
    Suggestion,
    place_in,
)
from engine.blueprint.kinds.registry import KIND_ALIASES, KINDS, check_spec
from engine.blueprint.lints.lint_kind import lint
from engine.flow.json_text import Json
from engine.flow.spelling import did_you_mean

ANSWERS: Final = ("literal_enum", "inline_markdown", "file_sentinel")


def _is_kind_strict(view: View) -> bool:
    return view.blueprint.strategy.strict_kind


@lint("correctness", Level.WARN, "StrategyLint", error_if=_is_kind_strict)
def unknown_agent_kind(view: View) -> Iterator[Finding]:
    """An agent's kind or `default_agent_kind` doesn't exist, or nothing names one.

    With `strategy.strict_kind: false` the agent is dropped and this is a warning.
    """
    known = {*KINDS, *KIND_ALIASES, *(view.kinds or ())}
    default = view.blueprint.default_agent_kind
    # An unknown default is an error even if every agent names its kind.
    if default is not None and default not in known:
        hint = did_you_mean(default, known)
        message, place = f"unknown kind {default!r}", "$.default_agent_kind"
        yield Finding(place, message, hint, element=ROOT)
    for one in view.bound:
        written = one.agent.kind
        if not written and default is None:
            message = f"agent {one.agent.name!r} has no kind"
            hint = "write 'kind' here, or 'default_agent_kind' at the top"
            yield Finding(one.place, message, hint, element=one.element)
        elif written and written not in known:
            message, hint = f"unknown kind {written!r}", did_you_mean(written, known)
            yield Finding(f"{one.place}.kind", message, hint, element=one.element)


@lint("correctness", Level.WARN, "StrategyLint", error_if=_is_kind_strict)
def kind_without_spawner(view: View) -> Iterator[Finding]:
    """An agent's kind exists, but this installation has no spawner for it.

    Only a launch checks it. The agent's steps would wait for ever. With
    `strategy.strict_kind: false` the agent is dropped and this is a warning.
    """
    if view.kinds is None:
        return
    here = f"kinds with a spawner here: {', '.join(sorted(view.kinds)) or 'none'}"
    for one in view.bound:
        if one.kind in KINDS and one.kind not in view.kinds:
            yield Finding(
                "$.default_agent_kind"
                if one.agent.kind is None
                else f"{one.place}.kind",
                f"kind '{one.kind}' has no spawner in this installation",
                here,
                element=one.element,
            )


@lint("correctness")
def invalid_agent_spec(view: View) -> Iterator[Finding]:
    """An agent's `spec` is invalid for its kind.

    An inline runner whose template doesn't exist is invalid, too. An MCP server has a
    unique name and either a `command` or a `url`.
    """
    for one in view.runnable:
        yield from check_spec(one)


@lint("correctness")
def hint_without_agent(view: View) -> Iterator[Finding]:
    """`hints.per_agent` has a name that no agent has.

    The hints would apply to no agent.
    """
    for name in view.blueprint.hints.per_agent:
        if name not in view.agents:
            message = f"hints name the agent {name!r}, which does not exist"
            place = place_in("$.hints.per_agent", [name])
            yield Finding(place, message, did_you_mean(name, view.agents), element=ROOT)


@lint("correctness")
def policy_given_twice(view: View) -> Iterator[Finding]:
    """An agent's own field and `hints.per_agent` give the same part of its policy.

    `timeout` and `timeout_s` are one field. Different fields are merged.
    """
    for name, hints in view.blueprint.hints.per_agent.items():
        if name not in view.agents:
            continue
        one = view.agents[name]
        for word in hints.policy().given():
            if word in one.agent.given():
                above = place_in("$.hints.per_agent", [name])
                message = f"{above} gives the same part of the policy"
                hint = "keep the field of the agent"
                yield Finding(f"{one.place}.{word}", message, hint, element=one.element)


@lint("correctness", Level.WARN, "InputLint")
def agent_input_mismatch(view: View) -> Iterator[Finding]:
    """A step's `in` can't be what the function of its agent takes.

    A key that a parameter needs is missing, a key is the name of no parameter, or a value
    has another type than the parameter's annotation. `blueprint doctor` and `run` check
    it, which import the functions, and only what is known before a run: what a
    constructor, a literal or an operator gives, and what the flow or `default_init_ctx`
    gave a path. An annotation with a validator that runs first, such as pydantic's
    `BeforeValidator`, takes any type. The step fails when it is reached.
    """
    for spot in view.steps:
        ref, form = spot.node["ref"], view.options.signatures.get(spot.node["ref"])
        given = view.shapes.inputs[spot.place]
        if form is None or not given.is_known:
            continue
        source = spot.node["in"]
        fields = {"object": ".entries", "lit": ".value"}
        for one in find_misfits(form, given):
            below = fields.get(source["op"]) if one.keys else None
            place = f"{spot.place}.in" + ("" if below is None else below)
            yield Finding(
                place if below is None else place_in(place, one.keys),
                f"the function of {ref!r} {one.message}",
                one.help,
                element=Element("Step", ref),
            )


@lint("style", Level.WARN, "AgentMdSize")
def agent_md_size(view: View) -> Iterator[Finding]:
    """A prompt has 25 600 bytes or 200 lines, or more.

    The caller of the lint may set other limits, and make a much longer prompt an error.
    People and models lose the thread of a long prompt.
    """
    limits = view.options
    for one in view.bound:
        prompt = "" if one.agent.profile is None else one.agent.profile.system_prompt
        size, lines = len(prompt.encode()), len(prompt.splitlines())
        if size < limits.warn_bytes and lines < limits.warn_lines:
            continue
        too_much = size >= limits.block_bytes or lines >= limits.block_lines
        yield Finding(
            f"{one.place}.profile.system_prompt",
            f"the prompt of {one.agent.name!r} has {size} bytes in {lines} lines",
            "split the agent, or move reference text to where it can be looked up",
            (f"limits: {limits.warn_bytes} bytes, {limits.warn_lines} lines",),
            element=one.element,
            level=Level.ERROR if limits.block and too_much else None,
        )


@lint("contract", Level.WARN, "OutputContractLint")
def output_contract_missing(view: View) -> Iterator[Finding]:
    """An operator or agent_block agent has no contract for its answer.

    It has neither `profile.extras.expected_output` nor a verdict contract, or the former
    is malformed. Known kinds: `literal_enum`, `inline_markdown`, `file_sentinel`. An
    agent that answers in words should know the expected shape. Agents that run code do
    not need a contract.
    """
    for one in view.runnable:
        if not one.rules.answers:
            continue
        profile = one.agent.profile
        extras = None if profile is None else profile.extras
        if isinstance(extras, dict) and "expected_output" in extras:
            place = f"{one.place}.profile.extras.expected_output"
            for message, hint in _contract_errors(extras["expected_output"]):
                yield Finding(place, message, hint, element=one.element)
        elif one.agent.verdict is None:
            patch = '"expected_output": {"kind": "inline_markdown"}'
            yield Finding(
                one.place,
                f"{one.agent.name!r} declares no expected_output",
                "describe the expected answer in profile.extras",
                suggestion=Suggestion("for example", patch, "HasPlaceholders"),
                element=one.element,
            )


def _contract_errors(expected: Json) -> Iterator[tuple[str, str]]:
    kind = expected.get("kind") if isinstance(expected, dict) else None
    if not isinstance(kind, str):
        known = f"known: {', '.join(ANSWERS)}"
        yield "expected_output must be an object with a 'kind'", known
    elif kind not in ANSWERS:
        yield f"unknown expected_output kind {kind!r}", did_you_mean(kind, ANSWERS)
