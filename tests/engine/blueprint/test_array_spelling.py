"""An array where an expression belongs: refused in a Blueprint, whatever its elements."""

import pytest

from engine.blueprint import BlueprintInvalid, compile_blueprint

BODY = {"kind": "seq", "children": []}


@pytest.mark.parametrize("items", [[1, 2], [1, [3, 4]], [7, 8, 9]])
def test_an_array_of_items_is_refused_with_the_literal_it_should_be(
    items: list[object],
) -> None:
    fanout = {
        "kind": "fanout",
        "items": items,
        "bind": {"op": "path", "at": "$.n"},
        "body": BODY,
        "join": "all",
        "out": {"op": "path", "at": "$.out"},
    }
    document = {"id": "arrays", "flow": {"kind": "seq", "children": [fanout]}}
    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(document, kinds=["python_fn"])
    [finding] = caught.value.diagnostics
    assert finding.place == "$.flow.children[0].items"
    assert "expected an object with 'op'" in finding.message


def test_a_literal_array_is_fine() -> None:
    at = {"op": "path", "at": "$.n"}
    flow = {"kind": "let", "at": "$.n", "value": {"op": "lit", "value": [1, 2]}}
    loop = {"kind": "loop", "counter": at, "cond": at, "body": flow, "max": 1}
    assert compile_blueprint({"id": "arrays", "flow": loop}, kinds=[]).flow_json
