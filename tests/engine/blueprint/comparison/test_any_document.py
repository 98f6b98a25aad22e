"""Any two JSON values can be compared, and no input makes it slow."""

import copy
import random
import time
from typing import Any

import pytest
from flow_edits import Editor, blueprint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.blueprint.comparison import (
    Previous,
    Version,
    blame,
    compare,
    identify,
    print_comparison,
)
from engine.blueprint.comparison.sequences import common_pairs, increasing

WORDS = ["kind", "children", "body", "then", "name", "agent", "in", "out", "at", "op",
         "agents", "flow", "dialect", "limit", "key", "value", "id"]  # fmt: skip
VALUES = ["seq", "step", "let", "branch", "try", "swarm", "$.a", "a\nb", "\x1b[2J", "{"]
leaves = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False)
values = st.recursive(
    leaves | st.sampled_from(VALUES) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(WORDS) | st.text(max_size=2), inner, max_size=5
        )
    ),
    max_leaves=20,
)
documents = values | st.fixed_dictionaries(
    {"flow": values, "agents": values, "dialect": st.sampled_from(["swarm", "x", 1])}
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(old=documents, new=documents, ids=st.dictionaries(st.text(), values))
def test_any_json_can_be_compared(old: Any, new: Any, ids: Any) -> None:
    first, second = identify(old), identify(new, Previous(old, ids))
    for given_ids in (
        {},
        {"old_identities": first, "new_identities": second},
        {"old_identities": ids, "new_identities": dict.fromkeys(second, "same")},
    ):
        found = compare(old, new, **given_ids)
        found.to_json()
        assert "\x1b" not in print_comparison(found)
    blame([Version("2", new, second), Version("1", old)])
    assert compare(new, copy.deepcopy(new)).changes == ()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), damage=values)
def test_the_rest_of_a_damaged_flow_is_compared(seed: int, damage: Any) -> None:
    editor = Editor(random.Random(seed))
    flow = editor.list_of(3)
    broken = copy.deepcopy(flow)
    broken["children"].append(damage)
    found = compare(blueprint(flow), blueprint(broken)).changes
    assert all(one.what in ("added", "moved") for one in found)


def let(path: str, value: Any) -> Any:
    return {"kind": "let", "at": path, "value": value}


def seq(*children: Any) -> Any:
    return {"kind": "seq", "children": list(children)}


def deep(letter: str) -> Any:
    flow = seq()
    for level in range(50):
        flow = seq(*(let(f"$.{letter}{level}", n) for n in range(39)), flow)
    return flow


N = 2000
HOSTILE = {
    "all equal": [seq(*[let("$.a", 1)] * N), seq(*[let("$.a", 1)] * (N - 7))],
    "all other": [
        seq(*(let(f"$.a{n % 17}", n) for n in range(N))),
        seq(*(let(f"$.a{n % 13}", -n - 1) for n in range(N))),
    ],
    "two by turns": [
        seq(*(let("$.a", n % 2) for n in range(N))),
        seq(*(let("$.a", n * n % 3 % 2) for n in range(N))),
    ],
    "reversed": [
        seq(*(let("$.a", n) for n in range(N))),
        seq(*(let("$.a", -n) for n in range(N))),
    ],
    "deep": [deep("a"), deep("b")],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_no_flow_of_2000_nodes_is_slow(name: str) -> None:
    old, new = map(blueprint, HOSTILE[name])
    started = time.process_time()
    print_comparison(compare(old, new))
    # A second where nothing else runs; comparing each with each would take minutes.
    assert time.process_time() - started < 10


def test_an_edit_of_200_nodes_is_found_at_once() -> None:
    step = {"kind": "step", "agent": "writer", "out": "$.out"}
    children = [{**step, "in": {"n": f"$.n{n} + 1"}} for n in range(200)]
    old, new = blueprint(seq(*children)), blueprint(seq(*children[1:], children[0]))
    times: list[float] = []
    for _ in range(5):
        started = time.process_time()
        assert len(compare(old, new).changes) == 1
        times.append(time.process_time() - started)
    # Eight milliseconds; reading all expressions anew would take fifty.
    assert min(times) < 0.02


def test_agents_and_texts_of_any_number_are_not_slow() -> None:
    old, new = (
        {
            "agents": [
                {"name": f"{side}{n}", "kind": "lua", "spec": n % 5} for n in range(N)
            ]
        }
        for side in "ab"
    )
    started = time.process_time()
    print_comparison(compare(old, new))
    assert time.process_time() - started < 10


@given(
    st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12)
)
def test_what_is_common_is_the_longest(old: list[int], new: list[int]) -> None:
    best = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for n in range(len(old) - 1, -1, -1):
        for m in range(len(new) - 1, -1, -1):
            longer = 1 + best[n + 1][m + 1] if old[n] == new[m] else 0
            best[n][m] = max(longer, best[n + 1][m], best[n][m + 1])
    pairs = common_pairs(old, new)
    assert all(old[n] == new[m] for n, m in pairs)
    assert len(increasing([n for n, _ in pairs])) == len(pairs) == best[0][0]
    assert len(increasing([m for _, m in pairs])) == len(pairs)


def test_what_is_common_of_very_many_equal_items_is_long() -> None:
    lines = [str(n) if n % 4 == 0 else "}" for n in range(4000)]
    edited = [*lines[:10], "new", *lines[10:3000], *lines[3002:], "new"]
    assert len(common_pairs(["a", *lines], ["b", *edited])) >= len(lines) - 10
