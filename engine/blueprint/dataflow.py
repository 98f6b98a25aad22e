"""Whose answers can reach a condition: reaching definitions over the flow.

The order of effects is the interpreter's. Passes over the flow are repeated until what
loops carry back has stopped growing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from engine.blueprint.asked_paths import VERDICT, Asked, asked_paths, lane_path
from engine.blueprint.conditions import (
    ELEMENT,
    Comparison,
    any_index,
    comparisons_in,
    is_known,
    source_of,
    values_at,
)
from engine.blueprint.flow_walk import (
    UNKNOWN,
    Keys,
    Spot,
    children_of,
    constant_of,
    is_empty,
    keys_of,
    targets_of,
)
from engine.flow import dump_compact
from engine.flow.json_text import Json


class Origin(NamedTuple):
    """Where a value comes from.

    `body` and `part` are the answer of the step named and its part 'verdict', `given`
    is a text that the document itself writes, `launch` what a launch may give where the
    document gives nothing or null and `open` anything else.
    """

    sort: Literal["body", "part", "given", "launch", "open"]
    name: str = ""


Origins: TypeAlias = frozenset[Origin]
# From the paths that conditions ask for to what may stand there.
State: TypeAlias = dict[Keys, Origins]

NOTHING: Final[Origins] = frozenset()
OPEN: Final[Origins] = frozenset({Origin("open")})
LAUNCH: Final[Origins] = frozenset({Origin("launch")})
# More than anyone tells apart; nothing can be said of it.
MANY: Final[Origins] = frozenset({Origin("open", "many")})
MOST_ORIGINS: Final = 200


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison of a step's answer with texts, inside a condition.

    `producers` are the refs whose answer may stand there, `given` the texts that the
    document may have put there itself; `open` says that anything may stand there
    besides. `literals` are the places of the values. `direct` says that they decide the
    condition, with others or negated, `idle` that they lead to an arm that does nothing.
    """

    spot: Spot
    place: str
    literals: tuple[str, ...]
    op: str
    holds: bool
    channel: Literal["body", "part"]
    producers: frozenset[str]
    given: frozenset[str]
    open: bool
    values: tuple[Json, ...]
    idle: bool
    direct: bool

    @property
    def where(self) -> str:
        """The sort of condition, for messages."""
        return "Branch cond" if self.spot.kind == "branch" else "Loop cond"

    @property
    def skip(self) -> bool:
        """Tells whether it guards work that its values leave out."""
        return self.idle and self.op != "ne"

    @property
    def halts(self) -> bool:
        """Tells whether its values lead to something other than the usual way."""
        branch = self.spot.kind == "branch"
        plain = self.direct and self.holds and self.op != "ne"
        return branch and plain and not self.idle

    @property
    def foreign(self) -> tuple[tuple[str, Json], ...]:
        """The places and the values that the document doesn't give itself."""
        pairs = zip(self.literals, self.values, strict=True)
        return tuple(pair for pair in pairs if text_of(pair[1]) not in self.given)


def find_tests(root: Spot, init: Json = None) -> list[Test]:
    """Returns every test of a step's answer in a flow, in the order of the walk.

    `init` is the document's default_init_ctx.
    """
    walker = _Walker(root, init)
    while walker.grown:
        walker.grown = False
        walker.run(root)
        walker.undo(0)
    return list(walker.tests.values())


def text_of(value: Json) -> str:
    """Returns a value as it is held against the texts of a contract."""
    return value if isinstance(value, str) else dump_compact(value)


class _Walker:
    """Carries what reaches each node through the flow, once a pass.

    `state` is what holds at the node that is walked; each change is logged, so that an
    arm can be taken back.
    """

    def __init__(self, root: Spot, init: Json) -> None:
        self.tests: dict[str, Test] = {}
        self.grown = True
        self._back: dict[str, State] = {}
        self._asked: Asked = asked_paths(root)
        self._constants: dict[str, Json] = {}
        self._log: list[tuple[Keys, Origins]] = []
        self._state: State = {path: _initial(init, path) for path in self._asked.paths}

    def undo(self, mark: int) -> State:
        """Takes back what was changed since `mark`; returns what had come of it."""
        changed = {path: self._state[path] for path, _ in self._log[mark:]}
        while len(self._log) > mark:
            path, before = self._log.pop()
            self._state[path] = before
        return changed

    def run(self, spot: Spot) -> None:
        """Carries the state over a node."""
        match spot.kind:
            case "step" | "assign" | "let":
                for _, target in targets_of(spot):
                    self._write(spot, target)
            case "seq":
                for child in children_of(spot):
                    self.run(child)
            case "fanout":
                self._fanout(spot, children_of(spot)[0])
            case "loop":
                self._loop(spot, children_of(spot)[0])
            case "branch":
                self._cond(spot)
                below = {child.arm: child for child in children_of(spot)}
                self._join(self._arm(below["then"]), self._arm(below["else"]))
            case _:
                below = {child.arm: child for child in children_of(spot)}
                body, mark = self._arm(below["body"]), len(self._log)
                if spot.node.get("err_at") is not None:
                    self._write(spot, spot.node["err_at"])
                self.run(below["catch"])
                self._join(body, self.undo(mark))

    def _arm(self, spot: Spot) -> State:
        mark = len(self._log)
        self.run(spot)
        return self.undo(mark)

    def _join(self, one: State, other: State) -> None:
        """Goes on with what holds after either of two arms."""
        for path in {**one, **other}:
            now = self._state[path]
            self._set(path, _union(one.get(path, now), other.get(path, now)))

    def _set(self, path: Keys, origins: Origins) -> None:
        before = self._state[path]
        if origins != before:
            self._log.append((path, before))
            self._state[path] = origins

    def _loop(self, spot: Spot, body: Spot) -> None:
        self._write(spot, spot.node["counter"])
        back = self._back.setdefault(spot.place, {})
        for path, origins in back.items():
            self._set(path, _union(self._state[path], origins))
        self._cond(spot)
        for path, origins in self._arm(body).items():
            known = back.get(path, NOTHING)
            merged = _union(known, origins)
            if merged != known:
                back[path] = merged
                self.grown = True

    def _fanout(self, spot: Spot, body: Spot) -> None:
        mark = len(self._log)
        self._write(spot, spot.node["bind"])
        self.run(body)
        selected: dict[Keys, Origins] = {}
        if spot.node["out"]["op"] == "path":
            for path in self._asked.below.get(_target(spot.node["out"]), ()):
                selected[path] = self._selected(spot, path)
        self.undo(mark)
        self._write(spot, spot.node["out"], selected)

    def _selected(self, spot: Spot, path: Keys) -> Origins:
        """Returns what of a lane gets to a path below the fanout's out."""
        inside = lane_path(spot.node, path)
        if inside is None or inside not in self._asked.paths:
            return OPEN
        found = self._state[inside]
        select = spot.node.get("select")
        source = None if select is None else source_of(select)
        rest = inside[len(source.path) :] if source is not None else ()
        for value in () if source is None else source.fallbacks:
            found |= OPEN if value is UNKNOWN else _given(value, rest)
        return found

    def _write(
        self, spot: Spot, target: Json, selected: Mapping[Keys, Origins] | None = None
    ) -> None:
        if target["op"] != "path":
            return
        keys = _target(target)
        for path in self._asked.below.get(keys, ()):
            if selected is None:
                origins = self._written(spot, keys, path)
            else:
                origins = selected.get(path, OPEN)
            if ELEMENT in keys:
                # The elements beside the one that is written keep what they have.
                origins = _union(self._state[path], origins)
            self._set(path, origins)

    def _written(self, spot: Spot, keys: Keys, path: Keys) -> Origins:
        """Returns what stands at `path` after the node's write at or above it."""
        rest = path[len(keys) :]
        if spot.kind == "step":
            if not rest or rest == VERDICT:
                sort: Literal["part", "body"] = "part" if rest else "body"
                return frozenset({Origin(sort, spot.node["ref"])})
            return OPEN
        if spot.kind not in ("assign", "let"):
            return OPEN
        if spot.place not in self._constants:
            self._constants[spot.place] = constant_of(spot.node["value"])
        value = self._constants[spot.place]
        return OPEN if value is UNKNOWN else _given(value, rest)

    def _cond(self, spot: Spot) -> None:
        empty: dict[bool, bool] = {}
        if spot.kind == "branch":
            node = spot.node
            empty = {True: is_empty(node["then"]), False: is_empty(node["else"])}
        for one in comparisons_in(f"{spot.place}.cond", spot.node["cond"]):
            found = self._state.get(one.source.path, OPEN)
            test = _test(spot, one, found, empty)
            if test is not None:
                self.tests[one.place] = test


def _test(
    spot: Spot, one: Comparison, found: Origins, empty: Mapping[bool, bool]
) -> Test | None:
    named: dict[str, set[str]] = {}
    for origin in found:
        named.setdefault(origin.sort, set()).add(origin.name)
    body, part = named.get("body", set()), named.get("part", set())
    if not body and not part and one.source.path[-2:] != VERDICT:
        return None
    fallbacks = [value for value in one.source.fallbacks if value is not UNKNOWN]
    holds = (one.op == "ne") == one.negated
    return Test(
        spot,
        one.place,
        one.literals,
        one.op,
        holds,
        channel="body" if body else "part",
        producers=frozenset(body or part),
        given=frozenset([*named.get("given", ()), *map(text_of, fallbacks)]),
        # What a launch may give in place of nothing or null counts where the author
        # doesn't ask whether it is there.
        open="open" in named
        or ("launch" in named and not one.asked)
        or bool(body and part)
        or not is_known(one.source.fallbacks),
        values=one.values,
        idle=one.direct and empty.get(holds, False),
        direct=one.direct,
    )


def _target(target: Json) -> Keys:
    return any_index(keys_of(target["at"]))


def _initial(init: Json, path: Keys) -> Origins:
    """Returns what stands at `path` when a run begins.

    A launch may override whatever the document gives. Where that is a value other than
    null, no condition can take the path for absent.
    """
    values = list(values_at(init, path))
    given = frozenset(Origin("given", text_of(one)) for one in values)
    return given | (LAUNCH if all(one is None for one in values) else OPEN)


def _given(value: Json, keys: Keys) -> Origins:
    return frozenset(Origin("given", text_of(one)) for one in values_at(value, keys))


def _union(one: Origins, other: Origins) -> Origins:
    if one is other:
        return one
    both = one | other
    return MANY if len(both) > MOST_ORIGINS or both >= MANY else both


def referenced(tests: Iterable[Test]) -> dict[str, set[str]]:
    """Returns the texts that conditions name, by the ref of the step they come from."""
    named: dict[str, set[str]] = {}
    for test in tests:
        for ref in test.producers:
            texts = (value for value in test.values if isinstance(value, str))
            named.setdefault(ref, set()).update(texts)
    return named
