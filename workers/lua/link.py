"""One sandbox from the worker's side: the processes below it, its frames, its end."""

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
from workers.process import Limits, environment
from workers.process.job import make_job
from workers.process.launcher import frame
from workers.process.runner import Launcher

PROGRAM: Final = str(Path(__file__).with_name("sandbox_process.py"))
START_S: Final = 30.0
"""How long lupa may take to load; a busy machine needs seconds."""
END_S: Final = 2.0
LOOK_S: Final = 0.1
# How long a read may wait by itself; nearer to what has to be on time, it is asked first.
READ_S: Final = 0.05
# A runtime is some 600 small blocks, made and freed for every script: glibc keeps so many
# of each size at hand instead of 7. At most 16 MB; other allocators don't read it.
ALLOCATOR: Final = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=500"}


class Gone(Exception):
    """The sandbox ended before its answer was complete."""


class Link:
    """A launcher, the host below it and the sandbox below that; started when needed."""

    def __init__(self, address_space: int) -> None:
        """Start nothing. `address_space` bounds what a sandbox adds to its own size."""
        self.address_space = address_space
        self.calls = 0
        self._launcher: Launcher | None = None
        self._control: socket.socket | None = None
        self._sock: socket.socket | None = None
        self._poll = select.poll()
        self._data = b""
        self._look_at = 0.0

    @property
    def fresh(self) -> bool:
        """Whether this sandbox has never been talked to."""
        return self.calls <= 1

    def open(self) -> None:
        """Have a sandbox; raises LuaFault if there can't be one."""
        self.calls += 1
        self._look_at = time.monotonic() + LOOK_S
        if self._sock is not None:
            return
        self.calls = 1
        try:
            self._fork()
        except OSError:
            # The host died while nobody looked; a new one is not tried twice.
            self.close()
            try:
                self._fork()
            except OSError as error:
                self.close()
                raise LuaFault(
                    "sandbox", f"no sandbox can be started: {error}"
                ) from None

    def _fork(self) -> None:
        if self._control is None:
            self._start()
        assert self._control is not None  # noqa: S101 - _start has set it
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [FORK], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        wait = struct.pack("@ll", 0, round(READ_S * 1e6))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self._sock, self._data = ours, b""
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)

    def _start(self) -> None:
        """Start launcher and host, and wait until lupa is loaded."""
        launcher = self._launcher = Launcher()
        control, theirs = socket.socketpair()
        self._control = control
        argv = [sys.executable, "-I", "-S", PROGRAM, lupa_folder()]
        argv.append(str(self.address_space))
        names = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        job = make_job(argv, environment(names, ALLOCATOR), "/", Limits())
        with theirs, open(os.devnull, "wb") as nothing:
            fds = [theirs.fileno(), nothing.fileno(), nothing.fileno()]
            data = frame(job)
            sent = socket.send_fds(launcher.sock, [data], fds)
            launcher.sock.sendall(data[sent:])
        control.settimeout(START_S)
        said = control.recv(4096).decode(errors="replace")
        if said != "ready":
            self.close()
            text = f"the Lua sandbox can't start: {said or 'its process ended'}"
            raise LuaFault("sandbox", text)
        control.settimeout(END_S)

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
            # By the clock: a script that keeps talking is never silent.
            if now >= self._look_at:
                if cancelled():
                    raise LuaFault("cancelled", "cancelled", permanent=True)
                self._look_at = now + LOOK_S
            left = min(deadline, self._look_at) - now
            # One call for most scripts: they answer before there is anything to look at.
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
        """Kill the sandbox and wait for its end; its exit code or negative signal.

        The host stays. If it does not answer, all is ended.
        """
        if self._sock is None or self._control is None:
            return 0
        self._sock.close()
        self._sock = None
        try:
            self._control.sendall(END)
            answer = self._control.recv(4)
            if len(answer) == 4:
                return int(struct.unpack("!i", answer)[0])
        except OSError:
            pass
        self.close()
        return 0

    def probe(self) -> list[str]:
        """Return the names of a sandbox's limits that this host does not enforce.

        Raises LuaFault if they can't be tried.
        """
        try:
            if self._control is None:
                self._start()
            assert self._control is not None  # noqa: S101 - _start has set it
            # Nobody waits for a script meanwhile: a busy machine may take its time.
            self._control.settimeout(START_S)
            self._control.sendall(PROBE)
            answer = self._control.recv(4)
            self._control.settimeout(END_S)
            code = struct.unpack("!i", answer)[0] if len(answer) == 4 else -1
        except OSError as error:
            # A late answer must not be taken for that of another command.
            self.close()
            text = f"its limits can't be tried: {error}"
            raise LuaFault("sandbox", text) from None
        if code not in range(1 << len(LIMITS)):
            raise LuaFault("sandbox", f"the process that tries them ended with {code}")
        return [name for bit, name in enumerate(LIMITS) if code >> bit & 1]

    def close(self) -> None:
        """End everything below; a later open() starts anew."""
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


def lupa_folder() -> str:
    """Return the folder lupa is imported from, without importing it here."""
    spec = importlib.util.find_spec("lupa")
    if spec is None or spec.origin is None:
        raise LuaFault("sandbox", "lupa is not installed")
    return str(Path(spec.origin).parent.parent)
