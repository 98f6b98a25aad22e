"""Templates: placeholders, stdin, cwd, environment."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from first_step import STEP_ID

PYTHON = [sys.executable, "-I", "-S", "-B", "-c"]
SHOW = "import sys, json; print(json.dumps(sys.argv[1:]))"
CAT = "import sys; sys.stdout.write(sys.stdin.read())"


def test_prompt_on_stdin_system_prompt_in_a_file_result_by_pointer(
    child: Any, settings: Any, tmp_path: Path
) -> None:
    settings.VAR_DIR = tmp_path
    code = (
        "import sys, json, os\n"
        "path = sys.argv[1]\n"
        "mode = oct(os.stat(path).st_mode & 0o777)\n"
        "result = [sys.stdin.read(), open(path, newline='').read(), mode]\n"
        "print(json.dumps({'out': {'text': result}, 'noise': 1}))"
    )
    outcome = child(
        code,
        "Write about {system} trees",
        "{system_file}",
        stdin="{prompt}",
        output={"format": "json", "result_ptr": "/out/text"},
        profile={"system_prompt": "You are {model}.\r\nBe brief: é"},
    )
    assert outcome.value == [
        "Write about {system} trees", "You are {model}.\r\nBe brief: é", "0o600",
    ]  # fmt: skip
    assert list((tmp_path / "system").iterdir()) == []


def test_two_templates_serve_two_agents(child: Any, compiled: Any) -> None:
    runner = {"backend": "subprocess"}
    program = compiled(
        [
            {
                "name": "loud",
                "runner": {**runner, "template": "shout"},
                "profile": {"model": "m1", "tools": ["a"]},
            },
            {
                "name": "quiet",
                "profile": {"model": "m1", "tools": ["a"]},
                "runner": {
                    **runner,
                    "template": "whisper",
                    "overrides": {"model": "m2", "tools": ["b", "c"], "cwd": "/"},
                },
            },
        ],
        subprocesses=[
            {
                "name": "shout",
                "argv": [*PYTHON, SHOW, "shout", "{model}", "{tools_csv}"],
            },
            {
                "name": "whisper",
                "argv": [
                    *PYTHON,
                    "import os;" + SHOW.replace("[1:]", "[1:] + [os.getcwd()]"),
                    "{model}",
                    "{tools_csv}",
                ],
                "cwd": "/nowhere",
            },
        ],
    )
    assert child.attempt(program, "loud").value == ["shout", "m1", "a"]
    assert child.attempt(program, "quiet").value == ["m2", "b,c", "/"]


def test_a_non_zero_exit_fails_the_step(child: Any) -> None:
    outcome = child("import sys; print('{\"ok\": true}'); sys.exit(3)")
    assert (outcome.kind, outcome.text) == ("failed", "exited with 3")


def test_declared_json_that_does_not_parse_fails_the_step(child: Any) -> None:
    code = "import sys; print('Hello, I am'); sys.stderr.write('warned')"
    outcome = child(code, output={"format": "json"})
    assert outcome.kind == "failed"
    assert not outcome.permanent
    assert outcome.text == (
        "the output is not the JSON that was declared: line 1 column 1: Expecting"
        " value; it began with: Hello, I am\nstandard error ended with:\nwarned"
    )


def test_cwd_work_dir_runs_the_child_in_the_task_directory(
    child: Any, tmp_path: Path
) -> None:
    code = "import os, json; print(json.dumps(os.getcwd()))"
    outcome = child(code, {"work_dir": str(tmp_path)}, cwd="{work_dir}")
    assert outcome.value == str(tmp_path)


def test_the_older_program_and_args_form_behaves_as_before(
    child: Any, compiled: Any
) -> None:
    plain = {"program": PYTHON[0], "args": [*PYTHON[1:], SHOW, "{prompt}", "{nobody}"]}
    program = compiled(
        [
            {"name": "stdin", "spec": {**plain, "args": [*PYTHON[1:], CAT]}},
            {"name": "last", "spec": {**plain, "use_stdin": False}},
        ]
    )
    assert child.attempt(program, "stdin", {"a": 1}).value == {"a": 1}
    assert child.attempt(program, "stdin", "text").value == {
        "raw": "text",
        "stderr": "",
    }
    # Its words stand as they are: no placeholder is looked for.
    assert child.attempt(program, "last", "in").value == ["{prompt}", "{nobody}", "in"]


def test_values_are_not_searched_again(child: Any) -> None:
    outcome = child(SHOW, "{model}{task_id}", "<{prompt}|{attempt}|{task_id}>")
    assert outcome.value == [f"<{{model}}{{task_id}}|2|{STEP_ID}>"]


def test_braces_with_anything_else_are_text(child: Any) -> None:
    words = ['{"a":{prompt}}', "{A}", "{}", "{ prompt }", "{{print}}", "{{prompt}}"]
    assert child(SHOW, 7, *words).value == [
        '{"a":7}', "{A}", "{}", "{ prompt }", "{print}", "{prompt}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "profile", "hint"),
    [
        ("{model}", None, "set profile.model, or overrides.model of the runner"),
        ("{model}", {"tools": ["x"]}, "profile.model"),
        ("{system}", None, "set profile.system_prompt"),
        ("{system_file}", {"system_prompt": ""}, "set profile.system_prompt"),
        ("{work_dir}", None, "an input with a text in 'work_dir'"),
    ],
)
def test_an_absent_source_fails_the_step_for_good(
    child: Any, word: str, profile: Any, hint: str
) -> None:
    outcome = child(SHOW, {"work_dir": 5}, word, profile=profile)
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert f"agent 'child' has nothing to fill {word} with; " in outcome.text
    assert hint in outcome.text


def test_no_tools_are_an_empty_text(child: Any) -> None:
    assert child(SHOW, None, "{tools_csv}").value == [""]


def test_without_stdin_the_child_gets_an_empty_one(child: Any) -> None:
    assert child("import sys; print(len(sys.stdin.read()))", "ignored").value == 0


def test_an_argument_may_begin_with_a_dash(child: Any) -> None:
    words = ["-rf", "--", "{prompt}", ""]
    assert child(SHOW, "--help", *words).value == ["-rf", "--", "--help", ""]


def test_a_nul_is_refused_as_an_argument_and_passes_on_stdin(child: Any) -> None:
    refused = child(SHOW, "a\0b", "{prompt}")
    assert (refused.kind, refused.permanent) == ("failed", True)
    assert refused.text == "argv[6] contains a NUL character"
    code = "import sys, json; print(json.dumps(sys.stdin.read()))"
    assert child(code, "a\0b", stdin="{prompt}").value == "a\0b"


def test_a_secret_of_the_worker_does_not_reach_the_child(
    child: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SWARM_SECRET_KEY", "DATABASE_URL", "OPENAI_API_KEY", "MSE_TOKEN"):
        monkeypatch.setenv(name, "canary")
    got = child("import os, json; print(json.dumps(dict(os.environ)))").value
    assert "canary" not in str(got)
    names = set(got) - {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LC_CTYPE"}
    assert names == {
        "SWARM_RUN_ID", "SWARM_STEP_ID", "SWARM_PLACE", "SWARM_ATTEMPT", "SWARM_AGENT",
        "MSE_TASK_ID", "MSE_ATTEMPT", "MSE_CTX_AGENT",
    }  # fmt: skip
    assert (got["SWARM_STEP_ID"], got["MSE_TASK_ID"]) == (STEP_ID, STEP_ID)


def test_the_environment_is_what_the_agent_and_the_fleet_allow(
    child: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_API_KEY", "asked for")
    monkeypatch.setenv("LANG", "xx")
    settings.SWARM_CHILD_ENV = ["LLM_API_KEY"]
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    env = {"ATTEMPT": "n{attempt}", "HOME": "/h", "PATH": os.environ["PATH"]}
    got = child(code, env=env).value
    assert got["LLM_API_KEY"] == "asked for"
    assert (got["ATTEMPT"], got["HOME"]) == ("n2", "/h")
    assert "LANG" not in got


CWD = "import os, json; print(json.dumps(os.getcwd()))"


def test_without_a_cwd_a_template_runs_in_the_inputs_work_dir(
    child: Any, tmp_path: Path
) -> None:
    given = {"work_dir": str(tmp_path)}
    assert child(CWD, given).value == str(tmp_path.resolve())
    assert child(CWD, given, cwd="/").value == "/"
    for other in ("text", {"work_dir": ""}, {"work_dir": 5}, {}, None):
        assert child(CWD, other).value == os.getcwd()
    outcome = child(CWD, {"work_dir": "/no/such/place"})
    assert "cannot change to the directory '/no/such/place'" in outcome.text
    outcome = child(CWD, {"work_dir": "/tmp\0"})
    assert (outcome.kind, outcome.permanent) == ("failed", True)


def test_a_cwd_that_is_not_there_fails_with_its_name(child: Any) -> None:
    outcome = child(SHOW, cwd="/no/such/place")
    assert outcome.kind == "failed"
    assert "cannot change to the directory '/no/such/place'" in outcome.text


@pytest.mark.parametrize(
    ("printed", "output", "kind", "value"),
    [
        ({"ok": True, "r": 1}, {"result_ptr": "/r", "ok_from": "/ok"}, "passed", 1),
        ({"ok": False, "r": 1}, {"result_ptr": "/r", "ok_from": "/ok"}, "blocked", 1),
        # Literally true, not merely something.
        ({"ok": 1}, {"ok_from": "/ok"}, "blocked", {"ok": 1}),
        (
            {"why": "no"},
            {"result_ptr": "/r", "ok_from": "/ok"},
            "blocked",
            {"why": "no"},
        ),
        ({"a/b": [0, {"~": None}]}, {"result_ptr": "/a~1b/1/~0"}, "passed", None),
        ({"": 5}, {"result_ptr": "/"}, "passed", 5),
        ([1, 2], {"result_ptr": "/1", "ok_from": "exit_code"}, "passed", 2),
    ],
)
def test_pointers_into_the_output(
    child: Any, printed: Any, output: Any, kind: str, value: Any
) -> None:
    outcome = child(CAT, printed, stdin="{prompt}", output=output)
    assert (outcome.kind, outcome.value) == (kind, value)


@pytest.mark.parametrize("pointer", ["/b", "/a/01", "/a/2", "/a/-", "/a/0/x", "/a/-1"])
def test_a_result_pointer_that_finds_nothing_fails_the_step(
    child: Any, pointer: str
) -> None:
    output = {"result_ptr": pointer}
    outcome = child(CAT, {"a": [0, 1]}, stdin="{prompt}", output=output)
    assert outcome.kind == "failed"
    assert outcome.text == f"the output has nothing at {pointer} (output.result_ptr)"


def test_a_bad_exit_outranks_an_ok_in_the_output(child: Any) -> None:
    code = "import sys; print('{\"ok\": true}'); sys.exit(4)"
    outcome = child(code, output={"ok_from": "/ok"})
    assert (outcome.kind, outcome.text) == ("failed", "exited with 4")


def test_stats_are_what_the_output_has_of_them(child: Any) -> None:
    printed = {
        "text": "done",
        "m": {"name": "small-1"},
        "turns": 3,
        "usage": {"input_tokens": 10, "total": 12, "output": "many", "cached": 4},
    }
    stats = {"usage_ptr": "/usage", "model_ptr": "/m/name", "num_turns_ptr": "/turns"}
    output = {"result_ptr": "/text", "stats": stats}
    outcome = child(CAT, printed, stdin="{prompt}", output=output)
    assert outcome.value == "done"
    assert outcome.stats is not None
    adapter = outcome.stats.pop("adapter_data")
    assert adapter["exit_code"] == 0
    assert outcome.stats == {
        "worker_kind": "subprocess",
        "model": "small-1",
        "num_turns": 3,
        "usage": {"input": 10, "total": 12},
    }


def test_stats_that_are_not_there_change_nothing(child: Any) -> None:
    output = {"stats": {"usage_ptr": "/usage", "model_ptr": "/model"}}
    outcome = child(CAT, {"usage": [1]}, stdin="{prompt}", output=output)
    assert outcome.kind == "passed"
    assert set(outcome.stats) == {"worker_kind", "adapter_data"}
    assert child(CAT, {"usage": [1]}, stdin="{prompt}").stats is None


def test_a_stale_system_file_is_replaced_and_old_ones_are_removed(
    child: Any, settings: Any, tmp_path: Path
) -> None:
    settings.VAR_DIR = tmp_path
    folder = tmp_path / "system"
    folder.mkdir()
    secret = tmp_path / "target"
    secret.write_text("kept")
    (folder / f"{STEP_ID}-2.md").symlink_to(secret)
    (folder / "ST-0-1.md").write_text("of a killed worker")
    os.utime(folder / "ST-0-1.md", (0, 0))
    code = "import sys, json; print(json.dumps(open(sys.argv[1]).read()))"
    outcome = child(code, None, "{system_file}", profile={"system_prompt": "new"})
    assert outcome.value == "new"
    assert secret.read_text() == "kept"
    assert list(folder.iterdir()) == []


def test_a_prompt_too_long_for_an_argument_fails_with_that_reason(child: Any) -> None:
    outcome = child(SHOW, "x" * (3 << 20), "{prompt}")
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert "Argument list too long" in outcome.text
    long = json.dumps("x" * (3 << 20))
    assert len(child(CAT, long, stdin="{prompt}").value) == 3 << 20
