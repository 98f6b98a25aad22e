"""Only its user reaches the embedded server, and the server of another user is not adopted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from kombu import Connection
from server_commands import answers, ask, embedded_server, stop_server

from swarm_project.env import redis_server_url
from workers.embedded_server.files import NOWHERE, SOCKET_PATH_MAX, read_server_info
from workers.embedded_server.server import (
    ServerUnavailable,
    ensure_server,
)
from workers.embedded_server.supervisor import answering_pid


def described(var: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((var / "redis.json").read_text())
    return found


def test_stale_description_is_not_adopted(var: Path, tmp_path: Path) -> None:
    with embedded_server(tmp_path / "other") as other:
        with embedded_server(var) as info:
            found = described(var)
        # As after a crash: its pid is somebody else's now, its socket another server's.
        theirs = {"pid": other.pid, "socket_path": other.socket_path}
        (var / "redis.json").write_text(json.dumps(found | theirs))
        with embedded_server(var) as again:
            assert again.pid not in (info.pid, other.pid)
            assert again.url == info.url
            ask(again, "SET", "mine", "1")
            assert ask(other, "GET", "mine") is None
        (var / "redis.json").write_text(json.dumps(found | {"pid": os.getpid()}))
        with embedded_server(var) as again:
            assert again.pid != os.getpid()
        assert answers(other)


def test_the_description_of_another_installation_is_none(
    var: Path, tmp_path: Path
) -> None:
    """As in a checkout that was copied while its server ran."""
    with embedded_server(tmp_path / "other"):
        var.mkdir()
        shutil.copy(tmp_path / "other" / "redis.json", var / "redis.json")
        assert read_server_info(var) is None
        assert redis_server_url(url="", var_dir=var).url == NOWHERE


def test_what_another_user_wrote_serves_or_owns_is_refused(
    var: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_server(var) as info:
        assert redis_server_url(url="", var_dir=var).url == info.url
        assert answering_pid(info.socket_path) == info.pid
        # To us as another user all this is a stranger's.
        with monkeypatch.context() as patched:
            patched.setattr(os, "geteuid", lambda: os.getuid() + 1)
            assert read_server_info(var) is None
            assert redis_server_url(url="", var_dir=var).url == NOWHERE
            assert answering_pid(info.socket_path) == 0
            with pytest.raises(PermissionError, match=r"another user.*set SWARM_VAR"):
                ensure_server(var)


def test_a_socket_where_others_can_put_theirs_is_none(var: Path) -> None:
    with embedded_server(var) as info:
        os.chmod(var / "redis", 0o770)
        assert read_server_info(var) is None
        os.chmod(var / "redis", 0o700)
        os.chmod(var, 0o777)
        assert read_server_info(var) is None
        # Whoever needs the server closes both again.
        assert ensure_server(var) == info
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


def test_a_description_that_is_no_file_is_none_and_never_waited_for(var: Path) -> None:
    var.mkdir()
    os.mkfifo(var / "redis.json")
    assert read_server_info(var) is None
    (var / "redis.json").unlink()
    (var / "redis.json").write_text("[" * 200_000)
    assert read_server_info(var) is None


@pytest.mark.parametrize("text", [None, "", '{"socket_path": "/elsewhere", "pid": 1}'])
def test_lost_description_is_written_again(var: Path, text: str | None) -> None:
    with embedded_server(var) as info:
        (var / "redis.json").unlink()
        if text is not None:
            (var / "redis.json").write_text(text)
        assert ensure_server(var, timeout=10).pid == info.pid


def test_long_path(tmp_path: Path) -> None:
    var = tmp_path / ("long" * 20) / ("name" * 20) / "var"
    try:
        with embedded_server(var) as info:
            assert len(info.socket_path) <= SOCKET_PATH_MAX
            folder = Path(info.socket_path).parent
            assert folder.stat().st_mode & 0o777 == 0o700
            assert answers(info)
            assert redis_server_url(url="", var_dir=var).url == info.url
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
    short_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = short_path / name
    with embedded_server(var) as info:
        assert answers(info)
        assert info.socket_path == str(var / "redis/redis.sock")
        monkeypatch.setattr(settings, "SWARM_STATE_URL", info.url)
        with Connection("swarm://") as broker:
            assert broker.default_channel.client.ping()


def test_commands_work_where_the_folder_can_not_be_written(tmp_path: Path) -> None:
    """As in a container without a disk, where database and Redis are elsewhere."""
    line = (
        'mount -t tmpfs -o ro,mode=755 tmpfs "$SWARM_VAR" && exec "$0" manage.py check'
    )
    env = os.environ | {
        "SWARM_VAR": str(tmp_path),
        "SWARM_SECRET_KEY": "not-a-real-one" * 4,
        "SWARM_REDIS_URL": "redis://127.0.0.1:1/0",
        "DATABASE_URL": "postgres://127.0.0.1:1/nothing",
    }
    printed = subprocess.run(
        ["unshare", "-rm", "sh", "-c", line, sys.executable],
        cwd=settings.SWARM_PROJECT_DIR,
        env=env,
        capture_output=True,
        text=True,
    )
    assert printed.returncode == 0, printed.stderr
