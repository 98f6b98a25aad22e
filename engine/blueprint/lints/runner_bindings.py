"""Bindings: the runners of agents, and the bindings they request from providers."""

from collections.abc import Iterator

from engine.blueprint.analysis.binding import bind_requests, find_default_runner_errors
from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import ROOT, Finding, Level, Suggestion
from engine.blueprint.kinds.registry import BACKENDS
from engine.blueprint.lints.lint_kind import lint
from engine.blueprint.schema.agents import WsClaudeCode, WsOperator
from engine.blueprint.schema.subprocess_template import SubprocessRunner
from engine.flow import dump_compact
from engine.flow.spelling import did_you_mean


@lint("correctness")
def bound_agent_resolution(view: View) -> Iterator[Finding]:
    """The runner of an agent can't be resolved.

    `runner_ref` or `default_runner` names no runner, or a `worker_binding` is used where
    the installation forbids it
    ([`SWARM_LEGACY_WORKER_BINDING`](settings.md#how-runs-move)); or a row of `runners`
    names a template that doesn't exist, even if no agent uses the row. The agent would
    not run as its author intended.
    """
    for one in view.bound:
        if one.fault is not None:
            yield one.fault
    yield from find_default_runner_errors(view.blueprint)
    templates = {one.name for one in view.blueprint.subprocesses}
    for number, row in enumerate(view.blueprint.runners):
        runner = row.runner
        if isinstance(runner, SubprocessRunner) and runner.template not in templates:
            yield Finding(
                f"$.runners[{number}].runner.template",
                f"no template is named {runner.template!r}",
                did_you_mean(runner.template, templates) or "add it to $.subprocesses",
                element=ROOT,
            )


@lint(
    "contract",
    Level.WARN,
    "WorkerBindingLint",
    error_if=lambda view: view.blueprint.strategy.strict_binding,
)
def worker_binding_missing(view: View) -> Iterator[Finding]:
    """An operator agent has no runner.

    With `strategy.strict_binding` this is an error. The operator at the seat has to
    guess which worker to start. Any runner will do, also the default runner.
    """
    patch = '"runner": {"backend": "ws_operator", "variant": "<worker>"}'
    for one in view.runnable:
        if one.rules.needs_runner and one.runner is None and one.fault is None:
            yield Finding(
                one.place,
                f"{one.kind} agent {one.agent.name!r} has no runner",
                "add a runner, or a runner_ref, or a default_runner for all",
                suggestion=Suggestion("name the worker", patch, "HasPlaceholders"),
                element=one.element,
            )


@lint("contract", Level.INFO, "BindingLint")
def binding_requirements_info(view: View) -> Iterator[Finding]:
    """An agent requests a binding from the provider of its operator or model.

    The note has the digest that the provider has to attest.
    """
    for request in bind_requests(tuple(view.agents.values())):
        one = view.agents[request.agent]
        wanted = f"backend {request.backend}"
        if request.launch_variant is not None:
            wanted += f", variant {request.launch_variant}"
        yield Finding(
            one.place,
            f"{request.agent!r} requests a binding: {wanted}",
            "",
            (
                f"model: {request.requested_model or 'any'}",
                f"tools: {', '.join(request.requested_tools) or 'none'}",
                f"digest: {request.request_digest}",
            ),
            element=one.element,
        )


@lint("suspicious", Level.WARN, "BindingLint")
def strict_binding_without_runners(view: View) -> Iterator[Finding]:
    """`strategy.strict_binding` is on and no agent requests a binding.

    It has no effect then; most often the author forgot the runners.
    """
    strict = view.blueprint.strategy.strict_binding
    if strict and not any(True for _ in bind_requests(view.bound)):
        yield Finding(
            "$.strategy.strict_binding",
            "strict_binding has nothing to check: no agent requests a binding",
            "give an agent a runner, or drop strict_binding",
            element=ROOT,
        )


@lint("migration", Level.WARN, "BindingLint")
def legacy_worker_binding(view: View) -> Iterator[Finding]:
    """An agent's runner is written as `profile.worker_binding`.

    The old field can't name backend and tools. `blueprint upgrade` writes the runner.
    """
    for one in view.bound:
        if one.source != "legacy_worker_binding" or one.runner is None:
            continue
        runner = dump_compact(one.runner.model_dump())
        yield Finding(
            f"{one.place}.profile.worker_binding",
            f"{one.agent.name!r} names its worker by worker_binding",
            "write a runner; `blueprint upgrade` does it",
            suggestion=Suggestion(
                "the same as a runner", f'"runner": {runner}', "MachineApplicable"
            ),
            element=one.element,
        )


@lint("correctness", Level.WARN, "BindingLint")
def binding_resolution_error(view: View) -> Iterator[Finding]:
    """An agent names a runner that serves another kind than the agent's.

    The runner is not used. The default runner applies only to the kinds it serves.
    """
    for one in view.runnable:
        if one.runner is not None and BACKENDS[one.runner.backend] != one.kind:
            expected = BACKENDS[one.runner.backend]
            field = "runner_ref" if one.source == "agent_ref" else "runner"
            if one.source == "legacy_worker_binding":
                field = "profile.worker_binding"
            yield Finding(
                f"{one.place}.{field}",
                f"the runner {one.runner.backend!r} serves kind '{expected}', and"
                f" {one.agent.name!r} is of kind '{one.kind}'",
                "the runner is not used; drop it, or change the kind",
                element=one.element,
            )


@lint("contract", Level.INFO, "WrapperOnly")
def wrapper_only_drift(view: View) -> Iterator[Finding]:
    """The wrapper of a runner's variant grants tools the Blueprint doesn't declare.

    Only `manage.py blueprint lint --wrappers DIR` checks it, by the `name` and `tools`
    in the front matter of the `*.md` files of DIR. The agent can do more than its
    Blueprint declares.
    """
    for one in view.runnable:
        if not isinstance(one.runner, WsOperator | WsClaudeCode):
            continue
        granted = view.options.wrappers.get(one.runner.variant)
        more = sorted(set(granted or ()).difference(one.tools))
        if more:
            yield Finding(
                one.place,
                f"the wrapper {one.runner.variant!r} of {one.agent.name!r} also grants"
                f" {', '.join(more)}",
                "declare the tools in the runner, or take them from the wrapper",
                element=one.element,
            )
