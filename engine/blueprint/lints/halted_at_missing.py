"""A gate stops the flow without saying where it notes that."""

from typing import Final

from engine.blueprint.diagnostics import Diagnostic, Suggestion
from engine.blueprint.lint_kind import LintKind
from engine.flow.json_text import Json

NAME: Final = "halted-at-missing"
LINT: Final = LintKind(NAME, "correctness")


def explain(node: Json, place: str, arm: str) -> Diagnostic | None:
    """Returns the finding for an unreadable node that is the note of a halt.

    That is an assign without a path, of a text, in the `then` arm of a branch: what a
    gate becomes whose `halted_at` is nil. Any other node gives None.
    """
    if not isinstance(node, dict) or node.get("kind") not in ("assign", "let"):
        return None
    value = node.get("value")
    text = value.get("value") if isinstance(value, dict) else None
    if arm != "then" or node.get("at") is not None or not isinstance(text, str):
        return None
    patch = 'halted_at = "$.halted_at",'
    return Diagnostic(
        place,
        NAME,
        f"the gate notes {text!r} nowhere: its assign has no 'at'",
        "give the pipeline a halted_at path",
        suggestion=Suggestion("in the Lua DSL", patch),
    )
