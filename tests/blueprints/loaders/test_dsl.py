"""Scripts in the Lua DSL: constructors, results, parameters, and the sandbox."""

import json

import pytest

from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.documents import DocumentInvalid


@pytest.mark.parametrize(
    ("text", "message"),
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
        ("local x = F.delete {at='x'}", "F.delete: at: expected a path such as"),
        ("local x = F.assign {at='$.x'}", "F.assign: missing field 'value'"),
        (
            "local x = F.p '$.x':any('$.i', F.p '$.i' == 1)",
            "a.bp.lua:2: :any: cond is false before the run begins",
        ),
        (
            "local x = F.p '$.x':map('i', F.p '$.i')",
            'a.bp.lua:2: :map: the path of the element: expected a path such as "$.name"',
        ),
        (
            "local x = F.p '$.x':filter('$.i')",
            "a.bp.lua:2: :filter: cond: the value is",
        ),
        (
            "local x = F.fanout {items={1}, bind='$.i', body=F.seq{}, join='all',"
            " out='$', select='$.x'}",
            'F.fanout: select is the text "$.x"',
        ),
        ("local x = B.bp(5)", "a.bp.lua:2: B.bp: expected a table with id, flow and"),
        ("local x = B.agent(5)", "B.agent: expected a table"),
        ("local x = B.agent {md=5}", "B.agent: md must be a text"),
        ("local x = B.from(5)", "B.from: the stage must be a text"),
    ],
)
def test_what_makes_no_document_is_refused_on_its_line(fault, text, message):
    assert message in fault(text)


@pytest.mark.parametrize(
    ("text", "message"),
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
def test_what_the_script_returns_is_a_document(fault, text, message):
    assert message in fault(text)


def test_b21_empty_tables_are_objects_and_arrays_are_explicit(run):
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


def test_events_of_a_script_move_no_cursor(run, fault):
    assert run('print("a\\27[2Jb\\tü")\nreturn {}').log == ("a\\x1b[2Jb\tü",)
    assert fault('error("\\27]0;x\\7")') == "a.bp.lua:2: \\x1b]0;x\\x07"


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

    assert f"no Lua module is named '{name}'; a script has bp_dsl and flow_dsl" in text


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
