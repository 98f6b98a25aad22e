"""An agent that answers in words isn't told what its answer should look like."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Finding, Level, Suggestion
from engine.blueprint.kinds import KINDS
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.schema_errors import did_you_mean
from engine.blueprint.view import View
from engine.flow.json_text import Json

SHAPES: Final = ("literal_enum", "inline_markdown", "file_sentinel")
PATCH: Final = '"expected_output": {"kind": "inline_markdown"}'


def check(view: View) -> Iterator[Finding]:
    """Yields each such agent without, or with a malformed, expected_output.

    Kinds that run code have no use for it, and a verdict contract says more.
    """
    for one in view.kept:
        rules = KINDS.get(one.kind)
        if rules is None or not rules.answers:
            continue
        profile = one.agent.profile
        extras = None if profile is None else profile.extras
        if not isinstance(extras, dict) or "expected_output" not in extras:
            if one.agent.verdict is None:
                yield Finding(
                    one.place,
                    f"{one.agent.name!r} declares no expected_output",
                    "say in profile.extras what its answer looks like",
                    suggestion=Suggestion("for example", PATCH, "HasPlaceholders"),
                    element=one.element,
                )
            continue
        fault = _fault(extras["expected_output"])
        if fault is not None:
            place = f"{one.place}.profile.extras.expected_output"
            yield Finding(place, fault[0], fault[1], element=one.element)


def _fault(expected: Json) -> tuple[str, str] | None:
    known = ", ".join(SHAPES)
    kind = expected.get("kind") if isinstance(expected, dict) else None
    if not isinstance(kind, str):
        return "expected_output must be an object with a 'kind'", f"known: {known}"
    if kind not in SHAPES:
        return f"unknown expected_output kind {kind!r}", did_you_mean(kind, SHAPES)
    return None


LINT: Final = LintKind(
    "output-contract-missing", "contract", Level.WARN, "OutputContractLint", lint=check
)
