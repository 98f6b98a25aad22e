"""The guide to Blueprints: its parts lint clean, and its examples give what it shows."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from blueprints.conf import spawner_class
from blueprints.loaders.yaml_text import load_yaml
from engine.blueprint import LintOptions, compile_blueprint, lint_blueprint
from engine.blueprint.analysis.flow_walk import walk_nodes
from workers.pytest_plugin import MakeSimulator

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "guides" / "write-a-blueprint.md").read_text()
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCES = [(found[1], found[2]) for found in FENCE.finditer(TEXT)]
EMPTY: Any = {"kind": "seq", "children": []}


def fenced(*infos: str) -> list[tuple[str, str]]:
    return [(info, text) for info, text in FENCES if info in infos]


def around(info: str, text: str) -> Any:
    """Return a document with a part or a node of the guide in it."""
    found: Any = load_yaml(text.encode())
    if info == "yaml blueprint":
        return found
    if info == "yaml part":
        return {"id": "guide", "dialect": "swarm", "flow": EMPTY, **found}
    steps = [spot for spot in walk_nodes(found) if spot.kind == "step"]
    dialect = "flow.ir" if info.endswith("flow.ir") else "swarm"
    word = "ref" if dialect == "flow.ir" else "agent"
    names = {spot.node[word] for spot in steps}
    agents = [
        {"name": name, "kind": "python_fn", "spec": {"fn_id": "identity"}}
        for name in sorted(names)
    ]
    return {"id": "guide", "dialect": dialect, "flow": found, "agents": agents}


@pytest.mark.parametrize(
    ("info", "text"),
    fenced("yaml blueprint", "yaml node", "yaml node flow.ir", "yaml part"),
)
def test_what_the_guide_shows_compiles_and_lints_clean(info: str, text: str) -> None:
    document = around(info, text)
    allowed = LintOptions(lints={"not-in-effect-yet": "allow"})
    report = lint_blueprint(document, options=allowed)
    assert report.verdict == "OK", [str(found) for found in report.diagnostics]
    assert compile_blueprint(document).flow


def test_every_yaml_of_the_guide_has_its_kind() -> None:
    known = {"yaml blueprint", "yaml node", "yaml node flow.ir", "yaml part"}
    assert {info for info, _ in FENCES if info.startswith("yaml")} == known
    words = {load_yaml(text.encode())["kind"] for _, text in fenced("yaml node")}
    assert words == {"seq", "branch", "loop", "fanout", "try"}


def test_the_whole_example_gives_what_the_guide_shows(
    swarm_simulator: MakeSimulator,
) -> None:
    text = next(t for _, t in fenced("yaml blueprint") if t.startswith("id: revise"))
    shown = json.loads(fenced("json result")[-1][1])
    program = compile_blueprint(load_yaml(text.encode()), kinds=["lua"])
    spawner = spawner_class("lua")()
    simulator = swarm_simulator({"lua": spawner})
    try:
        simulator.launch(program, program.default_init_ctx)
        assert simulator.run().status == "done"
    finally:
        spawner.close()
    assert simulator.final() == shown


def test_the_test_that_the_guide_shows_passes(swarm_simulator: MakeSimulator) -> None:
    [(_, conftest)], [(_, text)] = fenced("python conftest"), fenced("python test")
    assert "workers.pytest_plugin" in conftest
    shown: dict[str, Any] = {}
    exec(compile(text, "the guide", "exec"), shown)
    shown["test_a_good_draft_passes"](swarm_simulator)


def test_every_sample_that_the_guide_names_is_there() -> None:
    section = TEXT.partition("\n## Samples\n")[2].partition("\n## ")[0]
    table = section.partition("| example of")[2]
    named = set(re.findall(r"`([^`]+)`", table))
    samples = ROOT / "blueprints" / "samples"
    there = {
        path.name
        for form in ("*.json", "*.yaml", "*.bp.lua")
        for path in samples.glob(form)
    }
    there |= {path.parent.name for path in samples.glob("*/blueprint.*")}
    assert named == there
