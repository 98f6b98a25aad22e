"""Swarm as an installed package: a project of its own, and one of Django's."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from command_shell import REPO

from blueprints.authoring.project import SCAFFOLD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GUIDE = (REPO / "docs" / "guides" / "your-own-project.md").read_text()
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARTS = ("engine", "blueprints", "workers", "swarm_project")


def fences(info: str) -> list[str]:
    """Return the blocks of the guide that are marked so."""
    return [text for marked, text in FENCE.findall(GUIDE) if marked == info]


def clean() -> dict[str, str]:
    """Return an environment without settings, where nothing but its own venv is found."""
    ours = ("SWARM_", "DJANGO_", "UV_PROJECT", "PYTHON", "VIRTUAL_ENV")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in ("UV", "DATABASE_URL")
    }


def do(words: Sequence[object], folder: Path) -> str:
    """Run a command to its end; return what it prints."""
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=clean(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def bin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of a new environment that has Swarm's wheel, as the lock wants it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        shutil.copy(REPO / name, source)
    for name in PARTS:
        shutil.copytree(
            REPO / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    uv = ["uv", "--quiet"]
    do([*uv, "build", "--wheel", "--out-dir", folder, source], folder)
    [wheel] = folder.glob("*.whl")
    locked = ["--locked", "--no-emit-project", "--no-hashes", "--extra", "test"]
    (folder / "locked.txt").write_text(do([*uv, "export", *locked], source))
    do([*uv, "venv", "--python", sys.executable, folder / "env"], folder)
    python = folder / "env" / "bin" / "python"
    # pytest of the lock too, but none of what our own tests need besides.
    given = ["--constraint", "locked.txt", wheel, "pytest"]
    do([*uv, "pip", "install", "--python", python, *given], folder)
    yield python.parent
    assert not list(python.parents[1].glob("lib/*/site-packages/var"))


def test_a_new_project_runs_and_tests_its_flow(bin: Path, tmp_path: Path) -> None:
    made = do([bin / "swarm", "init", "shop"], tmp_path)
    # This environment is not activated.
    assert made.endswith(f"try it: cd shop && {bin / 'swarm'} run flow.yaml\n")
    # Making a project leaves nothing beside it.
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
    shop = tmp_path / "shop"
    listed = {line.strip() for line in made.splitlines()[1:-2]}
    assert listed == {path.name for path in shop.iterdir()}
    # The wheel has them all, hidden ones too.
    assert len(listed) == len(list(SCAFFOLD.iterdir()))

    final = json.loads(do([bin / "swarm", "run", "flow.yaml"], shop))
    assert (final["good"], final["result"]["words"]) == (True, 42)
    assert json.loads(do([bin / "swarm", "run", "flow.py"], shop)) == final
    assert (shop / "var" / "db.sqlite3").is_file()
    assert "done    flow" in do([bin / "swarm", "runs", "list"], shop)
    assert " passed" in do([bin / "python", "-m", "pytest", "-q"], shop)


def test_an_existing_project_of_django_runs_a_flow(bin: Path, tmp_path: Path) -> None:
    do([bin / "django-admin", "startproject", "site1", "."], tmp_path)
    settings = tmp_path / "site1" / "settings.py"
    first, apps = fences("python settings")
    text = settings.read_text().replace("from pathlib", f"{first}\nfrom pathlib")
    settings.write_text(f"{text}\n{apps}")
    [functions], [flow] = fences("python shop/agents.py"), fences("yaml flow.yaml")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "agents.py").write_text(functions)
    (tmp_path / "flow.yaml").write_text(flow)

    do([bin / "python", "manage.py", "check", "--fail-level", "WARNING"], tmp_path)
    final = json.loads(do([bin / "python", "manage.py", "run", "flow.yaml"], tmp_path))
    assert final["kind"] == "book"
    assert (tmp_path / "db.sqlite3").is_file()
    assert (tmp_path / "var" / "secret_key").is_file()


def test_what_an_existing_project_lacks_is_a_check(bin: Path, tmp_path: Path) -> None:
    do([bin / "django-admin", "startproject", "site2", "."], tmp_path)
    settings = tmp_path / "site2" / "settings.py"
    _, apps = fences("python settings")
    settings.write_text(f"{settings.read_text()}\n{apps}")
    for command in ("check", "run", "fleet", "doctor"):
        ended = subprocess.run(
            [bin / "python", "manage.py", command],
            cwd=tmp_path,
            env=clean(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode != 0
        assert "does not have the settings of Swarm" in ended.stderr
        assert "Traceback" not in ended.stderr
