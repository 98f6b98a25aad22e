"""Several processes with one repository, and processes that are killed while they write."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from store_contents import ADA, content

from blueprints.stores.git.store import GitBlueprintStore
from engine.blueprint_store import StoreUnusable

ROOT = Path(__file__).resolve().parents[3]
SUPPORT = ROOT / "tests" / "support"
PROCESSES = 4
COMMITS = 60


def started(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join((str(ROOT), str(SUPPORT)))
    return subprocess.Popen(
        [sys.executable, str(SUPPORT / script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def answer(process: subprocess.Popen[bytes]) -> Any:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err.decode()
    return orjson.loads(out)


def check_sound(path: Path) -> None:
    done = subprocess.run(
        ["git", "-C", str(path), "fsck", "--strict", "--full", "--no-dangling"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "ids", [["mail"], [f"mail-{number}" for number in range(12)]], ids=["one", "many"]
)
def test_several_processes_lose_nothing(tmp_path: Path, ids: list[str]) -> None:
    path = tmp_path / "blueprints.git"
    writers = [
        started("blueprint_writer.py", str(path), f"w{me}", str(COMMITS), *ids)
        for me in range(PROCESSES)
    ]
    answers = [answer(writer) for writer in writers]
    store = GitBlueprintStore(path)
    assert store.ids() == sorted(ids)
    for id in ids:
        made = [commit for one in answers for commit in one["made"][id]]
        history = list(store.walk(id))
        assert [one.number for one in history] == list(range(len(made), 0, -1))
        assert sorted(one.id for one in history) == sorted(made)
        assert len(store.standing(id).aliases) == PROCESSES
        head = history[0]
        assert store.read(id, head.id) == content(id, head.message)
    if len(ids) == 1:
        # Without conflicts this would show nothing.
        assert sum(one["conflicts"] for one in answers) > 0
    check_sound(path)
    clone = tmp_path / "clone"
    command = ["git", "clone", "--quiet", "--branch", ids[-1], str(path), str(clone)]
    subprocess.run(command, check=True)
    assert orjson.loads((clone / "blueprint.json").read_bytes())["id"] == ids[-1]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("how", ["points", "times"])
def test_a_killed_writer_leaves_a_sound_repository(tmp_path: Path, how: str) -> None:
    path = tmp_path / "blueprints.git"
    found = answer(started("blueprint_deaths.py", how, str(path), "1"))
    assert found["wrong"] == []
    assert min(found["died"].values()) > 20
    check_sound(path)


FULL = """
import json, resource, signal, sys
from pathlib import Path
from blueprints.stores.git.store import GitBlueprintStore
from engine.blueprint_store import StoreUnusable
from store_contents import ADA, content
store = GitBlueprintStore(Path(sys.argv[1]))
store.standing("mail")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    store.commit("mail", content(text="B"), author=ADA, message="B")
except StoreUnusable as error:
    print(json.dumps(str(error)))
else:
    print(json.dumps("done"))
"""


@pytest.mark.slow
def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "blueprints.git"
    store = GitBlueprintStore(path)
    first = store.commit("mail", content(text="A"), author=ADA, message="A").commit
    texts = set()
    support = os.pathsep.join((str(ROOT), str(SUPPORT)))
    for most in (0, 10, 60, 120, 200, 260, 300, 350, 100_000):
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(path), str(most)],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": support},
        )
        assert done.returncode == 0, done.stderr.decode()
        text = orjson.loads(done.stdout)
        texts.add(text.partition(":")[2].partition("(")[0].strip())
        if text == "done":
            break
        assert text.startswith(f"The Blueprints in {path} can't be written: ")
        # What was there is there, and the next writer finds no lock.
        assert store.standing("mail").head == first
        check_sound(path)
    assert text == "done"
    assert "a file would be larger than this process may write" in texts
    assert store.standing("mail").head.parent == first.id


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = GitBlueprintStore(tmp_path / "file" / "blueprints.git")
    with pytest.raises(StoreUnusable, match="can't be opened"):
        store.commit("mail", content(), author=ADA, message="Begin")
