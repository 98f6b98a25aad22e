"""The documents are correct: links, names, settings, commands and examples."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.management import get_commands

from blueprints.loaders.yaml_text import load_yaml
from engine.agents import registered
from engine.blueprint import Program, compile_blueprint
from engine.flow import FlowError, evaluate
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from engine.run.journal.outputs import (
    Artifact,
    Final,
    Log,
    OutputEvent,
    Partial,
    Progress,
)
from engine.testing import agent_step
from swarm_project.settings import SWARM_SETTINGS
from workers.process.frames import read_event
from workers.spawners.lua import LuaSpawner
from workers.spawners.python_fn import PythonFunctionSpawner

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
GUIDE = DOCS / "guides" / "write-an-agent.md"

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
OWN_FILE = re.compile(
    r"`((?:engine|blueprints|workers|swarm_project|tests|docs)/[^`\s*]+)`"
)
COMMAND = re.compile(r"manage\.py ([a-z_]+)")
NAME = re.compile(r"\b(SWARM_[A-Z_]*[A-Z]|DATABASE_URL)\b")
ROW = re.compile(r"^\| `([A-Z_]+)` \| ([^|]+) \| ([^|]+) \| (.+) \|$", re.MULTILINE)

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES]
)


def fenced(page: Path, info: str) -> Iterator[str]:
    for found in FENCE.finditer(page.read_text()):
        if found[1].strip() == info:
            yield found[2]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    slugs = set()
    for heading in HEADING.findall(prose(page)):
        kept = re.sub(r"[^\w\- ]", "", heading.lower())
        slugs.add(kept.replace(" ", "-"))
    return slugs


@every_page
def test_local_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@every_page
def test_files_named_in_the_text_exist(page: Path) -> None:
    named = OWN_FILE.findall(prose(page))
    # NAME stands for the name of one of several.
    gone = [name for name in named if not any(ROOT.glob(name.replace("NAME", "*")))]
    assert gone == []


@every_page
def test_commands_named_in_the_text_exist(page: Path) -> None:
    named = set(COMMAND.findall(page.read_text()))
    assert named - set(get_commands()) == set()


def test_the_architecture_names_every_room_and_script() -> None:
    page = (DOCS / "architecture.md").read_text()
    packages = [
        path.parent
        for floor in ("engine", "blueprints", "workers")
        for path in ROOT.glob(f"{floor}/*/**/__init__.py")
    ]
    rooms = {f"{path.relative_to(ROOT)}/" for path in packages}
    scripts = {str(path.relative_to(ROOT)) for path in ROOT.glob("engine/**/*.lua")}
    expected = (rooms | scripts) - {"blueprints/migrations/"}
    assert {name for name in expected if name not in page} == set()


def test_every_decision_is_listed() -> None:
    listed = set(LINK.findall((DOCS / "adr" / "README.md").read_text()))
    assert listed == {path.name for path in (DOCS / "adr").glob("0*.md")}


def test_every_decision_has_its_parts() -> None:
    for path in (DOCS / "adr").glob("0*.md"):
        headings = HEADING.findall(path.read_text())
        assert headings[0].startswith(f"{int(path.name[:4])}. "), path
        assert headings[1:] == ["Context", "Decision", "Consequences"], path
        assert re.search(r"^Date: \d{4}-\d\d-\d\d\. Status: ", path.read_text(), re.M)


@pytest.mark.parametrize("heading", SWARM_SETTINGS)
def test_the_settings_page_has_the_rows_of_the_table(heading: str) -> None:
    page = (DOCS / "settings.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = ROW.findall(section)
    group = SWARM_SETTINGS[heading]
    assert [row[:3] for row in rows] == [
        (one.name, shown(one.default, one.unit), one.unit or ", ".join(one.choices))
        for one in group
    ]
    for row, one in zip(rows, group, strict=True):
        assert row[3].startswith(one.doc)


def shown(default: Any, unit: str) -> str:
    """Return how the page writes a default."""
    match default:
        case "" | []:
            return "(empty)"
        case bool():
            return str(default).lower()
        case list():
            return f"`{','.join(default)}`"
        case int() if unit.startswith("bytes") and default < 2**20:
            return f"{default / 2**10:g} KiB"
        case int() if unit.startswith("bytes"):
            return f"{default / 2**20:g} MiB"
        case int() | float():
            return f"{default:g}" if isinstance(default, float) else str(default)
    return str(default)


def test_the_settings_page_names_no_other_setting() -> None:
    known = {one.name for group in SWARM_SETTINGS.values() for one in group}
    page = (DOCS / "settings.md").read_text()
    assert set(NAME.findall(page)) == known | {"SWARM_STATE_URL"}


def test_the_readme_opens_with_exactly_two_commands() -> None:
    first = FENCE.search((ROOT / "README.md").read_text())
    assert first is not None
    lines = [line for line in first[2].splitlines() if line and line[0] != "#"]
    assert lines == [
        "pip install uv && uv run manage.py run blueprints/samples/repo-digest.json",
        "pip install uv && uv run --all-extras pytest",
    ]
    assert (ROOT / "blueprints" / "samples" / "repo-digest.json").is_file()


def test_the_readme_lists_every_sample() -> None:
    folder = ROOT / "blueprints" / "samples"
    forms = ("*.json", "*.yaml", "*.bp.lua")
    files = {path for form in forms for path in folder.glob(form)}
    names = {path.name.split(".")[0] for path in files}
    names |= {path.parent.name for path in folder.glob("*/blueprint.*")}
    text = (ROOT / "README.md").read_text()
    assert {name for name in names if f"`{name}`" not in text} == set()


def blueprints_in_docs() -> list[tuple[str, str]]:
    return [
        (f"{page.name}-{number}", text)
        for page in PAGES
        for number, text in enumerate(fenced(page, "yaml blueprint"))
    ]


def compiled(text: str) -> Program:
    return compile_blueprint(
        load_yaml(text.encode()), kinds=["lua", "python_fn", "subprocess"]
    )


@pytest.mark.parametrize(
    "text", [text for _, text in blueprints_in_docs()], ids=dict(blueprints_in_docs())
)
def test_blueprints_in_the_docs_compile(text: str) -> None:
    assert compiled(text).flow


def guide_blueprint() -> str:
    """The Blueprint of the guide that uses its own function."""
    texts = fenced(GUIDE, "yaml blueprint")
    return next(text for text in texts if text.startswith("id: review-notes"))


def test_the_guides_output_events_are_valid_in_a_stream() -> None:
    (events,) = fenced(GUIDE, "json")
    kinds = [type(read_event(line.encode())) for line in events.splitlines()]
    assert kinds == [Progress, Partial, Artifact, Log, Final]


def run_guide(notes: list[str]) -> Any:
    """The guide's Blueprint over its own function; `wc` is played by Python."""
    (source,) = fenced(GUIDE, "python agent")
    text = guide_blueprint()
    program = compiled(text)
    exec(compile(source, str(GUIDE), "exec"), {"__name__": "notes_agents"})

    def dispatch(ref: str, value: Any) -> Any:
        if ref == "count":
            return len(value.split())
        function = registered()[str(program.agents[ref].spec["fn_id"])].function
        answer = function(value, step=agent_step(ref))
        if getattr(answer, "ok", True) is False:
            raise RuntimeError(f"blocked: {answer.value['verdict']}")
        return answer

    return evaluate(program.flow, {"notes": notes}, dispatch)


def test_the_guides_example_passes_good_notes() -> None:
    ctx = run_guide(["one two three", "four five six seven"])
    assert ctx["grade"] == {"verdict": "good", "words": 7}


@pytest.mark.parametrize(
    ("notes", "why"), [(["short"], "blocked: too short"), ([], "there are no notes")]
)
def test_the_guides_example_catches_refusals(notes: list[str], why: str) -> None:
    ctx = run_guide(notes)
    assert ctx["grade"] == {"verdict": "refused"}
    assert ctx["why"] == f"dispatcher error for ref 'grade': {why}"


def test_the_function_that_emits_has_the_output_of_the_guide() -> None:
    page = DOCS / "guides" / "output-events.md"
    (source,) = fenced(page, "python agent output")
    (text,) = fenced(page, "yaml blueprint")
    # As a module: a class that is an annotation is looked up in it.
    module = ModuleType("notes_index")
    exec(compile(source, str(page), "exec"), module.__dict__)
    program = compiled(text)
    agent = program.agents["index"]
    emitted: list[OutputEvent] = []
    given = program.default_init_ctx["shelf"]
    call = StepCall("R-1", 1, "/", agent, 1, given, 30.0, emit=emitted.append)
    assert PythonFunctionSpawner().run(call).value == {"notes": 2}

    session = page.read_text()
    stages = [event for event in emitted if isinstance(event, Progress)]
    assert [f"{e.stage}: {e.note}".rstrip(": ") for e in stages] == [
        "reading: 1 of 3",
        "reading: 2 of 3",
        "reading: 3 of 3",
        "writing",
    ]
    (part,) = (event for event in emitted if isinstance(event, Artifact))
    assert f'"index.md": {json.dumps(part.content)}' in session
    assert "WARNING note 2 is too long" in session
    assert Log("WARNING note 2 is too long") in emitted


def test_the_guides_script_returns_what_the_function_returns() -> None:
    (source,) = fenced(GUIDE, "lua agent")
    program = compile_blueprint(
        {
            "id": "t",
            "flow": {"kind": "seq", "children": []},
            "agents": [{"name": "grade", "kind": "lua", "spec": {"source": source}}],
        },
        kinds=["lua"],
    )
    spawner = LuaSpawner()

    def grade(*words: int) -> Outcome:
        given = [{"words": count} for count in words]
        agent = program.agents["grade"]
        return spawner.run(StepCall("R-1", 1, "/", agent, 1, given, 30.0))

    try:
        assert grade(3, 4) == Outcome("passed", {"verdict": "good", "shortest": 3})
        assert grade(3, 2).kind == "blocked"
        assert (grade().text, grade().permanent) == ("there are no notes", True)
    finally:
        spawner.close()


def test_a_flow_error_is_in_the_guide() -> None:
    text = guide_blueprint()
    with pytest.raises(FlowError, match="dispatcher error for ref 'count': exited"):
        evaluate(compiled(text).flow, {"notes": ["a"]}, _exits)


def _exits(ref: str, value: Any) -> Any:
    raise RuntimeError("exited with 3")
