"""Options of `manage.py blueprint` that its guide lists in a table."""

from pathlib import Path
from typing import Any

import pytest


def prompted(write: Any, size: int) -> Path:
    """Write a Blueprint whose agent has a prompt of so many bytes."""
    agent = {
        "name": "a",
        "kind": "python_fn",
        "spec": {"fn_id": "identity"},
        "profile": {"system_prompt": "ü" * (size // 2)},
    }
    path: Path = write(agents=[agent])
    return path


def test_sizes_of_prompts_are_counted_in_bytes(say: Any, write: Any):
    path = prompted(write, 600)
    for words, severity, code in (
        ([], "OK", 0),
        (["--warn-bytes", "601"], "OK", 0),
        (["--warn-bytes", "600"], "WARN", 0),
        (["--warn-bytes", "1", "--block-bytes", "600"], "WARN", 0),
        (["--warn-bytes", "1", "--block-bytes", "601", "--block"], "WARN", 0),
        (["--warn-bytes", "1", "--block-bytes", "600", "--block"], "BLOCK", 1),
    ):
        printed = say("doctor", path, *words, "--json")
        [one] = printed.json["agents"]
        assert (one["severity"], printed.code) == (severity, code), words


@pytest.mark.parametrize("verb", ["lint", "build", "explain", "doctor"])
def test_a_folder_of_the_caller_is_searched(
    say: Any, write: Any, tmp_path: Path, verb: str
):
    more = tmp_path / "more"
    more.mkdir()
    (more / "a.md").write_text("---\nname: a\n---\nBe fair.\n")
    agent = {"$agent_md": "a.md", "kind": "python_fn", "spec": {"fn_id": "identity"}}
    path = write(agents=[agent])
    assert say(verb, path).code == 2
    assert say(verb, path, "--include", more).code == 0
    printed = say(verb, path, "--include", tmp_path / "none")
    assert printed.code == 2
    assert "the folder of --include does not exist" in printed.out + printed.err


@pytest.mark.parametrize("verb", ["lint", "build", "doctor"])
def test_a_finding_can_be_made_a_warning(
    say: Any, write: Any, make_step: Any, verb: str
):
    agent = {"name": "s", "kind": "subprocess", "spec": {"program": "true"}}
    lints = {"lints": {"missing-timeout": "deny"}}
    path = write(agents=[agent], flow=make_step("s"), metadata=lints)
    assert say(verb, path).code == 1
    printed = say(verb, path, "--warn", "missing-timeout")
    assert printed.code == 0
    assert "warning: subprocess agent" in printed.out + printed.err
