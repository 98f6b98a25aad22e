"""The edges of docs/sharp-edges.md that schema and compiler remove, by their ids.

Those of loaders, DSL and stores have their tests where those are.
"""

import copy
import json
from typing import Any

import pytest
from blueprint_findings import refused
from flow_documents import at, lit, seq

from engine.blueprint import (
    BlueprintInvalid,
    Level,
    Program,
    compile_blueprint,
    lint_blueprint,
)
from engine.blueprint.reading import read_blueprint

EMPTY = {"kind": "seq", "children": []}
FN = {"name": "f", "kind": "python_fn", "spec": {"fn_id": "identity"}}


def step(ref: str = "f", given: Any = None, out: str = "$.x") -> Any:
    given = at("$.a") if given is None else given
    return {"kind": "step", "ref": ref, "in": given, "out": at(out)}


def branch(cond: Any, then: Any = EMPTY, other: Any = EMPTY) -> Any:
    return {"kind": "branch", "cond": cond, "then": then, "else": other}


def eq(place: str, value: Any) -> Any:
    return {"op": "eq", "lhs": at(place), "rhs": lit(value)}


def document(flow: Any = None, **more: Any) -> Any:
    flow = step() if flow is None else flow
    value = {"id": "edge", "flow": flow, "agents": [FN], **more}
    return copy.deepcopy(value)


def kinds_of(value: Any, level: Level | None = None) -> list[str]:
    found = lint_blueprint(value).diagnostics
    return [one.kind for one in found if level in (None, one.level)]


def errors(value: Any) -> list[str]:
    return [str(found) for found in refused(value)]


# 9.1: flow.ir


def test_f3_a_branch_that_can_never_be_boolean_is_reported() -> None:
    assert "branch-cond-not-boolean" in kinds_of(document(branch(lit(0))))
    # A path may have a boolean: no finding before it is known.
    assert "branch-cond-not-boolean" not in kinds_of(document(branch(at("$.a"))))


def test_f6_a_loop_that_may_run_out_in_silence_is_reported_where_its_counter_is_read() -> (
    None
):
    loop = {
        "kind": "loop", "counter": at("$.n"), "cond": eq("$.x", 1), "body": step(),
        "max": 3,
    }  # fmt: skip
    gate = branch({"op": "gte", "lhs": at("$.n"), "rhs": lit(3)}, step())
    assert "dialect-on-max" in kinds_of(document(seq(loop, gate)))


def test_f8_a_target_that_is_no_path_is_reported_before_anything_runs() -> None:
    bad = {**step(), "out": lit("$.x")}
    assert "write-target-is-no-path" in kinds_of(document(bad))
    compile_blueprint(document(bad))  # the language takes it; only its run fails


def test_f9_a_fanout_of_whole_documents_is_reported() -> None:
    fan = {
        "kind": "fanout", "items": at("$.a"), "bind": at("$.i"), "body": step(),
        "join": "all", "out": at("$.out"),
    }  # fmt: skip
    assert "fanout-collects-documents" in kinds_of(document(fan))


@pytest.mark.parametrize("place", ['$.a]"b', '$["x"].b]"c', 'ctx.a.b]"'])
def test_f15_a_path_that_can_not_be_written_again_is_refused(place: str) -> None:
    text = 'a key of the path contains both "]" and a quotation mark'
    [message] = errors(document(step(given=at(place))))
    assert message.startswith(f"$.flow.in.at: {text}")
    limit = {"per_agent": {"f": {"limit": {"key": at(place), "max": 1}}}}
    [message] = errors(document(hints=limit))
    assert message.startswith(f"$.hints.per_agent.f.limit.key.at: {text}")


@pytest.mark.parametrize("place", ["$.a]b", '$.a"b', "$.a b"])
def test_f15_other_odd_keys_reach_the_workers(place: str) -> None:
    program = compile_blueprint(document(step(given=at(place))))
    again = Program.from_json(json.loads(json.dumps(program.to_json())))
    assert again.flow == program.flow


def test_f16_a_number_in_a_path_is_reported_as_a_key() -> None:
    assert "dialect-index-path" in kinds_of(document(step(given=at("$.a.0"))))


def test_f17_a_call_of_an_extern_that_is_not_registered_is_reported() -> None:
    call = {"op": "call_extern", "ref": "slug", "args": []}
    assert "unregistered-extern" in kinds_of(document(step(given=call)))


@pytest.mark.parametrize("depth", [40, 60, 127, 5_000, 100_000])
def test_f18_nesting_ends_in_a_program_or_in_an_error(depth: int) -> None:
    flow: Any = EMPTY
    for _ in range(depth):
        flow = {"kind": "seq", "children": [flow]}
    if depth <= 60:
        compile_blueprint({"id": "deep", "flow": flow})
    else:
        value = {"id": "deep", "flow": flow}
        with pytest.raises(BlueprintInvalid, match="deeper than 127") as caught:
            compile_blueprint(value)
        assert [found.kind for found in caught.value.diagnostics] == ["not-json"]
        assert not lint_blueprint(value).suppressed


def test_f18_forty_loops_in_each_other_are_checked_at_once() -> None:
    flow = step("f", out="$.v")
    for n in range(40):
        body = seq(flow, branch(eq("$.v.parts.verdict", f"V{n}"), step()))
        flow = {
            "kind": "loop", "counter": at(f"$.n{n}"), "cond": eq("$.v", n),
            "body": body, "max": 2,
        }  # fmt: skip
    value = document(flow)
    tests = read_blueprint(value).tests
    assert len(tests) == 80
    assert {test.producers for test in tests} == {frozenset({"f"})}


# 9.2: Blueprint and compiler


def test_b1_a_kind_may_come_from_the_documents_default() -> None:
    agent = {"name": "f", "spec": {"fn_id": "identity"}}
    messages = errors(document(agents=[agent]))
    assert messages[0].startswith("$.agents[0]: agent 'f' has no kind; write 'kind'")
    value = document(agents=[agent], default_agent_kind="rust_fn")
    assert compile_blueprint(value).agents["f"].kind == "python_fn"


def test_b2_words_that_nothing_reads_are_refused_and_versions_are_compared() -> None:
    assert (
        "unknown field 'kind_override'"
        in errors(document(hints={"kind_override": {}}))[0]
    )
    assert "expected null" in errors(document(hints={"global": {}}))[0]
    assert "reads 0.1.x" in errors(document(schema_version="0.9.0"))[0]


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("operators", {"name": "n"}),
        ("metas", {"name": "n", "ctx": {}}),
        ("runners", {"name": "n", "runner": {"backend": "agent_block_in_process"}}),
        ("subprocesses", {"name": "n", "argv": ["a"]}),
    ],
)
def test_b4_a_name_stands_for_one_thing(key: str, row: Any) -> None:
    messages = errors(document(**{key: [row, row]}))
    assert messages == [
        f"$.{key}[1].name: the name 'n' is taken by $.{key}[0]; rename one"
        " [duplicate-name]"
    ]


def test_b5_an_unknown_layer_is_an_error() -> None:
    messages = errors(document(spawner_hints={"layers": ["main-ai"]}))
    assert "did you mean 'main_ai'?" in messages[0]


def test_b6_a_template_comes_in_by_the_runner_only() -> None:
    hints = {"per_agent": {"f": {"subprocess_template": "llm"}}}
    assert "unknown field 'subprocess_template'" in errors(document(hints=hints))[0]


def test_b7_the_content_of_a_template_is_part_of_the_digest() -> None:
    def digest(word: str) -> tuple[str, str]:
        runner = {"backend": "subprocess", "template": "llm"}
        agent = {"name": "f", "kind": "subprocess", "runner": runner}
        templates = [{"name": "llm", "argv": ["llm", word]}]
        program = compile_blueprint(document(agents=[agent], subprocesses=templates))
        return program.agents["f"].binding_digest, program.program_id

    assert digest("a") == digest("a")
    assert not set(digest("a")) & set(digest("b"))


def judge(name: str, *values: str, channel: str = "part") -> Any:
    return {**FN, "name": name, "verdict": {"channel": channel, "values": list(values)}}


def test_b8_a_condition_is_checked_against_all_possible_writers() -> None:
    agents = [judge("one", "A", "B"), judge("two", "C", "D")]
    verdict = "$.v.parts.verdict"

    def asks(value: str) -> Any:
        return branch(eq(verdict, value), step("two"))

    one, two = step("one", out="$.v"), step("two", out="$.v")
    # The reference would hold the first against `two`, who comes later.
    flow = seq(one, asks("A"), two, asks("C"))
    assert compile_blueprint(document(flow, agents=agents))
    messages = errors(document(seq(one, asks("C"), two, asks("A")), agents=agents))
    assert [text.split(": ")[0] for text in messages] == [
        "$.flow.children[1].cond.rhs.value",
        "$.flow.children[3].cond.rhs.value",
    ]
    either = seq(branch(at("$.a"), one, two), asks("A"), asks("D"))
    assert compile_blueprint(document(either, agents=agents))
    # Round two of the loop sees what its end wrote.
    body = seq(branch(eq(verdict, "D"), step("two", out="$.z")), two)
    loop = {
        "kind": "loop", "counter": at("$.n"), "cond": at("$.a"), "body": body,
        "max": 3,
    }  # fmt: skip
    assert compile_blueprint(document(seq(one, loop), agents=agents))
    lane = {
        "kind": "fanout", "items": lit([1]), "bind": at("$.i"),
        "body": seq(two, asks("C")), "join": "all", "out": at("$.o"),
    }  # fmt: skip
    # What a lane writes stays in the lane.
    assert compile_blueprint(document(seq(one, lane, asks("A")), agents=agents))
    caught = {"kind": "try", "body": two, "catch": asks("A"), "err_at": None}
    assert compile_blueprint(document(seq(one, caught), agents=agents))


def test_b9_contracts_travel_with_the_program() -> None:
    flow = seq(step("one", out="$.v"), branch(eq("$.v", "A"), step("one")))
    value = document(flow, agents=[judge("one", "A", "B", channel="body")])
    program = compile_blueprint(value)
    back = Program.from_json(json.loads(json.dumps(program.to_json())))
    assert back.agents["one"].verdict == {"channel": "body", "values": ["A", "B"]}


def test_b10_a_gate_that_only_halts_leaves_the_last_value_to_the_other_arm() -> None:
    flow = seq(
        step("one", out="$.v"), branch(eq("$.v.parts.verdict", "REJECT"), step("one"))
    )
    healthy = document(flow, agents=[judge("one", "PASS", "REJECT")])
    assert "verdict-value-unhandled" not in kinds_of(healthy)
    three = document(flow, agents=[judge("one", "PASS", "RETRY", "REJECT")])
    assert kinds_of(three).count("verdict-value-unhandled") == 2


def test_b14_an_alias_is_the_first_key_and_not_text_up_to_a_dot() -> None:
    flow = step("f", out='$["p.q"].r')
    assert compile_blueprint(document(flow)).step_names == {"p.q": "f"}


def test_b15_an_argument_that_is_no_string_is_refused() -> None:
    agent = {"name": "f", "kind": "subprocess", "spec": {"program": "a", "args": [1]}}
    messages = errors(document(agents=[agent]))
    assert messages[0].startswith("$.agents[0].spec.args[0]: expected a string, got 1")


def test_b16_a_default_runner_is_for_the_kinds_it_can_serve() -> None:
    runners = [{"name": "r", "runner": {"backend": "ws_operator", "variant": "v"}}]
    value = document(runners=runners, default_runner="r")
    assert compile_blueprint(value).agents["f"].runner is None
    assert not kinds_of(value, Level.WARN)
    kinds = kinds_of(document(agents=[{**FN, "runner": runners[0]["runner"]}]))
    assert "binding-resolution-error" in kinds


def test_b16_a_default_template_is_not_for_an_agent_with_a_spec() -> None:
    runner = {"backend": "subprocess", "template": "llm"}
    agents = [
        {"name": "f", "kind": "subprocess", "spec": {"program": "cat"}},
        {"name": "g", "kind": "subprocess"},
    ]
    value = document(
        agents=agents,
        runners=[{"name": "r", "runner": runner}],
        default_runner="r",
        subprocesses=[{"name": "llm", "argv": ["llm"]}],
    )
    program = compile_blueprint(value)
    assert program.agents["f"].spec["program"] == "cat"
    assert program.agents["g"].spec["argv"] == ["llm"]


OPERATOR = {"name": "f", "kind": "operator", "spec": {"operator_ref": "desk"}}
RUNNER = {"backend": "ws_operator", "variant": "v"}
DESK = {"operators": [{"name": "desk"}]}


def test_b17_an_agent_with_a_runner_lacks_no_binding() -> None:
    assert "worker-binding-missing" in kinds_of(document(agents=[OPERATOR], **DESK))
    bound = {**OPERATOR, "runner": RUNNER}
    assert "worker-binding-missing" not in kinds_of(document(agents=[bound], **DESK))
    by_default = document(
        agents=[OPERATOR],
        runners=[{"name": "r", "runner": RUNNER}],
        default_runner="r",
        **DESK,
    )
    assert "worker-binding-missing" not in kinds_of(by_default)


def test_b18_only_who_answers_in_words_owes_an_output_contract() -> None:
    lua = {"name": "f", "kind": "lua", "spec": {"source": "return 1"}}
    cat = {"name": "f", "kind": "subprocess", "spec": {"program": "cat"}}
    for agent in (FN, lua, cat):
        assert "output-contract-missing" not in kinds_of(document(agents=[agent]))
    assert "output-contract-missing" in kinds_of(document(agents=[OPERATOR], **DESK))


def test_b19_only_a_gate_without_its_path_gets_the_advice() -> None:
    halt = {"kind": "assign", "value": lit("judge")}
    messages = errors(document(seq(step(), branch(eq("$.x", "NO"), halt))))
    assert messages[0].endswith("[halted-at-missing]")
    for flow in (
        seq(halt),
        branch(eq("$.x", "NO"), {**halt, "value": at("$.a")}),
        step(given={"op": "path"}),
        branch(lit(True), {"kind": "step", "ref": "halted_at"}),
    ):
        messages = errors(document(flow))
        assert messages[0].endswith("[invalid-flow]")


def test_b21_an_empty_array_for_a_spec_names_what_is_expected() -> None:
    messages = errors(document(agents=[{**FN, "spec": []}]))
    assert messages == [
        "$.agents[0].spec: expected an object, got an array [invalid-agent-spec]"
    ]


# 9.3: what a document may hold


@pytest.mark.parametrize("name", ["..", "a/b", "/abs", ".git", "a\nb", "", "a" * 129])
def test_s3_an_id_can_name_no_path(name: str) -> None:
    assert errors(document(id=name))[0].startswith("$.id: expected a string")


def test_s6_a_word_left_out_keeps_the_hash_a_program_had() -> None:
    short = compile_blueprint(document())
    explicit = document(
        audits=[],
        metas=[],
        runners=[],
        spawner_hints={"layers": []},
        check_policy=None,
        dialect="flow.ir",
        schema_version="0.1.3",
        metadata={"description": "other words", "tags": ["x"]},
        agents=[
            {**FN, "meta": {"description": "other words"}, "lints": {"all": "warn"}}
        ],
    )
    assert compile_blueprint(explicit).program_id == short.program_id
    assert "layers" not in short.to_json()


def test_s7_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    value = document(hints={"per_agent": {"f": {"priority": "hi", "timeout_s": 9}}})
    turned = json.loads(
        json.dumps(dict(reversed(value.items()))),
        object_pairs_hook=lambda pairs: dict(reversed(pairs)),
    )
    one, other = compile_blueprint(value), compile_blueprint(turned)
    assert one.program_id == other.program_id


@pytest.mark.parametrize("where", ["$file", "$agent_md"])
def test_s14_a_reference_that_was_not_expanded_is_reported(where: str) -> None:
    [found] = [
        text
        for text in errors(document(agents=[{**FN, where: "agents/a.md"}]))
        if where in text
    ]
    assert "references are expanded when a Blueprint is loaded from a file" in found


@pytest.mark.parametrize(
    "value",
    [
        None, [], 5, "x", {}, {"id": 1}, {"id": "a", "flow": None},
        {"id": "a", "flow": {"kind": []}}, {"id": "a", "flow": {"kind": "seq"}},
        {"id": "a", "flow": EMPTY, "agents": [None, 5, {}]},
        {"id": "a", "flow": EMPTY, "agents": [{"name": "x", "runner": 5}]},
        {"id": "a", "flow": EMPTY, "agents": [{"name": "x", "runner": {"backend": []}}]},
        {"id": "a", "flow": EMPTY, "metadata": {"origin": {"kind": {}}}},
        {"id": "a", "flow": EMPTY, "schema_version": "0.1.x"},
        {"id": "a", "flow": {1: 2}}, {"id": "a", "flow": "\ud800"},
        {"id": "a", "flow": EMPTY, "hints": {"per_agent": {"\n": {"limit": 1}}}},
    ],
)  # fmt: skip
def test_what_is_no_blueprint_is_refused_and_never_breaks_the_compiler(
    value: Any,
) -> None:
    assert errors(value)
    report = lint_blueprint(value)
    assert report.verdict == "BLOCK"
