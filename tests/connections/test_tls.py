"""TLS and ACL users: what is on the wire, for the state's connections and the broker's."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from command_shell import Shell, naps
from django.conf import settings
from redis_servers import HOST, Authority, Recorder, Servers, free_port, tls_lines

from engine.store.server_url import ServerUrl
from swarm_project.celery import app
from workers.broker.redis_permissions import RULE
from workers.broker.transport import state_url
from workers.fleet.prerequisites import SetupFailed, reach
from workers.wiring import make_store

PASSWORD = "s3/cret?and #more@:%"
ACL = [
    "user default off",
    # A value in quotes may hold what would end it.
    RULE.replace("NAME", "swarm").replace(">PASSWORD", f'">{PASSWORD}"'),
]
HELLO = b"\x16\x03"
"""How a record of a TLS handshake begins."""


@contextlib.contextmanager
def recorded(port: int) -> Iterator[Recorder]:
    """Listen in on a server."""
    recorder = Recorder(port)
    try:
        yield recorder
    finally:
        recorder.close()


def server(made: Servers, authority: Authority, *more: str) -> int:
    """Start a server with TLS and users; its port."""
    port = free_port()
    made.start(port, [*tls_lines(authority, port), *ACL, *more])
    return port


def query(authority: Authority) -> str:
    """Return the options of a client that is known to the authority."""
    certificate, key = authority.issue("client")
    return (
        f"?ssl_ca_certs={authority.folder}/ca.pem"
        f"&ssl_certfile={certificate}&ssl_keyfile={key}&ssl_cert_reqs=required"
    )


def test_every_connection_of_state_and_broker_begins_with_a_tls_hello(
    made: Servers, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recorded(server(made, authority)) as recorder:
        url = f"rediss://swarm:{quote(PASSWORD, safe='')}@{HOST}:{recorder.port}/0"
        url += query(authority)
        monkeypatch.setattr(settings, "SWARM_STATE_URL", url)
        reach(state_url())
        store = make_store()
        with contextlib.closing(store.wire):
            assert store.now_ms() > 0
        before = len(recorder.sent)
        with app.connection_for_write() as connection:
            # One connection of those that wait for messages, one of those that send.
            assert connection.default_channel.client.ping()
            connection.default_channel._put("swarm.nobody", {"n": 1})
            assert connection.default_channel._size("swarm.nobody") == 1
            assert PASSWORD not in connection.as_uri()
            assert connection.as_uri() == f"rediss://{HOST}:{recorder.port}/0"

    assert before >= 2
    assert len(recorder.sent) > before
    for sent in recorder.sent:
        assert sent.startswith(HELLO)
        assert b"AUTH" not in sent
        assert PASSWORD.encode() not in sent
        assert quote(PASSWORD, safe="").encode() not in sent


@pytest.mark.parametrize("how", ["stranger", "plain"])
def test_a_server_of_another_authority_or_without_tls_gets_no_password(
    how: str, made: Servers, authority: Authority, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    if how == "stranger":
        port = server(made, Authority(other))
    else:
        port = free_port()
        made.start(port, ACL)
    with recorded(port) as recorder:
        url = f"rediss://swarm:{quote(PASSWORD, safe='')}@{HOST}:{recorder.port}/0"
        url += query(authority)
        with pytest.raises(SetupFailed, match="does not answer") as refused:
            reach(ServerUrl.of(url))

    assert PASSWORD not in str(refused.value)
    assert recorder.sent
    assert all(PASSWORD.encode() not in sent for sent in recorder.sent)


@pytest.mark.slow
def test_a_run_over_tls_from_the_command_to_the_result(
    made: Servers, authority: Authority, shell: Shell
) -> None:
    with recorded(server(made, authority)) as recorder:
        url = f"rediss://swarm:{quote(PASSWORD, safe='')}@{HOST}:{recorder.port}/0"
        env = {"SWARM_REDIS_URL": url + query(authority)}
        file = shell.write(naps(0, 0))
        assert shell.run("run", file, **env) == 0, shell.err
        printed = shell.out + shell.err
        assert shell.run("doctor", **env) == 0, shell.out
        printed += shell.out + shell.err

    logs = [path.read_text() for path in (shell.var / "log").iterdir()]
    for text in (printed, *logs):
        assert "s3" not in text
        assert "Traceback" not in text
    # The command, doctor, and of the worker: keeper, children, steward, broker.
    assert len(recorder.sent) > 10
    assert all(sent.startswith(HELLO) for sent in recorder.sent)
    assert not any(PASSWORD.encode() in sent for sent in recorder.sent)
