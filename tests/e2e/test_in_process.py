"""`run --in-process`: the steps are done in the command's own process, on its terminal."""

import contextlib
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from bad_messages import QUEUE, filled, theirs
from command_shell import Shell, naps
from flow_documents import at, fanout, lit, seq, step
from terminals import Terminal

from workers.embedded_server.files import read_server_info

pytestmark = pytest.mark.slow


def an_agent(name: str, **policy: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "python_fn",
        "spec": {"fn_id": f"e2e-{name}"},
        **policy,
    }


def stopping(shell: Shell) -> Path:
    """Write a Blueprint whose one step stops in the debugger; its timeout is a second."""
    policy = {"stop": {"timeout_s": 1}}
    return shell.write(
        step("stop", lit(21), "$.x"),
        agents=[an_agent("stop")],
        hints={"per_agent": policy},
    )


def resumed_line(text: str) -> str:
    """Return the id of the run that a text says how to resume."""
    return text[text.index("runs resume R-") :].split()[2]


def test_breakpoint_has_the_terminal_and_all_the_time_it_needs(shell: Shell):
    terminal = Terminal(shell, "run", stopping(shell), "--in-process", SWARM_LEASE="2")
    terminal.expect("(Pdb) ")
    terminal.type("p doubled\n")
    terminal.expect("42")
    terminal.expect("(Pdb) ")
    # Several leases, and more than the attempt's timeout with the keeper's grace.
    time.sleep(7)
    terminal.type("c\n")
    terminal.expect("passed   stop")
    terminal.expect("done: 1 step")

    assert terminal.wait() == 0
    assert '"x": 42' in terminal.text
    assert "lost" not in terminal.text
    assert shell.calls() == [" 1"]
    assert shell.workers() == []


def test_quitting_the_debugger_leaves_a_run_that_is_resumed_at_once(shell: Shell):
    # Two attempts that counted as lost would end the step.
    options = {"SWARM_LEASE": "20", "SWARM_MAX_LOST": "1"}
    terminal = Terminal(shell, "run", stopping(shell), "--in-process", **options)
    for command in ("q\n", "exit\n", "\x04"):
        terminal.expect("(Pdb) ")
        terminal.type(command)
        terminal.expect("Its step starts again when it is resumed, here with")
        assert terminal.wait() == 130
        run = resumed_line(terminal.text)
        began = time.monotonic()
        terminal = Terminal(shell, "runs", "resume", run, "--in-process", **options)

    terminal.expect("(Pdb) ")
    # No lease is waited for.
    assert time.monotonic() - began < 15
    terminal.type("c\n")
    assert terminal.wait() == 0, terminal.text
    assert "lost" not in terminal.text
    assert shell.calls() == [" 1"] * 4


def test_lanes_that_are_interrupted_are_resumed_at_once(shell: Shell):
    options = {"SWARM_LEASE": "20", "SWARM_MAX_LOST": "1"}
    lanes = fanout(lit([1, 2, 3]), step("stop", at("$"), "$"), bind="$")
    file = shell.write(lanes, agents=[an_agent("stop")])
    terminal = Terminal(shell, "run", file, "--in-process", **options)
    terminal.expect("(Pdb) ")
    terminal.type("c\n")
    terminal.expect("(Pdb) ")
    terminal.type("q\n")
    assert terminal.wait() == 130

    run, began = resumed_line(terminal.text), time.monotonic()
    terminal = Terminal(shell, "runs", "resume", run, "--in-process", **options)
    for _ in range(2):
        terminal.expect("(Pdb) ")
        terminal.type("c\n")
    assert terminal.wait() == 0, terminal.text
    assert time.monotonic() - began < 15
    assert "lost" not in terminal.text
    # The first lane was committed, and is not done again.
    lane = "/lane[{}] 1".format
    assert shell.calls()[:2] == [lane(0), lane(1)]
    assert sorted(shell.calls()[2:]) == [lane(1), lane(2)]


def test_ctrl_c_interrupts_a_function_and_says_how_to_go_on(shell: Shell):
    terminal = Terminal(shell, "run", shell.write(naps(0, 5)), "--in-process")
    shell.until(lambda: len(shell.calls()) == 2)
    terminal.type("\x03")

    assert terminal.wait() == 130
    run = resumed_line(terminal.text)
    assert shell.workers() == []
    # Workers of its own carry on as well: the state is in the same Redis.
    assert shell.run("runs", "resume", run) == 0, shell.err
    assert [call[:11] for call in shell.calls()] == [
        "/children/0",
        "/children/1",
        "/children/1",
    ]


def test_lanes_and_retries_are_done_in_one_process(shell: Shell):
    flow = seq(
        fanout(lit([0, 1, 2, 3, 4]), step("flaky", at("$"), "$"), bind="$"),
        step("pid", lit(0), "$.pid"),
    )
    quick = {"max_attempts": 2, "base_s": 0.01, "cap_s": 0.01}
    file = shell.write(
        flow,
        agents=[an_agent("flaky"), an_agent("pid")],
        hints={"per_agent": {"flaky": {"retry": quick}}},
    )
    command = shell.start("run", file, "--in-process")

    assert command.wait(60) == 0, shell.err
    ctx = json.loads(shell.out)
    assert ctx["pid"] == command.pid
    assert ctx["out"] == [command.pid] * 5
    assert "5 retries" in shell.err


def test_agents_with_processes_of_their_own_work_too(shell: Shell):
    for sample in ("lua-words", "two-programs"):
        functions = {"SWARM_AGENT_MODULES": "blueprints.samples.functions"}
        file = f"blueprints/samples/{sample}.json"
        assert shell.run("run", file, "--in-process", **functions) == 0, shell.err
    assert shell.workers() == []


def test_beside_workers_it_is_refused(shell: Shell):
    up = shell.start("up", "--concurrency", "1")
    shell.until(lambda: "launch" in shell.out and list(shell.var.glob("steward-*")))

    assert shell.run("run", shell.write(naps(0)), "--in-process") == 2
    assert "Workers are running, which would do steps of this run" in shell.err
    assert shell.run("run", "x.json", "--in-process", "--keep-workers") == 2
    up.send_signal(signal.SIGINT)
    up.wait(40)


def launched_elsewhere(shell: Shell, *args: object) -> None:
    """Launch a run whose steps nobody does, and kill the command that follows it."""
    command = shell.start("run", *args, "--no-workers")
    shell.until(lambda: "no worker serves" in shell.err)
    command.kill()
    command.wait()
    shell.until(lambda: not shell.workers())


def test_a_run_that_was_launched_without_it_has_no_timeout_in_it(shell: Shell):
    hints = {"per_agent": {"nap": {"timeout_s": 1}}}
    launched_elsewhere(shell, shell.write(naps(12), hints=hints))

    # The timeout, a grace of five seconds, and a lease.
    assert shell.run("runs", "resume", "latest", "--in-process") == 0, shell.err
    assert shell.calls() == ["/children/0 1"]
    assert "lost" not in shell.err


def test_a_run_that_it_has_begun_has_its_timeouts_with_workers(shell: Shell):
    flow = seq(step("nap", lit(0), "$.nap"), step("stubborn", lit(25), "$.x"))
    agents = [an_agent("nap"), an_agent("stubborn")]
    hints = {"per_agent": {"stubborn": {"timeout_s": 2}}}
    command = shell.start(
        "run", shell.write(flow, agents=agents, hints=hints), "--in-process"
    )
    shell.until(lambda: len(shell.calls()) == 2)
    time.sleep(1)
    command.kill()
    command.wait()

    assert shell.run("runs", "resume", "latest") == 1
    assert "timed out after 2 s" in shell.err
    assert shell.calls()[1:] == ["/children/1 1", "/children/1 2"]


def test_nothing_that_would_do_its_steps_starts_beside_it(shell: Shell):
    file = stopping(shell)
    terminal = Terminal(shell, "run", file, "--in-process")
    terminal.expect("(Pdb) ")

    for others in (
        ("run", file),
        ("run", file, "--own-workers"),
        ("run", file, "--in-process"),
        ("up",),
        ("fleet", "--kind", "python_fn"),
    ):
        assert shell.run(*others) == 2, others
        assert (
            f"Process {terminal.command.pid} does steps with --in-process" in shell.err
        )
    terminal.type("c\n")
    assert terminal.wait() == 0, terminal.text
    assert shell.calls() == [" 1"]


def test_messages_that_are_no_steps_are_set_aside(shell: Shell):
    launched_elsewhere(shell, shell.write(naps(0)))
    up = shell.start("up", "--no-workers")
    shell.until(lambda: "launch" in shell.out)
    info = read_server_info(shell.var)
    assert info is not None
    other = theirs(task="e2e.other")
    with contextlib.closing(redis.Redis.from_url(info.url)) as client:
        for text in ("{}", "no JSON", json.dumps(other), json.dumps(filled(A="1"))):
            # Before the message of the step.
            client.rpush(f"swarm:q:{QUEUE}", text)

    assert shell.run("runs", "resume", "latest", "--in-process") == 0, shell.err
    assert "Traceback" not in shell.err
    assert shell.calls() == ["/children/0 1"]
    assert shell.run("doctor", "--dead-letters") == 0
    assert "'e2e.other' is no step" in shell.out
    up.send_signal(signal.SIGINT)
    up.wait(40)


def test_it_waits_for_workers_of_a_command_that_was_killed(shell: Shell):
    file = shell.write(naps(3))
    command = shell.start("run", file)
    shell.until(shell.calls)
    command.kill()
    command.wait()

    assert shell.run("runs", "resume", "latest", "--in-process") == 0, shell.err
