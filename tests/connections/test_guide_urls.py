"""The URLs of the guide as they stand there: only host, port and password are changed.

The folder of certificates is one of the test as well; it can't write below /etc.
"""

import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from command_shell import REPO
from django.conf import settings
from redis_servers import HOST, Authority, Recorder, Servers, free_port, tls_lines

from engine.store.server_url import ServerUrl
from swarm_project.celery import app
from workers.broker.redis_permissions import RULE
from workers.fleet.prerequisites import reach
from workers.wiring import make_store

PASSWORD = "of/the?guide#@"
GUIDE = (REPO / "docs/guides/run-a-fleet.md").read_text()
[BLOCK] = re.findall(r"^```sh redis\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
URLS = [
    shlex.split(line)[1].partition("=")[2]
    for line in BLOCK.splitlines()
    if line.startswith("export SWARM_REDIS_URL=")
]
[ON_MANY_MACHINES] = re.findall(
    r"^export SWARM_REDIS_URL=([^'\n]+)$", GUIDE, re.MULTILINE
)


@pytest.fixture
def recorders() -> Iterator[list[Recorder]]:
    """What listens in; closed in the end."""
    with contextlib.ExitStack() as stack:
        made: list[Recorder] = []
        yield made
        for recorder in made:
            stack.callback(recorder.close)


def listen(recorders: list[Recorder], port: int) -> int:
    """Listen in on a port; the port to use instead."""
    recorders.append(Recorder(port))
    return recorders[-1].port


def serve(
    made: Servers, url: str, authority: Authority, recorders: list[Recorder]
) -> int:
    """Start what a URL asks for; the port at which it is to be found."""
    tls = not url.startswith("sentinel://")
    port = free_port()
    acl = [
        RULE.replace("NAME", name).replace(">PASSWORD", f'">{PASSWORD}"')
        for name in USERS
    ]
    more = tls_lines(authority, port) if tls else []
    if tls and "ssl_certfile" not in url:
        more.append("tls-auth-clients no")
    # A sentinel is an administrator, so it has a user of its own.
    made.start(port, [*more, *acl, 'user watcher on ">w" ~* &* +@all'])
    port = listen(recorders, port)
    if "sentinel" not in url:
        return port
    watching = free_port()
    lines = [
        f'requirepass "{PASSWORD}"',
        f"sentinel monitor mymaster {HOST} {port} 1",
        "sentinel auth-user mymaster watcher",
        "sentinel auth-pass mymaster w",
    ]
    if tls:
        lines += [*tls_lines(authority, watching), "tls-replication yes"]
    made.start(watching, lines, sentinel=True)
    return listen(recorders, watching)


USERS = ("default", "swarm")


def test_the_guide_shows_each_way() -> None:
    assert [url.partition(":")[0] for url in URLS] == [
        *["rediss"] * 3,
        "sentinel",
        "sentinels",
    ]
    assert URLS[0] == ON_MANY_MACHINES


@pytest.mark.parametrize("url", URLS, ids=range(len(URLS)))
def test_a_url_of_the_guide(
    url: str,
    made: Servers,
    authority: Authority,
    recorders: list[Recorder],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    port = serve(made, url, authority, recorders)
    authority.issue("client")
    used = re.sub(r"redis\.example:\d+", f"{HOST}:{port}", url)
    used = used.replace("PASSWORD", quote(PASSWORD, safe=""))
    used = used.replace("/etc/swarm/", f"{tmp_path}/")
    # The machine knows the authority.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr(settings, "SWARM_STATE_URL", used)

    reach(ServerUrl.of(used))
    store = make_store()
    with contextlib.closing(store.wire):
        assert store.now_ms() > 0
    with app.connection_for_write() as connection:
        # One connection of those that wait for messages, one of those that send.
        assert connection.default_channel.client.ping()
        connection.default_channel._put("swarm.nobody", {"n": 1})
        assert connection.default_channel._size("swarm.nobody") == 1

    assert all(recorder.sent for recorder in recorders)
    if not url.startswith("sentinel://"):
        sent = [bytes(heard) for recorder in recorders for heard in recorder.sent]
        assert all(heard.startswith(b"\x16\x03") for heard in sent if heard)
        assert not any(PASSWORD.encode() in heard for heard in sent)
