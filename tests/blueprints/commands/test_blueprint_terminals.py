"""`manage.py blueprint` on terminals that lack letters, with parameters that never end."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[3]
WORDS = "ü 👍 日本"


def piped(encoding: str, *words: object) -> subprocess.CompletedProcess[bytes]:
    """Run manage.py with its output in a pipe of an encoding."""
    return subprocess.run(
        [sys.executable, "manage.py", *map(str, words)],
        cwd=REPO,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("verb", ["build", "upgrade"])
def test_what_an_encoding_lacks_is_escaped_as_json_does(
    write: Callable[..., Path], verb: str, encoding: str
):
    lit = {"op": "lit", "value": WORDS}
    old = {"op": "le", "lhs": lit, "rhs": lit}
    flow = {"kind": "let", "at": "$.x", "value": lit if verb == "build" else old}
    path = write(flow=flow, metadata={"description": WORDS})
    done = piped(encoding, "blueprint", verb, path)

    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert rb"\ud83d\udc4d \u65e5\u672c" in done.stdout
    if verb == "build":
        document = json.loads(done.stdout.decode(encoding))
        assert document["metadata"]["description"] == WORDS


@pytest.mark.slow
def test_where_the_encoding_has_all_letters_nothing_is_escaped(
    write: Callable[..., Path],
):
    done = piped("utf-8", "blueprint", "build", write(metadata={"description": WORDS}))
    assert WORDS.encode() in done.stdout


@pytest.mark.parametrize("verb", ["lint", "build", "explain", "doctor"])
def test_parameters_come_from_a_file_that_ends(
    say: Any, write: Callable[..., Path], tmp_path: Path, verb: str
):
    pipe, large, binary = tmp_path / "pipe", tmp_path / "large", tmp_path / "binary"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(5 * 1024 * 1024)
    binary.write_bytes(b'"\xff"')
    for name, why in (
        ("/dev/zero", "not a regular file"),
        (pipe, "not a regular file"),
        (large, "longer than 4194304 bytes (4 MiB)"),
        (tmp_path / "none", "can't be read: No such file or directory"),
    ):
        began = time.monotonic()
        printed = say(verb, write(), "--ctx", f"@{name}")
        assert (printed.code, printed.err) == (2, f"--ctx @{name}: {why}\n")
        assert time.monotonic() - began < 5
    printed = say(verb, write(), "--ctx", f"@{binary}")
    assert printed.code == 2
    assert printed.err.startswith(f"{binary}: no JSON: ")
