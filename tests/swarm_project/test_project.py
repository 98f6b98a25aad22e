"""The project of a process: its settings, its folder, and names that hide ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from swarm_project.project import (
    CODE,
    OURS,
    VARIABLE,
    choose_settings,
    project_folder,
    refuse_namesakes,
)

SWARM = Path(sys.executable).with_name("swarm")
OWN = "from swarm_project.settings import *\n"


def chosen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.chdir(folder)
    choose_settings()
    return os.environ[VARIABLE]


def in_settings(module: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a settings module and name it in the environment."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(OWN)
    root = file.parents[module.count(".") + (file.name == "__init__.py")]
    monkeypatch.syspath_prepend(str(root))
    monkeypatch.setenv(VARIABLE, module)


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the console script in a folder, in an environment that names no setting."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SWARM_") and name != VARIABLE
    }
    return subprocess.run(
        [SWARM, *words],
        cwd=folder,
        env={**kept, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_settings_of_the_working_directory_come_before_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(tmp_path, monkeypatch) == OURS
    (tmp_path / "swarm_settings.py").write_text(OWN)
    assert chosen(tmp_path, monkeypatch) == "swarm_settings"
    monkeypatch.setenv(VARIABLE, "shop.settings")
    choose_settings()
    assert os.environ[VARIABLE] == "shop.settings"


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("own_settings", "own_settings.py"),
        ("siteshop.settings", "siteshop/settings.py"),
        ("siteshop2.settings.dev", "siteshop2/settings/dev.py"),
        ("siteshop3.settings", "siteshop3/settings/__init__.py"),
    ],
)
def test_the_project_is_where_its_settings_are_imported_from(
    module: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_settings(module, tmp_path / "here" / file, monkeypatch)
    assert project_folder() == tmp_path / "here"


def test_our_own_settings_belong_to_the_checkout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, OURS)
    assert project_folder() == CODE
    assert (CODE / "pyproject.toml").is_file()


def test_installed_settings_belong_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages" / "installed_settings.py"
    in_settings("installed_settings", installed, monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert project_folder() == tmp_path


def test_a_namesake_of_our_packages_is_named(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    paths = [str(tmp_path)]
    # It is no package, so it hides nothing.
    refuse_namesakes(paths)
    (tmp_path / "engine" / "__init__.py").touch()
    with pytest.raises(ImproperlyConfigured, match="of a package of Swarm, 'engine'"):
        refuse_namesakes(paths)


@pytest.mark.slow
def test_var_is_beside_the_settings_of_the_project(tmp_path: Path) -> None:
    own = f"{OWN}print(SWARM_PROJECT_DIR, VAR_DIR)\nTIME_ZONE = 'Europe/Berlin'\n"
    (tmp_path / "swarm_settings.py").write_text(own)
    ended = run(tmp_path, "check")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[0] == f"{tmp_path} {tmp_path / 'var'}"
    assert (tmp_path / "var").stat().st_mode & 0o777 == 0o700

    ended = run(tmp_path, "check", SWARM_VAR=str(tmp_path / "elsewhere"))
    assert ended.stdout.splitlines()[0] == f"{tmp_path} {tmp_path / 'elsewhere'}"


def test_a_var_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    ended = run(tmp_path, "check", SWARM_VAR=str(tmp_path / "taken" / "var"))
    assert ended.returncode == 2
    assert ended.stderr == (
        f"{tmp_path / 'taken' / 'var'} can't be made or used (Not a directory):"
        " set SWARM_VAR to a folder of your own\n"
    )


@pytest.mark.slow
def test_the_console_script_names_itself_in_hints(tmp_path: Path) -> None:
    (tmp_path / "swarm_settings.py").write_text(OWN)
    ended = run(tmp_path, "doctor", UV="")
    assert "`swarm up`" in ended.stdout
    assert "manage.py" not in ended.stdout
    ended = run(tmp_path, "runs", "shwo", UV="/usr/bin/uv")
    uv = f"uv run --project {CODE}"
    assert ended.stderr.startswith(f"`{uv} swarm runs` has no verb 'shwo'; did you")


def test_a_namesake_in_the_project_is_told_at_start(tmp_path: Path) -> None:
    (tmp_path / "workers.py").touch()
    ended = run(tmp_path, "check")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"{tmp_path / 'workers.py'} has the name of a package of Swarm, 'workers', and"
        " one hides the other: give it another name\n"
    )
