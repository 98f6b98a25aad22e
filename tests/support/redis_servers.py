"""Redis servers as Debian ships them, with TLS, users and sentinels, to connect to."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from proxy_threads import ProxyThreads, clients_of
from waiting import until

HOST = "127.0.0.1"
MISSING = (
    "these tests need {}: `apt-get install redis-server redis-sentinel` brings it; the"
    " daemons that Debian starts for them are not used"
)


class Authority:
    """A throw-away certificate authority in a folder, with `ca.pem`."""

    def __init__(self, folder: Path) -> None:
        """Make the authority's own certificate."""
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name.from_rfc4514_string("CN=of this test")
        made = self._certificate(self._name, self._key.public_key(), ca=True)
        (folder / "ca.pem").write_bytes(made.public_bytes(Encoding.PEM))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Write `NAME.pem` and `NAME.key`, good for this host; their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name.from_rfc4514_string(f"CN={name}")
        made = self._certificate(subject, key.public_key(), ca=False)
        paths = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        paths[0].write_bytes(made.public_bytes(Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return paths

    def _certificate(self, subject: x509.Name, key: Any, *, ca: bool) -> Any:
        now = datetime.datetime.now(datetime.UTC)
        places = [x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")]
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
            .add_extension(x509.SubjectAlternativeName(places), False)
            .sign(self._key, hashes.SHA256())
        )


class Recorder:
    """A TCP proxy that keeps what each client sends."""

    def __init__(self, port: int) -> None:
        """Listen at `self.port` and pass everything on to `port`."""
        self.sent: list[bytearray] = []
        self._open: list[socket.socket] = []
        self._to = port
        self._server = socket.create_server((HOST, 0))
        self.port: int = self._server.getsockname()[1]
        self._threads = ProxyThreads()
        self._threads.start(self._accept)

    def close(self) -> None:
        """Take no more connections and end those there are."""
        for end in (self._server, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._threads.join(10)

    def _accept(self) -> None:
        for client in clients_of(self._server):
            try:
                server = socket.create_connection((HOST, self._to))
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            heard = bytearray()
            self.sent.append(heard)
            self._threads.start(self._pass, client, server, heard)
            self._threads.start(self._pass, server, client, None)

    def _pass(
        self, source: socket.socket, to: socket.socket, heard: bytearray | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if heard is not None:
                    heard += data
                to.sendall(data)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if heard is None:
            source.close()
            to.close()


def free_port() -> int:
    """Return a free port."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def tls_lines(authority: Authority, port: int) -> list[str]:
    """Return the configuration of a server that only speaks TLS, to known clients."""
    certificate, key = authority.issue(f"server-{port}")
    return [
        "port 0",
        f"tls-port {port}",
        f"tls-cert-file {certificate}",
        f"tls-key-file {key}",
        f"tls-ca-cert-file {authority.folder / 'ca.pem'}",
    ]


class Servers:
    """Servers by their port; each has a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Start none yet."""
        self.folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, port: int, lines: Sequence[str], *, sentinel: bool = False) -> None:
        """Start a server, or a sentinel, and wait until it listens."""
        program = shutil.which("redis-sentinel" if sentinel else "redis-server")
        assert program, MISSING.format("redis-sentinel" if sentinel else "redis-server")
        folder = self.folder / str(port)
        folder.mkdir()
        if not any(line.startswith("port ") for line in lines):
            lines = [f"port {port}", *lines]
        common = [f"bind {HOST}", f"dir {folder}", f"logfile {folder / 'log'}"]
        if not sentinel:
            common += ["appendonly yes", 'save ""', "maxmemory-policy noeviction"]
        config = folder / "conf"
        config.write_text("\n".join([*common, *lines, ""]))
        self._processes[port] = subprocess.Popen(
            [program, str(config)], stdout=subprocess.DEVNULL
        )
        until(lambda: listens(port), 30, f"no server at {port}")

    def kill(self, port: int) -> None:
        """Kill a server without warning."""
        self._processes[port].kill()
        self._processes.pop(port).wait(10)

    def stop(self) -> None:
        """End all of them."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(10)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Give a place to start servers in and end them afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="swarm-redis-"))
    made = Servers(folder)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def listens(port: int) -> bool:
    """Return whether a server accepts connections at a port."""
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


def answers(client: redis.Redis) -> bool:
    """Return whether a server answers."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
