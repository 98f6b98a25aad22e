"""The registry of all kinds of findings.

The lints of a family are the decorated functions of its page. The compiler and the
linter run the pages, and the lints of each, in the order given here.
"""

from collections.abc import Mapping
from typing import Final

from engine.blueprint.lints import (
    agents,
    dialect,
    flow,
    names,
    not_in_effect_yet,
    paths,
    projection,
    runner_bindings,
    tools,
    verdicts,
)
from engine.blueprint.lints.lint_kind import LintKind

PAGES: Final = (
    names, agents, tools, verdicts, runner_bindings, flow, paths, projection, not_in_effect_yet,
    dialect,
)  # fmt: skip
TABLE: Final = tuple(
    kind for page in PAGES for kind in vars(page).values() if isinstance(kind, LintKind)
)
# Errors of reading: the document is no Blueprint.
READING: Final = (
    LintKind("not-json", "correctness"),
    LintKind("unknown-field", "correctness"),
    LintKind("missing-field", "correctness"),
    LintKind("wrong-type", "correctness"),
    LintKind("wrong-value", "correctness"),
    LintKind("unsupported-schema-version", "migration"),
    LintKind("older-dialect", "migration"),
    LintKind("invalid-flow", "correctness"),
    LintKind("halted-at-missing", "correctness"),
)
# Errors of the loaders before reading, and of the preflight of a launch.
OUTSIDE: Final = (
    LintKind("unreadable", "correctness"),
    LintKind("unresolved-reference", "correctness"),
    LintKind("unknown-function", "correctness"),
    LintKind("unknown-script", "correctness"),
    LintKind("script-broken", "correctness"),
    LintKind("limit-too-high", "correctness"),
    LintKind("program-not-found", "correctness"),
)
REGISTRY: Final[Mapping[str, LintKind]] = {
    kind.name: kind for kind in (*READING, *TABLE, *OUTSIDE)
}
