"""A proxy in front of Redis that executes a script and loses its reply."""

import random
import socket
from pathlib import Path

from proxy_threads import ProxyThreads, clients_of


class LosingProxy:
    """Forwards unix socket connections; cuts some after a script's reply was read."""

    def __init__(self, path: Path, upstream: str, loss: float, seed: int) -> None:
        """Listen at `path` and forward to `upstream`."""
        self._upstream = upstream
        self._loss = loss
        self._random = random.Random(seed)
        self.lost = 0
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._threads = ProxyThreads()
        self._threads.start(self._accept)

    def close(self) -> None:
        """Take no more connections and wait for the clients to be gone."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._threads.join(5)

    def _accept(self) -> None:
        for client in clients_of(self._server):
            self._threads.start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        upstream = socket.socket(socket.AF_UNIX)
        try:
            upstream.connect(self._upstream)
            # Request and reply alternate on the step path, so no framing is needed.
            while request := client.recv(1 << 20):
                upstream.sendall(request)
                client.setblocking(False)
                while True:
                    try:
                        more = client.recv(1 << 20)
                        upstream.sendall(more)
                        if not more:
                            break
                    except BlockingIOError:
                        break
                client.setblocking(True)
                upstream.settimeout(10)
                reply = upstream.recv(1 << 20)
                if b"EVALSHA" in request and self._random.random() < self._loss:
                    self.lost += 1
                    return
                client.sendall(reply)
                self._drain(client, upstream)
        except OSError:
            pass
        finally:
            client.close()
            upstream.close()

    def _drain(self, client: socket.socket, upstream: socket.socket) -> None:
        """Pass on the rest of a long reply."""
        upstream.settimeout(0.002)
        try:
            while more := upstream.recv(1 << 20):
                client.sendall(more)
        except TimeoutError:
            pass
