"""ProcessRunner with real processes: outcomes, pipes, bounds, what a child is given."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workers.process.job import ChildLimits, environment
from workers.process.runner import Finished, ProcessRunner

PY = sys.executable


@pytest.fixture
def runner() -> Iterator[ProcessRunner]:
    runner = ProcessRunner()
    yield runner
    runner.close()


@pytest.fixture
def run(runner: ProcessRunner) -> Callable[..., Finished]:
    def run(*argv: str, **changes: Any) -> Finished:
        given: dict[str, Any] = {
            "stdin": None,
            "env": environment(),
            "cwd": None,
            "timeout": 20.0,
            "max_output": 1 << 20,
            "limits": ChildLimits(),
        }
        return runner.run(list(argv), **given | changes)

    return run


def python(code: str) -> tuple[str, ...]:
    # -B: under a file size limit Python would leave a truncated .pyc behind.
    return (PY, "-I", "-S", "-B", "-c", code)


def test_output_and_exit_code(run: Callable[..., Finished]) -> None:
    done = run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.exit_code, done.signal, done.error) == (7, None, None)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    assert (done.timed_out, done.output_exceeded, done.cancelled) == (False,) * 3
    assert done.swept == 0
    assert 0 < done.seconds < 10


def test_end_by_a_signal(run: Callable[..., Finished]) -> None:
    done = run("sh", "-c", "kill -USR1 $$")
    assert (done.exit_code, done.signal) == (None, signal.SIGUSR1)


def test_stdin_reaches_the_child_and_ends(run: Callable[..., Finished]) -> None:
    text = os.urandom(3 << 20)
    done = run("cat", stdin=text, max_output=4 << 20)
    assert done.stdout == text
    assert done.exit_code == 0


@pytest.mark.parametrize("stdin", [None, b""])
def test_no_stdin_is_an_empty_one(
    run: Callable[..., Finished], stdin: bytes | None
) -> None:
    assert run("wc", "-c", stdin=stdin).stdout.strip() == b"0"


@pytest.mark.parametrize("code", ["pass", "import time; time.sleep(0.3)"])
def test_stdin_never_read(run: Callable[..., Finished], code: str) -> None:
    done = run(*python(code), stdin=b"x" * (10 << 20))
    assert done.exit_code == 0
    assert done.seconds < 5


def test_stdin_closed_early(run: Callable[..., Finished]) -> None:
    code = "import os, time; os.close(0); time.sleep(0.2); print('ok')"
    done = run(*python(code), stdin=b"x" * (1 << 20))
    assert (done.exit_code, done.stdout) == (0, b"ok\n")


FLOOD = "import os, sys\nfor _ in range(800): {}\n"
WRITE = "os.write({}, b'x' * 65536)"


def test_flood_on_both_with_stdin_unread(run: Callable[..., Finished]) -> None:
    code = FLOOD.format("; ".join(WRITE.format(fd) for fd in (1, 2)))
    done = run(*python(code), stdin=b"y" * (5 << 20), max_output=1 << 30)
    assert done.exit_code == 0
    assert len(done.stdout) == 800 * 65536
    assert len(done.stderr) == 65536


def test_flood_on_stderr_keeps_the_tail(run: Callable[..., Finished]) -> None:
    code = FLOOD.format(WRITE.format(2)) + "os.write(2, b'the end')"
    done = run(*python(code), max_output=0)
    assert done.exit_code == 0
    assert done.stderr.endswith(b"xxthe end")
    assert len(done.stderr) == 65536


def test_flood_on_stdout_is_ended(run: Callable[..., Finished]) -> None:
    done = run("yes", max_output=100_000)
    assert done.output_exceeded
    assert not done.timed_out
    assert len(done.stdout) == 100_000
    assert done.signal == signal.SIGKILL
    assert done.seconds < 5


def test_output_of_exactly_the_limit_is_allowed(run: Callable[..., Finished]) -> None:
    done = run(*python("print('x' * 99, end='')"), max_output=99)
    assert (len(done.stdout), done.output_exceeded, done.exit_code) == (99, False, 0)
    done = run(*python("print('x' * 100, end='')"), max_output=99)
    assert (len(done.stdout), done.output_exceeded) == (99, True)


STUBBORN = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
{}
while True: time.sleep(1)
"""
DOUBLE_FORK = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        while True: time.sleep(1)
    os._exit(0)
"""


@pytest.mark.parametrize(
    "more", ["", "[os.close(fd) for fd in (0, 1, 2)]", DOUBLE_FORK]
)
def test_timeout(run: Callable[..., Finished], more: str) -> None:
    begun = time.monotonic()
    done = run(*python(STUBBORN.format(more)), timeout=0.6, stdin=b"z" * 200_000)
    assert time.monotonic() - begun < 1.6
    assert done.timed_out
    assert (done.exit_code, done.signal) == (None, signal.SIGKILL)
    assert done.swept == (1 if more == DOUBLE_FORK else 0)


def test_a_launcher_that_does_not_kill_in_time_is_given_up(
    runner: ProcessRunner, run: Callable[..., Finished]
) -> None:
    code = "import os, time; os.kill(os.getppid(), 19); time.sleep(60)"
    begun = time.monotonic()
    done = run(*python(code), timeout=0.5)
    assert time.monotonic() - begun < 0.5 + 0.8 + 3
    assert (done.timed_out, done.error) == (
        True,
        "it was killed but did not end in time",
    )
    assert run(*python("print(1)")).stdout == b"1\n"


def test_what_is_left_behind_is_swept(run: Callable[..., Finished]) -> None:
    code = (
        "import os, time\n" + DOUBLE_FORK + "print(os.getpid(), flush=True)\n"
        "if os.fork() == 0: time.sleep(60)\n"
    )
    begun = time.monotonic()
    done = run(*python(code))
    assert time.monotonic() - begun < 5
    assert done.exit_code == 0
    assert done.swept == 2
    assert done.error is None


def test_a_process_that_keeps_forking_is_swept(run: Callable[..., Finished]) -> None:
    code = (
        "import os\npid = os.fork()\n"
        "while pid == 0:\n  os.setsid()\n  pid = os.fork()\n  if pid: os._exit(0)\n"
    )
    done = run(*python(code))
    assert done.exit_code == 0
    assert done.swept >= 1


def test_cancel(run: Callable[..., Finished]) -> None:
    begun = time.monotonic()
    done = run("sleep", "30", should_stop=lambda: time.monotonic() - begun > 0.3)
    assert done.cancelled
    assert not done.timed_out
    assert done.seconds < 1.5


def test_callback_gets_chunks_as_they_come(run: Callable[..., Finished]) -> None:
    seen: list[tuple[bytes, float]] = []
    begun = time.monotonic()
    done = run(
        "sh",
        "-c",
        "echo a; sleep 0.5; echo b",
        on_stdout=lambda data: seen.append((data, time.monotonic() - begun)),
    )
    assert b"".join(data for data, _ in seen) == done.stdout == b"a\nb\n"
    assert seen[-1][1] - seen[0][1] > 0.3


def test_callback_error_kills_and_is_raised(
    run: Callable[..., Finished], tmp_path: Path
) -> None:
    def broken(data: bytes) -> None:
        raise LookupError(data.decode())

    with pytest.raises(LookupError, match="hello"):
        run("sh", "-c", f"echo hello; sleep 1; touch {tmp_path}/late", on_stdout=broken)
    time.sleep(1.2)
    assert not (tmp_path / "late").exists()
    assert run("true").exit_code == 0


def test_environment_has_only_what_is_allowed(
    run: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.setenv("LANG", "C.UTF-8")
    env = environment(extra={"GIVEN": "é=1"})
    shown = run("env", env=env).stdout.decode().splitlines()
    assert "LANG=C.UTF-8" in shown
    assert "GIVEN=é=1" in shown
    assert dict(line.split("=", 1) for line in shown) == env
    assert "SECRET" not in env
    assert environment(["SECRET"])["SECRET"] == "hunter2"
    assert run("/usr/bin/env", env={}).stdout == b""


def test_cwd(run: Callable[..., Finished], tmp_path: Path) -> None:
    assert run("pwd", cwd=str(tmp_path)).stdout.decode().strip() == str(tmp_path)
    done = run("pwd", cwd=str(tmp_path / "none"))
    assert done.error is not None
    assert "cannot change to the directory" in done.error
    assert "No such file" in done.error


def test_only_the_standard_descriptors_are_open(run: Callable[..., Finished]) -> None:
    done = run(*python("import os; print(sorted(os.listdir('/proc/self/fd')))"))
    # The fourth is the listing's own.
    assert done.stdout.strip() == b"['0', '1', '2', '3']"


def test_signals_are_at_their_defaults(run: Callable[..., Finished]) -> None:
    shown = run("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status").stdout
    # posix_spawn of glibc ignores 32 and 33, which are its own.
    own = 1 << 31 | 1 << 32
    masks = [int(line.split()[1], 16) for line in shown.splitlines()]
    assert [mask & ~own for mask in masks] == [0, 0]


def test_limits(run: Callable[..., Finished], tmp_path: Path) -> None:
    code = (
        "import resource as r; print([r.getrlimit(x) for x in "
        "(r.RLIMIT_CORE, r.RLIMIT_CPU, r.RLIMIT_NOFILE, r.RLIMIT_FSIZE, r.RLIMIT_DATA)])"
    )
    limits = ChildLimits(cpu_s=5, open_files=32, file_size=1000, memory=512 << 20)
    done = run(*python(code), limits=limits)
    assert eval(done.stdout) == [
        (0, 0),
        (5, 6),
        (32, 32),
        (1000, 1000),
        (512 << 20, 512 << 20),
    ]
    target = tmp_path / "big"
    done = run(
        "dd", "if=/dev/zero", f"of={target}", "bs=4096", "count=2", limits=limits
    )
    assert done.signal == signal.SIGXFSZ
    assert target.stat().st_size == 1000
    done = run(*python("while True: pass"), limits=ChildLimits(cpu_s=1))
    assert done.signal == signal.SIGXCPU
    done = run(*python("b = bytearray(1 << 30)"), limits=ChildLimits(memory=300 << 20))
    assert b"MemoryError" in done.stderr


def test_programs_that_cannot_be_run(
    run: Callable[..., Finished], tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("hello")
    for program, reason in [
        ("no-such-program", "No such file or directory"),
        (str(tmp_path / "none"), "No such file or directory"),
        (str(plain), "Permission denied"),
        ("-rf", "No such file or directory"),
    ]:
        done = run(program, "x")
        assert done.error == f"cannot run {program!r}: {reason}"
        assert (done.exit_code, done.signal) == (None, None)
    plain.chmod(0o755)
    assert "Exec format error" in str(run(str(plain)).error)
    big = "x" * (3 << 20)
    assert "Argument list too long" in str(run("echo", big).error)


def test_arguments_are_passed_as_they_are(run: Callable[..., Finished]) -> None:
    odd = ["-n", "--", "", "$(id)", "a b\n", "é", "\udcff", "*"]
    code = "import os, sys; print([os.fsencode(a) for a in sys.argv[1:]])"
    done = run(*python(code), *odd)
    assert eval(done.stdout) == [os.fsencode(a) for a in odd]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"argv": ["echo", "a\0b"]}, r"argv\[1\] contains a NUL"),
        ({"argv": []}, "argv must name a program"),
        ({"argv": ["echo", 3]}, r"argv\[1\] must be text, not int"),
        ({"env": {"A": "b\0"}}, "variable A contains a NUL"),
        ({"env": {"A=B": "c"}}, "is not a name"),
        ({"cwd": "/\0"}, "cwd contains a NUL"),
        ({"timeout": 0}, "timeout must be a positive number"),
        ({"timeout": float("nan")}, "timeout must be a positive number"),
        ({"max_output": -1}, "max_output must not be negative"),
    ],
)
def test_refused(runner: ProcessRunner, changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "argv": ["true"],
        "stdin": None,
        "env": {},
        "cwd": None,
        "timeout": 1,
        "max_output": 1,
        "limits": ChildLimits(),
    }
    with pytest.raises(ValueError, match=message):
        runner.run(**given | changes)


def test_threads_do_not_disturb_each_other(run: Callable[..., Finished]) -> None:
    found: dict[int, Finished] = {}

    def one(number: int) -> None:
        found[number] = run("sh", "-c", f"sleep 0.3 & sleep 0.{number}; echo {number}")

    threads = [threading.Thread(target=one, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n].stdout for n in range(1, 5)] == [b"1\n", b"2\n", b"3\n", b"4\n"]
    assert [found[1].swept, found[4].swept] == [1, 0]


def test_what_a_program_forks_at_once_is_limited_too(
    run: Callable[..., Finished],
) -> None:
    """Also under limits that its launcher could not live with itself."""
    code = "(sleep 0.05; ulimit -t; ulimit -S -n; ulimit -d) & wait"
    generous = ChildLimits(cpu_s=3000, memory=1 << 30, open_files=100)
    tight = ChildLimits(cpu_s=2, memory=32 << 20, open_files=50)
    for limits, shown in ((generous, "3000 100 1048576"), (tight, "2 50 32768")):
        for _ in range(20):
            done = run("sh", "-c", code, limits=limits)
            assert done.stdout.decode().split() == shown.split()
