"""A kind of agent is its two files and a line in SWARM; nothing else names a kind."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from engine.blueprint.kinds.registry import KIND_ALIASES, KINDS

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("engine", "blueprints", "workers", "swarm_project")
WORDS = {*KINDS, *KIND_ALIASES}
WORDS |= {f"swarm.{word}" for word in WORDS}
# Where such a word stands for something else.
OTHERS = {
    # The backend of a runner.
    "engine/blueprint/schema/subprocess_template.py": {"subprocess"},
    "engine/blueprint/upgrade.py": {"subprocess"},
    # A seat, in a message.
    "engine/blueprint/lints/names.py": {"operator"},
    # The end of a file's name, and the name of a folder.
    "engine/store/script_texts.py": {"lua"},
    "blueprints/loaders/lua_script.py": {"lua"},
    # The sandbox, which runs the scripts of Blueprints, too.
    "workers/doctor/checks.py": {"lua"},
    # A word in the statistics of a step.
    "workers/process/reading.py": {"subprocess"},
}


def sources() -> Iterator[Path]:
    for floor in FLOORS:
        yield from sorted((ROOT / floor).rglob("*.py"))


def words_in(path: Path) -> set[str]:
    """Return the kinds that texts of a module name; docstrings are longer than names."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value in WORDS
    }


def test_only_its_own_files_and_the_wiring_name_a_kind() -> None:
    own: dict[str, set[str]] = {
        "swarm_project/settings.py": {*settings.SWARM["SPAWNERS"]}
    }
    for kind in KINDS.values():
        file = Path(str(sys.modules[type(kind).__module__].__file__))
        names = {kind.name, *kind.aliases, *kind.backends}
        own[file.relative_to(ROOT).as_posix()] = names & WORDS
    found = {path.relative_to(ROOT).as_posix(): words_in(path) for path in sources()}
    assert {file: words for file, words in found.items() if words} == {**own, **OTHERS}


RULES = '''"""Kind tally: counts to a number."""

from typing import Annotated, Any

from pydantic import Field

from engine.blueprint.kinds.rules import AgentKind, Lack
from engine.blueprint.schema.strict import Strict


class TallySpec(Strict):
    """`spec` of kind tally."""

    up_to: Annotated[int, Field(ge=1)]


class Tally(AgentKind):
    """Counts."""

    name = "tally"
    aliases = ("abacus",)
    spec = TallySpec
    needs_timeout = True
    lacks = (Lack(("agents[].profile.model",), "it has no model", "leave it out"),)

    def describe(self, spec: Any) -> str:
        """Return how far it counts."""
        return f"to {spec['up_to']}"


KIND = Tally()
'''
SPAWNER = '''"""The kind tally."""

from blueprints.spawner import KindSpawner, need
from engine.run.attempt.outcomes import Outcome


class TallySpawner(KindSpawner):
    """Counts in the worker."""

    in_process = True
    pools_refused = {"solo": "nobody counts alone"}

    @classmethod
    def missing(cls, agents):
        """Yield who counts further than there are fingers."""
        for place, agent in agents:
            if agent.spec["up_to"] > 10:
                yield need(place, "too-few-fingers", "too far", "", agent)

    def run(self, call):
        """Return the sum."""
        return Outcome("passed", sum(range(call.agent.spec["up_to"] + 1)))
'''
LINE = '    "SPAWNERS": {\n        "tally": "workers.spawners.tally.TallySpawner",\n'
STEP = {
    "kind": "step",
    "ref": "a",
    "in": {"op": "path", "at": "$"},
    "out": {"op": "path", "at": "$.sum"},
}
AGENT = {"name": "a", "kind": "abacus", "spec": {"up_to": 4}}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the product with a kind more: two files and a line."""
    for floor in FLOORS:
        left_out = shutil.ignore_patterns("__pycache__", "samples")
        shutil.copytree(ROOT / floor, tmp_path / floor, ignore=left_out)
    shutil.copytree(ROOT / "blueprints/samples", tmp_path / "blueprints/samples")
    shutil.copy(ROOT / "manage.py", tmp_path)
    (tmp_path / "engine/blueprint/kinds/tally.py").write_text(RULES)
    (tmp_path / "workers/spawners/tally.py").write_text(SPAWNER)
    page = tmp_path / "swarm_project/settings.py"
    text = page.read_text(encoding="utf-8")
    assert text.count('    "SPAWNERS": {\n') == 1
    page.write_text(text.replace('    "SPAWNERS": {\n', LINE), encoding="utf-8")
    return tmp_path


def manage(checkout: Path, *args: str) -> Any:
    """Return the result of a command, or its JSON."""
    names = ("SWARM_REDIS_URL", "DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SWARM_VAR")
    env = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "manage.py", *args]
    done = subprocess.run(
        command, cwd=checkout, env=env, capture_output=True, text=True, timeout=60
    )
    if "--json" in args:
        return json.loads(done.stdout)
    return done


@pytest.mark.slow
def test_a_kind_more_is_two_files_and_a_line(checkout: Path) -> None:
    file = checkout / "sums.json"
    file.write_text(json.dumps({"id": "sums", "flow": STEP, "agents": [AGENT]}))

    facts = manage(checkout, "blueprint", "explain", str(file), "--json")["agents"][0]
    assert (facts["kind"], facts["queue"]) == ("tally", "swarm.tally")
    assert "to 4" in manage(checkout, "blueprint", "explain", str(file)).stdout
    found = manage(checkout, "blueprint", "doctor", str(file), "--json")
    assert found["runs_here"]
    assert [one["kind"] for one in found["diagnostics"]] == ["missing-timeout"]
    schema = json.dumps(manage(checkout, "blueprint", "schema", "--json"))
    assert '"TallySpec"' in schema
    assert '"abacus"' in schema
    refused = manage(checkout, "fleet", "--kind", "tally", "--pool", "solo")
    assert "nobody counts alone" in refused.stderr

    printed = manage(checkout, "run", str(file), "--json")
    assert (printed["status"], printed["ctx"]) == ("done", {"sum": 10})

    far = {**AGENT, "spec": {"up_to": 11}, "profile": {"model": "m"}}
    file.write_text(json.dumps({"id": "sums", "flow": STEP, "agents": [far]}))
    found = manage(checkout, "blueprint", "doctor", str(file), "--json")
    assert [one["kind"] for one in found["missing"]] == ["too-few-fingers"]
    kinds = {one["kind"] for one in found["diagnostics"]}
    assert kinds == {"missing-timeout", "not-in-effect-yet"}
