"""A child process that searches for its worker's environment; with real processes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workers.process
from blueprints import child_programs
from workers.process import posix

CANARY = "canary-of-the-worker"
NOBODY = 65534

# Climbs up its parents; prints the pid of each and whether it showed the secret.
CLIMBER = f"""
import json, os
def sees(path, start=None):
    try:
        with open(path, "rb") as file:
            if start is not None:
                file.seek(start)
            return {CANARY!r}.encode() in file.read(1 << 20)
    except OSError:
        return False
def stack(pid):
    try:
        for line in open(f"/proc/{{pid}}/maps"):
            if "[stack]" in line:
                return int(line.partition("-")[2].split()[0], 16) - (1 << 17)
    except OSError:
        return None
def parent(pid):
    return int(open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[1])
pid, told = os.getppid(), {{}}
while pid > 1:
    at = stack(pid)
    told[pid] = [sees(f"/proc/{{pid}}/environ"), at and sees(f"/proc/{{pid}}/mem", at)]
    pid = parent(pid)
print(json.dumps(told))
"""

# A worker as its child processes see it: a main process, and a pool's child below it.
WORKER = """
import os, sys
from workers.process.job import ChildLimits, environment
from workers.process.posix import hide
from workers.process.runner import ProcessRunner
if sys.argv[1] == "hidden":
    hide()
assert "KEY" in os.environ
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
    sys.exit()
runner = ProcessRunner()
done = runner.run(
    [sys.executable, "-I", "-S", "-c", sys.argv[2]], stdin=None, env=environment(),
    cwd=None, timeout=20.0, max_output=1 << 20, limits=ChildLimits(),
)
runner.close()
sys.stdout.buffer.write(b"%d %d %s" % (os.getppid(), os.getpid(), done.stdout))
sys.stderr.buffer.write(done.stderr)
"""


@pytest.fixture
def house() -> Iterator[Path]:
    """Our code where every user can read it."""
    place = Path("/tmp") / f"swarm-privacy-{os.getpid()}"
    source = Path(workers.process.__file__).parent
    shutil.copytree(source, place / "workers" / "process")
    (place / "workers" / "__init__.py").touch()
    (place / "blueprints").mkdir()
    (place / "blueprints" / "__init__.py").touch()
    shutil.copy(child_programs.__file__, place / "blueprints")
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def users() -> list[tuple[str, int | None]]:
    """Return interpreters and the users to run them as: ourselves, and one who is not root."""
    found: list[tuple[str, int | None]] = [(sys.executable, None)]
    system = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if os.geteuid() == 0 and system:
        found.append((system, NOBODY))
    return found


def climbed(house: Path, python: str, user: int | None, how: str) -> Any:
    """Run a worker that was *started* with a secret; what its child saw, by who it is."""
    done = subprocess.run(
        [python, "-c", WORKER, how, CLIMBER],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(house), "KEY": CANARY},
        cwd="/",
        user=user,
        group=user,
        extra_groups=[] if user else None,
        capture_output=True,
        timeout=60,
        check=True,
    )
    main, child, told = done.stdout.split(maxsplit=2)
    seen = json.loads(told)
    assert len(seen) >= 4, "launcher, its guard, the pool's child, the worker"
    return seen[main.decode()], seen[child.decode()]


@pytest.mark.parametrize(("python", "user"), users())
def test_a_child_finds_no_secret_of_its_worker_in_its_parents(
    house: Path, python: str, user: int | None
) -> None:
    for seen in climbed(house, python, user, "hidden"):
        assert not any(seen)
    # Where it is not hidden it is found, so the above can fail; root's child has given
    # up the rights that this takes.
    is_root = user is None and os.geteuid() == 0
    for seen in climbed(house, python, user, "open"):
        assert any(seen) is not is_root


@pytest.mark.parametrize(
    ("mounts", "hides"),
    [
        ("proc /proc proc rw,nosuid,relatime 0 0\n", False),
        ("proc /proc proc rw,hidepid=2 0 0\n", True),
        ("proc /proc proc rw,hidepid=invisible,gid=4 0 0\n", True),
        ("proc /proc proc rw,hidepid=0 0 0\n", False),
        ("proc /x proc rw,hidepid=2 0 0\n", False),
        ("proc /proc proc rw,hidepid=2 0 0\nproc /proc proc rw 0 0\n", False),
        ("", False),
    ],
)
def test_a_proc_that_hides_processes_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mounts: str, hides: bool
) -> None:
    (tmp_path / "mounts").write_text(mounts)
    monkeypatch.setattr(posix, "MOUNTS", tmp_path / "mounts")
    assert posix.proc_hides() is hides
