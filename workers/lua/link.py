"""The worker's side of one sandbox: its processes, its frames and its end."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.ports import LuaFault
from workers.lua.sandbox_process import CHUNK, END, FIRST, FORK, LIMITS, PROBE, REPLY
from workers.process.job import ChildLimits, environment, make_job
from workers.process.runner import LauncherHandle

PROGRAM: Final = str(Path(__file__).with_name("sandbox_process.py"))
START_S: Final = 30.0
"""How long lupa may take to load; a busy machine needs seconds."""
END_S: Final = 2.0
CANCEL_POLL_S: Final = 0.1
# How long a read may block; with less time left, the socket is polled first.
READ_S: Final = 0.05
# Each script allocates and frees some 600 small blocks: glibc caches so many of each size
# instead of 7, at most 16 MB in all. Other allocators ignore this variable.
ALLOCATOR: Final = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=500"}


class Gone(Exception):
    """The sandbox ended before its answer was complete."""


class Link:
    """A launcher, the host below it and the sandbox below that; started when needed."""

    def __init__(self, address_space: int) -> None:
        """Start nothing. `address_space` bounds what a sandbox adds to its own size."""
        self.address_space = address_space
        self.calls = 0
        self._launcher: LauncherHandle | None = None
        self._control: socket.socket | None = None
        self._sock: socket.socket | None = None
        self._poll = select.poll()
        self._data = b""
        self._next_cancel_poll = 0.0

    def open(self) -> None:
        """Start a sandbox unless one runs; raises LuaFault where none can be started."""
        self.calls += 1
        self._next_cancel_poll = time.monotonic() + CANCEL_POLL_S
        if self._sock is not None:
            return
        self.calls = 1
        # The host may have died while the link was idle: a second try has a new one.
        for may_retry in (True, False):
            try:
                return self._fork()
            except OSError as error:
                self.close()
                if not may_retry:
                    text = f"no sandbox can be started: {error}"
                    raise LuaFault("sandbox", text) from None

    def _fork(self) -> None:
        control = self._control or self._start()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(control, [FORK], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        wait = struct.pack("@ll", 0, round(READ_S * 1e6))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self._sock, self._data = ours, b""
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)

    def _start(self) -> socket.socket:
        """Start launcher and host, wait for lupa, and return the host's socket."""
        launcher = self._launcher = LauncherHandle()
        control, theirs = socket.socketpair()
        self._control = control
        argv = [sys.executable, "-I", "-S", PROGRAM, lupa_folder()]
        argv.append(str(self.address_space))
        names = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        job = make_job(argv, environment(names, ALLOCATOR), "/", ChildLimits())
        with theirs, open(os.devnull, "wb") as nothing:
            fds = [theirs.fileno(), nothing.fileno(), nothing.fileno()]
            launcher.send(job, fds)
        control.settimeout(START_S)
        answer = control.recv(4096).decode(errors="replace")
        if answer != "ready":
            self.close()
            text = f"the Lua sandbox can't start: {answer or 'its process ended'}"
            raise LuaFault("sandbox", text)
        control.settimeout(END_S)
        return control

    def send(self, data: bytes, deadline: float) -> None:
        """Send a request or an answer; raises Gone, or TimeoutError at the deadline."""
        assert self._sock is not None  # noqa: S101 - open() comes first
        try:
            sent = self._sock.send(data, socket.MSG_DONTWAIT)
            if sent < len(data):
                self._sock.settimeout(max(0.001, deadline - time.monotonic()))
                try:
                    self._sock.sendall(memoryview(data)[sent:])
                finally:
                    self._sock.settimeout(None)
        except BlockingIOError:
            raise TimeoutError from None
        except TimeoutError:
            raise
        except OSError:
            raise Gone from None

    def receive(
        self, deadline: float, cancelled: Callable[[], bool], most: int
    ) -> tuple[bytes, bytes]:
        """Return the type and the text of the next frame.

        Raises Gone, TimeoutError at the deadline, LuaFault when cancelled or for a
        frame of more than `most` bytes.
        """
        data, need = self._data, REPLY.size
        more = bytearray()
        kind = b""
        while True:
            if not kind and len(data) >= need:
                kind, size = REPLY.unpack_from(data)
                if size > most:
                    raise LuaFault("output", f"gave {size} bytes at once", "", True)
                need += size
            if kind and len(data) + len(more) >= need:
                break
            got = self._wait(deadline, cancelled, CHUNK if kind else FIRST)
            if kind:
                more += got
            else:
                data += got
        if more:
            data = b"".join([data, more])
        self._data = data[need:]
        return kind, data[REPLY.size : need]

    def _wait(self, deadline: float, cancelled: Callable[[], bool], room: int) -> bytes:
        assert self._sock is not None  # noqa: S101 - open() comes first
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError
            # Also while frames arrive: a script may send them without a pause.
            if now >= self._next_cancel_poll:
                if cancelled():
                    raise LuaFault("cancelled", "cancelled", permanent=True)
                self._next_cancel_poll = now + CANCEL_POLL_S
            left = min(deadline, self._next_cancel_poll) - now
            # One system call for most scripts: they answer before the next poll is due.
            if left < READ_S and not self._poll.poll(left * 1000):
                continue
            try:
                got = self._sock.recv(room)
            except BlockingIOError:
                continue
            except OSError:
                raise Gone from None
            if not got:
                raise Gone
            return got

    def end_sandbox(self) -> int:
        """Kill the sandbox; return its exit code or the negative signal.

        The host stays for the next sandbox, unless it does not answer.
        """
        control = self._control
        if self._sock is None or control is None:
            return 0
        self._sock.close()
        self._sock = None
        try:
            return _ask_host(control, END)
        except OSError:
            self.close()
            return 0

    def probe(self) -> list[str]:
        """Return the process limits that this host does not enforce.

        Raises LuaFault if they can't be tried.
        """
        try:
            control = self._control or self._start()
            # No script waits for this answer, and a busy machine is slow.
            control.settimeout(START_S)
            code = _ask_host(control, PROBE)
            control.settimeout(END_S)
        except OSError as error:
            # A late answer would be read as that of the next command.
            self.close()
            text = f"its limits can't be tried: {error}"
            raise LuaFault("sandbox", text) from None
        if code not in range(1 << len(LIMITS)):
            raise LuaFault("sandbox", f"the process that tries them ended with {code}")
        return [name for bit, name in enumerate(LIMITS) if code >> bit & 1]

    def close(self) -> None:
        """End every process below; a later `open` starts new ones."""
        self._drop()
        if self._launcher is not None:
            self._launcher.end(END_S)
            self._launcher = None

    def forget(self) -> None:
        """Close what a forked child inherited, so that the parent's end is seen."""
        self._drop()
        if self._launcher is not None:
            self._launcher.forget()
            self._launcher = None

    def _drop(self) -> None:
        for sock in (self._sock, self._control):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.close()
        self._sock = self._control = None


def _ask_host(control: socket.socket, command: bytes) -> int:
    """Send a command to the host and return its answer; raises OSError."""
    control.sendall(command)
    answer = control.recv(4)
    if len(answer) < 4:
        raise OSError("its host has ended")
    return int(struct.unpack("!i", answer)[0])


def lupa_folder() -> str:
    """Return the folder lupa is imported from, without importing it here."""
    spec = importlib.util.find_spec("lupa")
    if spec is None or spec.origin is None:
        raise LuaFault("sandbox", "lupa is not installed")
    return str(Path(spec.origin).parent.parent)
