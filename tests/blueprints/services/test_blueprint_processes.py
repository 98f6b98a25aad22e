"""Processes that change Blueprints at once, and processes that are killed meanwhile."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forking_process import ForkingProcess, forking_process

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
SUPPORT = ROOT / "tests" / "support"
# What the commands and changes below import.
MODULES = ("dying_changes", "blueprints.management.commands.blueprint")
WRITERS, EACH = 4, 60
CHANGES = ("register", "rollback", "alias", "archive")
POINTS = (
    "before the note",
    "before the store",
    "after the store",
    "among the rows",
    "before the end",
)


class Installation:
    """A database and a repository of their own, which only processes use."""

    def __init__(self, folder: Path, processes: ForkingProcess) -> None:
        self.repository = folder / "kept.git"
        self.start = processes.start
        self.manage("migrate", "-v", "0")

    def manage(self, *words: str) -> str:
        process = self.start("manage.py", *words)
        assert process.wait() == 0, process.err
        return process.out

    def end_of(self, *words: str) -> int:
        """Return how the process of a change ended."""
        return self.start(str(SUPPORT / "dying_changes.py"), *words).wait()

    def told(self, *words: str) -> Any:
        return json.loads(self.manage("blueprint", *words, "--json"))

    def check(self, id: str) -> list[int]:
        """Return the numbers of a history, whose index and repository are sound."""
        page = self.told("history", id, "--limit", "999")
        assert self.told("reindex")["differences"] == []
        git = [
            "git",
            "--git-dir",
            str(self.repository),
            "fsck",
            "--strict",
            "--no-dangling",
        ]
        assert subprocess.run(git, check=True, capture_output=True).stdout == b""
        return [row["number"] for row in page["items"]]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    environ = {
        **os.environ,
        "SWARM_VAR": str(tmp_path / "var"),
        "SWARM_BLUEPRINTS": str(tmp_path / "kept.git"),
        "DJANGO_SETTINGS_MODULE": "swarm_project.settings",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)]),
    }
    environ.pop("DATABASE_URL", None)
    with forking_process(ROOT, environ, tmp_path, *MODULES) as processes:
        yield Installation(tmp_path, processes)


@pytest.mark.timeout(600)
def test_s9_processes_that_write_at_once_lose_nothing(
    installation: Installation,
) -> None:
    writers = [
        installation.start(
            str(SUPPORT / "many_registrations.py"), f"w{n}", id, str(EACH)
        )
        for n in range(WRITERS)
        for id in ("mail", "own")
    ]
    for writer in writers:
        assert writer.wait() == 0, writer.err

    assert installation.check("mail") == list(range(WRITERS * EACH, 0, -1))
    for number in range(WRITERS):
        assert installation.check(f"w{number}") == list(range(EACH, 0, -1))
    messages = {
        row["message"]
        for row in installation.told("history", "mail", "--limit", "999")["items"]
    }
    assert len(messages) == WRITERS * EACH


@pytest.mark.timeout(600)
@pytest.mark.parametrize("change", CHANGES)
def test_a_process_killed_at_any_point_leaves_a_sound_index(
    installation: Installation, change: str
) -> None:
    for number in range(2):
        assert installation.end_of("register", "never", f"first {number}") == 0
    before = installation.told("show", "mail")
    for point in POINTS:
        assert installation.end_of(change, point, point) == -signal.SIGKILL

        after = installation.told("show", "mail")
        made = point not in ("before the note", "before the store")
        assert (after["events"] != before["events"]) == made, point
        if made:
            assert after["events"][0]["reason"] == f"Change {point}"
        if change in ("register", "rollback"):
            assert after["number"] == before["number"] + made, point
        was_set = point.replace(" ", "-") in after["aliases"]
        assert was_set == (change == "alias" and made)
        assert after["archived"] == (change == "archive" and made)
        before = after
        if after["archived"]:
            installation.manage("blueprint", "unarchive", "mail", "-m", "Once more")
            before = installation.told("show", "mail")
    installation.check("mail")
