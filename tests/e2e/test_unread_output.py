"""Output for people: escapes as text, and an end that no reader sees."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_shell import REPO, Shell, naps
from flow_documents import lit, step

from engine.visible import CONTROLS

pytestmark = pytest.mark.slow

# Each with a mark behind it, so that a terminal's own escapes are distinguished from these.
EVIL = "".join(
    f"{chr(code)}EVIL"
    for code in range(1, 0x2070)
    if re.match(f"[{CONTROLS}]", chr(code))
)
LITERAL = json.dumps(EVIL)
LUA = (
    "local evil = _PROMPT\nprint(evil)\nemit.progress(evil, evil)\nemit.partial(evil)\n"
    "emit.artifact('art', evil)\nreturn {[evil] = evil}"
)
SAMPLE = "blueprints/samples/pure-ctx.json"


def evil_blueprint(shell: Shell) -> Path:
    """Write a Blueprint with escapes wherever a document or an agent may have them."""
    caught = {"kind": "seq", "children": []}
    why = {"op": "path", "at": "$.why"}
    body = step("shout", lit(EVIL), "$.b")
    failing = {"kind": "try", "body": body, "catch": caught, "err_at": why}
    flow = {
        "kind": "seq",
        "children": [
            step("lua", lit(EVIL), "$.a"),
            failing,
            step("py", lit(EVIL), "$.c"),
        ],
    }
    note = {"description": EVIL, "tags": [EVIL]}
    program = f"import sys; sys.stderr.write({EVIL!r}); sys.exit(3)"
    agents = [
        {"name": "lua", "kind": "lua", "spec": {"source": LUA}, "meta": note},
        {
            "name": "shout",
            "kind": "subprocess",
            "spec": {"argv": [sys.executable, "-c", program]},
            "profile": {"system_prompt": EVIL, "description": EVIL},
        },
        {"name": "py", "kind": "python_fn", "spec": {"fn_id": "e2e-evil"}},
    ]
    operators = [{"name": "seat", "display_name": EVIL}]
    return shell.write(
        flow,
        agents=agents,
        metadata=note,
        operators=operators,
        default_init_ctx={EVIL: EVIL},
        hints={"per_agent": {"shout": {"timeout_s": 30}}},
    )


def assert_visible(text: str) -> None:
    assert "EVIL" in text
    found = re.search(f"[{CONTROLS}]", text)
    assert found is None, text[max(0, found.start() - 40) : found.end() + 40]


def on_a_terminal(shell: Shell, *args: object) -> str:
    """Run a command on a terminal; what it wrote."""
    main, side = pty.openpty()
    command = [sys.executable, "manage.py", *map(str, args)]
    process = subprocess.Popen(
        command, cwd=REPO, env=shell.env, stdin=side, stdout=side, stderr=side
    )
    os.close(side)
    written = b""
    while True:
        piece = b""
        # The end of a terminal is an error.
        with contextlib.suppress(OSError):
            piece = os.read(main, 65536)
        if not piece:
            break
        written += piece
    os.close(main)
    assert process.wait(60) == 0, written.decode()
    return written.decode()


def test_no_escape_of_an_agent_or_a_document_is_let_out(shell: Shell):
    file = evil_blueprint(shell)
    assert shell.run("run", file) == 0, shell.err
    assert_visible(shell.out)
    assert_visible(shell.err)
    ctx = json.loads(shell.out)
    assert ctx["a"]["out"] == {EVIL: EVIL}
    [run] = set(re.findall(r"R-[0-9a-f]{32}", shell.err))

    assert shell.run("run", file, "--json") == 0
    assert_visible(shell.out + shell.err)
    assert json.loads(shell.out)["ctx"] == ctx
    for words in (["show", run], ["show", run, "--json"]):
        assert shell.run("runs", *words) == 0, shell.err
        assert_visible(shell.out)
    for verb in ("explain", "lint", "doctor", "build"):
        assert shell.run("blueprint", verb, file) in (0, 1), shell.err
        assert re.search(f"[{CONTROLS}]", shell.out + shell.err) is None, verb
    assert shell.run("blueprint", "explain", file, "shout") == 0, shell.err
    assert_visible(shell.out)
    # What a function prints is the worker's to log, and so is what it logs.
    logs = "".join(path.read_text() for path in shell.var.glob("log/worker-*.log"))
    assert_visible(logs.partition("[queues]")[2])


def test_no_escape_of_an_agent_reaches_a_terminal(shell: Shell):
    shown = on_a_terminal(shell, "run", evil_blueprint(shell))
    assert not re.search(f"[{CONTROLS}]EVIL", shown)
    [run] = set(re.findall(r"R-[0-9a-f]{32}", shown))
    assert not re.search(f"[{CONTROLS}]EVIL", on_a_terminal(shell, "runs", "show", run))


def unread(shell: Shell, how: str) -> subprocess.CompletedProcess[str]:
    """Run a sample with its streams as the shell has it after `how`."""
    line = f'"{sys.executable}" manage.py run {SAMPLE} {how}'
    return subprocess.run(
        ["bash", "-c", line],
        cwd=REPO,
        env=shell.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (">/dev/full", "No space left on device"),
        (">&-", "Bad file descriptor"),
        ("--json >/dev/full", "No space left on device"),
        ("> >(exec true)", "Broken pipe"),
    ],
)
def test_a_result_without_a_reader_is_reported_and_kept(
    shell: Shell, how: str, why: str
):
    done = unread(shell, how)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    message = f"The result can't be written to standard output ({why}). See it with: "
    assert message in done.stderr
    run = re.search(r"runs show (R-\w+)", done.stderr)
    assert run is not None
    assert shell.run("runs", "show", run[1]) == 0
    assert '"verdict": "rolled back"' in shell.out


@pytest.mark.parametrize("how", ["2>/dev/full", "2>&-", "2> >(exec true)"])
def test_a_run_continues_without_a_reader(shell: Shell, how: str):
    done = unread(shell, how)
    assert done.returncode == 0
    assert json.loads(done.stdout)["verdict"] == "rolled back"
    assert shell.workers() == []


def test_a_pipe_that_is_closed_leaves_no_run_behind(shell: Shell):
    unread(shell, "2>&1 | head -1")
    assert shell.run("runs", "list", "--json") == 0
    [run] = json.loads(shell.out)["items"]
    assert run["status"] == "done"
    assert shell.run("runs", "show", run["run"]) == 0


def test_a_refused_launch_ends_while_its_worker_boots(shell: Shell):
    # A journal is there from then on, and takes more than one byte.
    assert shell.run("run", SAMPLE) == 0, shell.err
    command = shell.start("run", SAMPLE, SWARM_JOURNAL_LIMIT="1")
    # A worker that is asked to end while it boots takes half a minute.
    assert command.wait(25) == 2, shell.err
    assert "more than SWARM_JOURNAL_LIMIT (1)" in shell.err
    assert shell.workers() == []


def test_a_run_is_not_resumed_without_its_functions(shell: Shell):
    file = shell.write(naps(60, 0))
    command = shell.start("run", file)
    shell.until(lambda: len(shell.calls()) == 1)
    command.terminate()
    command.terminate()
    assert command.wait(60) == 130, shell.err
    [run] = set(re.findall(r"R-[0-9a-f]{32}", shell.err))

    none = {"SWARM_AGENT_MODULES": "blueprints.samples.functions"}
    assert shell.run("runs", "resume", run, **none) == 2
    assert "no agent function is named 'e2e-nap'" in shell.err
    assert shell.err.endswith("Nothing was started.\n")
    assert shell.run("runs", "show", run, "--json") == 0
    assert json.loads(shell.out)["status"] == "running"
