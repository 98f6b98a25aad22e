"""No comparison that came true in a run is refused as one that never could."""

import contextlib
import random
from typing import Any

import pytest
from flow_documents import at, lit

from engine.blueprint import BlueprintInvalid, compile_blueprint
from engine.flow import FlowError, evaluate, read_node
from engine.flow.source import in_source_words

WORDS = ("PASS", "REDO", "NONE", "LATE")
PATHS = ("$.v", "$.w", "$.v", "$.v.parts.verdict", "$.r.v")
# Two elements under three names.
ELEMENTS = ("$.xs[0]", "$.xs[1]", "$.xs[-1]", "$.xs[0].parts.verdict")
CONTRACTS = {
    "body": {"channel": "body", "values": ["PASS", "REDO"]},
    "part": {"channel": "part", "values": ["PASS", "REDO"]},
    "free": None,
}
CHANNEL = "verdict-channel-mismatch"
SEEDS = 200
NOTHING: Any = {"kind": "seq", "children": []}


class Maker:
    """Makes flows of few paths, so that writes and conditions meet."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.gates = 0

    def node(self, depth: int) -> Any:
        sorts = ["step", "step", "let", "gate", "gate", "element"]
        if depth:
            sorts += ["seq", "tested", "tested", "tested", "tested", "elements"]
        return getattr(self, f"make_{self.rng.choice(sorts)}")(depth - 1)

    def make_step(self, _: int) -> Any:
        return self.step(self.rng.choice(PATHS[:3]))

    def step(self, out: str) -> Any:
        ref = self.rng.choice(list(CONTRACTS))
        return {"kind": "step", "ref": ref, "in": lit(0), "out": at(out)}

    def make_element(self, _: int) -> Any:
        """A write to an element, where there is one."""
        write = self.element_write()
        return {"kind": "try", "body": write, "catch": NOTHING}

    def element_write(self) -> Any:
        at = self.rng.choice(ELEMENTS[:3])
        word = {"kind": "let", "at": at, "value": lit(self.rng.choice(WORDS))}
        return self.rng.choice([self.step(at), self.step(at), word])

    def make_elements(self, depth: int) -> Any:
        """A fresh array, writes to its elements and gates on them."""
        value = lit(self.rng.choices(WORDS, k=2))
        children = [{"kind": "let", "at": "$.xs", "value": value}]
        children += [self.element_write(), self.element_write(), self.node(depth)]
        children += [self.gate(self.element_test()) for _ in range(3)]
        return {"kind": "seq", "children": children}

    def element_test(self) -> Any:
        if self.rng.random() < 0.7:
            return self.test(self.rng.choice(ELEMENTS))
        return {"op": "any", "in": at("$.xs"), "as": "$.e", "cond": self.test("$.e")}

    def make_let(self, _: int) -> Any:
        word = self.rng.choice(WORDS)
        place, value = self.rng.choice(
            [
                (self.rng.choice(PATHS), lit(word)),
                (self.rng.choice(PATHS[:2]), lit({"parts": {"verdict": word}})),
                ("$.r", lit({"v": word})),
                ("$.vs", lit([word, {"parts": {"verdict": word}}])),
                (self.rng.choice(PATHS[:3]), at(self.rng.choice(PATHS))),
            ]
        )
        return {"kind": "let", "at": place, "value": value}

    def test(self, place: str) -> Any:
        left = at(place)
        if self.rng.random() < 0.3:
            fallback = self.rng.choice([lit(self.rng.choice(WORDS)), at("$.w")])
            left = {"op": "default", "arg": left, "fallback": fallback}
        if self.rng.random() < 0.3:
            words = lit(self.rng.sample(WORDS, 1))
            return {"op": "in", "needle": left, "haystack": words}
        return {"op": "eq", "lhs": left, "rhs": lit(self.rng.choice(WORDS))}

    def make_gate(self, _: int) -> Any:
        test = self.test(self.rng.choice(PATHS))
        if self.rng.random() < 0.3:
            place = self.rng.choice(["$.e", "$.e.v", "$.e.parts.verdict"])
            array = {"op": "default", "arg": at("$.vs"), "fallback": lit([])}
            present = {"op": "exists", "arg": at(place)}
            both = {"op": "and", "args": [present, self.test(place)]}
            test = {"op": "any", "in": array, "as": "$.e", "cond": both}
        return self.gate(test)

    def gate(self, test: Any) -> Any:
        """A branch that calls a step of its own where its comparison holds."""
        self.gates += 1
        hit = {"kind": "step", "ref": f"hit{self.gates}", "in": lit(0)}
        hit["out"] = at("$.hit")
        gate = {"kind": "branch", "cond": test, "then": hit, "else": NOTHING}
        # A path that is absent ends the gate and not the run.
        return {"kind": "try", "body": gate, "catch": NOTHING}

    def make_seq(self, depth: int) -> Any:
        return {
            "kind": "seq",
            "children": [self.node(depth) for _ in range(self.rng.randint(2, 5))],
        }

    def make_branch(self, depth: int) -> Any:
        cond = lit(self.rng.random() < 0.5)
        then, other = self.node(depth), self.node(depth)
        return {"kind": "branch", "cond": cond, "then": then, "else": other}

    def make_loop(self, depth: int) -> Any:
        return {
            "kind": "loop",
            "counter": at("$.n"),
            "cond": lit(True),
            "body": self.node(depth),
            "max": self.rng.randint(1, 3),
        }

    def make_try(self, depth: int) -> Any:
        failing = {"kind": "step", "ref": "fails", "in": lit(0), "out": at("$.f")}
        body = {"kind": "seq", "children": [self.node(depth), failing]}
        made: Any = {"kind": "try", "body": body, "catch": self.node(depth)}
        if self.rng.random() < 0.3:
            made["err_at"] = at("$.w")
        return made

    def make_fanout(self, depth: int) -> Any:
        made: Any = {
            "kind": "fanout",
            "items": lit(self.rng.sample(WORDS, 2)),
            "bind": at(self.rng.choice(["$.item", "$.v"])),
            "body": self.node(depth),
            "join": self.rng.choice(["all", "any", "all_settled"]),
            "out": at(self.rng.choice(["$.vs", "$.v", ELEMENTS[1]])),
        }
        if self.rng.random() < 0.8:
            select = at(self.rng.choice(PATHS[:2]))
            made["select"] = {"op": "default", "arg": select, "fallback": lit("NONE")}
        return made

    def make_tested(self, depth: int) -> Any:
        """Something after which several values may stand at a path, and gates."""
        sort = self.rng.choice(["branch", "loop", "try", "fanout"])
        before = (
            [self.make_step(0), self.make_let(0)] if self.rng.random() < 0.5 else []
        )
        gates = [self.make_gate(0) for _ in range(3)]
        made = getattr(self, f"make_{sort}")(depth)
        return {"kind": "seq", "children": [*before, made, *gates]}


def hits_of(flow: Any, ctx: Any, rng: random.Random) -> set[str]:
    """Run a flow and return the gates that were true."""
    found = set()

    def dispatch(ref: str, _: Any) -> Any:
        if ref == "fails":
            raise FlowError("DispatcherError", "fails")
        if ref.startswith("hit"):
            found.add(ref)
            return 1
        word = rng.choice(WORDS[:2])
        answer = {"out": 1, "parts": {"verdict": word}}
        return answer if ref == "part" else word

    # What came before a failure counts all the same.
    with contextlib.suppress(FlowError):
        evaluate(read_node(flow, "swarm"), ctx, dispatch)
    return found


def launched(init: Any, rng: random.Random) -> Any:
    """Returns a Ctx in which a launch has overridden what the document gives."""
    # In place of null it could give what the conditions that ask for it don't reckon with.
    given = [key for key, value in init.items() if isinstance(value, str)]
    return {**init, **{key: rng.choice(WORDS) for key in given}}


def refused_gates(document: Any) -> set[str]:
    """Returns the gates whose comparisons the compiler refuses."""
    try:
        compile_blueprint(document)
    except BlueprintInvalid as error:
        found = set()
        for one in error.diagnostics:
            assert one.kind in ("verdict-value-not-in-contract", CHANNEL), one
            place = one.place.partition(".cond")[0].removeprefix("$.flow")
            found.add(gate_at(document["flow"], place))
        return found
    return set()


def gate_at(flow: Any, place: str) -> str:
    for part in place.replace("[", ".[").split("."):
        if part:
            flow = flow[int(part[1:-1])] if part.startswith("[") else flow[part]
    return str(flow["then"]["agent"])


@pytest.mark.slow
def test_what_came_true_is_not_refused() -> None:
    refused = true = 0
    for seed in range(SEEDS):
        rng = random.Random(seed)
        maker = Maker(rng)
        ctx = rng.choice(
            [{}, {"v": "NONE"}, {"v": None, "w": "NONE"}, {"vs": ["NONE"]}]
        )
        flow = maker.make_seq(3)
        names = [*CONTRACTS, "fails", *(f"hit{n + 1}" for n in range(maker.gates))]
        agents = [
            {"name": n, "kind": "python_fn", "spec": {"fn_id": "f"}}
            | ({"verdict": CONTRACTS[n]} if CONTRACTS.get(n) else {})
            for n in names
        ]
        source = in_source_words(flow)
        document = {"id": "r", "dialect": "swarm", "flow": source, "agents": agents}
        gates = refused_gates({**document, "default_init_ctx": ctx})
        begun = [ctx, ctx, ctx, launched(ctx, rng)]
        held = {ref for one in begun for ref in hits_of(flow, one, rng)}
        assert not gates & held, (seed, gates & held)
        refused, true = refused + len(gates), true + len(held)
    assert refused > 50
    assert true > 60
