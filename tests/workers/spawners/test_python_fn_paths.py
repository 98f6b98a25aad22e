"""Functions that an agent names by their path, and the project's own modules."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from blueprints import agent_modules
from engine.blueprint.program import Agent
from engine.ports import StepCall
from engine.run.attempt.outcomes import Outcome
from workers.spawners.python_fn import PythonFunctionSpawner

SHOP = """import os
from os import system

async def price(value: int, *, step):
    return [value * 2, step.agent]

def classify(value):
    return {"kind": "book", "of": value}

def _secret(value):
    return value

class Order:
    def __init__(self, value): ...
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, settings: Any) -> Iterator[Path]:
    """A project of its own; what was imported from it is forgotten."""
    before, loaded = set(sys.modules), set(agent_modules._loaded)
    found = dict(agent_modules._found)
    settings.SWARM_PROJECT_DIR = tmp_path / "project"
    settings.SWARM_PROJECT_DIR.mkdir()
    yield settings.SWARM_PROJECT_DIR
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    agent_modules._loaded.intersection_update(loaded)
    agent_modules._found.clear()
    agent_modules._found.update(found)


def written(file: Path, text: str = SHOP) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def agent(**spec: str) -> Agent:
    return Agent("grader", "python_fn", "swarm.python_fn", 10_000, spec=spec)


def run(value: Any = 1, **spec: str) -> Outcome:
    call = StepCall("R-1", 1, "/flow", agent(**spec), 1, value, 10.0)
    return PythonFunctionSpawner().run(call)


def missing(*agents: Agent) -> list[tuple[str, str, str]]:
    placed = [(f"$.agents[{number}]", one) for number, one in enumerate(agents)]
    found = PythonFunctionSpawner.missing(placed)
    return [(one.place, one.message, one.help) for one in found]


def test_a_function_of_the_project_is_called_by_its_path(project: Path) -> None:
    written(project / "shop" / "agents.py")
    (project / "shop" / "__init__.py").touch()
    assert run(fn="shop.agents:classify").value == {"kind": "book", "of": 1}
    assert run(fn="shop.agents:price").value == [2, "grader"]
    refused = run("a", fn="shop.agents:price")
    assert (refused.permanent, refused.error_type) == (True, "InputRefused")
    assert refused.text.startswith("the input does not fit 'shop.agents:price': $: ")
    assert missing(agent(fn="shop.agents:classify")) == []


@pytest.mark.parametrize("name", ["system", "_secret", "Order", "os", "nowhere"])
def test_only_public_functions_that_a_module_defines_can_be_named(
    name: str, project: Path
) -> None:
    written(project / "ownshop.py")
    outcome = run(fn=f"ownshop:{name}")
    assert (outcome.kind, outcome.permanent) == ("failed", True)
    file = project / "ownshop.py"
    text = f"the module 'ownshop' ({file}) defines no public function {name!r}; "
    assert outcome.text.startswith(text)


def test_a_near_name_is_offered(project: Path) -> None:
    written(project / "ownshop.py")
    [(place, _, hint)] = missing(agent(fn="ownshop:clasify"))
    assert (place, hint) == (
        "$.agents[0].spec.fn",
        "did you mean ownshop:classify?",
    )


def test_without_a_near_name_the_functions_are_listed(project: Path) -> None:
    written(project / "ownshop.py")
    [(_, _, hint)] = missing(agent(fn="ownshop:draft"))
    assert hint == "it defines ownshop:classify, ownshop:price"
    names = "abcdefg"
    written(project / "large.py", "".join(f"def {n}(): ...\n" for n in names))
    [(_, _, hint)] = missing(agent(fn="large:draft"))
    assert hint == "it defines large:a, large:b, large:c, large:d, large:e and 2 more"
    written(project / "hollow.py", "")
    [(_, _, hint)] = missing(agent(fn="hollow:draft"))
    assert hint == "it defines none"


@pytest.mark.parametrize("module", ["subprocess", "os.path", "django.core.management"])
def test_a_module_outside_of_the_project_has_to_be_listed(
    module: str, project: Path
) -> None:
    [(place, text, hint)] = missing(agent(fn=f"{module}:run"))
    assert place == "$.agents[0].spec.fn"
    assert text == (
        f"the project's folder, {project}, has no module {module!r}, and"
        " SWARM_AGENT_MODULES does not list it"
    )
    file = project / f"{module.replace('.', '/')}.py"
    assert hint.startswith(f"save it as {file}, or correct the name, or list it")


def test_our_own_packages_belong_to_no_project(settings: Any) -> None:
    settings.SWARM_PROJECT_DIR = Path(agent_modules.__file__).parents[1]
    text = run(fn="engine.agents:blocked").text
    assert "has no module 'engine.agents', and SWARM_AGENT_MODULES does not" in text
    # The samples are listed.
    assert run(0, fn="blueprints.samples.functions:draft").value["round"] == 1


def test_only_listed_modules_may_be_named_where_the_setting_says_so(
    project: Path, settings: Any
) -> None:
    written(project / "ownshop.py")
    settings.SWARM_FN_MODULES = "listed"
    outcome = run(fn="ownshop:classify")
    assert outcome.permanent
    assert outcome.text.startswith("SWARM_AGENT_MODULES does not list the module 'own")
    settings.SWARM_AGENT_MODULES = ["ownshop"]
    assert run(fn="ownshop:classify").value == {"kind": "book", "of": 1}


def test_a_listed_package_may_be_named_with_its_modules(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "installed"
    written(installed / "listed_shop" / "agents.py")
    monkeypatch.syspath_prepend(str(installed))
    assert run(fn="listed_shop.agents:classify").permanent
    settings.SWARM_AGENT_MODULES = ["listed_shop"]
    assert run(fn="listed_shop.agents:classify").value == {"kind": "book", "of": 1}


def test_the_agents_of_the_project_are_searched(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Python itself would find this one first.
    written(tmp_path / "elsewhere" / "agents.py", "raise AssertionError\n")
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    written(
        project / "agents.py",
        "from engine.agents import agent_function\n"
        "@agent_function('test-of-the-project')\n"
        "def own(value):\n"
        "    return 'own'\n",
    )
    assert run(fn_id="test-of-the-project").value == "own"
    assert run(fn="agents:own").value == "own"
    # Its log lines are as those of our own modules.
    assert logging.getLogger("agents").level == logging.getLogger("workers").level


def test_another_module_of_that_name_is_named_with_both_paths(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, own = tmp_path / "other.py", written(project / "agents.py")
    module = ModuleType("agents")
    other.touch()
    module.__spec__ = agent_modules.PathFinder.find_spec("other", [str(other.parent)])
    monkeypatch.setitem(sys.modules, "agents", module)
    text = (
        f"the project's module 'agents' is {own}, and {other} is imported under that"
        " name already; give the project's another name"
    )
    assert run(fn="agents:classify").text == text
    assert agent_modules.broken_modules()["agents"] == text


def test_a_module_that_cannot_be_used_is_explained_once(project: Path) -> None:
    written(project / "ownshop.py", "1 / 0\n")
    first, second = missing(agent(fn="ownshop:one"), agent(fn="ownshop:two"))
    assert first[1] == (
        f"the agent module 'ownshop' ({project / 'ownshop.py'}) can't be imported:"
        " ZeroDivisionError: division by zero"
    )
    assert second[1:] == (
        "the module of 'ownshop:two' can't be used",
        "see $.agents[0].spec.fn",
    )


def test_a_listed_module_that_is_nowhere_is_told_where_it_was_searched(
    settings: Any, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.SWARM_AGENT_MODULES = ["nowhere_agents"]
    first, second = missing(agent(fn_id="qqqq"), agent(fn_id="zzzz"))
    assert f"searched were {project}, {tmp_path}, " in first[2]
    assert "and the installed packages; save it as" in first[2]
    assert second[2] == "see $.agents[0].spec.fn_id"


def test_a_folder_without_an_init_file_hides_no_installed_package(
    settings: Any, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "data_shop").mkdir()
    written(tmp_path / "installed" / "data_shop.py")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    settings.SWARM_AGENT_MODULES = ["data_shop"]
    assert run(fn="data_shop:classify").value == {"kind": "book", "of": 1}


def test_what_lies_in_a_folder_that_is_no_package_is_not_imported(
    project: Path,
) -> None:
    written(project / "var" / "work" / "left.py")
    outcome = run(fn="var.work.left:classify")
    assert outcome.kind == "failed"
    assert f"add an __init__.py to {project / 'var'}" in outcome.text
    assert "var" not in sys.modules
