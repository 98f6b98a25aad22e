"""A child's text as a result, and its parts."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from engine.blueprint import BlueprintInvalid, compile_blueprint
from engine.run.journal.outputs import Final, to_wire
from workers.pytest_plugin import MakeSimulator
from workers.spawners.subprocess import SubprocessSpawner

STEP = {
    "kind": "step",
    "ref": "child",
    "in": {"op": "path", "at": "$.in"},
    "out": {"op": "path", "at": "$.out"},
}
CAT = "import sys; sys.stdout.write(sys.stdin.read())"


@pytest.fixture(scope="module")
def spawner() -> Iterator[SubprocessSpawner]:
    """A spawner whose launcher ends with the module."""
    made = SubprocessSpawner()
    yield made
    made.close()


def compiled(code: str = CAT, **spec: Any) -> Any:
    """Return the program of one step: Python code as a plain program."""
    plain = {"program": sys.executable, "args": ["-I", "-S", "-c", code]}
    agent = {"name": "child", "kind": "subprocess", "spec": {**plain, **spec}}
    document = {"id": "t", "flow": STEP, "agents": [agent]}
    return compile_blueprint(document, kinds=["subprocess"])


@pytest.fixture
def out(spawner: SubprocessSpawner, swarm_simulator: MakeSimulator) -> Any:
    """A function that runs a step to its end; what is at `$.out`, or the failure."""

    def run(given: Any, code: str = CAT, **spec: Any) -> Any:
        made = swarm_simulator({"subprocess": spawner})
        made.launch(compiled(code, **spec), {"in": given})
        made.run()
        error = made.error()
        return error[1] if error else made.final()["out"]

    return run


def saying(*events: dict[str, Any]) -> str:
    """Return code that prints events as lines."""
    return f"print({chr(10).join(map(json.dumps, events))!r})"


def artifact(name: str, value: Any) -> dict[str, Any]:
    content = {"kind": "inline", "value": value}
    return {"type": "artifact", "name": name, "content": content}


def final(value: Any, *, ok: bool = True) -> dict[str, Any]:
    wire = to_wire(Final(value, ok))
    return {key: part for key, part in wire.items() if key != "by"}


def test_parts_fold_by_name_and_the_last_one_wins(out: Any) -> None:
    code = saying(
        artifact("a", 1), artifact("b", {"x": []}), artifact("a", 2), final("done")
    )
    assert out(None, code, stream_mode="ndjson_lines") == {
        "out": "done",
        "parts": {"a": 2, "b": {"x": []}},
    }


def test_containers_become_structure_and_scalars_stay_text(out: Any) -> None:
    # By default, a plain child's output is JSON or raw text.
    assert out('{"a": [1]}') == {"a": [1]}
    assert out("prose") == {"raw": "prose", "stderr": ""}
    # The text of a stream's final folds: containers to structure, also in a fence.
    stream = {"stream_mode": "ndjson_lines"}
    assert out(None, saying(final("[1]")), **stream) == [1]
    assert out(None, saying(final('```json\n{"a": 1}\n```')), **stream) == {"a": 1}
    for text in ("12", "true", '"quoted"', "prose", "[1"):
        assert out(None, saying(final(text)), **stream) == text
    # What is no text is no text to be folded.
    assert out(None, saying(final({"a": "[1]"})), **stream) == {"a": "[1]"}


@pytest.mark.parametrize("text", ['{"a": 1}', "12", "```json\n[1]\n```", "prose"])
def test_text_is_never_parsed(text: str, out: Any) -> None:
    assert out(text + " \n", submit_format="text") == text
    stream = {"stream_mode": "ndjson_lines", "submit_format": "text"}
    assert out(None, saying(final(text)), **stream) == text


def test_without_parts_the_value_is_plain(out: Any) -> None:
    assert out(None, saying(final({"a": 1})), stream_mode="ndjson_lines") == {"a": 1}
    assert out("plain", submit_format="text") == "plain"


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12), ('{"a": 1}\n', {"a": 1}), ("```json\n[1]\n```", [1]), ('"x"', "x")],
)
def test_json_may_be_any_json(text: str, value: Any, out: Any) -> None:
    assert out(text, submit_format="json") == value
    stream = {"stream_mode": "ndjson_lines", "submit_format": "json"}
    assert out(None, saying(final(text)), **stream) == value


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_no_json_fails_for_good_with_its_beginning(
    stream: bool, out: Any
) -> None:
    text = "I am sorry, " + "x" * 200
    spec: Any = {"submit_format": "json"}
    if stream:
        result = out(None, saying(final(text)), stream_mode="ndjson_lines", **spec)
    else:
        result = out(text, **spec)
    assert "submit_format is json, but the result is no JSON" in result
    assert result.endswith(text[:80] + "…")


def test_a_no_stays_a_no_also_as_json(out: Any) -> None:
    code = saying(final('{"why": 1}', ok=False))
    result = out(None, code, stream_mode="ndjson_lines", submit_format="json")
    assert "blocked" in result
    assert '{"why":1}' in result


def test_a_failure_of_the_program_outranks_its_text(out: Any) -> None:
    result = out("x", CAT + "; sys.exit(3)", submit_format="json")
    assert result.endswith("exited with 3")


def test_an_output_that_is_declared_has_no_submit_format() -> None:
    with pytest.raises(BlueprintInvalid, match="exclude each other"):
        compiled(submit_format="text", output={"format": "json"})
    with pytest.raises(BlueprintInvalid, match="submit_format"):
        compiled(submit_format="xml")


def test_the_last_final_wins_and_the_journal_names_who_wrote_each(
    spawner: SubprocessSpawner, swarm_simulator: MakeSimulator
) -> None:
    code = saying(final("draft"), {**final('{"n": 2}'), "by": "critic"})
    made = swarm_simulator({"subprocess": spawner})
    made.launch(compiled(code, stream_mode="ndjson_lines"), {"in": None})
    made.run()
    assert made.final()["out"] == {"n": 2}
    codes = [
        wire for event in made.events() if event[0] == "output" for wire in event[4]
    ]
    assert codes == [
        to_wire(Final("draft", by="child")),
        to_wire(Final({"n": 2}, by="critic")),
    ]
