"""The commands of the guide to Blueprints, run as they stand there."""

import json
import re
import shlex
from pathlib import Path

import pytest
from command_shell import REPO, Shell

pytestmark = pytest.mark.slow

TEXT = (REPO / "docs" / "guides" / "write-a-blueprint.md").read_text()
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCES = [(found[1], found[2]) for found in FENCE.finditer(TEXT)]
RUNS = [text for info, text in FENCES if info == "sh run"]
RESULTS = [text for info, text in FENCES if info == "json result"]


def written(folder: Path) -> None:
    """Save the guide's Blueprints under the names it gives them."""
    for info, text in FENCES:
        if info == "yaml blueprint":
            name = text.split("\n")[0].removeprefix("id: ")
            (folder / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize(("lines", "shown"), [*zip(RUNS, RESULTS, strict=True)])
def test_a_command_of_the_guide_gives_what_it_shows(
    shell: Shell, lines: str, shown: str
):
    written(shell.var)
    for line in lines.splitlines():
        python, manage, command, file, *more = shlex.split(line)
        assert (python, manage, command) == ("python", "manage.py", "run")
        assert shell.run(command, shell.var / file, *more) == 0, shell.err
    assert json.loads(shell.out) == json.loads(shown)
