"""Mistakes that authors make, and what they read: file, line, rule and remedy.

`tests/cases/mistakes` has a source for each mistake, and beside it a text with all that
`blueprint lint` prints of it, or `blueprint doctor` of what is missing here.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from blueprints.authoring.answer import finding_lines, unread_lines
from blueprints.authoring.source import lint_loaded
from blueprints.conf import lua_host
from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.documents import DocumentInvalid
from blueprints.preflight import compile_here, missing_parts
from engine.blueprint import Level, LintOptions

CASES = Path(__file__).resolve().parents[1] / "cases" / "mistakes"
SOURCES = sorted(path.name for path in CASES.iterdir() if path.suffix != ".txt")


@pytest.fixture(scope="module", autouse=True)
def sandbox():
    """Ends the sandbox with the module."""
    yield
    lua_host().close()


def printed(source: str) -> Iterator[str]:
    """Yield the lines about a source."""
    try:
        loaded = load_blueprint(source)
    except DocumentInvalid as error:
        yield from unread_lines(error)
        return
    found = lint_loaded(loaded, LintOptions()).diagnostics
    if not any(one.level is Level.ERROR for one in found):
        program = compile_here(loaded.document, anywhere=True)
        missing = loaded.placed(missing_parts(program, loaded.document))
        found = (*lint_loaded(loaded, LintOptions(), program).diagnostics, *missing)
    for one in found:
        yield from finding_lines(source, one)


@pytest.mark.parametrize("source", SOURCES)
def test_a_mistake_is_told_with_its_line_and_a_remedy(source, monkeypatch, settings):
    monkeypatch.chdir(CASES)
    settings.SWARM_AGENT_MODULES = [*settings.SWARM_AGENT_MODULES, "mistake_agents"]
    text = "".join(f"{line}\n" for line in printed(source))
    assert text == (CASES / f"{source.partition('.')[0]}.txt").read_text()
    assert text.startswith(f"{source}:")


def test_there_are_forty_mistakes_and_each_has_its_text():
    texts = [path.stem for path in CASES.glob("*.txt")]
    assert sorted(texts) == sorted(name.partition(".")[0] for name in SOURCES)
    assert len(texts) >= 40
