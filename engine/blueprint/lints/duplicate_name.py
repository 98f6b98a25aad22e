"""Two operators, metas, runners or templates have one name."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.diagnostics import Element, Finding
from engine.blueprint.lint_kind import LintKind
from engine.blueprint.view import View


def check(view: View) -> Iterator[Finding]:
    """Yields each name that is taken already.

    Audits may repeat: an agent can watch some steps at once and others later.
    """
    blueprint = view.blueprint
    for key, rows in (
        ("operators", [one.name for one in blueprint.operators]),
        ("metas", [one.name for one in blueprint.metas]),
        ("runners", [one.name for one in blueprint.runners]),
        ("subprocesses", [one.name for one in blueprint.subprocesses]),
    ):
        first: dict[str, int] = {}
        for number, name in enumerate(rows):
            if name in first:
                place = f"$.{key}[{number}].name"
                message = f"the name {name!r} is taken by $.{key}[{first[name]}]"
                yield Finding(place, message, "rename one", element=_element(key, name))
            first.setdefault(name, number)


def _element(key: str, name: str) -> Element:
    match key:
        case "operators":
            return Element("Operator", name)
        case "metas":
            return Element("Meta", name)
    return Element("BlueprintRoot")


LINT: Final = LintKind("duplicate-name", "correctness", compile=check)
