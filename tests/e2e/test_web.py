"""`up` and `web` serve pages and API, and `up` restarts and ends its web server."""

import http.cookiejar
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from command_shell import Shell
from living_processes import mentioning

pytestmark = pytest.mark.slow


def asked(url: str, **headers: str) -> tuple[int, bytes]:
    """Return status and body of the answer; redirects are followed, cookies kept."""
    return answer_to(urllib.request.Request(url, headers=headers))


def answer_to(request: urllib.request.Request) -> tuple[int, bytes]:
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    try:
        with urllib.request.build_opener(jar).open(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def ends(process: "subprocess.Popen[str]") -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(60)


@pytest.fixture
def free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"


def web_pids(bind: str) -> list[int]:
    """Return the web servers at an address, without their guards."""
    lines = mentioning(f"web --bind {bind}")
    return [int(line.split()[0]) for line in lines if "worker_guard" not in line]


def test_up_serves_restarts_and_ends_a_web_server(shell: Shell, free: str):
    up = shell.start("up", "--no-workers", SWARM_BIND=free)
    shell.until(lambda: "launch" in shell.out)
    assert f"web      http://{free}\n" in shell.out
    assert f"http://{free}/login/    (`python manage.py createsuperuser`" in shell.out
    # The link that needs no password is for the eyes at a terminal.
    assert "/login/once/" not in shell.out
    assert asked(f"http://{free}/v1/healthz") == (200, b"ok")
    assert asked(f"http://{free}/v1/doctor")[0] == 401
    assert asked(f"http://{free}/static/admin/css/base.css")[0] == 200

    [pid] = web_pids(free)
    os.kill(pid, signal.SIGKILL)
    shell.until(lambda: web_pids(free) not in ([], [pid]))
    shell.until(lambda: _answers(free))
    assert ends(up) == 0
    assert web_pids(free) == []


def test_a_body_that_comes_in_chunks_is_read(shell: Shell, free: str):
    up = shell.start("up", "--no-workers", SWARM_BIND=free, SWARM_DEBUG="1")
    shell.until(lambda: "launch" in shell.out)
    for parts, expected in (
        ((b'{"id": ', b"1}"), (200, "verdict")),
        ((b"x" * 1024 * 1024,) * 5, (413, "code")),
    ):
        # Without a length, http.client sends what an iterator yields in chunks.
        request = urllib.request.Request(
            f"http://{free}/v1/lint",
            data=iter(parts),
            headers={"Content-Type": "application/json"},
        )
        status, body = answer_to(request)
        assert status == expected[0], body
        assert expected[1] in json.loads(body)
    assert ends(up) == 0


def _answers(bind: str) -> bool:
    try:
        return asked(f"http://{bind}/v1/healthz")[0] == 200
    except OSError:
        return False


def test_a_loopback_needs_no_key_under_debug_alone(shell: Shell, free: str):
    up = shell.start("up", "--no-workers", SWARM_BIND=free, SWARM_DEBUG="1")
    shell.until(lambda: "launch" in shell.out)
    doctor = f"http://{free}/v1/doctor"
    assert asked(doctor)[0] == 200
    assert asked(doctor, Origin="http://evil.example")[0] == 401
    assert asked(doctor, **{"X-Forwarded-For": "127.0.0.1"})[0] == 401
    assert asked(doctor, Host="evil.example")[0] == 400
    assert ends(up) == 0


def test_no_web_serves_none(shell: Shell, free: str):
    up = shell.start("up", "--no-workers", "--no-web", SWARM_BIND=free)
    shell.until(lambda: "launch" in shell.out)
    assert "http://" not in shell.out
    with pytest.raises(OSError, match="refused"):
        asked(f"http://{free}/v1/healthz")
    assert ends(up) == 0


def test_an_address_in_use_is_said_at_once(shell: Shell):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        assert shell.run("up", "--no-workers", SWARM_BIND=bind) == 2
        assert f"the web server can't listen at {bind} (Address already in use)" in (
            shell.err
        )
        assert "set SWARM_BIND to another address, or start `up` with --no-web" in (
            shell.err
        )
        assert shell.run("web", "--bind", bind) == 2


def test_a_kept_web_server_serves_on_and_is_not_started_again(shell: Shell, free: str):
    up = shell.start("up", "--no-workers", "--keep-workers", SWARM_BIND=free)
    shell.until(lambda: "launch" in shell.out)
    assert ends(up) == 0
    assert asked(f"http://{free}/v1/healthz") == (200, b"ok")
    # It is where it was started, whatever is set by now.
    up = shell.start("up", "--no-workers", SWARM_BIND="127.0.0.1:0")
    shell.until(lambda: "launch" in shell.out)
    assert re.search(r"also up  web-\d+", shell.out)
    assert f"web      http://{free}\n" in shell.out
    assert f"log in   http://{free}/login/ " in shell.out
    assert ends(up) == 0
    assert asked(f"http://{free}/v1/healthz") == (200, b"ok")
    assert shell.run("up", "--stop") == 0
    assert web_pids(free) == []


def test_web_serves_alone_until_it_is_ended(shell: Shell, free: str):
    assert shell.run("web", "--bind", free) == 2
    assert "migrations are not applied: run `python manage.py migrate`" in shell.err
    assert shell.run("migrate") == 0
    web = shell.start("web", "--bind", free, SWARM_DEBUG="1")
    shell.until(lambda: _answers(free))
    assert json.loads(asked(f"http://{free}/v1/doctor")[1])["bind"] == free
    assert asked(f"http://{free}/v1/healthz") == (200, b"ok")
    assert ends(web) == 0, shell.err


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = os.openpty()
    yield ours, theirs
    for fd in (ours, theirs):
        os.close(fd)


def test_a_terminal_gets_a_link_that_logs_in_once(
    shell: Shell, free: str, terminal: tuple[int, int]
):
    ours, theirs = terminal
    with subprocess.Popen(
        shell.line("up", "--no-workers"),
        cwd=os.getcwd(),
        env={**shell.env, "SWARM_BIND": free},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as up:
        shown = ""
        while "launch" not in shown:
            shown += os.read(ours, 4096).decode()
        [link] = re.findall(rf"log in   (http://{free}/login/once/\S+)", shown)
        status, page = asked(link)
        assert (status, b"Site administration" in page) == (200, True)
        assert asked(link)[0] == 410
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
