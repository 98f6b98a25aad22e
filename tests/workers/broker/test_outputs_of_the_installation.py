"""Every process of an installation sees the same outputs, or says what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from rig import Rig, step

from blueprints.conf import output_store
from blueprints.services.outputs import (
    OutputsElsewhere,
    adopt_outputs,
    check_outputs,
    outputs_probe,
)
from engine.output_store import OutputMissing
from workers.broker.transport import state_url
from workers.doctor.outputs import findings
from workers.runs.launch import LaunchRefused

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[3]
WAYS_OUT = ("same shared folder", "`s3://BUCKET/PREFIX`", "doctor --adopt-outputs")


@pytest.fixture
def here(settings: Any, tmp_path: Path) -> Path:
    """The folder of this host's outputs."""
    settings.VAR_DIR = tmp_path / "here"
    return Path(tmp_path / "here" / "outputs")


def test_the_first_process_puts_a_content_that_the_others_read(here: Path) -> None:
    assert outputs_probe() == ""

    check_outputs()
    probe = outputs_probe()
    check_outputs()

    assert outputs_probe() == probe
    assert [name for name, _ in output_store().stamps("")] == [probe]


def test_a_host_with_files_of_its_own_is_told_what_to_do(
    here: Path, settings: Any, tmp_path: Path
) -> None:
    check_outputs()
    settings.VAR_DIR = tmp_path / "there"

    with pytest.raises(OutputsElsewhere) as refused:
        check_outputs()

    assert f"{tmp_path}/there/outputs lacks the content" in str(refused.value)
    assert all(way in str(refused.value) for way in WAYS_OUT)
    # It has not made itself a store of its own.
    assert not Path(tmp_path, "there", "outputs").exists()


def test_outputs_that_were_moved_are_adopted(
    here: Path, settings: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_outputs()
    name = output_store().put(b"[]")
    settings.SWARM_OUTPUTS = str(tmp_path / "there")
    shutil.copytree(here, tmp_path / "there", ignore=lambda *_: {outputs_probe()})
    with pytest.raises(OutputsElsewhere):
        check_outputs()

    call_command("doctor", "--adopt-outputs")

    said = capsys.readouterr().out
    assert said == f"The outputs of this installation are now in {tmp_path}/there.\n"
    check_outputs()
    assert output_store().get(name) == b"[]"


def test_nothing_is_launched_where_no_worker_would_find_it(
    rig: Rig, settings: Any, tmp_path: Path
) -> None:
    rig.launch(step())
    settings.VAR_DIR = tmp_path / "there"

    with pytest.raises(LaunchRefused, match="does not see the outputs"):
        rig.launch(step())


def test_doctor_tells_where_outputs_are_and_who_sees_them(
    here: Path, settings: Any, tmp_path: Path
) -> None:
    [new] = findings()
    assert (new.level, "nothing yet in" in new.text) == ("ok", True)
    assert not here.exists()

    check_outputs()
    [known] = findings()
    assert known.level == "ok"
    assert known.text.startswith(f"this host sees them: {here}, on ")

    settings.SWARM_OUTPUTS = "database"
    [other] = findings()
    assert other.level == "fail"
    assert other.text.startswith("this host does not see the outputs")
    assert all(way in other.hint for way in WAYS_OUT)
    adopt_outputs()
    [adopted] = findings()
    assert adopted.text == (
        "this host sees them: the database, seen by every host of this database"
    )


def test_doctor_says_why_outputs_are_away(here: Path) -> None:
    check_outputs()
    folder = here / outputs_probe()[:2]
    shutil.rmtree(folder)
    folder.write_text("no folder")

    [away] = findings()

    assert away.level == "fail"
    assert away.text == f"the outputs in {here} can't be read (Not a directory)"


def test_two_first_processes_agree_on_one_content(here: Path) -> None:
    check_outputs()
    first = outputs_probe()

    adopt_outputs()

    assert outputs_probe() != first
    with pytest.raises(OutputMissing):
        output_store().get("0" * 64)


@pytest.mark.slow
def test_a_worker_on_a_second_host_takes_no_steps(rig: Rig, tmp_path: Path) -> None:
    def env(var: str) -> dict[str, str]:
        return {
            **os.environ,
            "SWARM_VAR": str(tmp_path / var),
            "DATABASE_URL": f"sqlite:///{tmp_path}/shared.sqlite3",
            "SWARM_REDIS_URL": state_url().url,
            "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
        }

    def manage(var: str, *args: str) -> None:
        command = [sys.executable, "manage.py", *args]
        subprocess.run(command, env=env(var), cwd=ROOT, check=True, timeout=60)

    manage("one", "migrate", "--verbosity", "0")
    manage("one", "doctor", "--adopt-outputs")
    worker = [sys.executable, "-m", "celery", "-A", "swarm_project", "worker"]
    ended = subprocess.run(
        [*worker, "-c", "1", "-Q", "swarm.python_fn", "-l", "WARNING"],
        env=env("two"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 2, ended.stderr
    assert "this host does not see the outputs" in ended.stderr
    assert all(way in ended.stderr for way in WAYS_OUT)
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_worker_waits_for_outputs_that_are_away_and_starts_when_they_are_back(
    rig: Rig, tmp_path: Path
) -> None:
    root = tmp_path / "var" / "outputs"
    env = {
        **os.environ,
        "SWARM_VAR": str(tmp_path / "var"),
        "SWARM_REDIS_URL": state_url().url,
        "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
    }
    root.parent.mkdir(mode=0o700)
    root.write_text("no folder")
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, env=env, cwd=ROOT, check=True, timeout=60)
    worker = [sys.executable, "-m", "celery", "-A", "swarm_project", "worker"]
    process = subprocess.Popen(
        [*worker, "-c", "1", "-Q", "swarm.python_fn", "-l", "INFO"],
        env=env,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        why = f"takes no steps: the outputs in {root} can't be written (File exists)"
        lines = iter(process.stderr)
        assert any(why in line for line in lines)
        root.unlink()
        assert any("ready." in line for line in lines)
    finally:
        process.terminate()
        process.communicate(timeout=60)
