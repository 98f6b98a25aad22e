"""`manage.py run` and `runs`, with real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_shell import REPO, Shell, naps
from flow_documents import lit, step

pytestmark = pytest.mark.slow


def test_a_sample_runs_to_its_end_and_leaves_nothing(shell: Shell):
    code = shell.run(
        "run", "blueprints/samples/pure-ctx.json", "--set", "extra.deep=[1]"
    )

    assert code == 0, shell.err
    ctx = json.loads(shell.out)
    assert ctx["verdict"] == "rolled back"
    assert ctx["extra"] == {"deep": [1]}
    assert "done: 0 steps" in shell.err
    assert shell.workers() == []


def test_the_first_retry_waits_for_no_steward(shell: Shell, tmp_path: Path):
    # Python imports this module before it does what it was started for.
    slow = "import sys, time\nif sys.orig_argv[-1] == 'steward': time.sleep(6)\n"
    (tmp_path / "sitecustomize.py").write_text(slow)
    file = shell.write(
        step("timed", lit(0), "$.out"),
        agents=[{"name": "timed", "kind": "python_fn", "spec": {"fn_id": "e2e-timed"}}],
        hints={"per_agent": {"timed": {"retry": {"max_attempts": 2, "base_s": 0.05}}}},
    )
    path = os.pathsep.join([str(tmp_path), shell.env["PYTHONPATH"]])

    assert shell.run("run", file, PYTHONPATH=path) == 0, shell.err
    first, second = map(float, shell.calls())
    assert second - first < 3


def test_both_dialects_give_the_same_report_on_a_fleet(shell: Shell):
    samples = {"SWARM_AGENT_MODULES": "blueprints.samples.functions"}
    reports = []
    for name in ("repo-digest", "repo-digest-flow-ir"):
        file = f"blueprints/samples/{name}.json"
        code = shell.run("run", file, "--set", "root=docs", **samples)
        assert code == 0, shell.err
        with open(json.loads(shell.out)["report"]["path"]) as report:
            reports.append(report.read())
    assert reports[0] == reports[1]
    assert "text files" in reports[0]


def test_lua_scripts_work_in_batches_and_leave_nothing(shell: Shell):
    sample = "blueprints/samples/lua-words.json"
    functions = {"SWARM_AGENT_MODULES": "blueprints.samples.functions"}
    code = shell.run("run", sample, "--set", "top=3", **functions)

    assert code == 0, shell.err
    ctx = json.loads(shell.out)
    assert len(ctx["result"]["top"]) == 3
    assert ctx["result"]["words"] > 100
    assert "passed   rank  lua" in shell.err
    assert shell.workers() == []


@pytest.mark.parametrize(
    ("sample", "key", "value"),
    [
        ("approver-override.yaml", "result",
         {"committed": "Rename the tables", "by": "committer"}),
        ("fanout-topics.bp.lua", "summary",
         {"topics": 3, "letters": 18, "longest": "bridges"}),
        ("gated-pipeline.bp.lua", "judge",
         {"out": {"title": "verdicts", "missing": 0}, "parts": {"verdict": "ACCEPT"}}),
        ("skip-on.bp.lua", "filed", {"note": "Good morning", "translated": None}),
        ("two-programs.json", "sentence", "9 words, the most common is the"),
        ("stream-build.json", "verdict", "built"),
        ("unreliable.json", "caught", True),
        ("verdict-loop.json", "done", True),
    ],
)  # fmt: skip
def test_a_sample_of_any_form_runs_to_its_end(
    kept: Shell, sample: str, key: str, value: object
):
    code = kept.run("run", f"blueprints/samples/{sample}")

    assert code == 0, kept.err
    assert json.loads(kept.out)[key] == value


def test_a_lane_in_lua_that_does_not_end_costs_only_itself(shell: Shell):
    def step(ref: str, out: str):
        path = {"op": "path", "at": "$"}
        return {"kind": "step", "ref": ref, "in": path, "out": {**path, "at": out}}

    lanes = {
        "kind": "fanout",
        "items": {"op": "lit", "value": list(range(8))},
        "bind": {"op": "path", "at": "$"},
        "body": step("double", "$"),
        "join": "all_settled",
        "out": {"op": "path", "at": "$.lanes"},
    }
    source = "while _CTX == 3 do pcall(error) end return _CTX * 2"
    spec = {"source": source, "limits": {"time_s": 0.3}}
    agents = [
        {"name": "double", "kind": "lua", "spec": spec},
        {"name": "pid", "kind": "python_fn", "spec": {"fn_id": "e2e-pid"}},
    ]
    flow = {"kind": "seq", "children": [step("pid", "$.a"), lanes, step("pid", "$.b")]}
    file = shell.write(flow, agents=agents, default_init_ctx={})

    assert shell.run("run", file, "--concurrency", "1") == 0, shell.err
    ctx = json.loads(shell.out)
    # The worker process that made the lanes is the one that was there before.
    assert ctx["a"] == ctx["b"]
    assert [lane.get("value") for lane in ctx["lanes"]] == [
        0, 2, 4, None, 8, 10, 12, 14,
    ]  # fmt: skip
    reason = ctx["lanes"][3]["reason"]
    assert reason == "dispatcher error for ref 'double': timed out after 0.3 s"


def test_json_is_one_object_and_the_run_is_listed_and_shown(shell: Shell):
    file = shell.write(naps(0, 0), default_init_ctx={"a": {"b": 1, "c": 2}})

    assert shell.run("run", file, "--json", "--set", "a.b=text") == 0
    got = json.loads(shell.out)
    assert shell.out.count("\n") == 1
    facts = {"run", "blueprint", "status", "seconds", "ctx", "error", "steps", "usage"}
    facts |= {"unreplayable", "ctx_output"}
    assert set(got) == facts
    assert (got["status"], got["error"]) == ("done", None)
    assert got["ctx"]["a"] == {"b": "text", "c": 2}
    assert got["ctx"]["nap1"] == "/children/1"
    first = got["steps"][0]
    assert first.pop("seconds") >= 0
    assert first.pop("started_at").endswith("+00:00")
    assert first == {
        "place": "/children/0",
        "name": "/children/0",
        "agent": "nap",
        "kind": "python_fn",
        "status": "passed",
        "attempts": 1,
        "error": "",
        "stage": "",
        "note": "",
        "parts": {},
        "final_by": "",
    }
    assert "passed   nap  python_fn" in shell.err

    run = got["run"]
    assert shell.run("runs", "list", "--json") == 0
    (item,) = json.loads(shell.out)["items"]
    assert (item["run"], item["status"], item["steps"]) == (run, "done", 2)
    assert shell.run("runs", "show", run) == 0
    assert "/children/1" in shell.out
    assert shell.run("runs", "cancel", run) == 1
    assert f"run {run} is done; nothing was cancelled" in shell.out
    assert shell.run("runs", "resume", run) == 0
    assert "it has ended already\n" in shell.err


def test_a_failed_step_fails_the_run_with_its_reason(shell: Shell):
    flow = {
        "kind": "step",
        "ref": "refuse",
        "in": {"op": "path", "at": "$"},
        "out": {"op": "path", "at": "$.x"},
    }

    assert shell.run("run", shell.write(flow)) == 1
    assert "dispatcher error for ref 'refuse': not today" in shell.err
    assert "failed: 1 step" in shell.err


def test_a_run_past_its_deadline_exits_3(shell: Shell):
    file = shell.write(naps(30))

    assert shell.run("run", file, "--timeout", "4", "--json") == 3
    got = json.loads(shell.out)
    assert got["status"] == "failed"
    assert got["error"]["kind"] == "RunDeadline"
    assert shell.workers() == []


def test_ctrl_c_leaves_a_run_that_resume_finishes(shell: Shell):
    command = shell.start("run", shell.write(naps(0, 0, 1.5, 0, 0)))
    shell.until(lambda: len(shell.calls()) == 3)
    command.send_signal(signal.SIGINT)

    assert command.wait(30) == 130
    line = shell.err.strip().splitlines()[-1]
    assert line.strip().startswith("python manage.py runs resume R-")
    assert shell.workers() == []

    run = line.split()[-1]
    assert shell.run("runs", "show", run) == 0, shell.err
    assert shell.out.endswith(f"carry the run on with: {line.strip()}\n")
    assert shell.run("runs", "resume", run) == 0, shell.err
    assert json.loads(shell.out)["nap4"] == "/children/4"
    # What was committed is not done again; the interrupted step may be.
    counts = [
        sum(f"/children/{n} " in call for call in shell.calls()) for n in range(5)
    ]
    assert (counts[0], counts[1], counts[3], counts[4]) == (1, 1, 1, 1)


def test_a_second_ctrl_c_kills_and_resume_waits_for_no_lease(shell: Shell):
    lease = {"SWARM_LEASE": "20"}
    command = shell.start("run", shell.write(naps(0, 6)), **lease)
    shell.until(lambda: len(shell.calls()) == 2)
    command.send_signal(signal.SIGINT)
    shell.until(lambda: "Ctrl-C kills them now" in shell.err)
    command.send_signal(signal.SIGINT)
    assert command.wait(20) == 130
    run = shell.err.split()[-1]

    began = time.monotonic()
    command = shell.start("runs", "resume", run, **lease)
    shell.until(lambda: len(shell.calls()) == 3)
    assert time.monotonic() - began < 12
    assert command.wait(30) == 0, shell.err


def test_ctrl_c_lets_a_step_end_that_takes_less_than_the_warm_shutdown(shell: Shell):
    command = shell.start("run", shell.write(naps(0, 12, 0)))
    shell.until(lambda: len(shell.calls()) == 2)
    command.send_signal(signal.SIGINT)
    shell.until(lambda: "Running steps have 25 s to end" in shell.err)

    assert command.wait(40) == 130
    run = shell.err.split()[-1]
    assert shell.run("runs", "resume", run) == 0, shell.err
    # Killed, it would have been tried again.
    assert [call.split()[0] for call in shell.calls()].count("/children/1") == 1


def test_kill_nine_of_the_command_leaves_no_worker(shell: Shell):
    command = shell.start("run", shell.write(naps(3)))
    shell.until(lambda: len(shell.calls()) == 1)
    os.killpg(command.pid, signal.SIGKILL)
    command.wait()

    shell.until(lambda: not shell.workers(), 20)


def test_a_fleet_that_is_kept_serves_the_next_run(shell: Shell):
    file = shell.write(naps(0))

    assert shell.run("run", file, "--keep-workers") == 0, shell.err
    first = sorted(shell.workers())
    assert first
    assert shell.run("run", file) == 0, shell.err
    assert "The workers of run-" in shell.err
    assert sorted(shell.workers()) == first
    assert len(list(shell.var.glob("fleets/*.json"))) == 1
    assert shell.run("doctor", "--json") == 0, shell.out
    found = {f["name"]: f["level"] for f in json.loads(shell.out)["findings"]}
    assert (found["workers"], found["steward"], found["aof"]) == ("ok", "ok", "ok")

    printed = subprocess.run(
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "swarm_project",
            "inspect",
            "active_queues",
        ],
        cwd=REPO,
        env=shell.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "swarm.python_fn" in printed.stdout
    assert shell.run("up", "--stop") == 0
    shell.until(lambda: not shell.workers(), 10)


def test_a_run_that_waits_is_cancelled(shell: Shell):
    command = shell.start("run", shell.write(naps(60)))
    shell.until(lambda: len(shell.calls()) == 1)
    run = shell.err.split()[1]
    cancelled = subprocess.run(
        [sys.executable, "manage.py", "runs", "cancel", run],
        cwd=REPO,
        env=shell.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (cancelled.returncode, cancelled.stdout) == (0, f"run {run} is cancelled\n")
    assert command.wait(30) == 1
    assert "Cancelled: cancelled with" in shell.err


def test_a_stock_celery_worker_works_off_a_run_of_another_terminal(shell: Shell):
    command = shell.start("run", shell.write(naps(0, 0)), "--no-workers")
    # Until then no worker serves the queue, and the command reports it.
    missing = "no worker serves swarm.python_fn; start `python manage.py fleet"
    shell.until(lambda: missing in shell.err)
    doctor = subprocess.run(
        [sys.executable, "manage.py", "doctor", "--json"],
        cwd=REPO,
        env=shell.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = {f["name"]: f for f in json.loads(doctor.stdout)["findings"]}["queues"]
    assert found["level"] == "warn"
    assert found["text"].endswith("; no worker serves swarm.python_fn")
    assert found["hint"] == "start `python manage.py fleet --kind python_fn`"
    log = shell.var / "stock.log"
    with open(log, "w") as output:
        worker = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "swarm_project", "worker"),
                *("-Q", "swarm.python_fn", "-c", "1", "-l", "INFO"),
            ],
            cwd=REPO,
            env=shell.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        assert command.wait(40) == 0, shell.err
        assert "Task swarm.run_step[R-" in log.read_text()
        assert shell.err.count("no worker serves") == 1
    finally:
        worker.terminate()
        worker.wait(30)


def test_a_terminal_without_the_letters_gets_json_escapes(shell: Shell):
    flow = {"kind": "let", "at": "$.x", "value": {"op": "lit", "value": "ü 日"}}
    assert shell.run("run", shell.write(flow), PYTHONIOENCODING="ascii") == 0, shell.err
    assert '"x": "\\u00fc \\u65e5"' in shell.out
    run = shell.err.split("run ")[1].split()[0]
    for more in ([], ["--json"]):
        assert shell.run("runs", "show", run, *more, PYTHONIOENCODING="ascii") == 0
        assert "\\u00fc \\u65e5" in shell.out, shell.err
