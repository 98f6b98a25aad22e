"""`swarm init`: files of a project, and nothing overwritten."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_shell import REPO

from blueprints.authoring.project import SCAFFOLD
from blueprints.conf import spawner_kinds
from blueprints.loaders.blueprint import load_blueprint
from engine.blueprint import lint_blueprint

SWARM = Path(sys.executable).with_name("swarm")


def init(folder: str, here: Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{SWARM.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [SWARM, "init", folder],
        cwd=here,
        env=os.environ | {"PATH": path, "UV": ""} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_folder_that_exists_is_filled_and_no_file_is_changed(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    ended = init(".", tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("try it: cd . && swarm run flow.yaml\n")
    assert (tmp_path / "notes.txt").read_text() == "mine"

    (tmp_path / "agents.py").write_text("mine")
    (tmp_path / "flow.yaml").unlink()
    ended = init(str(tmp_path), tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "exists already, and nothing was written" in ended.stderr
    assert (tmp_path / "agents.py").read_text() == "mine"
    assert not (tmp_path / "flow.yaml").exists()


def test_the_lines_to_try_work_where_uv_started_it(tmp_path: Path) -> None:
    ended = init("my shop", tmp_path, UV="/usr/bin/uv")
    uv = f"cd 'my shop' && uv run --project {shlex.quote(str(REPO))}"
    assert ended.stdout.splitlines()[-2:] == [
        f"test it: {uv} --extra test pytest",
        f"try it: {uv} swarm run flow.yaml",
    ]


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    ended = init("taken", tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "CommandError: taken: can't be made: File exists\n"


def test_the_flow_of_a_new_project_has_no_findings() -> None:
    report = lint_blueprint(
        load_blueprint(SCAFFOLD / "flow.yaml").document, kinds=spawner_kinds()
    )
    assert [str(one) for one in report.diagnostics] == []


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    ended = init("taken/shop", tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "can't be made: Not a directory" in ended.stderr


@pytest.mark.slow
def test_the_compose_file_has_a_worker_and_a_web_server(tmp_path: Path) -> None:
    init("shop", tmp_path)
    services = yaml.safe_load((tmp_path / "shop" / "compose.yaml").read_text())[
        "services"
    ]
    words = services["worker"]["command"].split()
    assert words[:2] == ["/env/bin/swarm", "fleet"]
    kinds = words[words.index("--kind") + 1].split(",")
    assert set(kinds) <= set(spawner_kinds())
    assert services["web"]["command"].split()[:2] == ["/env/bin/swarm", "web"]
    for name in ("worker", "web"):
        kept = services[name]["environment"]["SWARM_BLUEPRINTS"]
        assert f"blueprints:{kept.rpartition('/')[0]}" in services[name]["volumes"]
