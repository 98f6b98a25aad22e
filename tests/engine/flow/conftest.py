"""Random JSON values, paths, expressions and programs for the tests of the language."""

from typing import Any

import pytest
from hypothesis import strategies as st

from engine.flow import DIALECTS, Dialect
from engine.flow.grammar import COLLECTING

Json = Any
KEYS = ["a", "b", "n", "k.v"]
PATHS = ["$", "ctx", "$.a", "$.b", "ctx.a.b", "$.n", '$["k.v"].a', "$.a.b.n"]
INDEXED = ["$[0]", "$.a[0]", "$.a[-1]", "ctx.a[1].b", "$.b[0][-1]", '$["k.v"][0].n']
BINARY = ["eq", "ne", "lt", "lte", "gt", "gte", "add", "sub", "mul", "div", "mod"]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(-3, 3, width=16)
    | st.sampled_from(["", "a", "é"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=8,
)


class Programs:
    """Strategies of one dialect: path texts, expressions and nodes as JSON."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.swarm = dialect == "swarm"
        self.paths = st.sampled_from([*PATHS, *INDEXED] if self.swarm else PATHS)
        self.path_exprs = record(op=st.just("path"), at=self.paths)
        leaves = self.path_exprs | record(op=st.just("lit"), value=VALUES)
        self.exprs = st.recursive(leaves, self._larger_expr, max_leaves=4)
        self.targets = st.sampled_from(range(10)).flatmap(
            lambda n: self.exprs if n == 0 else self.path_exprs
        )
        self.nodes = st.recursive(self._simple_nodes(), self._larger_node, max_leaves=8)

    def own(self, **fields: st.SearchStrategy[Json]) -> dict[str, Json]:
        """Return optional fields that only the dialect swarm has."""
        return fields if self.swarm else {}

    def _larger_expr(self, inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
        exprs = [
            record(op=st.sampled_from(BINARY), lhs=inner, rhs=inner),
            record(op=st.sampled_from(["not", "exists", "len"]), arg=inner),
            record(op=st.sampled_from(["and", "or"]), args=st.lists(inner, max_size=3)),
            record(op=st.just("in"), needle=inner, haystack=inner),
            record(
                op=st.just("call_extern"),
                ref=st.sampled_from(["list", "keep", "absent"]),
                args=st.lists(inner, max_size=2),
            ),
        ]
        if self.swarm:
            loop = {"in": inner, "as": self.paths}
            tests = st.sampled_from(["any", "all", "filter"])
            exprs += [
                record(op=st.just("default"), arg=inner, fallback=inner),
                record(op=tests, cond=inner, **loop),
                record(op=st.just("map"), value=inner, **loop),
            ]
        return st.one_of(exprs)

    def _simple_nodes(self) -> st.SearchStrategy[Json]:
        below = self.paths.filter(lambda path: path not in ("$", "ctx"))
        deletes = [record(kind=st.just("delete"), at=below)] if self.swarm else []
        return st.one_of(
            *deletes,
            record(kind=st.just("let"), at=self.paths, value=self.exprs),
            record(kind=st.just("assign"), at=self.targets, value=self.exprs),
            record(
                kind=st.just("step"),
                out=self.targets,
                **{
                    "in": self.exprs,
                    "agent" if self.swarm else "ref": st.sampled_from(
                        ["echo", "fail", "same"]
                    ),
                },
            ),
        )

    def _larger_node(self, inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
        lists = record(op=st.just("lit"), value=st.lists(VALUES, max_size=3))
        noted = {"err_at": self.targets}
        words = st.sampled_from(["text", "object"])
        return st.one_of(
            record(kind=st.just("seq"), children=st.lists(inner, max_size=4)),
            record(
                kind=st.just("branch"),
                cond=self.exprs,
                then=inner,
                **{"else": inner},
            ),
            record(kind=st.just("try"), body=inner, catch=inner, err_at=st.none()),
            st.fixed_dictionaries(
                {"kind": st.just("try"), "body": inner, "catch": inner, **noted},
                optional=self.own(err_as=words),
            ),
            st.fixed_dictionaries(
                {
                    "kind": st.just("loop"),
                    "counter": self.targets,
                    "cond": self.exprs,
                    "body": inner,
                    "max": st.integers(0, 3),
                },
                optional=self.own(on_max=st.sampled_from(["continue", "fail"])),
            ),
            st.fixed_dictionaries(
                {
                    "kind": st.just("fanout"),
                    "items": self.exprs | lists,
                    "bind": self.targets,
                    "body": inner,
                    "join": st.sampled_from(["all", "any", "race", "all_settled"]),
                    "out": self.targets,
                },
                optional=self.own(
                    select=self.exprs, max_parallel=st.integers(1, 2**32 - 1)
                ),
            ).map(selecting if self.swarm else lambda node: node),
        )


def selecting(fanout: Json) -> Json:
    """Return a fanout that says what it collects, as the dialect swarm requires."""
    if fanout["join"] in COLLECTING:
        fanout.setdefault("select", {"op": "path", "at": "$"})
    return fanout


def record(**fields: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Return a strategy of objects with these fields."""
    return st.fixed_dictionaries(fields)


@pytest.fixture(scope="session")
def json_values() -> st.SearchStrategy[Json]:
    """Small JSON values of every type."""
    return VALUES


@pytest.fixture(scope="session", params=DIALECTS)
def programs(request: pytest.FixtureRequest) -> Programs:
    """Strategies of each dialect; paths often name a place of the small values."""
    return Programs(request.param)
