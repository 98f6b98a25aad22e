"""Stages and pipelines: what is refused, with line and stage, and what is warned of."""

import json

import pytest

from engine.blueprint import BlueprintInvalid, compile_blueprint, lint_blueprint
from engine.flow import evaluate, parse_node


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        pytest.param(
            'B.stage "a" {agent="x"},\nB.stage "a" {agent="y"}',
            "a.bp.lua:4: stage 'a': another stage has the same id",
            id="b23-duplicate",
        ),
        pytest.param(
            'B.stage "a" {agent="x", halt_on={"N"},'
            ' retry={max=1, fix=B.stage "a" {agent="y"}}}',
            "stage 'a': another stage has the same id",
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
def test_stages_the_reference_takes_in_silence_are_errors(
    pipeline_fault, stages, message
):
    assert message in pipeline_fault(stages)


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
    ("stages", "message"),
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
    pipeline_fault, stages, message
):
    assert message in pipeline_fault(stages)


@pytest.mark.parametrize(
    ("stages", "message"),
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
            "stage 'a': its out comes from its own out",
        ),
    ],
)
def test_from_leads_to_a_stage_and_not_in_a_circle(pipeline_fault, stages, message):
    assert message in pipeline_fault(stages)


@pytest.mark.parametrize(
    ("fanout", "message"),
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
        ('{agent="x", max_parallel=1.5}', "fanout: max_parallel must be a whole"),
        (
            '{agent="x", select="$.out"}',
            'fanout: select is the text "$.out", the same for every lane; a path is F.p',
        ),
        ('"x"', "stage 'f': fanout: expected a table"),
    ],
)
def test_a_fanout_stage_is_refused_with_its_stage(pipeline_fault, fanout, message):
    text = pipeline_fault(f'B.stage "f" {{fanout={fanout}}}')

    assert message in text
    assert "a.bp.lua:3: stage 'f'" in text


def test_a_fanout_has_no_agent_beside_it_and_no_retry(pipeline_fault):
    stage = 'B.stage "f" {fanout={agent="x"}, %s}'
    both = pipeline_fault(stage % 'agent="x"')
    retry = pipeline_fault(stage % 'retry={max=1, fix=B.stage "g" {agent="x"}}')

    assert "stage 'f': it has both agent and fanout" in both
    assert "stage 'f': a fanout can't be retried" in retry


SKIPPED = 'B.stage "a" {agent="x"},\nB.stage "b" {agent="x", skip_on={"NO"}%s},\n%s'


@pytest.mark.parametrize(
    ("reader", "field"),
    [
        ('B.stage "c" {agent="x"}, chain=true', "input"),
        ('B.stage "c" {agent="x", input=B.from "b"}', "input"),
        ('B.stage "c" {agent="x", skip_on={"NO"}}, chain=true', "input"),
        ('B.stage "c" {fanout={agent="x"}}, chain=true', "input"),
        ('B.stage "c" {fanout={agent="x", items=B.from "b"}}', "fanout.items"),
        (
            'B.stage "c" {fanout={lanes={{lane="l", input=B.from "b"}}}}',
            "the input of lane l",
        ),
    ],
)
def test_b13_what_a_skipped_stage_did_not_write_is_not_read(
    pipeline_fault, reader, field
):
    text = pipeline_fault(SKIPPED % ("", reader))

    assert text == (
        f"a.bp.lua:5: stage 'c': {field} is what stage 'b' writes, which may be skipped"
        " (skip_on) and then writes nothing: give it an input that is there in any case"
    )


@pytest.mark.parametrize(
    ("verdict", "halted"), [("NO", None), ("YES", "b"), (None, "b")]
)
def test_b13_a_gate_of_a_skipped_stage_halts_nothing(flow, verdict, halted):
    node, _ = flow(
        'B.stage "a" {agent="a"},'
        ' B.stage "b" {agent="b", input=B.from "a", skip_on={"NO"}, halt_on={"STOP"}},'
        ' B.stage "c" {agent="c", input="$.a"}, done="$.done"'
    )
    replies = {
        "a": {"parts": {"verdict": verdict}},
        "b": {"parts": {"verdict": "STOP"}},
    }
    if verdict is None:
        replies["a"] = {"parts": {}}
    called = []

    def dispatch(ref, _):
        called.append(ref)
        return replies.get(ref)

    ctx = evaluate(parse_node(node), {"d": {"a": 1}}, dispatch)
    assert ctx.get("halted_at") == halted
    assert ctx.get("done") is (None if halted else True)
    assert called == (["a", "b"] if halted else ["a", "c"])


def test_b13_a_fix_of_another_stage_reads_nothing_of_a_skipped_one(pipeline_fault):
    text = pipeline_fault(
        SKIPPED
        % (
            "",
            'B.stage "c" {agent="x", halt_on={"N"}, retry={max=1,\n'
            'fix=B.stage "mend" {agent="x", input=B.from "b"}}}',
        )
    )
    assert text.startswith("a.bp.lua:6: stage 'mend': input is what stage 'b' writes")


@pytest.mark.parametrize(
    ("more", "reader"),
    [
        ("", 'B.stage "c" {agent="x", input="$.b"}, chain=true'),
        ("", 'B.stage "c" {agent="x", input=B.from "a"}, chain=true'),
        (', out=B.from "a"', 'B.stage "c" {agent="x"}, chain=true'),
        (
            ', halt_on={"N"}, retry={max=1,'
            ' fix=B.stage "mend" {agent="x", input=B.from "b"}}',
            'B.stage "c" {agent="x"}',
        ),
        ("", 'B.stage "c" {fanout={agent="x", items=B.from "a"}}, chain=true'),
    ],
)
def test_what_is_there_in_any_case_is_read_after_a_skipped_stage(flow, more, reader):
    assert flow(SKIPPED % (more, reader))[1] == ()


def test_one_fix_stage_may_serve_two_stages(run):
    loaded = run(
        'local fix = B.stage "fix" {agent="m", out=B.from "a"}\n'
        "return {flow = B.pipeline {\n"
        'B.stage "a" {agent="x", retry={max=1, fix=fix}},\n'
        'B.stage "b" {agent="y", retry={max=1, fix=fix}}, halt_on={"N"}}}'
    )
    assert json.dumps(loaded.document).count('"ref": "m"') == 2


def test_a_fanout_stage_has_the_words_of_the_dialect_swarm(run):
    text = (
        "return {id='a', dialect='%s', default_init_ctx={d={f={1}}},"
        " agents={{name='x', kind='python_fn', spec={fn_id='identity'}}},"
        " flow=B.pipeline {B.stage 'f' {fanout={agent='x', max_parallel=2,"
        " select=F.p '$.branch_out'}}}}"
    )
    document = run(text % "swarm").document
    fanout = document["flow"]["children"][0]
    assert fanout["select"] == {"op": "path", "at": "$.branch_out"}
    assert fanout["max_parallel"] == 2
    found = lint_blueprint(document, kinds=["python_fn"]).diagnostics
    assert [one.kind for one in found if one.kind.startswith("fanout")] == []

    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(run(text % "flow.ir").document, kinds=["python_fn"])
    assert 'dialect": "swarm"' in str(caught.value)


def test_a_stage_may_not_stand_twice(fault):
    text = fault('local a = B.stage "a" {agent="x"}\nreturn B.pipeline {a, a}')

    assert "a.bp.lua:2: stage 'a': it is in the pipeline twice" in text


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
