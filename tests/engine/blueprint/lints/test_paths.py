"""Tests of lints/paths.py: what is read before it is written, and misspelt paths."""

from typing import Any

import pytest

from engine.blueprint import LintOptions, lint_blueprint

EARLY, KEY, PATH = "path-read-before-written", "key-never-written", "path-never-written"
NOTHING: Any = {"kind": "seq", "children": []}


def seq(*children: Any) -> Any:
    return {"kind": "seq", "children": list(children)}


def step(source: Any, out: str) -> Any:
    return {"kind": "step", "agent": "a", "in": source, "out": out}


def let(at: str, value: Any) -> Any:
    return {"kind": "let", "at": at, "value": value}


def branch(cond: Any, then: Any, otherwise: Any = NOTHING) -> Any:
    return {"kind": "branch", "cond": cond, "then": then, "else": otherwise}


def loop(cond: Any, body: Any, most: int = 3) -> Any:
    return {
        "kind": "loop",
        "counter": "$.round",
        "cond": cond,
        "max": most,
        "body": body,
    }


def fanout(items: Any, body: Any, select: Any = "$.part", **more: Any) -> Any:
    return {
        "kind": "fanout",
        "items": items,
        "bind": "$.item",
        "body": body,
        "join": "all",
        "select": select,
        "out": "$.parts",
        **more,
    }


def attempt(body: Any, catch: Any) -> Any:
    return {"kind": "try", "body": body, "catch": catch, "err_at": "$.error"}


def told(flow: Any, given: Any = None, *, launch: Any = None) -> list[tuple[str, str]]:
    """Return kind, message and help of each finding of this page."""
    document = {
        "id": "paths",
        "dialect": "swarm",
        "flow": flow,
        "agents": [{"name": "a", "kind": "python_fn", "spec": {"fn_id": "identity"}}],
    }
    if given is not None:
        document["default_init_ctx"] = given
    report = lint_blueprint(document, options=LintOptions(launch=launch))
    assert all(one.family for one in report.diagnostics), report.diagnostics
    return [
        (one.kind, f"{one.message}; {one.help}")
        for one in report.diagnostics
        if one.kind in (EARLY, KEY, PATH)
    ]


@pytest.mark.parametrize("given", [None, {}], ids=["launch", "document"])
@pytest.mark.parametrize(
    "flow",
    [
        seq(step("$.text", "$.page"), step("'tea'", "$.text")),
        seq(let("$.page", "$.text"), let("$.text", 1)),
        seq(branch("$.text == 1", NOTHING), let("$.text", 1)),
        seq(fanout("$.text", NOTHING, "$.item"), let("$.text", [1])),
        seq(fanout([1], NOTHING, "$.text"), let("$.text", 1)),
        seq({"kind": "delete", "at": "$.text"}, let("$.text", 1)),
        branch("true", let("$.text", 1), let("$.page", "$.text")),
        seq(fanout([1], seq(let("$.part", "$.text"), let("$.text", 1))), NOTHING),
        attempt(seq(let("$.page", "$.text"), let("$.text", 1)), NOTHING),
        seq(attempt(let("$.page", "$.text"), NOTHING), let("$.text.title", 1)),
        seq(loop("true", let("$.page", "$.text")), let("$.text", 1)),
    ],
    ids=lambda flow: "",
)
def test_a_read_before_every_write_is_told(flow: Any, given: Any) -> None:
    [(kind, text)] = told(flow, given)
    assert kind == EARLY
    assert text.startswith("$.text is read before it is written, at $.flow.")
    assert text.partition("; ")[2] == (
        "write it first, or add it to default_init_ctx (null will do) if the launch gives"
        " it"
    )


@pytest.mark.parametrize(
    ("flow", "given"),
    [
        # A loop leads back.
        (seq(loop("true", seq(let("$.page", "$.text"), let("$.text", 1)))), {}),
        (loop("$.round < 3", branch("$.round > 0", let("$.p", "$.t"), let("$.t", 1))), {}),
        # One way of a branch, or of a try, is enough.
        (seq(branch("true", let("$.text", 1)), let("$.page", "$.text")), {}),
        (seq(attempt(let("$.text", 1), NOTHING), let("$.page", "$.text")), {}),
        (seq(attempt(NOTHING, let("$.text", 1)), let("$.page", "$.text")), {}),
        (attempt(NOTHING, let("$.page", "$.error")), {}),
        # Lanes see their bind, and what was written before the fanout.
        (seq(let("$.text", 1), fanout([1], let("$.part", ["$.item", "$.text"]))), {}),
        # The document or the launch gives it.
        (seq(let("$.page", "$.text"), let("$.text", 1)), {"text": None}),
        (seq(let("$.page", "$.text.title"), let("$.text.title", 1)), {"text": {}}),
        (let("$.n", "$.n + 1"), None),
        (seq(step("$.draft", "$.ok"), step(["$.draft", "$.ok"], "$.draft")), None),
        (seq(let("$.page", "$.rows"), fanout("$.rows", NOTHING, "$.item", out="$.rows")),
         None),
        (loop("not $.good", step(1, "$.good")), None),
        # The expression asks first.
        (seq(let("$.page", "default($.text, '')"), let("$.text", 1)), {}),
        (seq(branch("exists($.text)", let("$.page", "$.text")), let("$.text", 1)), {}),
        (loop("$.round == 0 or not $.good", step(1, "$.good")), {}),
        # What an agent writes may have any key.
        (seq(step(1, "$.text"), let("$.page", "$.text.title"), let("$.text.title", 1)), {}),
        # The counter is written before the cond is read, the whole Ctx has every path.
        (loop("$.round < 2", NOTHING), {}),
        (seq(step(1, "$"), let("$.page", "$.text"), let("$.text", 1)), {}),
    ],
    ids=lambda value: "",
)  # fmt: skip
def test_a_read_that_a_write_may_precede_is_not_told(flow: Any, given: Any) -> None:
    assert told(flow, given) == []


def test_the_cond_of_a_loop_is_read_before_its_first_round() -> None:
    flow = loop("not $.good", step("$.topic", "$.good"))
    [(kind, text)] = told(flow, {"topic": "tea"})
    assert kind == EARLY
    assert text.startswith("$.good is read before the first round, and written in it;")
    assert told(flow, {"topic": "tea", "good": False}) == []
    assert told(flow, {"topic": "tea"}, launch={"good": False}) == []
    assert told({**flow, "max": 0}, {"topic": "tea"}) == []
    # The second time an outer loop comes here, the inner one has written it.
    assert told(loop("true", seq(flow)), {"topic": "tea"}) == []


@pytest.mark.parametrize(
    ("flow", "given", "expected"),
    [
        (seq(let("$.text", 1), let("$.p", "$.txet")), None, "did you mean '$.text'?"),
        (seq(let("$.draft", 1), let("$.p", "$.drafft")), None, "did you mean '$.draft'?"),
        (let("$.p", "$.tpoic"), {"topic": 1}, "did you mean '$.topic'?"),
        (let("$.p", "$.tipic"), {"topic": 1}, "did you mean '$.topic'?"),
        (let("$.p", "$.topics"), {"topic": 1},
         "add it to default_init_ctx (null will do) if the launch gives it"),
    ],
)  # fmt: skip
def test_a_path_one_letter_off_is_told(flow: Any, given: Any, expected: str) -> None:
    [(kind, text)] = told(flow, given)
    assert (kind, text.partition("; ")[2]) == (PATH, expected)


@pytest.mark.parametrize(
    "flow",
    [
        fanout("$.items", let("$.part", "$.item")),
        fanout("$.boxes", NOTHING, "$.box", bind="$.box"),
        seq(let("$.text2", 1), let("$.page", "$.text1")),
        seq(let("$.text", 1), let("$.page", "$.test")),
        seq(let("$.a", 1), let("$.page", "$.b")),
        seq(let("$.text", 1), let("$.page", "default($.txet, '')")),
        let("$.page", "map($.rows, text, text)"),
    ],
    ids=lambda flow: "",
)
def test_a_name_that_the_launch_may_give_is_not_told(flow: Any) -> None:
    assert told(flow) == []


DRAFT = let("$.draft", {"title": "$.topic", "text": "'x'", "tags": "['a']"})
LANES = fanout([1], let("$.part", {"name": "$.item"}))


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (seq(DRAFT, let("$.p", "$.draft.titel")),
         "$.draft has no key 'titel'; did you mean '$.draft.title'?"),
        (seq(DRAFT, let("$.p", "$.draft.author")),
         "$.draft has no key 'author'; its keys: tags, text, title"),
        (seq(DRAFT, let("$.p", "$.draft.text.length")),
         "$.draft.text is a string and has no keys; read $.draft.text itself"),
        (seq(DRAFT, let("$.p", "$.draft.tags.first")),
         "$.draft.tags is an array and has no keys; read $.draft.tags itself"),
        (seq(DRAFT, step("$.draft.titel", "$.p")),
         "$.draft has no key 'titel'; did you mean '$.draft.title'?"),
        (seq(branch("true", DRAFT, let("$.draft", {"body": 1})), let("$.p", "$.draft.bodi")),
         "$.draft has no key 'bodi'; did you mean '$.draft.body'?"),
        (seq(LANES, let("$.p", "$.parts[0].nmae")),
         "$.parts[0] has no key 'nmae'; did you mean '$.parts[0].name'?"),
        (seq(fanout([1], NOTHING, "$.item", join="all_settled"), let("$.p", "$.parts[0].vlaue")),
         "$.parts[0] has no key 'vlaue'; did you mean '$.parts[0].value'?"),
        (fanout([{"object": {"name": 1}}], let("$.part", "$.item.nane")),
         "$.item has no key 'nane'; did you mean '$.item.name'?"),
        (let("$.p", "$.config.modle"),
         "$.config has no key 'modle'; did you mean '$.config.model'?"),
        (let("$.p", "$.config.rows[0].nmae"),
         "$.config.rows[0] has no key 'nmae'; did you mean '$.config.rows[0].name'?"),
        (seq(loop("$.round < 2", seq(DRAFT, let("$.p", "$.draft.titel")))),
         "$.draft has no key 'titel'; did you mean '$.draft.title'?"),
    ],
)  # fmt: skip
def test_a_key_that_a_value_does_not_have_is_told(flow: Any, expected: str) -> None:
    given = {"topic": "tea", "config": {"model": "m", "rows": [{"name": "n"}]}}
    assert told(flow, given) == [(KEY, expected)]


@pytest.mark.parametrize(
    "flow",
    [
        seq(DRAFT, let("$.p", "$.draft.title")),
        seq(DRAFT, let("$.draft.author", 1), let("$.p", "$.draft.author")),
        seq(DRAFT, step(1, "$.draft"), let("$.p", "$.draft.author")),
        seq(DRAFT, branch("true", step(1, "$.draft")), let("$.p", "$.draft.author")),
        seq(DRAFT, attempt(step(1, "$.draft"), NOTHING), let("$.p", "$.draft.author")),
        seq(DRAFT, loop("true", seq(let("$.p", "$.draft.n"), step(1, "$.draft")))),
        seq(DRAFT, let("$.p", "default($.draft.author, 1)")),
        seq(DRAFT, branch("exists($.draft.author)", let("$.p", "$.draft.author"))),
        seq(DRAFT, fanout([1], seq(step(1, "$.draft"), let("$.part", "$.draft.n")))),
        seq(let("$.all", "merge($.config, {a: 1})"), let("$.p", "$.all.b")),
        let("$.p", "$.config.other"),
        let("$.p", "$.config.models"),
        let("$.p", "$.later.name"),
        let("$.p", "$.topic.name"),
        let("$.p", "$.config.rows[0].other"),
        seq(step("$", "$.answer"), let("$.p", "$.answer.titel")),
    ],
    ids=lambda flow: "",
)
def test_a_key_that_a_value_may_have_is_not_told(flow: Any) -> None:
    given = {
        "topic": "tea",
        "later": None,
        "config": {"model": "m", "rows": [{"name": "n"}]},
    }
    assert told(flow, given) == []


def test_each_path_is_told_once_where_it_is_read_first() -> None:
    reads = seq(let("$.p", "$.text"), let("$.q", "$.text.title"), let("$.text", 1))
    assert len(told(reads, {})) == 1
