"""Outputs in files whose writer is killed, or whose disk is full."""

import os
import random
import stat
import subprocess
import sys
import time
from pathlib import Path

from blueprints.stores.outputs.files import FileOutputs
from engine.output_store import name_of

ROOT = Path(__file__).resolve().parents[3]
KILLS = 12


def writer(folder: Path, most: int = 0) -> subprocess.Popen[str]:
    script = ROOT / "tests" / "support" / "output_writer.py"
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(most)],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.isolated_settings",
        },
    )


def test_a_killed_put_leaves_a_whole_content_or_none(tmp_path: Path) -> None:
    store, draw = FileOutputs(tmp_path), random.Random(13)
    told: set[str] = set()
    drafts = 0
    for _ in range(KILLS):
        process = writer(tmp_path)
        assert process.stdout is not None
        told.add(process.stdout.readline().strip())
        time.sleep(draw.uniform(0, 0.02))
        process.kill()
        told |= set(process.communicate()[0].split())
        drafts += len(list(tmp_path.rglob("draft")))

        listed = [name for name, _ in store.stamps("")]
        assert told <= set(listed)
        assert all(name_of(store.get(name)) == name for name in listed)
        assert list(tmp_path.rglob("draft")) == []
    # Without a put that was cut off this would show nothing.
    assert drafts > 0


def test_a_full_disk_is_told_and_keeps_nothing_of_the_content(tmp_path: Path) -> None:
    out, _ = writer(tmp_path, most=100_000).communicate(timeout=60)

    assert out == f"the outputs in {tmp_path} can't be written (File too large)\n"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["lock"]


def test_a_put_mends_a_content_that_was_cut(tmp_path: Path) -> None:
    store = FileOutputs(tmp_path)
    name = store.put(b"[1,2,3]")
    (path,) = tmp_path.glob(f"*/{name}")
    path.write_bytes(b"[1")
    assert store.put(b"[1,2,3]") == name
    assert store.get(name) == b"[1,2,3]"


def test_contents_are_for_their_owner_alone(tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    FileOutputs(root).put(b"[]")

    modes = {stat.S_IMODE(path.stat().st_mode) for path in [root, *root.iterdir()]}
    assert modes == {0o700}
    files = {stat.S_IMODE(path.stat().st_mode) for path in root.glob("*/*")}
    assert files == {0o600}


def test_it_knows_the_room_of_its_file_system(tmp_path: Path) -> None:
    store = FileOutputs(tmp_path / "outputs")
    assert store.room() is None
    store.put(b"[]")
    free = os.statvfs(tmp_path)
    most = free.f_blocks * free.f_frsize
    room = store.room()
    assert room is not None
    assert 0 < room < most
