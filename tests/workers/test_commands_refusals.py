"""What the commands refuse, before anything is started."""

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
)

from blueprints.models import Run
from blueprints.preflight import compile_here
from blueprints.services.runs import run_create
from engine.blueprint import Program
from engine.store.address import Address
from workers.doctor import pool_findings, queue_findings
from workers.fleets import SetupFailed, pool_of, queues_of_kinds, reach
from workers.management.commands.run import Refused, initial_ctx, undeclared
from workers.management.commands.runs import VERBS

UNREACHABLE = "redis://user:s3cret@127.0.0.1:1/0"
FLOW = {"kind": "seq", "children": []}


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        call_command("run", *args)
    return int(ended.value.code)


def test_a_broken_blueprint_is_told_with_every_place(tmp_path: Path, capsys: Any):
    file = tmp_path / "broken.json"
    step = {"kind": "step", "ref": "nobody", "in": {"op": "lit", "value": 1}}
    step["out"] = {"op": "path", "at": "$.x"}
    agents = [{"name": "nobodi", "kind": "pyton_fn"}]
    document = {"schema_version": "0.1.0", "id": "b", "flow": step, "agents": agents}
    file.write_text(json.dumps(document))

    assert run(str(file)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "2 findings" in told.err
    assert "$.flow.ref: step names the agent 'nobody'" in told.err
    assert "$.agents[0].kind: unknown kind 'pyton_fn'; did you mean" in told.err
    assert told.err.endswith("nothing was started\n")

    assert run(str(file), "--json") == 2
    got = json.loads(capsys.readouterr().out)
    assert (got["run"], got["status"], got["steps"]) == (None, "refused", [])
    assert got["error"]["diagnostics"][0]["kind"] == "unknown-agent-kind"
    assert not (Path(settings.VAR_DIR) / "redis.json").exists()


def test_a_script_or_a_reference_that_goes_wrong_is_told_and_nothing_started(
    tmp_path: Path, capsys: Any
):
    script = tmp_path / "a.bp.lua"
    script.write_text('print("read " .. _CTX.name)\nerror("no")')
    assert run(str(script), "--ctx", '{"name": "x"}') == 2
    assert f"{script}: a.bp.lua:2: no" in capsys.readouterr().err

    script.write_text('print("read " .. _CTX.name)\nreturn {flo = 1}')
    assert run(str(script), "--ctx", '{"name": "x"}') == 2
    told = capsys.readouterr().err
    assert told.startswith("read x\n")
    assert "unknown field 'flo'; did you mean 'flow'?" in told

    file = tmp_path / "a.json"
    file.write_text('{"flow": {"$file": "../secret"}}')
    assert run(str(file)) == 2
    assert "$.flow.$file: '../secret' has '..' in it" in capsys.readouterr().err
    assert run(str(file), "--include", "/no/where") == 2
    assert "is not there: /no/where" in capsys.readouterr().err
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


def test_a_misspelt_function_is_told_before_anything_is_started(
    tmp_path: Path, capsys: Any
):
    file = calling(tmp_path / "b.json", "identity", "identiti", "no-such-thing")

    assert run(file, "--json") == 2
    told = capsys.readouterr()
    assert "2 findings" in told.err
    assert (
        "$.agents[1].spec.fn_id: no agent function is named 'identiti';"
        " did you mean 'identity'?" in told.err
    )
    assert "$.agents[2].spec.fn_id: no agent function is named 'no-such-thing'" in (
        told.err
    )
    assert "is its module in SWARM_AGENT_MODULES (blueprints.samples" in told.err
    assert told.err.endswith("nothing was started\n")
    codes = [d["kind"] for d in json.loads(told.out)["error"]["diagnostics"]]
    assert codes == ["unknown-function"] * 2
    assert not (Path(settings.VAR_DIR) / "redis.json").exists()


def test_a_misspelt_script_is_told_before_anything_is_started(
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
    told = capsys.readouterr()
    assert (
        "1 finding:\n  $.agents[0].spec.fn_id: no Lua script is registered as"
        " 'words-tops'; did you mean 'words-top'?" in told.err
    )
    assert told.err.endswith("nothing was started\n")


def test_a_module_that_can_not_be_imported_is_told_with_the_function_it_may_hold(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "broken_by_half.py").write_text("print(1)\nimport no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(settings, "SWARM_AGENT_MODULES", ["broken_by_half"])

    assert run(calling(tmp_path / "b.json", "zzz")) == 2
    out, told = capsys.readouterr()
    assert out == ""
    assert "$.agents[0].spec.fn_id: no agent function is named 'zzz'" in told
    assert "'broken_by_half' (SWARM_AGENT_MODULES) can't be imported" in told


@pytest.mark.parametrize(
    ("content", "args", "reason"),
    [
        (None, [], "can't be read: No such file"),
        ("{", [], "line 1"),
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
            ["--concurrency", "-1"],
            "--concurrency: expected a whole number from 0 to 256",
        ),
        (["--concurrency", "257"], "got '257'"),
        (["--concurrency", "two"], "got 'two'"),
        (["--concurrency", "9" * 5000], "expected a whole number from 0 to 256"),
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
        reach(Address.of(UNREACHABLE))

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
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "does not answer" in told


def test_sets_keep_their_neighbours_of_the_default_ctx():
    program = Program("b", FLOW, {}, default_init_ctx={"a": {"b": 1, "c": 2}, "d": 3})

    assert initial_ctx(program, None, []) is None
    sets = ["a.b=text", "$.e.f=[1]", 'g="1"']
    assert initial_ctx(program, '{"d": 4}', sets) == {
        "a": {"b": "text", "c": 2},
        "d": 4,
        "e": {"f": [1]},
        "g": "1",
    }
    assert program.default_init_ctx["a"]["b"] == 1
    with pytest.raises(Refused):
        initial_ctx(program, None, ["=1"])


def test_pools_suit_their_kinds():
    assert pool_of(["python_fn", "subprocess"]) == "prefork"
    assert pool_of(["operator"]) == "threads"
    with pytest.raises(SetupFailed, match="one fleet each"):
        pool_of(["operator", "python_fn"])
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
def test_doctor_tells_a_missing_server_and_fails(capsys: Any):
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json")

    assert ended.value.code == 1
    got = json.loads(capsys.readouterr().out)
    found = {f["name"]: f for f in got["findings"]}
    assert not got["ok"]
    assert found["migrations"]["level"] == "ok"
    assert found["redis"]["level"] == "fail"
    assert "manage.py up" in found["redis"]["hint"]


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


def test_doctor_tells_queues_that_no_worker_serves():
    text = "swarm.lua 1 waiting (0 dispatched)"
    start = "python manage.py fleet --kind lua"
    (found,) = queue_findings(text, {"swarm.lua": 1}, [("swarm.lua", start)])
    assert (found.level, found.hint) == ("warn", f"start `{start}`")
    assert found.text == f"{text}; no worker serves swarm.lua"
    assert [f.level for f in queue_findings(text, {"swarm.lua": 1}, [])] == ["ok"]
    assert [f.level for f in queue_findings(text, {"swarm.lua": 10**5}, [])] == ["warn"]


def test_doctor_tells_pools_that_hold_no_timeouts():
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
    assert "no timeout of a Python function can be enforced" in found[0].text


@pytest.mark.django_db
def test_runs_by_a_wrong_id_say_what_is_wrong():
    for text, reason in (("T-1", "is a task id"), ("R-" + "0" * 32, "no run R-")):
        with pytest.raises(CommandError, match=reason) as refused:
            call_command("runs", "show", text)
        assert refused.value.returncode == 2


def test_the_parser_refuses_an_unknown_verb():
    with pytest.raises(CommandError, match="invalid choice") as refused:
        call_command("runs", "drop")
    known = str(refused.value).partition("choose from ")[2].rstrip(")")
    assert {name.strip(" '") for name in known.split(",")} == set(VERBS)


@pytest.mark.parametrize(
    ("command", "word", "meant"),
    [("runs", "lst", "list"), ("blueprint", "lnit", "lint")],
)
def test_a_misspelt_verb_is_told_with_the_nearest(
    capsys: Any, command: str, word: str, meant: str
):
    with pytest.raises(SystemExit) as ended:
        execute_from_command_line(["manage.py", command, word, "x"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"no verb {word!r}; did you mean {meant!r}?" in told
    assert told.count("\n") == 1


def test_a_set_of_a_key_that_nothing_declares_is_told():
    def program(default: Any) -> Program:
        return Program("b", FLOW, {}, default_init_ctx=default)

    sets = ["txt=1", "$.text=2", "more.x=3"]
    assert undeclared(program({"text": ""}), sets) == [
        "--set txt: default_init_ctx has no such key; did you mean 'text'?\n",
        "--set more: default_init_ctx has no such key\n",
    ]
    assert undeclared(program(None), sets) == []


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
        ('v="\\ud800"', "--set v: at $: a string must not hold half a surrogate pair"),
        ("v=\udcff", "--set 'v=\\udcff': character 3 is not UTF-8"),
        ("\udcff=1", "--set '\\udcff=1': character 1 is not UTF-8"),
    ],
)
def test_a_set_that_json_can_not_hold_is_refused_and_no_text(given: str, rule: str):
    with pytest.raises(Refused) as refused:
        initial_ctx(Program("b", FLOW, {}), None, [given])
    assert rule in str(refused.value)


@pytest.mark.parametrize("text", ["", "yes", "01", "1e", '{"a": 1', "nan", "1_000"])
def test_a_set_that_is_no_json_is_a_text(text: str):
    assert initial_ctx(Program("b", FLOW, {}), None, [f"v={text}"]) == {"v": text}


def test_an_argument_that_is_no_utf_8_is_told_by_its_name(capsys: Any, tmp_path: Path):
    file = calling(tmp_path / "b.json")
    for name, given in (("--set", "v=\udcff"), ("--ctx", '{"v": "\udcff"}')):
        assert run(file, name, given) == 2
        told = capsys.readouterr().err
        assert told.startswith(name)
        assert told.endswith("is not UTF-8\n")


def lacking(file: Path) -> str:
    """Write a Blueprint that lacks one of each here."""
    call = {"op": "call_extern", "ref": "no-such", "args": []}
    at = {"op": "path", "at": "$.x"}
    flow = {"kind": "assign", "at": at, "value": call}
    agents = [
        {"name": "f", "kind": "python_fn", "spec": {"fn_id": "no-such-function"}},
        {"name": "s", "kind": "lua", "spec": {"fn_id": "no-such-script"}},
        {"name": "b", "kind": "lua", "spec": {"source": "return ("}},
        {"name": "p", "kind": "subprocess", "spec": {"program": "no-such-program"}},
    ]
    document = {"schema_version": "0.1.0", "id": "b", "flow": flow, "agents": agents}
    file.write_text(json.dumps(document))
    return str(file)


KINDS_OF_LACK = {
    "unregistered-extern",
    "unknown-function",
    "unknown-script",
    "script-broken",
    "program-not-found",
}


def test_run_finds_all_that_blueprint_doctor_finds(capsys: Any, tmp_path: Path):
    file = lacking(tmp_path / "b.json")
    assert run(file, "--json") == 2
    told = capsys.readouterr()
    found = json.loads(told.out)["error"]["diagnostics"]
    assert {one["kind"] for one in found} == KINDS_OF_LACK
    assert "$.flow.value.ref: no function 'no-such' is registered here" in told.err
    assert not (Path(settings.VAR_DIR) / "redis.json").exists()

    with pytest.raises(SystemExit):
        call_command("blueprint", "doctor", file, "--json")
    missing = json.loads(capsys.readouterr().out)["missing"]
    assert missing == found

    # Programs are the workers' business, where those are started elsewhere.
    assert run(file, "--json", "--concurrency", "0") == 2
    told = capsys.readouterr()
    found = json.loads(told.out)["error"]["diagnostics"]
    assert {one["kind"] for one in found} == KINDS_OF_LACK - {"program-not-found"}
    assert "[program-not-found]; do the workers have it?" in told.err


@pytest.mark.django_db
def test_a_run_is_not_resumed_where_its_parts_are_missing(capsys: Any, tmp_path: Path):
    program = compile_here(json.loads(Path(lacking(tmp_path / "b.json")).read_text()))
    kept = run_create(program=program, ctx={})
    Run.objects.filter(pk=kept.pk).update(status="running")
    with pytest.raises(SystemExit) as ended:
        call_command("runs", "resume", kept.pk, "--json")
    told = capsys.readouterr()
    assert ended.value.code == 2
    answer = json.loads(told.out)
    assert (answer["run"], answer["status"]) == (kept.pk, "refused")
    assert {one["kind"] for one in answer["error"]["diagnostics"]} == KINDS_OF_LACK
    assert f"run {kept.pk} can't run; 5 findings:" in told.err
    assert told.err.endswith("nothing was started\n")
    assert not (Path(settings.VAR_DIR) / "redis.json").exists()
    kept.refresh_from_db()
    assert kept.status == "running"
