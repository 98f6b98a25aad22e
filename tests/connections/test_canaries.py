"""Canaries for secrets: everything a worker, its steward, a server and commands print."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest
from command_shell import REPO, Shell
from redis_servers import HOST, Servers, free_port, listens
from store_boxes import TEMPLATE
from waiting import until

from engine.store.redis import RedisStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

REDIS = "canary/of redis"
DATABASE = "canary/of database"
KEY = "canary of Django, long enough to be taken for a secret one, and then some"
ENCODED = [quote(secret, safe="") for secret in (REDIS, DATABASE)]


class Told:
    """What processes have printed."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env
        self.files: list[Path] = []

    def start(self, *words: str, **env: str) -> subprocess.Popen[bytes]:
        """Start a process whose output is kept."""
        self.files.append(self.folder / f"told-{len(self.files)}")
        with open(self.files[-1], "wb") as out:
            return subprocess.Popen(
                [sys.executable, *words],
                cwd=REPO,
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def run(self, *words: str, **env: str) -> int:
        """Run a process to its end; its exit code."""
        return self.start(*words, **env).wait(90)

    def last(self) -> str:
        """Return what the last one has printed."""
        return self.files[-1].read_text()


@pytest.fixture
def told(made: Servers, shell: Shell) -> Told:
    """A Redis with a password, and a database that does not answer."""
    port = free_port()
    made.start(port, [f'requirepass "{REDIS}"'])
    env = {
        **shell.env,
        "SWARM_REDIS_URL": f"redis://:{ENCODED[0]}@{HOST}:{port}/0",
        "DATABASE_URL": f"postgres://swarm:{ENCODED[1]}@{HOST}:{free_port()}/swarm",
        "SWARM_SECRET_KEY": KEY,
        "SWARM_LOG_LEVEL": "DEBUG",
        "REDIS_PORT": str(port),
    }
    return Told(shell.var, env)


def get(port: int, path: str, **headers: str) -> str:
    """Ask a web server for a page, whatever its status."""
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())


def test_no_secret_is_printed_by_anything(told: Told, made: Servers) -> None:
    port = int(told.env["REDIS_PORT"])
    # A worker without a database starts on a Redis that another one has compared with it.
    store = RedisStore(told.env["SWARM_REDIS_URL"], template=TEMPLATE)
    store.reconcile(store.standing().server, "epoch", "installation")
    store.wire.close()
    # A worker that says all it can, with a steward that has no database.
    worker = told.start(
        *("-m", "celery", "-A", "swarm_project", "worker", "-l", "DEBUG"),
        *("-Q", "swarm.python_fn", "-c", "1"),
    )
    log = told.files[-1]
    try:
        until(lambda: "steward: " in log.read_text(), 60, "the steward is silent")
        ask = ("-m", "celery", "-A", "swarm_project")
        assert told.run(*ask, "inspect", "conf", "--timeout", "5") == 0, told.last()
        assert f"redis://{HOST}:{port}/0" in told.last()
        assert told.run(*ask, "report") == 0
        assert told.run("manage.py", "doctor") == 1
        assert f"at redis://{HOST}:{port}/0" in told.last()
        assert told.run("manage.py", "check", "--deploy") == 0
        assert told.run("manage.py", "run", "blueprints/samples/pure-ctx.json") == 2
        # Redis goes away under the worker.
        made.kill(port)
        until(lambda: "Cannot connect to redis://" in log.read_text(), 60, "no retry")
    finally:
        os.killpg(worker.pid, 9)
        worker.wait()
    for url in (
        f"redis://:{REDIS}@{HOST}:1/0",
        f"redis://:{ENCODED[0]}@{HOST}:1/0",
        f"redis://:{ENCODED[0]}@{HOST}:{REDIS}/0",
    ):
        for command in (("manage.py", "doctor"), (*ask, "report")):
            told.run(*command, SWARM_REDIS_URL=url)
    for url in (
        f"postgres://swarm:{DATABASE}@{HOST}/d",
        f"postgres://swarm:{ENCODED[1]}@{HOST}:{DATABASE}/d",
        f"nosql://swarm:{ENCODED[1]}@{HOST}/d",
    ):
        assert told.run("manage.py", "check", DATABASE_URL=url) == 2
    pages = [page for debug in "01" for page in served(told, debug)]

    assert "DisallowedHost" in pages[2]
    for text in (*pages, *(path.read_text() for path in told.files)):
        found = text.find("canary")
        assert found < 0, text[max(0, found - 500) : found + 100]


def served(told: Told, debug: str) -> list[str]:
    """Return pages of a web server: for a foreign host, and with an error."""
    port = free_port()
    server = told.start(
        *("-m", "uvicorn", "swarm_project.asgi:application", "--port", str(port)),
        SWARM_DEBUG=debug,
    )
    try:
        until(lambda: listens(port), 30, "no web server")
        # Without a database the login page ends in an error.
        return [
            get(port, "/admin/", Host="evil.example"),
            get(port, "/admin/", Cookie="sessionid=abc"),
        ]
    finally:
        os.killpg(server.pid, 9)
        server.wait()
