"""Tests of bp_dsl: stages keep off the places that a pipeline needs itself."""

import json

import pytest


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            'B.stage "d" {agent="x"}',
            "stage 'd': the id is the key of the default inputs ($.d.ID)",
        ),
        (
            'B.stage "halted_at" {agent="x"}',
            "stage 'halted_at': the id is the key of halted_at ($.halted_at)",
        ),
        (
            'B.stage "stop" {agent="x"}, halted_at="$.stop.at"',
            "stage 'stop': the id is the key of halted_at ($.stop.at)",
        ),
        (
            'B.stage "ok" {agent="x"}, done=\'$["ok"].now\'',
            "stage 'ok': the id is the key of done ($[\"ok\"].now)",
        ),
        (
            'B.stage "ok" {agent="x"}, done="ctx.ok"',
            "stage 'ok': the id is the key of done (ctx.ok)",
        ),
        (
            'B.stage "draft" {agent="x", halt_on={"N"},'
            ' retry={max=1, fix=B.stage "draft_n" {agent="y"}}}',
            "stage 'draft_n': the id is the key of the count of the retry of stage"
            " 'draft' ($.draft_n)",
        ),
        (
            'B.stage "a" {agent="x", halt_on={"N"},'
            ' retry={max=1, fix=B.stage "f" {agent="y"}, counter="$.b.n"}},'
            ' B.stage "b" {agent="y"}',
            "stage 'b': the id is the key of the count of the retry of stage 'a' ($.b.n)",
        ),
    ],
)
def test_an_id_is_no_key_the_pipeline_needs_itself(pipeline_fault, stages, message):
    assert f"a.bp.lua:3: {message}: give it another" in pipeline_fault(stages)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ('out="$.d"', "the default inputs ($.d.ID)"),
        ('out="$.halted_at"', "halted_at ($.halted_at)"),
        ("out='$[\"halted_at\"]'", "halted_at ($.halted_at)"),
        ('out="ctx.halted_at"', "halted_at ($.halted_at)"),
        ("out='$.[\"d\"]'", "the default inputs ($.d.ID)"),
        ('out="$.stop", done="$.stop"', "done ($.stop)"),
        (
            'halt_on={"N"}, retry={max=1, counter="$.n",'
            ' fix=B.stage "f" {agent="x", out="$.n"}}',
            "the count of the retry of stage 'a' ($.n)",
        ),
    ],
)
def test_no_stage_writes_where_the_pipeline_writes(pipeline_fault, stage, message):
    own, _, option = stage.partition(", done")
    rest = f", done{option}" if option else ""
    text = pipeline_fault(f'B.stage "a" {{agent="x", {own}}}{rest}')
    assert f": its out is the place of {message}: give it another" in text


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ('out="$.halted_at.x"}', "below the place of halted_at ($.halted_at)"),
        ('out="$.s"}, halted_at="$.s.at"', "above the place of halted_at ($.s.at)"),
        ('out="$.s"}, done="$.s[0]"', "above the place of done ($.s[0])"),
        (
            'halt_on={"N"}, retry={max=1, counter="$.n",'
            ' fix=B.stage "f" {agent="x", out="$.n.m"}}}',
            "below the place of the count of the retry of stage 'a' ($.n)",
        ),
    ],
)
def test_no_stage_writes_into_or_over_such_a_place(pipeline_fault, stages, message):
    text = pipeline_fault(f'B.stage "a" {{agent="x", {stages}')
    assert f": its out is {message}: give it another" in text


@pytest.mark.parametrize(
    "stages",
    [
        'B.stage "halted_at" {agent="x", out="$.report"}',
        'B.stage "d" {agent="x", out="$.report"}',
        'B.stage "s" {agent="x", out="$.s.report"}, halted_at="$.s.at"',
        'B.stage "s" {agent="x", out="$.s[1]"}, halted_at="$.s[0]"',
        'B.stage "a" {agent="x", halt_on={"N"},'
        ' retry={max=1, fix=B.stage "a_n" {agent="y", out=B.from "a"}}}',
    ],
)
def test_an_id_that_is_no_place_and_a_place_beside_are_free(flow, stages):
    assert flow(stages)[1] == ()


def test_a_stage_may_prepare_the_input_of_a_later_one(flow):
    node, _ = flow(
        'B.stage "a" {agent="x", out="$.d.b"}, B.stage "b" {agent="y"}, done="$"'
    )
    assert '"at": "$.d.b"' in json.dumps(node["children"][1])
