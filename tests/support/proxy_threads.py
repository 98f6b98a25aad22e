"""The threads of a proxy."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any


class ProxyThreads:
    """Daemon threads that a test joins together."""

    def __init__(self) -> None:
        """Begin without a thread."""
        self._threads: list[threading.Thread] = []

    def start(self, target: Callable[..., None], *args: Any) -> None:
        """Call `target` in a new thread."""
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, seconds: float) -> None:
        """Wait at most `seconds` for each thread."""
        for thread in self._threads:
            thread.join(seconds)


def clients_of(server: socket.socket) -> Iterator[socket.socket]:
    """Yield each client of a listening socket until that is closed."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        yield client
