"""The kind subprocess: real programs, their output and their ends."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from first_step import STEP_ID

from engine.blueprint.program import Agent
from engine.ports import StepCall, never
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.outputs import Log, no_output
from workers.spawners.subprocess import SubprocessSpawner


@pytest.fixture
def spawner() -> Iterator[SubprocessSpawner]:
    """A spawner whose launcher ends with the test."""
    made = SubprocessSpawner()
    yield made
    made.close()


def run(
    spawner: SubprocessSpawner,
    code: str,
    value: Any = None,
    *,
    timeout_s: float = 10.0,
    emit: Any = no_output,
    **spec: Any,
) -> Outcome:
    """Run Python code as the agent's program."""
    given = {"program": sys.executable, "args": ["-S", "-c", code], **spec}
    agent = Agent("child", "subprocess", "swarm.subprocess", 10_000, spec=given)
    call = StepCall("R-1", 1, "/children/0", agent, 2, value, timeout_s, never, emit)
    return spawner.run(call)


def test_json_on_stdout_is_the_result(spawner: SubprocessSpawner) -> None:
    code = "import sys; print(sys.stdin.read())"
    assert run(spawner, code, {"a": [1, None]}).value == {"a": [1, None]}


def test_other_text_comes_as_raw_with_its_errors(spawner: SubprocessSpawner) -> None:
    code = "import sys; print('hello  '); sys.stderr.write('beware')"
    outcome = run(spawner, code)
    assert outcome.kind == "passed"
    assert outcome.value == {"raw": "hello", "stderr": "beware"}


def test_text_that_is_not_utf_8_is_no_json(spawner: SubprocessSpawner) -> None:
    code = r"""import os; os.write(1, b'"\xff"')"""
    assert run(spawner, code).value == {"raw": '"\ufffd"', "stderr": ""}


def test_a_text_goes_in_as_it_is(spawner: SubprocessSpawner) -> None:
    code = "import sys, json; print(json.dumps(sys.stdin.read()))"
    assert run(spawner, code, "plain text").value == "plain text"


def test_without_stdin_the_input_is_the_last_argument(
    spawner: SubprocessSpawner,
) -> None:
    code = "import sys, json; print(json.dumps([sys.argv[1:], sys.stdin.read()]))"
    outcome = run(spawner, code, {"a": 1}, use_stdin=False)
    assert outcome.value == [['{"a":1}'], ""]


def test_an_argument_may_begin_with_a_dash(spawner: SubprocessSpawner) -> None:
    code = "import sys, json; print(json.dumps(sys.argv[1:]))"
    assert run(spawner, code, "-rf", use_stdin=False).value == ["-rf"]


def test_a_nul_in_the_input_is_refused_as_an_argument(
    spawner: SubprocessSpawner,
) -> None:
    outcome = run(spawner, "pass", "a\0b", use_stdin=False)
    assert outcome.kind == "failed"
    assert outcome.permanent


def test_a_non_zero_exit_fails_with_its_number_and_last_line(
    spawner: SubprocessSpawner,
) -> None:
    code = "import sys; sys.stderr.write('one\\ntwo\\n'); sys.exit(7)"
    outcome = run(spawner, code)
    assert outcome.kind == "failed"
    assert outcome.text == ("exited with 7: two\nstandard error ended with:\none\ntwo")
    assert not outcome.permanent


def test_a_program_that_kills_itself_fails_with_the_signal(
    spawner: SubprocessSpawner,
) -> None:
    outcome = run(spawner, "import os; os.kill(os.getpid(), 9)")
    assert outcome.text == "killed by signal 9"


def test_a_flood_on_stdout_ends_the_program(
    spawner: SubprocessSpawner, settings: Any
) -> None:
    settings.SWARM_OUTPUT_LIMIT = 100_000
    code = "import sys\nwhile True: sys.stdout.write('x' * 10000)"
    begun = time.monotonic()
    outcome = run(spawner, code)
    assert time.monotonic() - begun < 5
    assert "SWARM_OUTPUT_LIMIT" in outcome.text
    assert outcome.permanent


def test_a_program_is_ended_at_its_timeout_with_all_it_started(
    spawner: SubprocessSpawner, tmp_path: Path
) -> None:
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0: os.setsid()\n"
        f"open({str(tmp_path)!r} + '/%d' % os.getpid(), 'w').close()\n"
        "time.sleep(60)"
    )
    begun = time.monotonic()
    outcome = run(spawner, code, timeout_s=1.0)
    assert time.monotonic() - begun < 1 + 3
    assert outcome.kind == "timed_out"
    assert outcome.text == "timed out after 1 s"
    pids = [path.name for path in tmp_path.iterdir()]
    assert len(pids) == 2
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


def test_a_missing_program_fails_for_good_and_is_named(
    spawner: SubprocessSpawner,
) -> None:
    outcome = run(spawner, "", program="no-such-program")
    assert outcome.permanent
    assert "no-such-program" in outcome.text


def test_a_launcher_that_is_gone_is_worth_another_try(
    spawner: SubprocessSpawner,
) -> None:
    code = "import os, time; os.kill(os.getppid(), 9); time.sleep(60)"
    outcome = run(spawner, code)
    assert outcome.kind == "failed"
    assert not outcome.permanent
    assert run(spawner, "print(1)").value == 1


def test_the_child_knows_its_step_and_no_secret(
    spawner: SubprocessSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARM_SECRET_KEY", "canary")
    monkeypatch.setenv("DATABASE_URL", "postgres://user:canary@host/db")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    got = run(spawner, code).value
    assert "canary" not in str(got)
    assert got["SWARM_STEP_ID"] == STEP_ID
    assert got["SWARM_ATTEMPT"] == "2"


def test_work_in_vain_is_ended(spawner: SubprocessSpawner) -> None:
    spec = {
        "program": sys.executable,
        "args": ["-S", "-c", "import time; time.sleep(60)"],
    }
    agent = Agent("child", "subprocess", "swarm.subprocess", 10_000, spec=spec)
    call = StepCall("R-1", 1, "/x", agent, 1, None, 10.0, lambda: True)
    outcome = spawner.run(call)
    assert (outcome.kind, outcome.text) == ("failed", "cancelled")


def test_a_flood_on_both_pipes_and_a_stdin_that_is_never_read(
    spawner: SubprocessSpawner,
) -> None:
    code = (
        "import os, json\n"
        "for _ in range(60): os.write(1, b' ' * 65536); os.write(2, b'e' * 65536)\n"
        "print(json.dumps('through'))"
    )
    outcome = run(spawner, code, "x" * (8 << 20))
    assert (outcome.kind, outcome.value) == ("passed", "through")


def test_what_was_forked_twice_ends_with_the_step(
    spawner: SubprocessSpawner, tmp_path: Path
) -> None:
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork(): os._exit(0)\n"
        "    os.setsid()\n"
        "    os.close(1)\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "    os.rename(*[p + '/pid' + s for p in "
        f"[{str(tmp_path)!r}] for s in ('', '-whole')])\n"
        "    time.sleep(60)\n"
        f"while not os.path.exists({str(tmp_path / 'pid-whole')!r}): time.sleep(0.01)\n"
        "print(1)"
    )
    assert run(spawner, code).value == 1
    assert not Path(f"/proc/{(tmp_path / 'pid-whole').read_text()}").exists()


def test_the_end_of_standard_error_is_in_the_text(spawner: SubprocessSpawner) -> None:
    code = (
        "import sys\n"
        "for n in range(100000): print('line', n, file=sys.stderr)\n"
        "sys.exit(2)"
    )
    outcome = run(spawner, code)
    first, _, *tail = outcome.text.splitlines()
    assert first == "exited with 2: line 99999"
    assert tail == [f"line {n}" for n in range(99980, 100000)]


def test_standard_error_is_in_the_text_of_a_timeout(
    spawner: SubprocessSpawner,
) -> None:
    code = (
        "import sys, time; print('stuck', file=sys.stderr, flush=True); time.sleep(60)"
    )
    outcome = run(spawner, code, timeout_s=1.0)
    assert outcome.kind == "timed_out"
    assert outcome.text == "timed out after 1 s\nstandard error ended with:\nstuck"


def test_standard_error_is_in_the_log_where_nothing_else_has_it(
    spawner: SubprocessSpawner,
) -> None:
    emitted: list[Any] = []
    code = (
        "import sys; sys.stderr.write('deprecated\\nslow\\n'); sys.stderr.flush();"
        "print(sys.argv[1])"
    )

    def events(printed: str, **more: Any) -> list[Any]:
        emitted.clear()
        args = ["-S", "-c", code + more.pop("then", ""), printed]
        run(spawner, "", args=args, emit=emitted.append, **more)
        return list(emitted)

    lines = [Log("deprecated"), Log("slow")]
    assert events("[1]") == lines
    assert events("prose", submit_format="text") == lines
    assert events("{}", output={"ok_from": "/ok"}) == lines
    assert events("prose") == []
    assert events("[1]", then="; sys.exit(2)") == []
    # The failure has no such line.
    assert events("prose", submit_format="json") == lines
    assert events("x" * 500, limits={"output_bytes": 100}) == lines


def test_of_much_standard_error_the_end_is_in_the_log(
    spawner: SubprocessSpawner,
) -> None:
    emitted: list[Any] = []
    code = (
        "import sys\nfor n in range(100): print('line', n, file=sys.stderr)\nprint(1)"
    )
    assert run(spawner, code, emit=emitted.append).value == 1
    notice = [Log("(standard error: 80 earlier lines)")]
    assert emitted == notice + [Log(f"line {n}") for n in range(80, 100)]


def test_a_program_that_ignores_the_signal_of_the_cpu_limit_is_reported_for_it_too(
    spawner: SubprocessSpawner,
) -> None:
    code = (
        "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    )
    assert run(spawner, code, limits={"cpu_s": 1}).text == (
        "killed by signal 9: used more than 1 s of CPU time (limits.cpu_s of the agent,"
        " else SWARM_CHILD_CPU)"
    )


LIMITED = {
    # limit of the agent: setting, what breaks it, how it ends
    "cpu_s": (
        1,
        "SWARM_CHILD_CPU",
        "while True: pass",
        "killed by signal 24: used more than 1 s of CPU time (limits.cpu_s of the agent,"
        " else SWARM_CHILD_CPU)",
    ),
    "memory_bytes": (
        256 << 20,
        "SWARM_CHILD_MEMORY",
        "b = bytearray(1 << 30)",
        "exited with 1: MemoryError",
    ),
    "open_files": (
        20,
        "SWARM_CHILD_OPEN_FILES",
        "f = [open('/dev/null') for _ in range(30)]",
        "exited with 1: OSError: [Errno 24] Too many open files: '/dev/null'",
    ),
    "file_bytes": (
        1000,
        "SWARM_CHILD_FILE_SIZE",
        "import os, signal, tempfile; signal.signal(signal.SIGXFSZ, signal.SIG_DFL);"
        "f = tempfile.TemporaryFile(buffering=0); f.write(b'x' * 1000); f.write(b'x')",
        "killed by signal 25: wrote a file of more than 1000 bytes (limits.file_bytes of"
        " the agent, else SWARM_CHILD_FILE_SIZE)",
    ),
    "output_bytes": (
        1000,
        "SWARM_OUTPUT_LIMIT",
        "print('x' * 2000)",
        "printed more than 1000 bytes (limits.output_bytes of the agent, else"
        " SWARM_OUTPUT_LIMIT): write large results to a file and print its path",
    ),
}


@pytest.mark.parametrize("where", ["agent", "settings"])
@pytest.mark.parametrize("name", LIMITED)
def test_a_limit_of_the_agent_or_of_the_settings_ends_the_step_with_its_name(
    spawner: SubprocessSpawner, settings: Any, name: str, where: str
) -> None:
    value, setting, code, text = LIMITED[name]
    if where == "agent":
        outcome = run(spawner, code, limits={name: value})
    else:
        setattr(settings, setting, value)
        outcome = run(spawner, code, limits={name: None})
    assert outcome.kind == "failed"
    assert outcome.text.splitlines()[0] == text
    most = getattr(settings, f"{setting}_MAX")
    assert run(spawner, "print(1)", limits={name: most}).value == 1


@pytest.mark.parametrize("name", LIMITED)
def test_no_agent_gets_more_than_the_installation_allows(
    spawner: SubprocessSpawner, settings: Any, name: str
) -> None:
    setting = f"{LIMITED[name][1]}_MAX"
    most = getattr(settings, setting)
    outcome = run(spawner, "print(1)", limits={name: most + 1})
    assert outcome.permanent
    assert outcome.text == (
        f"spec.limits.{name} {most + 1} is more than {setting} ({most})"
    )


def test_of_long_lines_on_standard_error_the_last_characters_are_shown(
    spawner: SubprocessSpawner,
) -> None:
    code = "import sys; print('x' * 5000 + 'end', file=sys.stderr); sys.exit(2)"
    first, _, tail = run(spawner, code).text.split("\n")
    assert first == "exited with 2: " + "x" * 300
    assert len(tail) == 2000
    assert tail.endswith("xend")


def test_an_input_that_is_too_long_for_an_argument_fails_for_good(
    spawner: SubprocessSpawner,
) -> None:
    # Linux takes arguments of up to 128 KiB.
    outcome = run(spawner, "print(1)", "x" * 200_000, use_stdin=False)
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    assert "Argument list too long" in outcome.text
    assert len(outcome.text) < 1000
