"""The document of a built Blueprint has each of its fields once."""

import pytest

from engine.build import Blueprint, ctx, let

FLOW = let(ctx.a, 1)


def test_other_fields_of_a_document_are_given_in_its_words():
    blueprint = Blueprint("fields", FLOW, fields={"blueprint_ref_includes": ["parts"]})
    assert blueprint.document["blueprint_ref_includes"] == ["parts"]
    # What is not given by its own argument may be given here.
    other = Blueprint("fields", FLOW, fields={"metadata": {"tags": ["x"]}})
    assert other.document["metadata"] == {"tags": ["x"]}


def test_fields_repeat_nothing_that_the_builder_writes():
    for fields, taken in (
        ({"flow": {}}, "flow"),
        ({"id": "another", "dialect": "flow.ir"}, "dialect, id"),
        ({"default_init_ctx": {}}, "default_init_ctx"),
        ({"metadata": {"tags": []}}, "metadata"),
    ):
        with pytest.raises(TypeError) as caught:
            Blueprint("b", FLOW, init_ctx={"a": 0}, description="twice", fields=fields)
        assert str(caught.value) == f"Blueprint: fields repeats {taken}"
