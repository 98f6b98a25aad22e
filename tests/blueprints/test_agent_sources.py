"""Hashes of the source of agent functions, and what a run keeps of them."""

import sys
from pathlib import Path

import pytest

from blueprints.agent_sources import (
    Difference,
    function_sources,
    module_hashes,
    source_difference,
    source_hashes,
)
from blueprints.loaders.blueprint import load_blueprint
from blueprints.preflight import compile_here
from blueprints.services.runs import Launch, run_create
from engine.blueprint.program import Agent

FILES = {
    "sourced/__init__.py": "",
    "sourced/deep/__init__.py": "",
    "sourced/deep/agents.py": "from .. import helped\ndef grade(value):\n    return value\n",
    "sourced/helped.py": "def late():\n    import sourced_words, json\n",
    "sourced_words.py": "WORDS = 3\n",
    "sourced_other.py": "def other(value):\n    return value\n",
    "data/left.py": "",
}
GRADE = "sourced.deep.agents:grade"
SOURCE = [
    "sourced",
    "sourced.deep",
    "sourced.deep.agents",
    "sourced.helped",
    "sourced_words",
]
FORMS = {
    "flow.json": (
        '{"id": "a", "dialect": "swarm", "agents": [{"name": "g", "kind": "python_fn",'
        f' "spec": {{"fn": "{GRADE}"}}}}],'
        ' "flow": {"kind": "step", "agent": "g", "in": "1", "out": "$.a"}}'
    ),
    "flow.yaml": (
        "id: a\ndialect: swarm\nflow: {kind: step, agent: g, in: 1, out: $.a}\n"
        f"agents: [{{name: g, kind: python_fn, spec: {{fn: '{GRADE}'}}}}]\n"
    ),
    "flow.bp.lua": (
        "return {id = 'a', dialect = 'swarm',"
        f" agents = {{{{name = 'g', kind = 'python_fn', spec = {{fn = '{GRADE}'}}}}}},"
        " flow = {kind = 'step', agent = 'g', ['in'] = '1', out = '$.a'}}\n"
    ),
    "sourced_flow.py": (
        "from engine.build import *\nfrom sourced.deep.agents import grade\n"
        "blueprint = Blueprint('a', step(grade, 1, out=ctx.a))\n"
    ),
}


@pytest.fixture
def project(tmp_path, settings, monkeypatch):
    # As for a command in the folder of its project.
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    settings.SWARM_PROJECT_DIR = tmp_path
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def agent(name: str = GRADE) -> Agent:
    return Agent(name, "python_fn", "swarm.python_fn", 10_000, spec={"fn": name})


def test_a_worker_has_the_hashes_of_all_modules_and_imports_none(project: Path):
    (project / "sourced/deep/again").symlink_to(project / "sourced")
    found = module_hashes()
    own = [name for name in found if not name.startswith("blueprints")]
    assert sorted(own) == sorted([*SOURCE, "sourced_other", "sourced.deep.again"])
    assert not {"sourced", "sourced_words"} & sys.modules.keys()
    # The samples are listed.
    assert "blueprints.samples.functions" in found


@pytest.mark.parametrize("module", SOURCE)
def test_a_change_of_what_its_module_imports_is_another_source(
    project: Path, module: str
):
    theirs, before = module_hashes(), source_hashes([agent()])
    assert source_difference(function_sources([agent()]), theirs) == Difference((), ())
    file = project / f"{module.replace('.', '/')}.py"
    file = file if file.exists() else file.with_suffix("") / "__init__.py"
    file.write_text(f"{file.read_text()}# changed\n")
    assert source_difference(function_sources([agent()]), theirs) == Difference(
        (GRADE,), ()
    )
    assert source_hashes([agent()]) != before
    del theirs[module]
    assert source_difference(function_sources([agent()]), theirs) == Difference(
        (), (GRADE,)
    )


def test_a_change_of_another_module_or_of_times_alone_is_none(project: Path):
    theirs, before = module_hashes(), source_hashes([agent()])
    (project / "sourced_other.py").write_text("1\n")
    (project / "sourced_words.py").touch()
    assert source_difference(function_sources([agent()]), theirs) == Difference((), ())
    assert source_hashes([agent()]) == before


def test_functions_of_ours_and_absent_ones_have_no_source(project: Path):
    identity = Agent("i", "python_fn", "swarm.python_fn", 1, spec={"fn_id": "identity"})
    assert source_hashes([identity, agent("nowhere:f"), agent("sourced_other:g")]) == {}
    assert source_difference(function_sources([identity]), {}) == Difference((), ())


BUILT = """from engine.build import Blueprint, blocked, ctx, expr, seq, step

prompt = expr("1")
within = expr("3")
table = {"v": prompt}
called = expr("5")
later = lambda: called
if later:
    nested = within
shared = expr("7")
alone = expr("9")
RATE = 3
refusal = blocked("no")
part = step("other", ctx.a, out=ctx.b)


def own(value):
    return value * RATE if value else shown or refusal


shown = seq()
flow = seq(
    step(own, ctx.a, out=ctx.b),
    part,
)
blueprint = Blueprint("built", flow)
"""


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ("    part,\n", "", False),
        ("ctx.a, out=ctx.b)\n\n", "ctx.c, out=ctx.d)\n# more\n\n", True),
        ("part = step", "part = step(own, 1, out=ctx.b)\nother = step", False),
        ('"built"', '"another"', False),
        ("RATE = 3", "RATE = 4", True),
        ('blocked("no")', 'blocked("never")', True),
        ("* RATE", "+ RATE", True),
        ("shown = seq()", "shown = seq(part)", True),
        ("shown = seq()", "shown = seq(); RATE = 5", True),
        ("def own", "def", True),
        ('expr("1")', 'expr("2")', True),
        ('expr("3")', 'expr("4")', True),
        ('expr("5")', 'expr("6")', True),
        ('expr("7")', 'expr("8")', True),
        ('expr("9")', 'expr("0")', False),
    ],
)
def test_a_flow_is_no_part_of_the_source_of_its_functions(
    project: Path, old: str, new: str, differs: bool
):
    file = project / "built_flow.py"
    file.write_text(BUILT)
    (project / "other_flow.py").write_text("from built_flow import shared\n")
    before = module_hashes()["built_flow"]
    assert BUILT.count(old) == 1
    file.write_text(BUILT.replace(old, new))
    assert (module_hashes()["built_flow"] != before) == differs


@pytest.mark.django_db
@pytest.mark.parametrize("name", FORMS)
def test_a_run_keeps_the_hashes_whatever_the_form_of_its_document(
    project: Path, name: str
):
    (project / name).write_text(FORMS[name])
    program = compile_here(load_blueprint(project / name).document)
    run = run_create(Launch(program, {}))
    assert run.sources == {"functions": source_hashes([agent()]), "folders": []}
    assert len(run.sources["functions"][GRADE]) == 64

    (project / "sourced_words.py").write_text("WORDS = 4\n")
    again = run_create(Launch(program, {}))
    assert again.sources != run.sources
    assert again.program_id == run.program_id


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        ("import shared_flow\nx = shared_flow.PROMPT\n", True),
        ("import shared_flow as s\nx = s.OTHER\n", False),
        ("def f():\n    from shared_flow import *\n", True),
        ("from shared_flow import blueprint\n", False),
        ("shared_flow = 3\n", False),
    ],
)
def test_what_another_module_imports_is_a_part_of_the_source(
    project: Path, text: str, differs: bool
):
    (project / "importing.py").write_text(text)
    file = project / "shared_flow.py"
    file.write_text("from engine.build import expr\nPROMPT = expr('1')\n")
    before = module_hashes()["shared_flow"]
    file.write_text("from engine.build import expr\nPROMPT = expr('2')\n")
    assert (module_hashes()["shared_flow"] != before) == differs
