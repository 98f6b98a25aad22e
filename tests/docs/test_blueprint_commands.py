"""The guide's commands about Blueprints, run one after another as they stand there."""

import re
import shlex
from pathlib import Path

import pytest
from django.core.management import call_command

from blueprints.authoring.source import SETTINGS
from blueprints.management.commands.blueprint import FILES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "write-a-blueprint.md"
TEXT = PAGE.read_text()
SECTION = TEXT.partition("## The blueprint command\n")[2].partition("\n## ")[0]


def commands() -> list[list[str]]:
    """Return the words of each command line."""
    found = re.search(
        r"^```sh blueprint\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return [shlex.split(line, comments=True) for line in found[1].splitlines()]


def test_every_line_does_what_it_describes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for python, manage, *words in commands():
        assert (python, manage) == ("python", "manage.py")
        with pytest.raises(SystemExit) as ended:
            call_command(*words)
        assert ended.value.code == 0, (words, capsys.readouterr())
    assert (tmp_path / "review.json").is_file()


def test_the_guide_names_every_verb_and_level() -> None:
    rows = re.findall(r"^\| `(\w+)", SECTION, re.MULTILINE)
    assert rows == list(FILES)
    assert {words[3] for words in commands()} == set(FILES)
    assert [name for name in SETTINGS if f"`--{name} KIND`" not in SECTION] == []
