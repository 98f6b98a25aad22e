"""Paths: reads of what nothing writes, or writes only later."""

from collections.abc import Iterator
from typing import Final

from engine.blueprint.analysis.flow_walk import show_keys
from engine.blueprint.analysis.shapes import types_text
from engine.blueprint.analysis.view import View
from engine.blueprint.findings.diagnostics import Finding, Level
from engine.blueprint.lints.lint_kind import lint
from engine.flow.spelling import MOST_SEARCHED, listed, near, slip_of

HIDDEN: Final = {
    "in a lane": "only a fanout's lane does; read it from the fanout's out",
    "in a try": "only the try's body does, and a catch starts from before it",
}
_GIVE: Final = "add it to default_init_ctx (null will do) if the launch gives it"


@lint("suspicious", Level.WARN, "FlowLint")
def path_never_written(view: View) -> Iterator[Finding]:
    """A node reads or removes a path, and no write of it is visible to the node.

    Without an object in `default_init_ctx` the launch may give any value, so the lint
    then finds only likely mistakes: a name one letter off a written one, a value that
    stays in a lane, a value that a catch has lost. (It looks for near names of the first
    100 such paths; `text_en` is no mistake for `text_de`, nor `xMin` for `yMin`.) The
    read fails with `path not found`, a `delete` does nothing. A path inside `exists` or
    `default` is fine. Each path is a finding once, where it is read first.
    """
    init, launch = view.blueprint.default_init_ctx, view.options.launch
    names = {str(keys[0]) for s in view.spots for _, keys in s.writes if keys}
    for given in (init, launch):
        names.update(given if isinstance(given, dict) else ())
    searched: dict[str, str] = {}
    for one in view.absent_reads:
        if one.absence.known or one.absence.first_round or one.where == "later":
            continue
        name = str(one.read.keys[0])
        if name not in searched and len(searched) < MOST_SEARCHED:
            meant = slip_of(name, names, 0.8 if init is None else 0.75)
            searched[name] = f"did you mean '$.{meant}'?" if meant else ""
        why = HIDDEN.get(one.where) or searched.get(name)
        if why or init is not None:
            message = f"nothing writes {show_keys(one.read.keys)}"
            yield Finding(f"{one.read.place}.at", message, why or _GIVE)


@lint("suspicious", Level.WARN, "FlowLint")
def key_never_written(view: View) -> Iterator[Finding]:
    """A node reads a key of a value that does not have it.

    The flow has written the value, as an object with other keys, or as no object at all.
    Of an object that may have keys that the document does not tell, the lint finds only
    a key that is one letter off a known one. The read fails with `path not found`. A
    path inside `exists` or `default` is fine.
    """
    for one in view.absent_reads:
        known, shape = one.absence.known, one.absence.shape
        if not known or one.absence.first_round or one.where == "later":
            continue
        key, here = str(one.read.keys[len(known)]), show_keys(known)
        message = f"{here} is {types_text(shape)} and has no keys"
        hint = f"read {here} itself"
        if "object" in shape.types:
            message = f"{here} has no key {key!r}"
            meant = near(key, shape.keys)
            hint = f"its keys: {listed(shape.keys)}"
            if meant:
                hint = f"did you mean '{show_keys((*known, meant))}'?"
        yield Finding(f"{one.read.place}.at", message, hint)


@lint("suspicious", Level.WARN, "FlowLint")
def path_read_before_written(view: View) -> Iterator[Finding]:
    """A node reads a path that the flow writes only later.

    No way through the flow leads from a write to the read; or only the body of a loop
    writes what its `cond` reads, and the `cond` comes before the first round. The read
    fails with `path not found`, unless the launch gives the path. Without an object in
    `default_init_ctx`, a path that a node both reads and writes is taken for one that
    the launch gives, and so is what only the `cond` of a loop reads too early. A path
    inside `exists` or `default` is fine.
    """
    for one in view.absent_reads:
        # An object that may have more keys may have this one.
        if one.where != "later" or (one.absence.known and one.absence.shape.open):
            continue
        if one.is_update and view.blueprint.default_init_ctx is None:
            continue
        path, (place, _) = show_keys(one.read.keys), view.places.find(one.written_at)
        message = f"{path} is read before it is written, at {place}"
        hint = f"write it first, or {_GIVE}"
        if one.absence.first_round:
            message = f"{path} is read before the first round, and written in it"
            hint = "give it a first value, in default_init_ctx or before the loop"
        yield Finding(f"{one.read.place}.at", message, hint)
