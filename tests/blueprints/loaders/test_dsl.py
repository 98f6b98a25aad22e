"""The Lua DSL: what it refuses, with the line and the stage, and what it warns of."""

import json

import pytest

from blueprints.conf import lua_host
from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.documents import DocumentInvalid
from engine.blueprint import compile_blueprint

HEAD = 'local F, B = require "flow_dsl", require "bp_dsl"\n'


@pytest.fixture(scope="module", autouse=True)
def sandbox():
    """Ends the sandbox with the module."""
    yield
    lua_host().close()


@pytest.fixture
def run(tmp_path):
    """Loads a script; the DSL's modules are F and B, and its own text is line 2."""

    def load(text, params=None):
        path = tmp_path / "a.bp.lua"
        path.write_text(HEAD + text)
        return load_blueprint(path, params=params)

    return load


@pytest.fixture
def fault(run, tmp_path):
    """Loads a script that is refused and returns why, without the file's name."""

    def load(text, params=None):
        with pytest.raises(DocumentInvalid) as caught:
            run(text, params)
        start = f"{tmp_path / 'a.bp.lua'}: "
        assert str(caught.value).startswith(start)
        return str(caught.value).removeprefix(start)

    return load


@pytest.fixture
def flow(run):
    """The flow of a pipeline and the warnings."""

    def load(text):
        loaded = run("return B.bp { flow = B.pipeline {\n" + text + "\n} }")
        return loaded.document["flow"], loaded.warnings

    return load


@pytest.fixture
def pipeline_fault(fault):
    """Why a pipeline is refused; its first member is on line 3."""
    return lambda text: fault("return B.pipeline {\n" + text + "\n}")


# Stages and pipelines


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        pytest.param(
            'B.stage "a" {agent="x"},\nB.stage "a" {agent="y"}',
            "a.bp.lua:4: stage 'a': the id is taken by another stage",
            id="b23-duplicate",
        ),
        pytest.param(
            'B.stage "a" {agent="x", halt_on={"N"},'
            ' retry={max=1, fix=B.stage "a" {agent="y"}}}',
            "stage 'a': the id is taken by another stage",
            id="b23-duplicate-fix",
        ),
        pytest.param(
            'B.stage "a.b" {agent="x"}',
            'a.bp.lua:3: stage "a.b": an id is one key of a path: no dots',
            id="b23-dotted",
        ),
        pytest.param(
            'B.stage "a b" {agent="x"}', 'stage "a b": an id is one key', id="b23-space"
        ),
        pytest.param(
            'B.stage "a[0]" {agent="x"}', "an id is one key", id="b23-brackets"
        ),
        pytest.param(
            'B.stage "a" {agent="x", gate=true}',
            "a.bp.lua:3: stage 'a': its gate has no value to halt on",
            id="b22-gate-without-values",
        ),
        pytest.param(
            'B.stage "a" {agent="x", halt_on={}}',
            "stage 'a': its gate has no value to halt on",
            id="b22-empty-values",
        ),
        pytest.param(
            'B.stage "a" {agent="x", gate=true}, halt_on={}',
            "stage 'a': its gate has no value to halt on",
            id="b22-empty-values-of-the-pipeline",
        ),
        pytest.param(
            'B.stage "a" {agent="x", gate=false,'
            ' retry={max=1, fix=B.stage "f" {agent="y"}}}',
            "stage 'a': its retry has no value to halt on",
            id="b22-retry-without-values",
        ),
    ],
)
def test_stages_the_reference_takes_in_silence_are_errors(pipeline_fault, stages, said):
    assert said in pipeline_fault(stages)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("1/0", "inf"),
        ('"2"', '"2"'),
        ("true", "true"),
        ("{}", "a table"),
    ],
)
def test_max_of_a_retry_is_a_whole_number(pipeline_fault, value, shown):
    text = pipeline_fault(
        'B.stage "judge" {agent="x", halt_on={"N"},'
        f' retry={{max={value}, fix=B.stage "f" {{agent="y"}}}}}}'
    )
    assert (
        "a.bp.lua:3: stage 'judge': retry.max must be a whole number of at least 0,"
        f" got {shown}" in text
    )


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (
            'B.stage "a" {agent="x", halt_on={"N"}, retry={max=1}}',
            "stage 'a': retry has no fix",
        ),
        (
            'B.stage "a" {agent="x", halt_on={"N"}, retry={fix=B.stage "f" {agent="y"}}}',
            "stage 'a': retry: missing field 'max'",
        ),
        (
            'B.stage "a" {agent="x", halt_on={"N"}, retry={max=1, fix="f"}}',
            "stage 'a': retry.fix must be a stage, got \"f\"",
        ),
        (
            'B.stage "a" {agent="x", halt_on={"N"}, retry={max=1, fix=B.stage "f" {}}}',
            "fix stage 'f': missing field 'agent'",
        ),
        (
            'B.stage "a" {agent="x", halt_on={"N"},'
            ' retry={max=1, fix=B.stage "f" {agent="y", gate=true}}}',
            "fix stage 'f': unknown field 'gate'; known: agent, input, out",
        ),
        (
            'B.stage "a" {agent="x", halt_on={"N"}, retry={max=1,'
            ' fix=B.stage "f" {agent="y"}, time=2}}',
            "stage 'a': retry: unknown field 'time'",
        ),
        ('B.stage "a" {}', "stage 'a': it has neither agent nor fanout"),
        ('B.stage "a" {agent=5}', "agent must be a text that is not empty, got 5"),
        ('B.stage "a" "x"', "stage 'a': expected a table, got \"x\""),
        ('B.stage "a"', 'member 1 is no stage (B.stage "ID" needs a table behind it)'),
        ('B.stage "" {agent="x"}', "B.stage: the id must be a text that is not empty"),
        ('"a"', "B.pipeline: member 1 is no stage"),
        ("F.seq {}", "B.pipeline: member 1 is no stage"),
        ("", "B.pipeline: it has no stage"),
        ('B.stage "a" {agent="x"}, missing, B.stage "b" {agent="x"}', "stage 2 is nil"),
        ('B.stage "a" {agnet="x"}', "unknown field 'agnet'; did you mean 'agent'?"),
        ('B.stage "a" {agent="x", gate="yes"}', "gate must be true or false"),
        ('B.stage "a" {agent="x", halt_on="N"}', "stage 'a': halt_on: expected a list"),
        ('B.stage "a" {agent="x", halt_on={n="N"}}', 'it has the key "n"'),
        ('B.stage "a" {agent="x", halt_on={5}}', "halt_on[1] must be a text"),
        ('B.stage "a" {agent="x", skip_on={true}}', "skip_on[1] must be a text"),
        (
            'B.stage "a" {agent="x", skip_on={"N"}, input=F.lit(1)}',
            "stage 'a': skip_on reads the verdict at its input, so the input must be",
        ),
        ('B.stage "a" {agent="x", input="x"}', "stage 'a': input: expected a path"),
        ('B.stage "a" {agent="x", out="x"}', "stage 'a': out: expected a path"),
        (
            'B.stage "a" {agent="x", out=F.lit(1)}',
            "expected a path, got the expression",
        ),
        ('B.stage "a" {agent="x"}, chain=1', "B.pipeline: chain must be true or false"),
        ('B.stage "a" {agent="x"}, halted="$.h"', "did you mean 'halted_at'?"),
        ('B.stage "a" {agent="x"}, done="ok"', "B.pipeline: done: expected a path"),
        ('B.stage "a" {agent="x"}, gate_default="all"', 'must be "explicit" or "auto"'),
        ('B.stage "a" {agent="x"}, halt_on={""}', "B.pipeline: halt_on[1] must be a"),
    ],
)
def test_what_is_no_stage_or_option_is_refused_with_its_place(
    pipeline_fault, stages, said
):
    assert said in pipeline_fault(stages)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (
            'B.stage "judge" {agent="x", input=B.from "drafft"},'
            ' B.stage "draft" {agent="y"}',
            "a.bp.lua:3: stage 'judge': input comes from stage 'drafft', which does not"
            " exist; did you mean 'draft'?",
        ),
        (
            'B.stage "a" {agent="x", out=B.from "zzzzz"}',
            "stage 'a': out comes from stage 'zzzzz', which does not exist; known: a",
        ),
        (
            'B.stage "a" {fanout={agent="x", items=B.from "b"}}',
            "stage 'a': fanout.items comes from stage 'b', which does not exist",
        ),
        (
            'B.stage "a" {agent="x", input=B.from "c"},'
            ' B.stage "b" {agent="x", input=B.from "a"},'
            ' B.stage "c" {agent="x", input=B.from "b"}',
            "stage 'a': its input comes from itself: a <- c <- b <- a",
        ),
        (
            'B.stage "a" {agent="x", input=B.from "a"}',
            "stage 'a': its input comes from itself: a <- a",
        ),
        (
            'B.stage "a" {agent="x", out=B.from "b"},'
            'B.stage "b" {agent="x", out=B.from "a"}',
            "stage 'b': its out comes from its own out",
        ),
    ],
)
def test_from_leads_to_a_stage_and_not_in_a_circle(pipeline_fault, stages, said):
    assert said in pipeline_fault(stages)


@pytest.mark.parametrize(
    ("fanout", "said"),
    [
        ('{agent="x", lanes={"a"}}', "fanout has both agent and lanes"),
        ("{}", "fanout has neither agent nor lanes"),
        ('{agent="x", join="al"}', "unknown join 'al'; did you mean 'all'?"),
        ('{agent="x", join=5}', "expected a join, got 5"),
        ("{lanes={}}", "fanout.lanes is empty"),
        ('{lanes="a"}', "fanout.lanes: expected a list"),
        ('{lanes={a="x"}}', 'fanout.lanes: expected a list, but it has the key "a"'),
        ('{lanes={"a", {agent="x"}}}', "fanout.lanes[2]: missing field 'lane'"),
        ("{lanes={5}}", "fanout.lanes[1]: expected a table, got 5"),
        ('{lanes={"a", "a"}}', "fanout.lanes has 'a' twice"),
        ('{lanes={"a.b"}}', "an id is one key of a path"),
        ('{lanes={"a"}, lane_out="$.x"}', "fanout.lane_out is for fanout.agent"),
        ('{agent="x", items="$.x"}', 'a path is F.p "$.x"'),
        ('{agent="x", lane={"a"}}', "unknown field 'lane'; did you mean 'lanes'?"),
        ('"x"', "stage 'f': fanout: expected a table"),
    ],
)
def test_a_fanout_stage_is_refused_with_its_stage(pipeline_fault, fanout, said):
    text = pipeline_fault(f'B.stage "f" {{fanout={fanout}}}')

    assert said in text
    assert "a.bp.lua:3: stage 'f'" in text


def test_a_fanout_has_no_agent_beside_it_and_no_retry(pipeline_fault):
    stage = 'B.stage "f" {fanout={agent="x"}, %s}'
    both = pipeline_fault(stage % 'agent="x"')
    retry = pipeline_fault(stage % 'retry={max=1, fix=B.stage "g" {agent="x"}}')

    assert "stage 'f': it has both agent and fanout" in both
    assert "stage 'f': a fanout can't be retried" in retry


def test_one_fix_stage_may_serve_two_stages(run):
    loaded = run(
        'local fix = B.stage "fix" {agent="m", out=B.from "a"}\n'
        "return {flow = B.pipeline {\n"
        'B.stage "a" {agent="x", retry={max=1, fix=fix}},\n'
        'B.stage "b" {agent="y", retry={max=1, fix=fix}}, halt_on={"N"}}}'
    )
    assert json.dumps(loaded.document).count('"ref": "m"') == 2


def test_a_stage_may_not_stand_twice(fault):
    text = fault('local a = B.stage "a" {agent="x"}\nreturn B.pipeline {a, a}')

    assert "a.bp.lua:2: stage 'a': it stands twice in the pipeline" in text


def test_halt_values_without_a_gate_are_warned_of(flow):
    _, warnings = flow('B.stage "a" {agent="x"}, halt_on={"N"}')

    assert len(warnings) == 1
    assert "B.pipeline: halt_on is given, but no stage has a gate" in warnings[0]


def test_a_gate_on_a_fanout_is_warned_of(flow):
    node, warnings = flow('B.stage "a" {fanout={agent="x"}, gate=true}, halt_on={"N"}')

    assert [text.partition(": its gate")[0] for text in warnings] == [
        "a.bp.lua:3: stage 'a'"
    ]
    assert node["children"][1]["kind"] == "branch"


def test_authoring_warnings_can_be_taken_by_the_script(run):
    loaded = run(
        'B.pipeline {B.stage "a" {agent="x"}, halt_on={"N"}}\n'
        "local first, second = B.take_authoring_warnings(), B.take_authoring_warnings()\n"
        "return {first = #first, second = second}"
    )
    assert loaded.document == {"first": 1, "second": []}
    assert len(loaded.warnings) == 1


def pipeline_of(count, gate):
    stages = ", ".join(
        f'B.stage "s{n}" {{agent="x", gate={gate}}}' for n in range(count)
    )
    return f'return {{id="a", flow=B.pipeline {{{stages}, halt_on={{"N"}}}}}}'


@pytest.mark.parametrize(("gate", "most"), [("false", 60), ("true", 40)])
def test_f18_a_long_pipeline_is_exact_up_to_the_depth_of_a_document(
    run, fault, gate, most
):
    agents = [{"name": "x", "kind": "python_fn", "spec": {"fn_id": "identity"}}]
    loaded = run(pipeline_of(most, gate))
    program = compile_blueprint(
        {**loaded.document, "agents": agents}, kinds=["python_fn"]
    )
    assert len(json.dumps(program.flow.to_json()).split('"step"')) == most + 1

    text = fault(pipeline_of(most + 4, gate))
    assert f"its {most + 4} stages nest" in text
    assert "a flow may nest 126: a stage takes two levels and a gate one more" in text


# Expressions, nodes and values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "local x = F.p(5)",
            'a.bp.lua:2: F.p: expected a path such as "$.name", got 5',
        ),
        ('local x = F.p "x"', 'F.p: expected a path such as "$.name", got "x"'),
        ("local x = F.lit(nil)", "a.bp.lua:2: F.lit: the value is nil"),
        ("local x = F.lit(mispelt)", "null is json.null"),
        ('local x = F.p "$.x":eq(mispelt)', "a.bp.lua:2: :eq: the value is nil"),
        ('local x = F.p "$.x" + nil', "a.bp.lua:2: add: the value is nil"),
        (
            "local x = F.lit({})",
            "F.lit: the value is an empty table: write F.obj() for",
        ),
        ("local x = F.lit({a={1,{}}})", "the value.a[2] is an empty table"),
        ('local x = F.lit(F.p "$.x")', "F.lit: expected a value, got an expression"),
        ('local x = F.lit({F.p "$.x"})', "the value[1] is no data"),
        (
            "local x = F.lit(print)",
            "the value is a function, which no document can hold",
        ),
        ("local t = {}; t.t = t; local x = F.lit(t)", "or inside itself"),
        ('local x = F.p "$.x" < F.p "$.y"', "can't be compared with <; use :eq"),
        ('local x = F.p "$.x" == F.p "$.y"', "can't be compared with =="),
        ('local x = F.p "$.x" .. "a"', "can't be joined with .."),
        ("local x = F.all {nil, 1}", "F.all: expression 1 is nil"),
        ("local x = F.any(5)", "F.any: expected a list, got 5"),
        ("local x = F.raw {}", "F.raw: expected a table with an op"),
        ("local x = F.call_extern(5)", "F.call_extern: the name must be a text"),
        ("local x = F.obj(5)", "F.obj: expected a table, got 5"),
        (
            'local x = F.branch {cond = F.p "$.x" == 1, on_true=F.seq{}, on_false=F.seq{}}',
            "F.branch: cond is false before the run begins: compare with a method",
        ),
        ('local x = F.step {agent="a", input=1}', "F.step: missing field 'out'"),
        ('local x = F.step {agent="a", input=1, output="$"}', "did you mean 'out'?"),
        (
            'local x = F.step {agent="a", input=1, out="x"}',
            "F.step: out: expected a path",
        ),
        (
            'local x = F.step {agent="", input=1, out="$"}',
            "F.step: agent must be a text",
        ),
        ("local x = F.step(5)", "F.step: expected a table, got 5"),
        ("local x = F.seq {1}", "a.bp.lua:2: F.seq: node 1: expected a node, got 1"),
        ("local x = F.seq {F.seq{}, nope, F.seq{}}", "F.seq: node 2 is nil"),
        ("local x = F.seq {F.p '$'}", "F.seq: node 1: expected a node, got a table"),
        ("local x = F.seq {a=1}", 'F.seq: expected a list, but it has the key "a"'),
        (
            "local x = F.loop_ {counter='$.n', cond=F.lit(true), max=-1, body=F.seq{}}",
            "F.loop_: max must be a whole number of at least 0, got -1",
        ),
        (
            "local x = F.fanout {items='$.x', bind='$.i', body=F.seq{}, join='all', out='$'}",
            'F.fanout: items is the text "$.x", which has no items; a path is F.p "$.x"',
        ),
        (
            "local x = F.fanout {items={1}, bind='$.i', body=F.seq{}, join='each', out='$'}",
            "F.fanout: unknown join 'each'; known: all, any, race, all_settled",
        ),
        ("local x = F.try_ {body=F.seq{}}", "F.try_: missing field 'catch'"),
        ("local x = F.assign {at='$.x'}", "F.assign: missing field 'value'"),
        ("local x = B.bp(5)", "a.bp.lua:2: B.bp: expected a table with id, flow and"),
        ("local x = B.agent(5)", "B.agent: expected a table"),
        ("local x = B.agent {md=5}", "B.agent: md must be a text"),
        ("local x = B.from(5)", "B.from: the stage must be a text"),
    ],
)
def test_what_makes_no_document_is_refused_on_its_line(fault, text, said):
    assert said in fault(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("return {flow = {1, nil, 3}}", "$.flow[1]: an array has a hole here"),
        ("return {a = {[1]=1, b=2}}", "$.a: an array has the key"),
        ("return {a = {b = print}}", "$.a.b: a function is no JSON value"),
        ("return {n = 1/0}", "$.n: a number must be finite"),
        ("return {n = 0/0}", "$.n: a number must be finite"),
        ("return {n = 1e999}", "$.n: a number must be finite"),
        ("return {n = 2^53 // 1 | 0, m = (1 << 53) + 1}", "$.m: the integer"),
        ("local t = {}; t.t = t; return t", "nested deeper than 127 containers, or"),
        ("return {a = '\\xff'}", "$.a: the string is not UTF-8"),
        ("return {a = B.stage 'x' {agent = 'y'}.given, b = print}", "$.b: a function"),
        ("", "the script returns nothing; end the script with `return B.bp{"),
        ("return 5", "the script returns no table with names"),
        ("return {1}", "the script returns no table with names"),
        ("return F.seq {}", "the script returns a node and no Blueprint"),
        ("return {", "a.bp.lua:2: unexpected symbol near <eof>"),
        ("error('broken')", "a.bp.lua:2: broken"),
        ("local x = nothing.y", "a.bp.lua:2: attempt to index a nil value"),
        ("return {a = {['$file'] = 'nowhere'}}", "$.a.$file: no file 'nowhere' in any"),
    ],
)
def test_what_the_script_returns_is_a_document(fault, text, said):
    assert said in fault(text)


def test_b21_empty_tables_are_objects_and_arrays_are_said(run):
    document = run("return {a = {}, b = F.obj(), c = F.arr(), d = {{}}}").document

    assert document == {"a": {}, "b": {}, "c": [], "d": [{}]}


def test_numbers_stay_what_they_are(run):
    document = run("return {a = 2, b = 2.0, c = 10 // 2, d = 10 / 2}").document

    assert json.dumps(document) == '{"a": 2, "b": 2.0, "c": 5, "d": 5.0}'


# Parameters and the sandbox


def test_parameters_are_in_ctx_and_absent_ones_an_empty_table(run, fault):
    text = "return {given = _CTX}"

    assert run(text, {"a": [1, {}], "n": None}).document == {
        "given": {"a": [1, {}], "n": None}
    }
    assert run(text).document == {"given": {}}
    assert "must be a JSON object" in fault(text, [1])


def test_what_is_printed_is_kept_for_the_author(run):
    assert run('print("one", 2)\nreturn {}').log == ("one\t2",)


@pytest.mark.parametrize(
    "name",
    ["os", "io", "package", "debug", "load", "dofile", "loadstring", "setmetatable"],
)
def test_b24_a_script_reaches_nothing_outside(run, name):
    assert run(f"return {{found = {name} ~= nil}}").document == {"found": False}


@pytest.mark.parametrize("name", ["os", "lfs", "other", "../a", "a.bp", "lua-words"])
def test_b24_only_the_modules_of_the_dsl_can_be_required(fault, tmp_path, name):
    (tmp_path / "other.lua").write_text("return {}")
    text = fault(f'local x = require "{name}"')

    assert (
        f"no Lua module is named '{name}'; a Blueprint has bp_dsl and flow_dsl" in text
    )


@pytest.mark.parametrize(
    "loop",
    [
        "while true do end",
        "while true do pcall(error) end",
        "local function f() return f() end f()",
        "setmetatable = nil; repeat until false",
        "local _ = (('x'):rep(40)):find(('x*'):rep(40) .. 'y')",
    ],
)
def test_b24_an_endless_loop_ends_at_its_time(fault, settings, loop):
    settings.SWARM_LUA_TIME = 0.3
    text = fault(loop)

    assert text.startswith("the script ran longer than 0.3 s (SWARM_LUA_TIME)")


@pytest.mark.parametrize(
    "bomb",
    [
        "local t = {} for n = 1, 1e9 do t[n] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "return {a = ('x'):rep(1e9)}",
        "local s = 'x' while true do s = F.all {s, s} end",
    ],
)
def test_b24_a_memory_bomb_ends_at_its_memory(fault, settings, bomb):
    settings.SWARM_LUA_MEMORY = 8 * 1024 * 1024

    assert fault(bomb).startswith(
        "the script used more than 8388608 bytes of memory (SWARM_LUA_MEMORY)"
    )


def test_b24_a_document_that_is_too_large_is_refused(fault):
    text = fault("return {a = ('x'):rep(5 * 1024 * 1024)}")

    assert text == "the document has more than 4194304 bytes (4 MiB)"


def test_a_stack_that_overflows_is_an_error(fault, settings):
    settings.SWARM_LUA_MEMORY = settings.SWARM_LUA_MEMORY_MAX
    assert "stack overflow" in fault("local function f() return 1 + f() end f()")


def test_after_a_bomb_the_next_script_runs(run, fault, settings):
    settings.SWARM_LUA_TIME = 0.3
    fault("while true do end")
    settings.SWARM_LUA_TIME = 10

    assert run("return {fine = true}").document == {"fine": True}


def test_scripts_leave_nothing_to_each_other(run):
    run("string.format = nil; _G.left = 1; B.pipeline = nil; return {}")

    assert run(
        'return {left = left ~= nil, f = ("%d"):format(1), p = B.pipeline ~= nil}'
    ).document == {"left": False, "f": "1", "p": True}


def test_a_script_file_is_read_like_any_other(tmp_path):
    path = tmp_path / "a.bp.lua"
    path.write_bytes(b"-- \xff")
    with pytest.raises(DocumentInvalid, match="byte 3: not UTF-8"):
        load_blueprint(path)
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    with pytest.raises(DocumentInvalid, match="longer than 4194304 bytes"):
        load_blueprint(path)
    with pytest.raises(DocumentInvalid, match="can't be read"):
        load_blueprint(tmp_path / "none.bp.lua")


def test_a_script_in_a_folder_is_its_blueprint(tmp_path):
    (tmp_path / "blueprint.bp.lua").write_text(
        'return {id = "a", note = {["$file"] = "n.txt"}}'
    )
    (tmp_path / "n.txt").write_text("text")

    assert load_blueprint(tmp_path).document == {"id": "a", "note": "text"}
