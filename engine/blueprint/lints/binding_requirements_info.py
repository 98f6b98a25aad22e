"""What an agent asks of whoever provides operators and models."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.binding import bind_requests
from engine.blueprint.diagnostics import Finding, Level
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields one note for each bind request."""
    for request in bind_requests(tuple(view.agents.values())):
        one = view.agents[request.agent]
        wanted = f"backend {request.backend}"
        if request.launch_variant is not None:
            wanted += f", variant {request.launch_variant}"
        yield Finding(
            one.place,
            f"{request.agent!r} asks for a binding: {wanted}",
            "",
            (
                f"model: {request.requested_model or 'any'}",
                f"tools: {', '.join(request.requested_tools) or 'none'}",
                f"digest: {request.request_digest}",
            ),
            element=one.element,
        )


LINT: Final = LintKind(
    "binding-requirements-info", "contract", Level.INFO, "BindingLint", lint=check
)
