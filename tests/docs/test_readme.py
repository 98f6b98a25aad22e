"""The README's first screen: two commands, and CI runs what a newcomer runs."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    """Return the commands of the first block, without comments."""
    block = README.partition("```sh\n")[2].partition("```")[0]
    lines = [line.strip() for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_first_screen_has_exactly_the_two_commands() -> None:
    assert len(commands()) == 2
    assert all(line.startswith("pip install uv && uv run ") for line in commands())
    before = README.partition("```sh\n")[0]
    # Three sentences, each on a line of its own, and nothing else but headings.
    lines = [line for line in before.splitlines() if line and line[0] != "#"]
    assert len(lines) == 3


def test_ci_runs_the_first_command_in_a_clone() -> None:
    first = commands()[0].partition("&& ")[2]
    script = (ROOT / ".ci" / "run").read_text()
    function = re.search(r"^first_command\(\) \{\n(.*?)^\}", script, re.M | re.S)
    assert function is not None
    assert "git clone" in function[1]
    assert first in function[1]
    assert 'step "first command" first_command' in script
