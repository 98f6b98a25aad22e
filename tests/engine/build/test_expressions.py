"""Expressions by operators: what they build, and what Python may not answer for them."""

import datetime
import math

import pytest

from engine.build import (
    all_,
    ctx,
    delete,
    expr,
    filter_,
    functions,
    let,
    template,
)
from engine.build.expressions import unwrapped
from engine.flow import print_expr


def text_of(value):
    return print_expr(unwrapped(value))


@pytest.mark.parametrize(
    ("built", "text"),
    [
        (ctx, "$"),
        (ctx.items, "$.items"),
        (ctx.keys.values.get, "$.keys.values.get"),
        (ctx["any key"].xs[0][-1], '$["any key"].xs[0][-1]'),
        (ctx["_private"], "$._private"),
        (ctx.xs[1:], "slice($.xs, 1)"),
        (ctx.xs[:3], "slice($.xs, 0, 3)"),
        ((ctx.a + 1)["b"], "get($.a + 1, 'b')"),
        (ctx.by[ctx.name], "get($.by, $.name)"),
        ((ctx.a + 1) * 2 - 3 / ctx.b, "($.a + 1) * 2 - 3 / $.b"),
        ({"a": [ctx.a, (1, None)]}, "{a: [$.a, [1, null]]}"),
        (template("a ", ctx.a), '"a {$.a}"'),
        (filter_(ctx.xs, lambda x: x > ctx.x), "filter($.xs, x, x > x)"),
        (expr("$.a  ==  'b'"), "$.a == 'b'"),
        (ctx.a > 5, "$.a > 5"),
    ],
)
def test_an_expression_is_built_by_operators(built, text):
    assert text_of(built) == text


def test_repr_shows_the_text_of_an_expression():
    assert repr(ctx.a == 1) == "<$.a == 1>"


def test_expressions_are_hashed_by_identity():
    one, other = ctx.a, ctx.a

    assert len({one: 1, other: 2}) == 2
    assert {one: 1}[one] == 1


def if_(value):
    return 1 if value else 2


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda: if_(ctx.a), r"branch\(…\) for `if`"),
        (lambda: ctx.a and ctx.b, r"and_\(…\)"),
        (lambda: not ctx.a, r"not_\(…\)"),
        (lambda: 1 < ctx.a < 3, r"and_\(a < b, b < c\)"),
        (lambda: list(ctx.a), r"fanout\(…\) or loop\(…\)"),
        (lambda: [*ctx.a], r"map_\(…\)"),
        (lambda: 1 in ctx.a, r"in_\(ITEM, ITEMS\)"),
        (lambda: len(ctx.a), r"functions\.length\(…\)"),
        (lambda: str(ctx.a), r"functions\.to_string\(…\)"),
        (lambda: f"about {ctx.a}", r"template\("),
        (lambda: -ctx.a, "write 0 - x"),
        (lambda: ctx.text.upper(), r"functions\.upper\(ctx\.text\)"),
        (lambda: setattr(ctx.a, "b", 1), r"let\(ctx\.a\.b, …\)"),
        (lambda: ctx.a.__setitem__("b", 1), r"let\(PATH, …\)"),
        (lambda: delattr(ctx.a, "b"), r"delete\(ctx\.a\.b\)"),
        (lambda: ctx.xs[0:4:2], "a slice has no step"),
        (lambda: ctx.a[1.5], "a key is a text or an integer, got 1.5"),
        (lambda: ctx.a[True], "a key is a text or an integer, got True"),
    ],
)
def test_what_python_would_answer_at_once_names_the_right_word(answer, hint):
    with pytest.raises(TypeError, match=hint):
        answer()


def test_a_key_with_an_underscore_in_front_is_written_in_brackets():
    with pytest.raises(AttributeError, match=r"write \['_a'\]"):
        _ = ctx.a._a


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ({1, 2}, "got a set"),
        (datetime.date(2026, 1, 1), "got a date"),
        (math.nan, "NaN"),
        ({1: 2}, "a key of an object is a text, got 1"),
        (len, "got a builtin_function_or_method"),
    ],
)
def test_a_value_that_is_no_json_is_refused(value, rule):
    with pytest.raises(TypeError, match=rf"^let: value: .*{rule}"):
        let(ctx.a, [value])


def test_a_target_is_a_path():
    with pytest.raises(TypeError, match=r"^delete: expected a path such as ctx\.text"):
        delete("$.a")
    with pytest.raises(TypeError, match=r"^let: at: .*got <\$\.a \+ 1>"):
        let(ctx.a + 1, 2)


def test_an_unknown_function_names_the_nearest():
    with pytest.raises(AttributeError, match=r"'lenght'; did you mean 'length'"):
        functions.lenght(ctx.a)


def test_a_function_takes_its_number_of_arguments():
    with pytest.raises(TypeError, match=r"expected the arguments of upper\(.*got 2"):
        functions.upper(ctx.a, ctx.b)


def test_elements_have_a_function_of_one_parameter():
    with pytest.raises(TypeError, match=r"^all: expected a function of one element"):
        all_(ctx.xs, ctx.ok)
    with pytest.raises(TypeError, match=r"^filter: expected a function of one element"):
        filter_(ctx.xs, lambda a, b: a)


def test_a_text_that_is_no_expression_is_an_error_with_its_column():
    with pytest.raises(ValueError, match=r"^expr: .*column"):
        expr("$.a +")
