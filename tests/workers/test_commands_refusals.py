"""Refusals of the commands, before anything is started."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import (
    CommandError,
    call_command,
    execute_from_command_line,
    load_command_class,
)
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from blueprints.parameters import ArgumentRefused, apply_sets, undeclared_keys
from blueprints.spawner import KindSpawner
from engine.blueprint import Program
from engine.store.server_url import ServerUrl
from workers.doctor.checks import pool_findings, queue_findings
from workers.fleet.fleet import pool_of, queues_of_kinds
from workers.fleet.prerequisites import SetupFailed, reach
from workers.management.commands.runs import VERBS

UNREACHABLE = "redis://user:s3cret@127.0.0.1:1/0"
FLOW = {"kind": "seq", "children": []}


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("run", *args)
    return int(ended.value.code)


def test_a_broken_blueprint_is_reported_with_every_place(tmp_path: Path, capsys: Any):
    file = tmp_path / "broken.json"
    step = {"kind": "step", "ref": "nobody", "in": {"op": "lit", "value": 1}}
    step["out"] = {"op": "path", "at": "$.x"}
    agents = [{"name": "nobodi", "kind": "pyton_fn"}]
    document = {"schema_version": "0.1.0", "id": "b", "flow": step, "agents": agents}
    file.write_text(json.dumps(document))

    assert run(str(file)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "2 findings" in printed.err
    column = file.read_text().index('"nobody"') + 1
    assert f"{file}:1:{column}: error: step names the agent 'nobody'" in printed.err
    assert "^ $.flow.ref\n" in printed.err
    assert "    help: did you mean 'python_fn'?\n" in printed.err
    assert printed.err.endswith("Nothing was started.\n")

    assert run(str(file), "--json") == 2
    got = json.loads(capsys.readouterr().out)
    assert (got["run"], got["status"], got["steps"]) == (None, "refused", [])
    assert got["error"]["diagnostics"][0]["kind"] == "unknown-agent-kind"
    assert not (Path(settings.VAR_DIR) / "redis.json").exists()


def test_a_script_or_a_reference_that_goes_wrong_is_reported_and_nothing_started(
    tmp_path: Path, capsys: Any
):
    script = tmp_path / "a.bp.lua"
    script.write_text('print("read " .. _CTX.name)\nerror("no")')
    assert run(str(script), "--ctx", '{"name": "x"}') == 2
    assert f"{script}:2:1: error: no " in capsys.readouterr().err

    script.write_text('print("read " .. _CTX.name)\nreturn {flo = 1}')
    assert run(str(script), "--ctx", '{"name": "x"}') == 2
    printed = capsys.readouterr().err
    assert printed.startswith("read x\n")
    assert f"{script}:2:1: error: unknown field 'flo' [unknown-field]\n" in printed
    assert "help: did you mean 'flow'?\n" in printed

    file = tmp_path / "a.json"
    file.write_text('{"flow": {"$file": "../secret"}}')
    assert run(str(file)) == 2
    assert f"{file}:1:20: error: '../secret' has '..' in it" in capsys.readouterr().err
    assert run(str(file), "--include", "/no/where") == 2
    assert "does not exist: /no/where" in capsys.readouterr().err
    assert not (Path(settings.VAR_DIR) / "redis.json").exists()


def calling(file: Path, *functions: str) -> str:
    """Write a Blueprint of Python functions."""
    agents = [
        {"name": f"a{number}", "kind": kind, "spec": {"fn_id": name}}
        for number, name in enumerate(functions)
        for kind in [("python_fn", "rust_fn")[number % 2]]
    ]
    document = {"schema_version": "0.1.0", "id": "b", "flow": FLOW, "agents": agents}
    file.write_text(json.dumps(document))
    return str(file)


def test_a_misspelt_function_is_reported_before_anything_is_started(
    tmp_path: Path, capsys: Any
):
    file = calling(tmp_path / "b.json", "identity", "identiti", "no-such-thing")

    assert run(file, "--json") == 2
    printed = capsys.readouterr()
    assert "2 findings" in printed.err
    assert "error: no agent function is named 'identiti'" in printed.err
    assert "^ $.agents[1].spec.fn_id\n    help: did you mean 'identity'?" in printed.err
    assert "error: no agent function is named 'no-such-thing'" in printed.err
    assert "^ $.agents[2].spec.fn_id\n" in printed.err
    assert "is its module in SWARM_AGENT_MODULES (blueprints.samples" in printed.err
    assert printed.err.endswith("Nothing was started.\n")
    codes = [d["kind"] for d in json.loads(printed.out)["error"]["diagnostics"]]
    assert codes == ["unknown-function"] * 2
    assert not (Path(settings.VAR_DIR) / "redis.json").exists()


def test_a_misspelt_script_is_reported_before_anything_is_started(
    tmp_path: Path, capsys: Any
):
    file = tmp_path / "b.json"
    agents = [
        {"name": "a", "kind": "lua", "spec": {"fn_id": "words-tops"}},
        {"name": "b", "kind": "lua", "spec": {"fn_id": "words-top"}},
    ]
    document = {"schema_version": "0.1.0", "id": "b", "flow": FLOW, "agents": agents}
    file.write_text(json.dumps(document))

    assert run(str(file), "--json") == 2
    printed = capsys.readouterr()
    assert "error: no Lua script is registered as 'words-tops'" in printed.err
    assert (
        "^ $.agents[0].spec.fn_id\n    help: did you mean 'words-top'?" in printed.err
    )
    assert printed.err.endswith("Nothing was started.\n")


def test_a_module_that_can_not_be_imported_is_reported_with_the_function_it_may_define(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "broken_by_half.py").write_text("print(1)\nimport no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(settings, "SWARM_AGENT_MODULES", ["broken_by_half"])

    assert run(calling(tmp_path / "b.json", "zzz")) == 2
    out, printed = capsys.readouterr()
    assert out == ""
    assert "error: no agent function is named 'zzz'" in printed
    assert "'broken_by_half' (SWARM_AGENT_MODULES) can't be imported" in printed


@pytest.mark.parametrize(
    ("content", "args", "reason"),
    [
        (None, [], "can't be read: No such file"),
        ("{", [], "b.json:1:2: error: expected a key"),
        ("ok", ["--ctx", "{"], "--ctx: no JSON"),
        ("ok", ["--ctx", "@/nowhere"], "can't be read: No such file"),
        ("ok", ["--set", "novalue"], "expected a.b=VALUE"),
        ("ok", ["--ctx", "[]", "--set", "a=1"], "needs a --ctx that is an object"),
        ("ok", ["--set", "a=1", "--set", "a.b=1"], "a is not an object"),
    ],
)
def test_what_makes_no_sense_is_exit_2(
    tmp_path: Path, capsys: Any, content: str | None, args: list[str], reason: str
):
    file = tmp_path / "b.json"
    if content == "ok":
        document = {"schema_version": "0.1.0", "id": "b", "flow": FLOW, "agents": []}
        content = json.dumps(document)
    if content is not None:
        file.write_text(content)

    assert run(str(file), *args) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--timeout", "0"], "--timeout: expected seconds greater than 0, got '0'"),
        (["--timeout", "nan"], "--timeout: expected seconds greater than 0, got 'nan'"),
        (
            ["--concurrency", "0"],
            "--concurrency: expected a whole number from 1 to 256",
        ),
        (["--concurrency", "257"], "got '257'"),
        (["--concurrency", "two"], "got 'two'"),
        (["--concurrency", "9" * 5000], "expected a whole number from 1 to 256"),
        (["--concurrency", "²"], "got '²'"),
    ],
)
def test_numbers_out_of_bounds_are_refused(args: list[str], reason: str):
    with pytest.raises(CommandError, match=re.escape(reason)):
        call_command("run", "x.json", *args)


@pytest.mark.parametrize("count", ["0", "-1", "1.5", ""])
def test_a_fleet_of_no_processes_is_refused(count: str):
    reason = f"--concurrency: expected a whole number from 1 to 256, got {count!r}"
    with pytest.raises(CommandError, match=re.escape(reason)):
        call_command("fleet", "--kind", "python_fn", "--concurrency", count)


def test_an_unreachable_redis_is_one_line_without_its_password():
    with pytest.raises(SetupFailed) as refused:
        reach(ServerUrl.of(UNREACHABLE))

    text = str(refused.value)
    assert "\n" not in text
    assert "s3cret" not in text
    assert text.startswith("Redis at redis://127.0.0.1:1/0 does not answer")
    assert "unset it to use the embedded server" in text


@pytest.mark.django_db
def test_run_with_an_unreachable_redis_starts_nothing(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "b.json"
    document = {"schema_version": "0.1.0", "id": "b", "flow": FLOW, "agents": []}
    file.write_text(json.dumps(document))
    monkeypatch.setenv("SWARM_REDIS_URL", UNREACHABLE)
    monkeypatch.setattr(settings, "SWARM_STATE_URL", UNREACHABLE)

    assert run(str(file)) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "does not answer" in printed


def test_sets_keep_their_neighbours_of_the_default_ctx():
    program = Program("b", FLOW, {}, default_init_ctx={"a": {"b": 1, "c": 2}, "d": 3})

    assert apply_sets(program, None, []) is None
    sets = ["a.b=text", "$.e.f=[1]", 'g="1"']
    assert apply_sets(program, {"d": 4}, sets) == {
        "a": {"b": "text", "c": 2},
        "d": 4,
        "e": {"f": [1]},
        "g": "1",
    }
    assert program.default_init_ctx["a"]["b"] == 1
    with pytest.raises(ArgumentRefused):
        apply_sets(program, None, ["=1"])


class Waiting(KindSpawner):
    """A kind whose attempts only wait."""

    pool = "threads"


@pytest.fixture
def waiting_kind(settings: Any) -> None:
    wired = {**settings.SWARM["SPAWNERS"], "waiting": f"{__name__}.Waiting"}
    settings.SWARM = {**settings.SWARM, "SPAWNERS": wired}


@pytest.mark.usefixtures("waiting_kind")
def test_pools_suit_their_kinds():
    assert pool_of(["python_fn", "subprocess"]) == "prefork"
    assert pool_of(["waiting"]) == "threads"
    with pytest.raises(SetupFailed, match="waiting wants threads; start one fleet"):
        pool_of(["waiting", "python_fn"])
    assert pool_of(["subprocess"], "threads") == "threads"
    with pytest.raises(SetupFailed, match="nothing can end a Python function"):
        pool_of(["subprocess", "python_fn"], "threads")
    assert queues_of_kinds(["lua"]) == [
        "swarm.lua.hi",
        "swarm.lua",
        "swarm.lua.lo",
        "swarm.engine",
    ]


def test_fleet_names_the_kinds_it_knows():
    with pytest.raises(CommandError, match="kinds with a spawner here: ") as refused:
        call_command("fleet", "--kind", "pyton_fn")
    assert refused.value.returncode == 2


@pytest.mark.django_db
def test_an_embedded_server_that_nobody_started_is_no_failure(capsys: Any):
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json")

    got = json.loads(capsys.readouterr().out)
    found = {f["name"]: f for f in got["findings"]}
    assert ended.value.code == (0 if got["ok"] else 1)
    assert found["migrations"]["level"] == "ok"
    assert found["redis"]["level"] == "warn"
    assert "manage.py up" in found["redis"]["hint"]
    # Nothing can be asked of it.
    assert not {"aof", "queues", "workers"} & set(found)


@pytest.mark.django_db
def test_doctor_says_who_makes_the_tables_of_a_new_database(capsys: Any):
    MigrationRecorder(connection).migration_qs.all().delete()
    with pytest.raises(SystemExit):
        call_command("doctor", "--json")

    findings = json.loads(capsys.readouterr().out)["findings"]
    [found] = [one for one in findings if one["name"] == "migrations"]
    assert found["level"] == "warn"
    assert found["text"] == "this database is new: it has no tables yet"
    assert "manage.py run FILE` and `" in found["hint"]


@pytest.mark.parametrize("command", ["run", "runs", "doctor", "blueprint"])
def test_no_command_shows_options_without_effect(command: str):
    shown = load_command_class(
        "blueprints" if command == "blueprint" else "workers", command
    ).create_parser("manage.py", command)
    assert "--verbosity" not in shown.format_help()
    assert "--no-color" not in shown.format_help()
    assert "--traceback" in shown.format_help()


@pytest.mark.django_db
def test_doctor_reports_a_server_that_does_not_answer_and_fails(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    # The settings of the tests name no server; the variable makes it one of the user's.
    monkeypatch.setenv("SWARM_REDIS_URL", "redis://localhost:1/0")
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json")

    assert ended.value.code == 1
    got = json.loads(capsys.readouterr().out)
    found = {f["name"]: f for f in got["findings"]}
    assert not got["ok"]
    assert found["redis"]["level"] == "fail"
    assert "correct SWARM_REDIS_URL" in found["redis"]["hint"]


@pytest.mark.django_db
def test_doctor_reports_a_spawner_that_cannot_be_imported(capsys: Any, settings: Any):
    spawners = settings.SWARM["SPAWNERS"] | {"lost": "no.such.Spawner"}
    settings.SWARM = settings.SWARM | {"SPAWNERS": spawners}
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json")

    assert ended.value.code == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert any(one["text"].startswith("SWARM['SPAWNERS']['lost']") for one in found)
    assert any(one["name"] == "agents" for one in found)


@pytest.mark.django_db
def test_doctor_names_each_broken_agent_module(
    capsys: Any, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "doctor_broken.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.SWARM_AGENT_MODULES = ["blueprints.samples.functions", "doctor_broken"]
    with pytest.raises(SystemExit):
        call_command("doctor", "--json")

    got = json.loads(capsys.readouterr().out)
    agents = [f for f in got["findings"] if f["name"] == "agents"]
    (found,) = [f for f in agents if "doctor_broken" in f["text"]]
    assert found["level"] == "fail"
    assert "'doctor_broken' (SWARM_AGENT_MODULES) can't be imported" in found["text"]
    assert "nowhere_to_be_found" in found["text"]


def test_doctor_reports_queues_that_no_worker_serves():
    text = "swarm.lua 1 waiting (0 dispatched)"
    start = "python manage.py fleet --kind lua"
    (found,) = queue_findings(text, {"swarm.lua": 1}, [("swarm.lua", start)])
    assert (found.level, found.hint) == ("warn", f"start `{start}`")
    assert found.text == f"{text}; no worker serves swarm.lua"
    assert [f.level for f in queue_findings(text, {"swarm.lua": 1}, [])] == ["ok"]
    assert [f.level for f in queue_findings(text, {"swarm.lua": 10**5}, [])] == ["warn"]


def test_doctor_reports_pools_without_timeouts():
    found = list(
        pool_findings(
            {
                "a@h": "celery.concurrency.prefork:TaskPool",
                "b@h": "celery.concurrency.thread:TaskPool",
                "c@h": "celery.concurrency.solo:TaskPool",
            }
        )
    )
    assert [(f.level, f.text.partition(" ")[0]) for f in found] == [
        ("warn", "b@h"),
        ("warn", "c@h"),
    ]
    assert "can't enforce timeouts of Python functions" in found[0].text


@pytest.mark.django_db
def test_the_parser_refuses_an_unknown_verb():
    with pytest.raises(CommandError, match="invalid choice") as refused:
        call_command("runs", "drop")
    known = str(refused.value).partition("choose from ")[2].rstrip(")")
    assert {name.strip(" '") for name in known.split(",")} == set(VERBS)


@pytest.mark.parametrize(
    ("command", "word", "meant"),
    [("runs", "lst", "list"), ("blueprint", "lintt", "lint")],
)
def test_a_misspelt_verb_is_reported_with_the_nearest(
    capsys: Any, command: str, word: str, meant: str
):
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", command, word, "x"])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert f"no verb {word!r}; did you mean {meant!r}?" in printed
    assert printed.count("\n") == 1


def test_a_set_of_a_key_that_nothing_declares_is_reported():
    def program(default: Any) -> Program:
        return Program("b", FLOW, {}, default_init_ctx=default)

    sets = ["txt=1", "$.text=2", "more.x=3"]
    assert undeclared_keys(program({"text": ""}), sets) == [
        "--set txt: default_init_ctx has no such key; did you mean 'text'?",
        "--set more: default_init_ctx has no such key",
    ]
    assert undeclared_keys(program(None), sets) == []


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("v=1e400", "--set v: at $: a number must be finite"),
        ("v=-1e400", "--set v: at $: a number must be finite"),
        ("v=" + "1" * 5000, "--set v: at $: a number must be finite"),
        ("a.b=[1, NaN]", "--set a.b: at $[1]: a number must be finite"),
        ("v=-Infinity", "--set v: at $: a number must be finite"),
        ('v={"a": 1, "a": 2}', "--set v: at $: duplicate key 'a'"),
        ("v=" + "[" * 200 + "]" * 200, "nested deeper than 127 containers"),
        (
            'v="\\ud800"',
            "--set v: at $: a string must not contain half a surrogate pair",
        ),
        ("v=\udcff", "--set 'v=\\udcff': character 3 is not UTF-8"),
        ("\udcff=1", "--set '\\udcff=1': character 1 is not UTF-8"),
    ],
)
def test_a_set_that_is_not_json_is_refused_and_no_text(given: str, rule: str):
    with pytest.raises(ArgumentRefused) as refused:
        apply_sets(Program("b", FLOW, {}), None, [given])
    assert rule in str(refused.value)


@pytest.mark.parametrize("text", ["", "yes", "01", "1e", '{"a": 1', "nan", "1_000"])
def test_a_set_that_is_no_json_is_a_text(text: str):
    assert apply_sets(Program("b", FLOW, {}), None, [f"v={text}"]) == {"v": text}


def test_an_argument_that_is_no_utf_8_is_reported_by_its_name(
    capsys: Any, tmp_path: Path
):
    file = calling(tmp_path / "b.json")
    for name, given in (("--set", "v=\udcff"), ("--ctx", '{"v": "\udcff"}')):
        assert run(file, name, given) == 2
        printed = capsys.readouterr().err
        assert printed.startswith(name)
        assert printed.endswith("is not UTF-8\n")
