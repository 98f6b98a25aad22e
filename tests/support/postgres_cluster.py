"""Starts a PostgreSQL cluster in a temporary directory, as a user it agrees to run as."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

MISSING = (
    "these tests need PostgreSQL's server programs (initdb, pg_ctl, psql):"
    " `apt-get install postgresql` puts them below /usr/lib/postgresql/*/bin"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that listens on a socket in `folder` only."""

    folder: Path
    programs: Path

    def start(self) -> None:
        """Start it."""
        options = "-c listen_addresses='' -c fsync=off"
        options += f" -c unix_socket_directories={self.folder}"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", self._data, "-l", log, "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop it at once, as a crash does."""
        self.run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def make(self) -> None:
        """Make its data."""
        self.run("initdb", "-D", self._data, "-U", "swarm", "-A", "trust", "-E", "UTF8")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def run(self, *command: str) -> None:
        """Run one of PostgreSQL's programs."""
        done = subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=90,
            check=False,
            **unprivileged(),
        )
        log = self.folder / "log"
        tail = log.read_text()[-2000:] if log.exists() else ""
        assert done.returncode == 0, f"{command[0]} failed: {done.stderr}\n{tail}"

    def database(self, name: str) -> str:
        """Make an empty database; its URL."""
        self.sql("postgres", f'CREATE DATABASE "{name}"')
        return f"postgres://swarm@{quote(str(self.folder), safe='')}/{name}"

    def sql(self, database: str, text: str) -> str:
        """Run a statement and return what psql prints, without decoration."""
        command = [str(self.programs / "psql"), "-h", str(self.folder), "-U", "swarm"]
        command += ["-d", database, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*command, "-c", text], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def programs() -> Path:
    """Return the folder of the newest server's programs."""
    found = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda folder: int(folder.parent.name),
    )
    if found:
        return found[-1]
    on_path = shutil.which("initdb")
    assert on_path, MISSING
    return Path(on_path).parent


def unprivileged() -> dict[str, int]:
    """Return the user to run as: PostgreSQL refuses root."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid}


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Make a cluster, start it, and leave nothing of it."""
    # Not pytest's own: that is closed to other users, and too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="swarm-pg-", dir="/tmp"))
    if who := unprivileged():
        os.chown(folder, who["user"], who["group"])
    made = Cluster(folder, programs())
    try:
        made.make()
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
