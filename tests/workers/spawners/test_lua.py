"""The kind lua: the names of a script, and how its end becomes the step's."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from first_step import STEP_ID

from engine.agents import AgentFailed, AgentStep
from engine.blueprint import BlueprintInvalid, Program, compile_blueprint
from engine.flow import evaluate
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.outputs import Artifact, Log, OutputEvent, Progress
from workers.spawners.lua import LuaSpawner

STEP = {
    "kind": "step",
    "ref": "grade",
    "in": {"op": "path", "at": "$.d"},
    "out": {"op": "path", "at": "$.d.grade"},
}


def lookup(value: Any, *, step: AgentStep) -> Any:
    """A host function, found by its dotted path."""
    if value == "nobody":
        raise LookupError("no such order")
    if value == "never":
        raise AgentFailed("gone for good", permanent=True)
    return {"asked": value, "by": step.agent, "id": step.step_id}


def verbose(value: Any, *, step: AgentStep) -> Any:
    """A host function whose error has a long text."""
    raise ValueError("x" * 3000)


@pytest.fixture(scope="module")
def spawner() -> Iterator[LuaSpawner]:
    """A spawner; the sandbox below it ends with the module."""
    made = LuaSpawner()
    yield made
    made.close()


def program(**spec: Any) -> Program:
    document = {
        "id": "t",
        "flow": STEP,
        "agents": [{"name": "grade", "kind": "lua", "spec": spec}],
    }
    return compile_blueprint(document, kinds=["lua"])


def call(value: Any, timeout_s: float = 10.0, **spec: Any) -> StepCall:
    """A call of an agent as the compiler makes it."""
    agent = program(**spec).agents["grade"]
    return StepCall("R-1", 1, "/children/0", agent, 2, value, timeout_s)


def run(spawner: LuaSpawner, source: str, value: Any = None, **spec: Any) -> Outcome:
    return spawner.run(call(value, source=source, **spec))


def listening(step: StepCall, got: list[OutputEvent]) -> StepCall:
    return StepCall(
        step.run, step.line, step.place, step.agent, step.attempt,
        step.input, step.timeout_s, step.cancelled, got.append,
    )  # fmt: skip


def test_a_scripts_value_lands_at_out(spawner: LuaSpawner) -> None:
    made = program(source="return {words = #_CTX.text, verdict = 'PASS'}")

    def dispatch(ref: str, value: Any) -> Any:
        step = StepCall("R-1", 1, "/", made.agents[ref], 1, value, 10.0)
        return spawner.run(step).value

    end = evaluate(made.flow, {"d": {"text": "abc"}}, dispatch)
    assert end["d"]["grade"] == {"words": 3, "verdict": "PASS"}


def test_the_last_part_of_a_name_comes_last(spawner: LuaSpawner) -> None:
    got: list[OutputEvent] = []
    source = (
        "emit.artifact('verdict', 'REDO') emit.artifact('notes', {1})"
        " emit.artifact('verdict', 'PASS') return 'done'"
    )
    assert spawner.run(listening(call(None, source=source), got)).value == "done"
    assert got == [
        Artifact("verdict", "REDO"), Artifact("notes", [1]), Artifact("verdict", "PASS"),
    ]  # fmt: skip


def test_without_parts_the_value_is_plain(spawner: LuaSpawner) -> None:
    assert run(spawner, "return {1, 'two'}") == Outcome("passed", [1, "two"])


IDS = {"task_id": STEP_ID, "agent": "grade", "attempt": 2, "run_id": "R-1"}
BOTH = "return {_TASK_METADATA, _AGENT_CTX}"


def declared(source: str, meta: Any = None, **more: Any) -> StepCall:
    """A call of an agent of a Blueprint that declares context."""
    agent = {"name": "grade", "kind": "lua", "spec": {"source": source}, "meta": meta}
    document = {"id": "t", "flow": STEP, "agents": [agent], **more}
    made = compile_blueprint(document, kinds=["lua"]).agents["grade"]
    return StepCall("R-1", 1, "/children/0", made, 2, None, 10.0)


def test_task_metadata_reaches_the_script(spawner: LuaSpawner) -> None:
    metadata = {"issue": 7, "labels": ["a", None], "more": {}}
    step = declared(BOTH, default_agent_ctx={"task_metadata": metadata})
    assert spawner.run(step).value == [metadata, {**IDS, "task_metadata": metadata}]
    # It is an object, whatever is declared.
    assert spawner.run(declared(BOTH)).value == [{}, IDS]
    step = declared(BOTH, default_agent_ctx={"task_metadata": "text"})
    assert spawner.run(step).value[0] == {}


def test_declared_context_reaches_the_script(spawner: LuaSpawner) -> None:
    tiers = {
        "default_agent_ctx": {"lang": "fr", "unit": "m", "task_id": "forged"},
        "metas": [{"name": "house", "ctx": {"unit": "km", "tone": "dry"}}],
    }
    meta = {"meta_ref": "house", "ctx": {"tone": ["warm"]}}
    step = declared(BOTH, meta, **tiers)
    view = {**IDS, "lang": "fr", "unit": "km", "tone": ["warm"]}
    assert spawner.run(step).value == [{}, view]


@pytest.mark.parametrize(
    ("policy", "seen"),
    [
        ({"include": []}, {"task_id", "agent", "attempt"}),
        ({"include": ["lang"]}, {"task_id", "agent", "attempt", "lang"}),
        ({"exclude": ["lang", "task_id"]}, {*IDS, "task_metadata"}),
        (
            {"include": ["lang", "run_id"], "exclude": ["lang"]},
            {"task_id", "agent", "attempt", "run_id"},
        ),
        ({"exclude": ["task_metadata"]}, {*IDS, "lang"}),
    ],
)
def test_a_context_policy_applies_to_scripts(
    policy: dict[str, Any], seen: set[str], spawner: LuaSpawner
) -> None:
    context = {"lang": "fr", "task_metadata": {"issue": 7}}
    step = declared(BOTH, default_agent_ctx=context, default_context_policy=policy)
    metadata, view = spawner.run(step).value
    assert set(view) == seen
    assert metadata == ({"issue": 7} if "task_metadata" in seen else {})


def test_sibling_modules_load(
    spawner: LuaSpawner, settings: Any, tmp_path: Path
) -> None:
    settings.SWARM_LUA_DIRS = [str(tmp_path)]
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "words.lua").write_text(
        "return {count = function(t) return #t end}"
    )
    (tmp_path / "main.lua").write_text("return require('lib/words').count(_PROMPT)")
    assert spawner.run(call("four", fn_id="main")).value == 4
    source = "return require('lib/words').count('ab')"
    assert run(spawner, source).value == 2
    assert "no Lua script is registered as 'os'" in run(spawner, "require('os')").text


def test_a_script_has_its_globals(spawner: LuaSpawner) -> None:
    source = "return {_PROMPT, _AGENT, _TASK_ID, _ATTEMPT, _CTX}"
    assert run(spawner, source, {"a": []}).value == [
        '{"a":[]}', "grade", STEP_ID, 2, {"a": []},
    ]  # fmt: skip
    assert run(spawner, "return _PROMPT .. tostring(_CTX)", "hi").value == "hinil"


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("return 7", Outcome("passed", 7)),
        ("return", Outcome("passed", None)),
        ("return {a = 1}", Outcome("passed", {"a": 1})),
        ("return {value = 7}", Outcome("passed", 7)),
        ("return {value = json.null}", Outcome("passed", None)),
        ("return {value = {1}, ok = true, more = 2}", Outcome("passed", [1])),
        ("return {value = 'no', ok = false}", Outcome("blocked", "no")),
        (
            "return {ok = false, why = 'x'}",
            Outcome("blocked", {"ok": False, "why": "x"}),
        ),
        ("return {ok = true}", Outcome("passed", {"ok": True})),
    ],
)
def test_value_and_ok_are_unpacked(
    source: str, outcome: Outcome, spawner: LuaSpawner
) -> None:
    assert run(spawner, source) == outcome


@pytest.mark.parametrize("ok", ["1", "'yes'", "json.null", "{}"])
def test_ok_is_true_or_false(ok: str, spawner: LuaSpawner) -> None:
    outcome = run(spawner, f"return {{ok = {ok}}}")
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert "`ok` must be true or false" in outcome.text


def test_errors_are_failures_with_their_line(spawner: LuaSpawner) -> None:
    outcome = run(spawner, "local t\nreturn t.x")
    assert (outcome.kind, outcome.permanent) == ("failed", False)
    assert outcome.text == "grade.lua:2: attempt to index a nil value (local 't')"
    assert outcome.error_type == "LuaError"
    outcome = run(spawner, "return = 1", label="checks")
    assert outcome.text == "checks:1: unexpected symbol near '='"
    assert (outcome.permanent, outcome.error_type) == (True, "LuaSyntax")
    outcome = run(spawner, "error({text = 'no order', permanent = true})")
    assert (outcome.text, outcome.permanent) == ("no order", True)


def test_the_time_limit_is_the_agents_the_settings_or_the_attempts(
    spawner: LuaSpawner, settings: Any
) -> None:
    def loop(timeout_s: float = 10.0, **spec: Any) -> str:
        begun = time.monotonic()
        step = call(None, timeout_s, source="while true do end", **spec)
        outcome = spawner.run(step)
        assert time.monotonic() - begun < 0.2 + 1
        assert outcome.kind == "timed_out"
        assert run(spawner, "return 1").value == 1
        return outcome.text

    assert loop(limits={"time_s": 0.1}) == "timed out after 0.1 s"
    assert loop(timeout_s=0.2) == "timed out after 0.2 s"
    settings.SWARM_LUA_TIME = 0.15
    assert loop() == "timed out after 0.15 s"


def test_the_memory_limit_names_what_to_change(
    spawner: LuaSpawner, settings: Any
) -> None:
    source = "return #('x'):rep(3 * 1024 * 1024)"
    settings.SWARM_LUA_MEMORY = 2 * 1024 * 1024
    outcome = run(spawner, source)
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert outcome.error_type == "LuaMemory"
    assert outcome.text == (
        "used more than 2097152 bytes of memory;"
        " spec.limits.memory_bytes or SWARM_LUA_MEMORY allows more"
    )
    more = {"memory_bytes": 16 * 1024 * 1024}
    assert run(spawner, source, limits=more).value == 3 * 1024 * 1024


def test_an_input_beyond_the_memory_limit_names_what_to_change(
    spawner: LuaSpawner,
) -> None:
    less = {"memory_bytes": 1024 * 1024}
    outcome = run(spawner, "return 1", "x" * 2_000_000, limits=less)
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert outcome.error_type == "LuaMemory"
    assert outcome.text.startswith("its source and input, 2000")
    assert outcome.text.endswith(
        " bytes, do not fit in 1048576 bytes of memory;"
        " spec.limits.memory_bytes or SWARM_LUA_MEMORY allows more"
    )


def test_the_output_limit_names_what_to_change(
    spawner: LuaSpawner, settings: Any
) -> None:
    source = "return ('x'):rep(2000)"
    outcome = run(spawner, source, limits={"output_bytes": 1000})
    assert outcome.text.startswith("gave more than 1000 bytes of output; spec.limits")
    assert outcome.permanent
    settings.SWARM_OUTPUT_LIMIT = 500
    assert "gave more than 500 bytes" in run(spawner, source).text


def test_an_agent_cannot_ask_for_more_than_the_installation_allows(
    spawner: LuaSpawner, settings: Any
) -> None:
    settings.SWARM_LUA_MEMORY_MAX = 4 * 1024 * 1024
    settings.SWARM_OUTPUT_LIMIT = 1000
    outcome = run(spawner, "return 1", limits={"memory_bytes": 5 * 1024 * 1024})
    assert outcome.permanent
    assert outcome.text == (
        "spec.limits.memory_bytes 5242880 is more than SWARM_LUA_MEMORY_MAX (4194304)"
    )
    outcome = run(spawner, "return 1", limits={"output_bytes": 1001})
    assert "is more than SWARM_OUTPUT_LIMIT (1000)" in outcome.text
    outcome = run(spawner, "return 1", limits={"time_s": 3601})
    assert "is more than SWARM_LUA_TIME_MAX (3600" in outcome.text


def test_big_integers_are_refused_or_text(spawner: LuaSpawner) -> None:
    big = {"id": 2**60, "n": [2**53]}
    outcome = run(spawner, "return _CTX", big)
    assert outcome.permanent
    assert outcome.text == (
        "its input at _CTX.id: the integer 1152921504606846976 is beyond 2^53;"
        ' spec.big_integers "text" passes such integers as text'
    )
    outcome = run(spawner, "return _CTX", big, big_integers="text")
    assert outcome.value == {"id": "1152921504606846976", "n": [2**53]}


def test_what_is_printed_goes_to_the_log(spawner: LuaSpawner) -> None:
    got: list[OutputEvent] = []
    source = "print('a', 1) emit.progress('half', 'way') print() return 1"
    assert spawner.run(listening(call(None, source=source), got)).value == 1
    assert got == [Log("a\t1"), Progress("half", "way"), Log("")]


def test_host_functions_are_wired_in_the_settings(
    spawner: LuaSpawner, settings: Any
) -> None:
    settings.SWARM = {
        **settings.SWARM,
        "LUA_FUNCTIONS": {"lookup": f"{__name__}.lookup"},
    }
    assert run(spawner, "return host.lookup('o-7')").value == {
        "asked": "o-7", "by": "grade", "id": STEP_ID,
    }  # fmt: skip
    caught = (
        "local ok, e = pcall(host.lookup, 'nobody') return {e.kind, e.text, e.name}"
    )
    assert run(spawner, caught).value == ["LookupError", "no such order", "lookup"]
    outcome = run(spawner, "return host.lookup('nobody')")
    assert outcome.text == "host.lookup: LookupError: no such order"
    assert (outcome.error_type, outcome.permanent) == ("LookupError", False)
    outcome = run(spawner, "return host.lookup('never')")
    assert (outcome.error_type, outcome.permanent) == ("AgentFailed", True)


def test_the_text_of_a_host_functions_error_is_cut(
    spawner: LuaSpawner, settings: Any
) -> None:
    settings.SWARM = {
        **settings.SWARM,
        "LUA_FUNCTIONS": {"verbose": f"{__name__}.verbose"},
    }
    caught = "local ok, e = pcall(host.verbose, 1) return e.text"
    assert run(spawner, caught).value == "x" * 2000


def test_the_text_of_a_scripts_error_is_cut(spawner: LuaSpawner) -> None:
    outcome = run(spawner, "error(('x'):rep(5000), 0)")
    assert outcome.kind == "failed"
    assert len(outcome.text) == 4000


def test_without_host_functions_a_call_is_an_error(spawner: LuaSpawner) -> None:
    text = run(spawner, "return host.lookup(1)").text
    assert 'no host function is named "lookup"; none is registered' in text


def test_work_in_vain_is_ended(spawner: LuaSpawner) -> None:
    step = call(None, source="while true do end")
    vain = StepCall(step.run, 1, step.place, step.agent, 1, None, 10.0, lambda: True)
    outcome = spawner.run(vain)
    assert (outcome.kind, outcome.text, outcome.permanent) == (
        "failed",
        "cancelled",
        True,
    )


def test_lanes_may_be_batched(spawner: LuaSpawner) -> None:
    assert spawner.in_process is True


# Registered scripts


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """A folder of registered scripts, with a secret beside it."""
    inside = tmp_path / "scripts"
    inside.mkdir()
    (tmp_path / "secret.lua").write_text("return 'secret'")
    settings.SWARM_LUA_DIRS = [str(tmp_path / "none"), str(inside)]
    return inside


def test_a_registered_script_is_found_by_its_name(
    folder: Path, spawner: LuaSpawner
) -> None:
    (folder / "grade.lua").write_text("return _CTX + 1")
    assert spawner.run(call(1, fn_id="grade")).value == 2
    assert spawner.run(call(1, fn_id="grade.lua")).value == 2
    (folder / "grade.lua").write_text("return _CTX + 10")
    assert spawner.run(call(1, fn_id="grade")).value == 11
    (folder / "grade.lua").write_text("error('x')")
    assert spawner.run(call(1, fn_id="grade")).text == "grade:1: x"
    (folder / "grade.lua").unlink()
    assert "registered as 'grade'" in spawner.run(call(1, fn_id="grade")).text


def test_an_inline_source_wins_over_a_registered_script(
    folder: Path, spawner: LuaSpawner
) -> None:
    (folder / "grade.lua").write_text("return 'file'")
    assert spawner.run(call(1, fn_id="grade", source="return 'text'")).value == "text"


def test_a_script_has_a_largest_size(folder: Path, spawner: LuaSpawner) -> None:
    head = "return 1 --"
    (folder / "grade.lua").write_text(head + "x" * (1024 * 1024 - len(head)))
    assert spawner.run(call(1, fn_id="grade")).value == 1
    (folder / "grade.lua").write_text(head + "x" * 1024 * 1024)
    outcome = spawner.run(call(1, fn_id="grade"))
    assert outcome.permanent
    assert outcome.text == "the script 'grade' is larger than 1048576 bytes"


@pytest.mark.parametrize(
    "name", ["../secret", "a/../../secret", "/etc/passwd", "", "..", "x\0y"]
)
def test_a_name_does_not_lead_out_of_the_folder(
    name: str, folder: Path, spawner: LuaSpawner
) -> None:
    step = call(1, fn_id="x")
    agent = program(fn_id="x").agents["grade"]
    spec = {**agent.spec, "fn_id": name}
    agent = type(agent)(agent.name, agent.kind, agent.queue, 1000, spec=spec)
    outcome = spawner.run(StepCall(step.run, 1, step.place, agent, 1, None, 10.0))
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert "is no name of a script" in outcome.text


def test_a_link_does_not_lead_out_of_the_folder(
    folder: Path, spawner: LuaSpawner
) -> None:
    (folder / "alias.lua").symlink_to(folder.parent / "secret.lua")
    (folder / "up").symlink_to(folder.parent)
    for name in ("alias", "up/secret"):
        outcome = spawner.run(call(1, fn_id=name))
        assert (outcome.kind, outcome.permanent) == ("failed", True)
        assert "leads out of" in outcome.text


def test_a_script_that_becomes_a_link_is_checked_again(
    folder: Path, spawner: LuaSpawner
) -> None:
    (folder / "grade.lua").write_text("return 'inside'")
    assert spawner.run(call(1, fn_id="grade")).value == "inside"
    (folder / "grade.lua").unlink()
    (folder / "grade.lua").symlink_to(folder.parent / "secret.lua")
    assert "leads out of" in spawner.run(call(1, fn_id="grade")).text


def test_an_unknown_script_is_reported_with_the_nearest(
    folder: Path, spawner: LuaSpawner
) -> None:
    (folder / "grade.lua").write_text("return 1")
    outcome = spawner.run(call(1, fn_id="graed"))
    assert outcome.permanent
    assert outcome.text == (
        "no Lua script is registered as 'graed'; did you mean 'grade'?"
    )
    (folder / "latin.lua").write_bytes(b"return '\xff'")
    assert "byte 8: not UTF-8" in spawner.run(call(1, fn_id="latin")).text


# The spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "$.agents[0].spec: expected 'source' or 'fn_id'"),
        ({"label": "x"}, "expected 'source' or 'fn_id'"),
        ({"sorce": "x"}, "unknown field 'sorce'; did you mean 'source'?"),
        ({"source": 1}, "$.agents[0].spec.source: expected a string, got 1"),
        ({"source": ""}, "expected a string of at least 1 character"),
        (
            {"source": "x", "limits": {"time_s": 0}},
            "limits.time_s: expected more than 0",
        ),
        ({"source": "x", "limits": {"memory_bytes": 1}}, "expected at least 1048576"),
        ({"source": "x", "limits": {"output_bytes": 0}}, "expected at least 1"),
        ({"source": "x", "limits": {"time": 1}}, "did you mean 'time_s'?"),
        ({"source": "x", "big_integers": "txt"}, "did you mean 'text'?"),
    ],
)
def test_a_bad_spec_is_refused_with_its_place(
    spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(BlueprintInvalid) as caught:
        program(**spec)
    assert message in str(caught.value)
