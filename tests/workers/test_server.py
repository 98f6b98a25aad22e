"""The embedded Valkey: started once, adopted, restarted, stopped by its last holder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from kombu import Connection

from swarm_project.env import redis_address
from workers.server import (
    ServerInfo,
    ServerUnavailable,
    acquire,
    embedded_server,
    ensure_server,
    read_server_info,
    release_server,
    stop_server,
)
from workers.server_files import (
    NOWHERE,
    SOCKET_PATH_MAX,
    Paths,
    is_locked,
    locker_pid,
)
from workers.server_supervisor import probe

ROOT = Path(__file__).resolve().parents[2]

# A command of the same checkout: holds the server until its stdin ends.
COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from workers.server import embedded_server
with embedded_server(Path(sys.argv[2]), idle=float(sys.argv[3])) as info:
    print(info.url, info.pid, info.adopted, flush=True)
    sys.stdin.read()
"""


class Command:
    """One such process."""

    def __init__(self, var: Path, idle: float = 30) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(ROOT), str(var), str(idle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> tuple[str, int, bool]:
        assert self.process.stdout is not None
        url, pid, adopted = self.process.stdout.readline().split()
        return url, int(pid), adopted == "True"

    def end(self, *, kill: bool = False) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if kill:
            self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


def mentioning(text: str) -> list[str]:
    """Lists the processes (but this one) that have `text` in their command line."""
    found = []
    for line in subprocess.check_output(
        ["ps", "axww", "-o", "pid=,args="], text=True
    ).splitlines():
        pid, _, args = line.strip().partition(" ")
        if text in args and int(pid) != os.getpid():
            found.append(line)
    return found


def until(condition: Callable[[], bool], seconds: float) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - begun


def connect(info: ServerInfo) -> redis.Redis:
    return redis.Redis.from_url(info.url, retry=None, decode_responses=True)


def ask(info: ServerInfo, command: str, *arguments: str) -> Any:
    with contextlib.closing(connect(info)) as client:
        return client.execute_command(command, *arguments)


def answers(info: ServerInfo) -> bool:
    try:
        return bool(ask(info, "PING"))
    except (redis.RedisError, OSError):
        return False


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    """A var folder whose server is stopped, and all its processes gone, at the end."""
    var = tmp_path / "var"
    yield var
    stop_server(var)
    until(lambda: mentioning(str(tmp_path)) == [], 5)


def test_nothing_yet(var: Path) -> None:
    assert read_server_info(var) is None
    stop_server(var)
    assert release_server(var) is False
    (var / "redis.json").write_text('{"url": "x"')
    assert read_server_info(var) is None
    (var / "redis.json").write_text('{"url": "x"}')
    assert read_server_info(var) is None


def test_start_adopt_and_stop(var: Path) -> None:
    lines: list[str] = []
    with embedded_server(var, log=lines.append) as first:
        assert not first.adopted
        assert first.url == f"unix://{first.socket_path}?db=0"
        found = json.loads((var / "redis.json").read_text())
        assert found["pid"] == first.pid
        assert (var / "redis.json").stat().st_mode & 0o777 == 0o600
        assert found["socket"] == first.socket_path == str(var / "redis/redis.sock")
        assert found["data_dir"] == str(var / "redis")
        assert found["supervisor_pid"] == locker_pid(Paths(var).supervisor)
        assert read_server_info(var) == ServerInfo(
            first.url, first.socket_path, first.pid, adopted=True
        )
        with embedded_server(var, log=lines.append) as second:
            assert second.adopted
            assert second.pid == first.pid
        assert answers(first)
    assert not answers(first)
    assert read_server_info(var) is None
    assert mentioning(str(var)) == []
    assert [line.split(":")[0] for line in lines] == [
        "embedded Valkey started",
        "embedded Valkey adopted",
    ]


def test_data_and_place_survive_a_stop(var: Path) -> None:
    with embedded_server(var) as first:
        ask(first, "SET", "key", "value")
    with embedded_server(var) as second:
        assert second.url == first.url
        assert second.pid != first.pid
        assert ask(second, "GET", "key") == "value"


def test_settings(var: Path) -> None:
    with embedded_server(var) as info, contextlib.closing(connect(info)) as client:
        wanted = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "port": "0",
            "tls-port": "0",
            "dir": str(var / "redis"),
            "unixsocketperm": "700",
        }
        assert client.config_get(*wanted) == wanted
        assert (var / "redis").stat().st_mode & 0o777 == 0o700


def test_three_starters_at_once(var: Path) -> None:
    commands = [Command(var) for _ in range(3)]
    try:
        found = [command.answer() for command in commands]
    finally:
        for command in commands:
            command.end()
    assert sorted(adopted for _, _, adopted in found) == [False, True, True]
    assert len({(url, pid) for url, pid, _ in found}) == 1
    assert mentioning(str(var)) == []


def test_killed_server_comes_back_with_its_data(var: Path) -> None:
    with embedded_server(var) as info:
        for number in range(3):
            ask(info, "SET", f"key{number}", "value")
            time.sleep(1.1)  # everysec
            before = read_server_info(var)
            assert before is not None
            os.kill(before.pid, signal.SIGKILL)
            took = until(lambda: not answers(info), 2) + until(lambda: answers(info), 2)
            print(f"back after {took * 1000:.0f} ms")
            assert ask(info, "GET", f"key{number}") == "value"
            until(lambda old=before: read_server_info(var) != old, 2)
            after = read_server_info(var)
            assert after is not None
            assert (after.url, after.socket_path) == (info.url, info.socket_path)
        assert ensure_server(var) == after


def test_adoption_while_it_restarts(var: Path) -> None:
    with embedded_server(var) as info:
        os.kill(info.pid, signal.SIGKILL)
        again = ensure_server(var)
        assert again.adopted
        assert again.url == info.url
        assert again.pid != info.pid
        assert answers(again)


def test_last_holder_stops_it(var: Path) -> None:
    first, second = Command(var), Command(var)
    try:
        _, pid, _ = first.answer()
        assert second.answer()[1] == pid
        first.end()
        info = read_server_info(var)
        assert info is not None
        assert answers(info)
    finally:
        first.end()
        second.end()
    assert read_server_info(var) is None
    assert mentioning(str(var)) == []


def test_killed_holder_lets_go(var: Path) -> None:
    killed = Command(var)
    _, pid, _ = killed.answer()
    killed.end(kill=True)
    with embedded_server(var) as info:
        assert info.adopted
        assert info.pid == pid
    assert mentioning(str(var)) == []


def test_a_fleet_holds_it_as_long_as_it_lives(var: Path) -> None:
    acquire(var)
    info = ensure_server(var)
    environment = {**os.environ, "SWARM_VAR": str(var)}
    fleet = subprocess.Popen(
        [sys.executable, "manage.py", "fleet", "--kind", "python_fn"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        command = Path(f"/proc/{fleet.pid}/cmdline")
        until(lambda: b"celery" in command.read_bytes(), 30)
        # Whoever started it goes, and the fleet stays.
        assert release_server(var) is False
        assert answers(info)
    finally:
        os.killpg(fleet.pid, signal.SIGKILL)
        fleet.wait(10)
    acquire(var)
    assert release_server(var) is True
    assert not answers(info)


def test_without_holders_it_ends_by_itself(var: Path) -> None:
    killed = Command(var, idle=1)
    killed.answer()
    time.sleep(2.5)
    assert is_locked(Paths(var).supervisor)  # held: it stays
    killed.end(kill=True)
    until(lambda: mentioning(str(var)) == [], 6)
    assert read_server_info(var) is None


def test_keep(var: Path) -> None:
    with embedded_server(var, keep=True, idle=0.5) as info:
        pass
    time.sleep(2)
    assert answers(info)
    with embedded_server(var) as again:
        assert again.pid == info.pid
    assert answers(info)
    stop_server(var)
    assert not answers(info)
    with embedded_server(var):
        pass
    assert read_server_info(var) is None


def described(var: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((var / "redis.json").read_text())
    return found


def test_stale_description_is_not_adopted(var: Path, tmp_path: Path) -> None:
    with embedded_server(tmp_path / "other") as other:
        with embedded_server(var) as info:
            found = described(var)
        # As after a crash: its pid is somebody else's now, its socket another server's.
        theirs = {"pid": other.pid, "socket": other.socket_path}
        (var / "redis.json").write_text(json.dumps(found | theirs))
        with embedded_server(var) as again:
            assert not again.adopted
            assert again.pid != other.pid
            assert again.url == info.url
            ask(again, "SET", "mine", "1")
            assert ask(other, "GET", "mine") is None
        (var / "redis.json").write_text(json.dumps(found | {"pid": os.getpid()}))
        with embedded_server(var) as again:
            assert not again.adopted
        assert answers(other)


def test_the_description_of_another_installation_is_none(
    var: Path, tmp_path: Path
) -> None:
    """As in a checkout that was copied while its server ran."""
    with embedded_server(tmp_path / "other"):
        var.mkdir()
        shutil.copy(tmp_path / "other" / "redis.json", var / "redis.json")
        assert read_server_info(var) is None
        assert redis_address(url="", var_dir=var).url == NOWHERE


def test_what_another_user_wrote_serves_or_owns_is_refused(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_server(var) as info:
        assert redis_address(url="", var_dir=var).url == info.url
        assert probe(info.socket_path)[0] == "up"
        # To us as another user all this is a stranger's.
        with monkeypatch.context() as patched:
            patched.setattr(os, "geteuid", lambda: os.getuid() + 1)
            assert read_server_info(var) is None
            assert redis_address(url="", var_dir=var).url == NOWHERE
            assert probe(info.socket_path)[0] == "down"
            with pytest.raises(PermissionError, match=r"another user.*set SWARM_VAR"):
                ensure_server(var)


def test_a_socket_where_others_can_put_theirs_is_none(var: Path) -> None:
    with embedded_server(var):
        os.chmod(var / "redis", 0o770)
        assert read_server_info(var) is None
        os.chmod(var / "redis", 0o700)
        os.chmod(var, 0o777)
        assert read_server_info(var) is None
        # Whoever needs the server closes both again.
        assert ensure_server(var).adopted
        assert var.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o500])
def test_its_folder_is_closed_to_others_whatever_it_was(var: Path, mode: int) -> None:
    (var / "redis").mkdir(parents=True)
    (var / "redis").chmod(mode)
    var.chmod(0o755)
    with embedded_server(var) as info:
        assert (var / "redis").stat().st_mode & 0o777 == 0o700
        assert var.stat().st_mode & 0o777 == 0o700
        assert answers(info)


def test_killed_supervisor_is_replaced_and_the_server_stays(var: Path) -> None:
    with embedded_server(var) as info:
        supervisor = locker_pid(Paths(var).supervisor)
        assert supervisor is not None
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not is_locked(Paths(var).supervisor), 2)
        again = ensure_server(var)
        assert again == ServerInfo(info.url, info.socket_path, info.pid, adopted=True)
        assert locker_pid(Paths(var).supervisor) not in (None, supervisor)
        os.kill(info.pid, signal.SIGKILL)
        until(lambda: not answers(info), 2)
        until(lambda: answers(info), 2)
    assert mentioning(str(var)) == []


def test_two_servers_never_share_the_data(var: Path) -> None:
    """Supervisor killed and description lost: the server left over is ended first."""
    with embedded_server(var) as info:
        ask(info, "SET", "key", "value")
        supervisor = locker_pid(Paths(var).supervisor)
        assert supervisor is not None
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not is_locked(Paths(var).supervisor), 2)
        (var / "redis.json").unlink()
        again = ensure_server(var)
        assert not again.adopted
        assert again.pid != info.pid
        assert ask(again, "GET", "key") == "value"


@pytest.mark.parametrize("text", [None, "", '{"socket": "/elsewhere"}'])
def test_lost_description_is_written_again(var: Path, text: str | None) -> None:
    with embedded_server(var) as info:
        (var / "redis.json").unlink()
        if text is not None:
            (var / "redis.json").write_text(text)
        assert ensure_server(var, timeout=10).pid == info.pid


def test_stop_when_supervisor_and_holder_were_killed(var: Path) -> None:
    command = Command(var)
    command.answer()
    supervisor = locker_pid(Paths(var).supervisor)
    assert supervisor is not None
    command.end(kill=True)
    os.kill(supervisor, signal.SIGKILL)
    stop_server(var)
    assert mentioning(str(var)) == []
    assert read_server_info(var) is None


def test_long_path(tmp_path: Path) -> None:
    var = tmp_path / ("long" * 20) / ("name" * 20) / "var"
    try:
        with embedded_server(var) as info:
            assert len(info.socket_path) <= SOCKET_PATH_MAX
            folder = Path(info.socket_path).parent
            assert folder.stat().st_mode & 0o777 == 0o700
            assert answers(info)
            assert redis_address(url="", var_dir=var).url == info.url
        # A stranger's in its place would get those who still ask for the server.
        assert list(folder.iterdir()) == []
        folder.rmdir()
        folder.symlink_to(tmp_path)
        with (
            pytest.raises(ServerUnavailable, match=r"closed to other.*set SWARM_VAR"),
            embedded_server(var),
        ):
            pass
        folder.unlink()
    finally:
        stop_server(var)


@pytest.mark.parametrize("name", ["with space", "a?b=c", "a#b", "a%20b", "a;b", "ü+é"])
def test_a_path_with_signs_of_a_url(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = tmp_path / name
    with embedded_server(var) as info:
        assert answers(info)
        assert info.socket_path == str(var / "redis/redis.sock")
        monkeypatch.setattr(settings, "SWARM_STATE_URL", info.url)
        with Connection("swarm://") as broker:
            assert broker.default_channel.client.ping()


def test_a_forked_child_does_not_let_go_for_its_parent(var: Path) -> None:
    with embedded_server(var) as info:
        pid = os.fork()
        if pid == 0:
            stopped = True
            try:
                stopped = release_server(var)
            finally:
                os._exit(stopped)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert answers(info)
    assert mentioning(str(var)) == []


def test_a_server_that_cannot_start_says_why(var: Path) -> None:
    with embedded_server(var):
        pass
    (manifest,) = (var / "redis/appendonlydir").glob("*.manifest")
    manifest.write_text("nonsense\n")
    acquire(var)
    with pytest.raises(ServerUnavailable, match="manifest"):
        ensure_server(var)
    release_server(var)
    assert mentioning(str(var)) == []


@pytest.mark.slow
def test_a_server_that_dies_at_its_start_is_not_started_without_a_pause(
    var: Path,
) -> None:
    with embedded_server(var) as info:
        (manifest,) = (var / "redis/appendonlydir").glob("*.manifest")
        good = manifest.read_text()
        time.sleep(5.1)  # long enough to count as healthy
        manifest.write_text("nonsense\n")
        os.kill(info.pid, signal.SIGKILL)
        until(lambda: not answers(info), 2)
        time.sleep(2)
        manifest.write_text(good)
        log = (var / "redis/server.log").read_text()
        assert log.count("server ended") < 8
        until(lambda: answers(info), 8)
