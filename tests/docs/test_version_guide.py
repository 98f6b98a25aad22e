"""The diffs of the guide are those of the stored cases."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from blueprints.management.commands.blueprint import FILES, KEPT

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guides" / "version-a-blueprint.md"
SHOWN = re.findall(
    r"^```text (tests/cases/diff/\S+)\n(.*?)^```$",
    PAGE.read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize(("folder", "text"), SHOWN, ids=[one for one, _ in SHOWN])
def test_the_guide_shows_what_a_case_shows(folder: str, text: str) -> None:
    expected = (ROOT / folder / "expected.txt").read_text(encoding="utf-8")
    assert expected.partition("\n\n")[0] + "\n" == text


def test_the_guide_shows_cases() -> None:
    assert len(SHOWN) >= 4


TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.django_db
def test_every_line_does_what_it_describes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, capsys: Any
) -> None:
    settings.SWARM_BLUEPRINTS = str(tmp_path / "kept.git")
    monkeypatch.chdir(tmp_path)
    found = re.search(r"^```sh kept\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None
    lines = [shlex.split(line, comments=True) for line in found[1].splitlines()]
    for python, manage, *words in lines:
        assert (python, manage) == ("python", "manage.py")
        with pytest.raises(SystemExit) as ended:
            call_command(*words)
        assert ended.value.code == 0, (words, capsys.readouterr())
    assert {words[3] for words in lines} == {*KEPT, "new", "lint"}


def test_the_guide_names_every_verb_and_option_of_what_is_kept() -> None:
    section = TEXT.partition("## Keep one\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)", section, re.MULTILINE) == list(KEPT)
    assert not FILES.keys() & KEPT.keys()
    options = {
        "--label",
        "--author",
        "--expect",
        "--force",
        "--tag",
        "--lint",
        "--archived",
        "--limit",
        "--before",
        "--brief",
        "--remove",
    }
    assert [
        one for one in options if f"`{one}" not in section and f" {one} " not in section
    ] == []
