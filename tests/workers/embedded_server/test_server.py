"""The embedded Valkey: started once, adopted, restarted, stopped by its last user."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from living_processes import mentioning
from server_commands import (
    ROOT,
    Command,
    answers,
    ask,
    connect,
    embedded_server,
    stop_server,
)
from waiting import until

from workers.embedded_server.files import Paths, read_server_info
from workers.embedded_server.server import (
    Hold,
    ServerUnavailable,
    ensure_server,
    stop_kept_server,
)
from workers.process.posix import is_locked, locker_pid


def test_nothing_yet(var: Path) -> None:
    assert read_server_info(var) is None
    stop_server(var)
    var.mkdir(mode=0o700)
    (var / "redis.json").write_text('{"url": "x"')
    assert read_server_info(var) is None
    (var / "redis.json").write_text('{"url": "x"}')
    assert read_server_info(var) is None


def test_start_adopt_and_stop(var: Path) -> None:
    with embedded_server(var) as first:
        assert first.url == f"unix://{first.socket_path}?db=0"
        found = json.loads((var / "redis.json").read_text())
        assert found["pid"] == first.pid
        assert (var / "redis.json").stat().st_mode & 0o777 == 0o600
        assert found["socket_path"] == first.socket_path
        assert first.socket_path == str(var / "redis/redis.sock")
        assert read_server_info(var) == first
        with embedded_server(var) as second:
            assert second == first
        assert answers(first)
    assert not answers(first)
    assert read_server_info(var) is None
    assert mentioning(str(var)) == []


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
    assert len(set(found)) == 1
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
        assert again.url == info.url
        assert again.pid != info.pid
        assert answers(again)


def test_last_holder_stops_it(var: Path) -> None:
    first, second = Command(var), Command(var)
    try:
        _, pid = first.answer()
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
    _, pid = killed.answer()
    killed.end(kill=True)
    with embedded_server(var) as info:
        assert info.pid == pid
    assert mentioning(str(var)) == []


def test_a_fleet_uses_it_as_long_as_it_lives(var: Path) -> None:
    hold = Hold(var)
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
        assert hold.release() is False
        assert answers(info)
    finally:
        os.killpg(fleet.pid, signal.SIGKILL)
        fleet.wait(10)
    assert Hold(var).release() is True
    assert not answers(info)


@pytest.mark.slow
def test_without_holders_it_ends_by_itself(var: Path) -> None:
    killed = Command(var, idle=1)
    killed.answer()
    time.sleep(2.5)
    assert is_locked(Paths(var).supervisor)  # locked: it stays
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
    hold = Hold(var)
    assert stop_kept_server(var) is False
    assert answers(info)
    assert hold.release() is True
    assert not answers(info)
    assert stop_kept_server(var) is True


def test_killed_supervisor_is_replaced_and_restarts_the_server(var: Path) -> None:
    with embedded_server(var) as info:
        ask(info, "SET", "key", "value")
        supervisor = locker_pid(Paths(var).supervisor)
        assert supervisor is not None
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not is_locked(Paths(var).supervisor), 2)
        again = ensure_server(var)
        assert again.url == info.url
        # It was stopped, which loses nothing.
        assert ask(again, "GET", "key") == "value"
        assert locker_pid(Paths(var).supervisor) not in (None, supervisor)
        os.kill(again.pid, signal.SIGKILL)
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
        assert again.pid != info.pid
        assert ask(again, "GET", "key") == "value"


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


def test_a_forked_child_does_not_let_go_for_its_parent(var: Path) -> None:
    hold = Hold(var)
    info = ensure_server(var)
    pid = os.fork()
    if pid == 0:
        stopped = True
        try:
            stopped = hold.release()
        finally:
            os._exit(stopped)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert Hold(var).release() is False
    assert answers(info)
    assert hold.release() is True
    assert mentioning(str(var)) == []


def test_a_server_that_cannot_start_gives_the_reason(var: Path) -> None:
    with embedded_server(var):
        pass
    (manifest,) = (var / "redis/appendonlydir").glob("*.manifest")
    manifest.write_text("nonsense\n")
    with pytest.raises(ServerUnavailable, match="manifest"), embedded_server(var):
        pass
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
