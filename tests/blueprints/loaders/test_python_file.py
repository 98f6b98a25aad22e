"""Blueprints in Python files, and the guide's example."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from blueprints import agent_modules
from blueprints.agent_modules import added_folders
from blueprints.authoring.answer import unread_lines
from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.documents import DocumentInvalid
from engine.agent_inputs import input_check
from engine.agents import AgentFunction
from engine.blueprint import BlueprintInvalid, Diagnostic, compile_blueprint
from engine.flow import evaluate, parse_node

GUIDE = Path(__file__).resolve().parents[3] / "docs/guides/the-python-builder.md"
BUILD = "from engine.build import *\n"


@pytest.fixture
def project(tmp_path, settings, monkeypatch):
    """A project of its own; what was imported from it is forgotten."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    settings.SWARM_PROJECT_DIR = tmp_path
    yield tmp_path
    agent_modules._added.clear()
    for name in set(sys.modules) - before:
        if str(tmp_path.parent) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(project, name, text):
    path = project / name
    path.write_text(text)
    return path


def test_the_example_of_the_guide_runs(project):
    [text] = re.findall(r"```python essay\.py\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    loaded = load_blueprint(write(project, "guide_essay.py", text))
    program = compile_blueprint(loaded.document)
    functions = vars(sys.modules["guide_essay"])

    def dispatch(agent, value):
        module, _, name = agent.partition(":")
        assert module == "guide_essay"
        made = AgentFunction(functions[name], module, "here")
        return made.call(input_check(made)(value), None)

    final = evaluate(
        parse_node(loaded.document["flow"], "swarm"), program.default_init_ctx, dispatch
    )
    assert final["text"] == "200 words about tea"
    assert final["done"] is True
    assert program.agents["guide_essay:draft"].retry.max_attempts == 3
    assert program.agents["guide_essay:draft"].spec == {"fn": "guide_essay:draft"}


def test_the_test_that_the_guide_shows_passes(project, swarm_store):
    text = GUIDE.read_text()
    for fence, name in (("essay.py", "essay.py"), ("test", "shown_test.py")):
        [code] = re.findall(rf"```python {fence}\n(.*?)```", text, re.DOTALL)
        write(project, name, code)
    shown = importlib.import_module("shown_test")
    shown.test_a_text_is_drafted_until_it_is_good(swarm_store)


def test_a_finding_about_an_agent_names_it_and_has_the_line_of_the_blueprint(project):
    text = (
        f"{BUILD}def sort(x):\n    return x\n\nblueprint = Blueprint(\n    'b',\n"
        "    step(sort, 1, out=ctx.a),\n    timeout={sort: '10 sec'},\n)\n"
        "def later():\n    return 1\n"
    )
    loaded = load_blueprint(write(project, "lines_of_policy.py", text))
    with pytest.raises(BlueprintInvalid) as caught:
        compile_blueprint(loaded.document)
    [found] = loaded.placed(caught.value.diagnostics)

    assert (found.position.line, found.position.row) == (5, "blueprint = Blueprint(")
    assert found.message.startswith("the agent 'lines_of_policy:sort': expected a dur")


@pytest.mark.parametrize(
    ("name", "call", "text"),
    [
        (
            "of_a_step",
            "step('a', 1, out=ctx.a, retry=Retry())",
            "step takes no 'retry'; it belongs to the agent: Blueprint(…, retry={AGENT",
        ),
        (
            "of_a_blueprint",
            "Blueprint('b', let(ctx.a, 1), default_init_ctx={})",
            "Blueprint takes no 'default_init_ctx'; did you mean 'init_ctx'?",
        ),
        (
            "of_a_name",
            "step(juge, 1, out=ctx.a)",
            "NameError: name 'juge' is not defined; did you mean 'judge'?",
        ),
    ],
)
def test_a_wrong_word_in_a_call_names_the_right_one(project, name, call, text):
    path = write(project, f"{name}.py", f"{BUILD}def judge(x): ...\n{call}\n")
    with pytest.raises(DocumentInvalid) as caught:
        load_blueprint(path)
    assert caught.value.rule.startswith(text)
    assert caught.value.line == 3


def test_a_finding_has_the_line_of_the_call(project):
    text = f"{BUILD}\nblueprint = Blueprint('lines', seq(\n    let(ctx.a, 1),\n))\n"
    loaded = load_blueprint(write(project, "lines_of_calls.py", text))
    [found] = loaded.placed([Diagnostic("$.flow.children[0].value", "kind", "text")])

    assert (found.position.line, found.position.column) == (4, 5)
    assert found.position.row == "    let(ctx.a, 1),"


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("none.py", "", "the module has no Blueprint"),
        (
            "two_of_them.py",
            f"{BUILD}a = Blueprint('a', seq())\nb = Blueprint('b', seq())\n",
            "the module has more than one Blueprint",
        ),
        ("not-a-name.py", "", "'not-a-name' is no name of a module"),
        (
            "broken_one.py",
            f"{BUILD}if ctx.a: pass",
            r"^[^ ]*broken_one.py:2: .*write branch\(…\)",
        ),
        (
            "twice_defined.py",
            f"{BUILD}def f(x): pass\nblueprint = Blueprint('a',"
            " step(f, 1, out=ctx.a))\ndef f(x): pass\n",
            "two functions are named twice_defined:f",
        ),
    ],
)
def test_a_file_that_builds_no_blueprint_is_refused(project, name, text, rule):
    with pytest.raises(DocumentInvalid, match=rule):
        load_blueprint(write(project, name, text))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (
            "blueprint = Blueprint('a', seq(\n    let(ctx.a, 1)\n    let(ctx.b, 2)\n))",
            "broken.py:3:5: error: Python can't read this: invalid syntax. Perhaps you"
            " forgot a comma? [unreadable]\n     3 |     let(ctx.a, 1)\n       |     ^",
        ),
        (
            "def flow():\n    if ctx.good:\n        return seq()\n\nflow()",
            "broken.py:3:5: error: an expression has its value only in a run: write"
            " branch(…) for `if`, and_(…), or_(…) and not_(…) for `and`, `or` and `not`,"
            " and_(a < b, b < c) for `a < b < c` [unreadable]\n"
            "     3 |     if ctx.good:\n       |     ^",
        ),
        (
            "import nowhere_at_all",
            "broken.py:2:1: error: no module 'nowhere_at_all' can be found here: correct"
            " the name, save it beside this file, or install it [unreadable]\n"
            "     2 | import nowhere_at_all\n       | ^",
        ),
        (
            "from engine.build import lopp",
            "broken.py:2:1: error: engine.build has no 'lopp'; did you mean 'loop'?"
            " [unreadable]\n     2 | from engine.build import lopp\n       | ^",
        ),
        (
            "import json\n\njson.loads('?')",
            "broken.py:4:1: error: JSONDecodeError: Expecting value: line 1 column 1 (char"
            " 0) [unreadable]\n     4 | json.loads('?')\n       | ^",
        ),
        (
            "raise SystemExit(1)",
            "broken.py:2:1: error: the module ends the process (sys.exit): it is imported,"
            " not run [unreadable]\n     2 | raise SystemExit(1)\n       | ^",
        ),
        (
            "from breaks_beside import a",
            "breaks_beside.py:1:7: error: Python can't read this: invalid syntax"
            " [unreadable]\n     1 | def f(:\n       |       ^",
        ),
    ],
)
def test_what_keeps_a_file_from_being_imported_has_file_and_line(
    project, text, printed
):
    write(project, "breaks_beside.py", "def f(:\n")
    with pytest.raises(DocumentInvalid) as caught:
        load_blueprint(write(project, "broken.py", BUILD + text + "\n"))
    assert "\n".join(unread_lines(caught.value)).replace(f"{project}/", "") == printed


def test_a_file_outside_of_the_project_is_imported_from_its_own_folder(
    project, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("other")
    write(folder, "beside_it.py", "words = 3\n")
    text = f"from beside_it import words\n{BUILD}blueprint = Blueprint('a', let(ctx.a, words))"
    loaded = load_blueprint(write(folder, "elsewhere.py", text))
    assert loaded.document["flow"]["value"] == {"op": "lit", "value": 3}
    assert added_folders() == [str(folder)]


def test_a_module_that_two_folders_have_is_refused(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    both = [write(one, "in_both.py", "") for one in (project, folder)]
    path = write(folder, "imports_it.py", f"import in_both\n{BUILD}")
    with pytest.raises(DocumentInvalid) as caught:
        load_blueprint(path)
    assert caught.value.rule == (
        f"{both[0]} and {both[1]} are both the module 'in_both'; rename one of them"
    )
    assert "imports_it" not in sys.modules


def test_a_folder_that_workers_can_not_be_given_is_refused(project, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("a,b"), "comma.py", BUILD)
    with pytest.raises(DocumentInvalid, match="workers can't be given the folder"):
        load_blueprint(path)


def test_a_file_that_does_not_exist_is_refused(project):
    with pytest.raises(DocumentInvalid, match="No such file"):
        load_blueprint(project / "absent.py")
