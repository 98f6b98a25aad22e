"""Names and ids are printed for people: a terminal obeys nothing in them."""

from typing import Any

import pytest

from engine.blueprint import BlueprintInvalid, compile_blueprint

FLOW = {"kind": "seq", "children": []}
EVIL = ["a\x1b[2J", "a\nb", "a\tb", "\x00", "a\x7f", "a\x9b2J", "a\u202eb", "a\u2028b"]


def document(**more: Any) -> dict[str, Any]:
    return {"id": "b", "flow": FLOW, **more}


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize(
    ("place", "make"),
    [
        ("$.id", lambda name: document(id=name)),
        (
            "$.agents[0].name",
            lambda name: document(
                agents=[{"name": name, "kind": "lua", "spec": {"source": "return 1"}}]
            ),
        ),
        (
            "$.agents[0].spec.fn_id",
            lambda name: document(
                agents=[{"name": "a", "kind": "python_fn", "spec": {"fn_id": name}}]
            ),
        ),
        (
            "$.agents[0].spec.fn_id",
            lambda name: document(
                agents=[{"name": "a", "kind": "lua", "spec": {"fn_id": name}}]
            ),
        ),
        ("$.operators[0].name", lambda name: document(operators=[{"name": name}])),
        (
            "$.metas[0].name",
            lambda name: document(metas=[{"name": name, "ctx": {}}]),
        ),
    ],
)
def test_a_name_with_what_a_terminal_obeys_is_refused(
    place: str, make: Any, name: str
) -> None:
    with pytest.raises(BlueprintInvalid) as refused:
        compile_blueprint(make(name), kinds=["lua", "python_fn"])
    [found] = [one for one in refused.value.diagnostics if one.place == place]
    assert "expected a string" in found.message
    # The finding shows the name, and can be printed itself.
    assert found.message.isprintable()


def test_a_name_may_have_letters_of_any_language() -> None:
    agent = {"name": "größe 日本 👍", "kind": "lua", "spec": {"source": "return 1"}}
    assert compile_blueprint(document(agents=[agent]), kinds=["lua"]).agents
