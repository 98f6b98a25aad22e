"""The answers that can reach each condition: a reaching-definitions analysis.

Effects have the interpreter's order. The analysis passes over the flow until the sets
that loops carry back stop growing.
"""

from collections import ChainMap, Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from engine.blueprint.analysis.conditions import (
    ELEMENT,
    Comparison,
    ValueSource,
    any_index,
    comparisons_in,
    source_of,
)
from engine.blueprint.analysis.flow_walk import (
    UNKNOWN,
    Keys,
    Spot,
    constant_of,
    is_empty,
    prefixes_of,
)
from engine.flow import dump_compact
from engine.flow.json_text import MAX_DEPTH, Json


class Candidate(NamedTuple):
    """A possible value of a path.

    `body` is the answer of the step `name`, `part` the part 'verdict' of its answer,
    `given` the text `name` that the document writes, `launch` a value that a launch may
    give where the document gives null or nothing, and `open` any value.
    """

    kind: Literal["body", "part", "given", "launch", "open"]
    name: str = ""


Candidates: TypeAlias = frozenset[Candidate]
State: TypeAlias = ChainMap[Keys, Candidates]
Changes: TypeAlias = Mapping[Keys, Candidates]

OPEN: Final = frozenset({Candidate("open")})
LAUNCH: Final = frozenset({Candidate("launch")})
# Stands for more than MOST_CANDIDATES candidates.
MANY: Final = frozenset({Candidate("open", "many")})
MOST_CANDIDATES: Final = 200
# Pairs of a write and a compared path at or below its target. A flow with more of them
# is generated, and the analysis skips it.
MOST_PAIRS: Final = 500_000
# How many paths into lanes the analysis follows, for each node of the flow.
MOST_FOLLOWED: Final = 4
VERDICT: Final[Keys] = ("parts", "verdict")


@dataclass(frozen=True, slots=True)
class VerdictTest:
    """A comparison of a step's answer with literals, inside a condition.

    The path may have the answer of any of the `producers` (refs), a text of `given`,
    which the document writes, and any other value if `open`. With `idle`, equal values
    lead to an arm that does nothing.
    """

    spot: Spot
    comparison: Comparison
    channel: Literal["body", "part"]
    producers: frozenset[str]
    given: frozenset[str]
    open: bool
    idle: bool

    @property
    def where(self) -> str:
        """The kind of condition, for messages."""
        return "Branch cond" if self.spot.kind == "branch" else "Loop cond"

    @property
    def skips(self) -> bool:
        """Whether equal values skip work."""
        return self.idle and self.comparison.op != "ne"

    @property
    def halts(self) -> bool:
        """Whether equal values leave the usual way of the flow."""
        one = self.comparison
        plain = one.direct and not one.negated and one.op != "ne"
        return self.spot.kind == "branch" and plain and not self.idle

    @property
    def unwritten(self) -> tuple[tuple[str, Json], ...]:
        """The literals, with their places, that the document does not write itself."""
        pairs = self.comparison.literals
        return tuple(pair for pair in pairs if text_of(pair[1]) not in self.given)


def find_tests(root: Spot, init: Json = None) -> list[VerdictTest]:
    """Return every test of a step's answer in a flow, in the order of the walk.

    `init` is the `default_init_ctx` of the document.
    """
    walker = _Walker(root)
    begin = {path: _initial(init, path) for path in walker.paths}
    while walker.grown:
        walker.grown = False
        walker.tests = []
        walker.run(root, ChainMap({}, begin))
    return walker.tests


def text_of(value: Json) -> str:
    """Return a value as it is compared with the texts of a contract."""
    return value if isinstance(value, str) else dump_compact(value)


class _Walker:
    """Carry the candidates of the compared `paths` over each node, once a pass.

    Each arm and lane changes its own layer of the state.
    """

    def __init__(self, root: Spot) -> None:
        self.tests: list[VerdictTest] = []
        self.grown = True
        # By the place of each loop: the candidates that its body carries back.
        self._carried: dict[str, dict[Keys, Candidates]] = {}
        spots = root.walk()
        self._comparisons = {
            spot.place: comparisons_in(f"{spot.place}.cond", spot.node["cond"])
            for spot in spots
            if spot.kind in ("branch", "loop")
        }
        found = [one for many in self._comparisons.values() for one in many]
        self.paths = _compared_paths(spots, found)
        written = Counter(
            any_index(keys) for one in spots for _, keys in (*one.writes, *one.deletes)
        )
        self._below: dict[Keys, list[Keys]] = {}
        for path in self.paths:
            for above in prefixes_of(path):
                if above in written:
                    self._below.setdefault(above, []).append(path)
        pairs = sum(written[keys] * len(paths) for keys, paths in self._below.items())
        if pairs > MOST_PAIRS:
            self.paths, self._below = {}, {}

    def run(self, spot: Spot, state: State) -> None:
        """Carry the state over a node."""
        below = spot.children
        match spot.kind:
            case "step":
                ref = spot.node["ref"]
                self._write(spot, state, lambda rest: _answered(ref, rest))
            case "assign" | "let":
                value = constant_of(spot.node["value"])
                self._write(spot, state, lambda rest: _given(value, rest))
            case "delete":
                for _, keys in spot.deletes:
                    self._set(state, keys, lambda _: frozenset())
            case "seq":
                for child in below:
                    self.run(child, state)
            case "branch":
                self._test(spot, state)
                _join(state, *(self._arm(child, state) for child in below))
            case "loop":
                self._loop(spot, below[0], state)
            case "fanout":
                self._fanout(spot, below[0], state)
            case _:
                body, catch = self._arm(below[0], state), state.new_child()
                self._write(spot, catch)
                self.run(below[1], catch)
                _join(state, body, catch.maps[0])

    def _arm(self, spot: Spot, state: State) -> Changes:
        layer = state.new_child()
        self.run(spot, layer)
        return layer.maps[0]

    def _loop(self, spot: Spot, body: Spot, state: State) -> None:
        self._write(spot, state)
        carried = self._carried.setdefault(spot.place, {})
        for path, found in carried.items():
            state[path] = _union(state[path], found)
        self._test(spot, state)
        for path, found in self._arm(body, state).items():
            merged = _union(carried.get(path, frozenset()), found)
            if merged != carried.get(path):
                carried[path] = merged
                self.grown = True

    def _fanout(self, spot: Spot, body: Spot, state: State) -> None:
        lane = state.new_child()
        self._write(spot, lane, field="bind")
        self.run(body, lane)

        def select(rest: Keys) -> Candidates:
            source, inside = _collected(spot.node, rest)
            if source is None or source.path + inside not in self.paths:
                return OPEN
            fallbacks = (_given(value, inside) for value in source.fallbacks)
            return lane[source.path + inside].union(*fallbacks)

        self._write(spot, state, select, field="out")

    def _write(
        self,
        spot: Spot,
        state: State,
        candidates: Callable[[Keys], Candidates] = lambda _: OPEN,
        field: str = "",
    ) -> None:
        """Set the candidates of the compared paths at and below a node's targets.

        `candidates` takes the keys below the target.
        """
        for place, target in spot.writes:
            if place.endswith(field):
                self._set(state, target, candidates)

    def _set(
        self, state: State, target: Keys, candidates: Callable[[Keys], Candidates]
    ) -> None:
        """Set the candidates of the compared paths at and below one target."""
        keys = any_index(target)
        paths = self._below.get(keys, ())
        # A lane may read the paths that change here, so read all of them first.
        now = [(path, candidates(path[len(keys) :])) for path in paths]
        for path, found in now:
            # A change of one element leaves the other elements as they are.
            state[path] = _union(state[path], found) if ELEMENT in keys else found

    def _test(self, spot: Spot, state: State) -> None:
        for one in self._comparisons[spot.place]:
            named: dict[str, set[str]] = {}
            for candidate in state.get(one.source.path, OPEN):
                named.setdefault(candidate.kind, set()).add(candidate.name)
            body, part = named.get("body", set()), named.get("part", set())
            if not body and not part and one.source.path[-2:] != VERDICT:
                continue
            known = [value for value in one.source.fallbacks if value is not UNKNOWN]
            arm = "else" if one.negated != (one.op == "ne") else "then"
            self.tests.append(
                VerdictTest(
                    spot,
                    one,
                    channel="body" if body else "part",
                    producers=frozenset(body or part),
                    given=frozenset([*named.get("given", ()), *map(text_of, known)]),
                    # A condition that handles an absent path excludes values of the
                    # launch: they only replace null or an absent path.
                    open="open" in named
                    or ("launch" in named and not one.handles_absent)
                    or bool(body and part)
                    or len(known) < len(one.source.fallbacks),
                    idle=one.direct and arm in spot.node and is_empty(spot.node[arm]),
                )
            )


def _join(state: State, one: Changes, other: Changes) -> None:
    """Continue with the candidates that either of two arms leaves."""
    for path in one.keys() | other.keys():
        before = state[path]
        state[path] = _union(one.get(path, before), other.get(path, before))


def _union(one: Candidates, other: Candidates) -> Candidates:
    both = one if one is other else one | other
    return MANY if len(both) > MOST_CANDIDATES or both >= MANY else both


def _initial(init: Json, path: Keys) -> Candidates:
    """Return the candidates of `path` when a run begins.

    A launch may override every value of the document. Where the document gives a value
    other than null, no condition can find the path absent.
    """
    absent = all(value is None for value in _values_at(init, path))
    return _given(init, path) | (LAUNCH if absent else OPEN)


def _answered(ref: str, rest: Keys) -> Candidates:
    if not rest:
        return frozenset({Candidate("body", ref)})
    return frozenset({Candidate("part", ref)}) if rest == VERDICT else OPEN


def _given(value: Json, rest: Keys) -> Candidates:
    if value is UNKNOWN:
        return OPEN
    return frozenset(
        Candidate("given", text_of(one)) for one in _values_at(value, rest)
    )


def _values_at(value: Json, keys: Keys) -> Iterator[Json]:
    """Yield the value at a path below a value, one of each element below an array."""
    for number, key in enumerate(keys):
        if key == ELEMENT and isinstance(value, list):
            for item in value:
                yield from _values_at(item, keys[number + 1 :])
            return
        if not isinstance(value, dict) or key not in value:
            return
        value = value[key]
    yield value


def _compared_paths(
    spots: Sequence[Spot], comparisons: Iterable[Comparison]
) -> dict[Keys, None]:
    """Return the compared paths, and the paths in lanes that their values come from."""
    paths = dict.fromkeys(one.source.path for one in comparisons)
    fanouts: dict[Keys, list[Json]] = {}
    for spot in spots:
        for place, keys in spot.writes if spot.kind == "fanout" else ():
            if place.endswith(".out"):
                fanouts.setdefault(any_index(keys), []).append(spot.node)
    # A path in a lane may lead into another lane. A path beyond the limit is open.
    most = MOST_FOLLOWED * len(spots)
    waiting = list(paths) if fanouts else []
    for path in waiting:
        for above in prefixes_of(path):
            for fanout in fanouts.get(above, ()):
                source, rest = _collected(fanout, path[len(above) :])
                inside = (*source.path, *rest) if source is not None else path
                most -= 1
                if most < 0:
                    return paths
                if inside not in paths and len(inside) <= MAX_DEPTH:
                    paths[inside] = None
                    waiting.append(inside)
    return paths


def _collected(fanout: Json, rest: Keys) -> tuple[ValueSource | None, Keys]:
    """Return the source in a lane of a path below the fanout's out, and the keys below."""
    heads: dict[str, Keys] = {"all": (ELEMENT,), "all_settled": (ELEMENT, "value")}
    head = heads.get(fanout["join"], ())
    if rest[: len(head)] != head:
        return None, rest
    select = fanout.get("select")
    source = ValueSource(()) if select is None else source_of(select)
    return source, rest[len(head) :]
