"""A proxy in front of Redis that executes a script and loses its reply."""

import random
import socket
import threading
from pathlib import Path


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
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(self._upstream)
        try:
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
        """Pass on what a long reply still has to say."""
        upstream.settimeout(0.002)
        try:
            while more := upstream.recv(1 << 20):
                client.sendall(more)
        except TimeoutError:
            pass
