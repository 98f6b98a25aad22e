"""A script has the parts of the prelude that it uses, and no others."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from engine.store.redis import SCRIPTS
from engine.store.script_texts import parts, used

FOLDER = resources.files("engine.store").joinpath("scripts")
PARTS = list(parts(FOLDER.joinpath("prelude.lua").read_text()))
STRING = re.compile(r"'(?:[^'\\]|\\.)*'")
NAMES = frozenset[str]().union(*(names for names, _ in PARTS))


@pytest.mark.parametrize("name", sorted(SCRIPTS.text))
def test_a_script_names_nothing_that_was_left_out(name: str) -> None:
    text = STRING.sub("", SCRIPTS.text[name].decode())
    for word in NAMES & set(re.findall(r"(?<![.\w])[A-Za-z_]\w*", text)):
        assert re.search(rf"\blocal (function |[\w, ]*\b){word}\b", text), word


def test_all_of_the_prelude_is_in_its_parts() -> None:
    text = FOLDER.joinpath("prelude.lua").read_text()
    lines = [line for line in text.splitlines() if not re.match(" *--|$", line)]
    kept = "".join(part for _, part in PARTS).splitlines()
    assert [line for line in kept if line] == lines


def test_a_part_that_only_another_part_names_is_kept_before_it() -> None:
    prelude = list(
        parts("local a, b = 1, 2\nlocal c = 3\nlocal function f()\n  b()\nend\n")
    )
    assert (
        used(prelude, "return f()")
        == "local a, b = 1, 2\nlocal function f()\n  b()\nend\n"
    )


def test_a_comment_uses_nothing() -> None:
    assert b"--" not in SCRIPTS.text["claim"]
    assert b"fence" not in SCRIPTS.text["claim"]
