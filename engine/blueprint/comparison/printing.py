"""A comparison as text for a terminal."""

from collections.abc import Iterator

from engine.blueprint.comparison.changes import Change, Comparison, FieldChange
from engine.visible import visible


def print_comparison(comparison: Comparison, *, with_text: bool = True) -> str:
    """Return the changes line by line and, with `with_text`, the diff of the texts."""
    # A name with a line break is no line of its own.
    lines = (line.replace("\n", "\\n") for line in _lines(comparison))
    parts = ["".join(f"{line}\n" for line in lines)]
    if with_text and comparison.text:
        parts.append(comparison.text)
    return visible("\n".join(parts))


def _lines(comparison: Comparison) -> Iterator[str]:
    if not comparison.changes:
        what = "only the way it is written" if comparison.text else "nothing"
        yield f"{what} has changed"
    for change in comparison.changes:
        yield _headline(change)
        for field in change.fields:
            yield f"    {_field_line(field)}"


def _headline(change: Change) -> str:
    here, there = _shown(change.old_place), _shown(change.new_place)
    at = f" at {there or here}" if change.of == "node" else ""
    count = f"{change.inside} node{'' if change.inside == 1 else 's'}"
    more = f", with {count} inside" if change.inside else ""
    match change.what:
        case "added":
            return f"+ {change.title}{at}{more}"
        case "removed":
            return f"- {change.title}{at}{more}"
        case "changed":
            return f"~ {change.title}{at}"
        case "renamed":
            return f"= {change.title}{at}, '{change.old_name}' before"
        case "moved":
            return f"→ {change.title} from {here} to {there}"


def _field_line(change: FieldChange) -> str:
    if not change.old_text or not change.new_text:
        mark = "-" if change.old_text else "+"
        return f"{mark} {change.field}: {change.old_text or change.new_text}"
    return f"{change.field}: {change.old_text} → {change.new_text}"


def _shown(place: str | None) -> str:
    """Return a place of a document as the views of a run show it."""
    if place is None:
        return ""
    below = place.removeprefix("$.flow").removeprefix("$.")
    return below.replace(".", "/").replace("[", "/").replace("]", "") or "/"
