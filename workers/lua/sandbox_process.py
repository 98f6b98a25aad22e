"""The two processes of the sandbox: a host that has lupa loaded, and its fork.

Run by path (`python -I -S sandbox_process.py FOLDER_OF_LUPA ADDRESS_SPACE`). The host
reads commands on descriptor 0; a sandbox serves scripts on the socket it is given.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import resource
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

# Bytes of memory, output and log; flags; the lengths of the five texts that follow.
REQUEST = struct.Struct("!QQQB5I")
REPLY = struct.Struct("!cI")
FORK, END, PROBE = b"F", b"E", b"P"
# The limits that a probe tries, a bit each.
LIMITS = ("memory", "open files", "processes", "file size")
# The types of frames that a sandbox sends.
RESULT, EVENT, CALL, REQUIRE, FAULT = b"R", b"E", b"H", b"Q", b"X"
NO_MEMORY, FAILURE, RETRY_ANSWER = b"M", b"F", b"A"
CHUNK = 256 * 1024
# Holds most requests and replies whole; larger buffers cost more than they save.
FIRST = 16 * 1024
# A runtime of this size is freed in well under a millisecond.
SMALL = 1024 * 1024
# The largest request: its length fits into the field of a frame.
MOST = 1 << 31
# Bytes that Lua and lupa need for a text besides its own.
SLACK = 4096

FOLDER = Path(__file__).parent
# json.lua is compiled into a function, the first argument of sandbox.lua.
WHOLE = b"""
local function codec()
%s
end
local function sandbox(...)
%s
end
return sandbox(codec, ...)
"""


def deny(*_: Any) -> NoReturn:
    """Refuse every attribute of every Python object to Lua."""
    raise AttributeError("not for Lua")


def new_runtime(lua54: Any) -> Any:
    """Return a runtime that reaches no Python object; its strings are bytes in Python."""
    return lua54.LuaRuntime(
        register_eval=False,
        register_builtins=False,
        attribute_filter=deny,
        unpack_returned_tuples=False,
        max_memory=1 << 40,
        encoding=None,
    )


class Prelude:
    """Our Lua code, compiled once: a fresh runtime loads it in microseconds."""

    def __init__(self, lua54: Any) -> None:
        self.lua54 = lua54
        dump = new_runtime(lua54).execute(
            b"return function(text, name) return string.dump(load(text, name), true) end"
        )
        codec, sandbox = (
            (FOLDER / name).read_bytes() for name in ("json.lua", "sandbox.lua")
        )
        # One chunk loads faster than two.
        self.code = dump(WHOLE % (codec, sandbox), b"=sandbox")

    def prepare(
        self, exchange: Callable[[bytes], bytes | bool | None]
    ) -> tuple[Any, Any]:
        """Return a fresh runtime and the function in it that runs one script."""
        runtime = new_runtime(self.lua54)
        return runtime, runtime.compile(self.code, mode=b"b")(exchange)


class Sandbox:
    """Serves scripts one after another, each in a runtime of its own."""

    def __init__(self, sock: socket.socket, prelude: Prelude) -> None:
        self.sock = sock
        self.prelude = prelude
        self.runtime: Any = None
        self.memory = 0
        self.answer = b""

    def serve(self) -> None:
        """Serve until end of file, or until memory was short."""
        while True:
            # Before the request: meanwhile the worker does something else.
            self.runtime, run = self.prelude.prepare(self.exchange)
            parts, size = self.request()
            self.runtime.set_max_memory(self.memory)
            if self.fits(size):
                kind, text = self.result(run, parts)
            else:
                kind, text = NO_MEMORY, str(size).encode()
            del parts
            if int(self.runtime.get_memory_used()) > SMALL:
                # Freeing a large runtime is slow and counts as this script's time.
                del run
                self.runtime = run = None
            self.send(kind, text)
            if kind == NO_MEMORY:
                # The process may be in a bad state: a new sandbox serves the next script.
                return
            # Freed while the worker continues with the answer.
            del run
            self.runtime = None

    def request(self) -> tuple[tuple[Any, ...], int]:
        """Return the arguments that run a script, and the size of its texts."""
        # One read for a small request: the worker sends nothing more before the answer.
        data = self.sock.recv(FIRST)
        if len(data) < REQUEST.size:
            data += self.read(REQUEST.size - len(data))
        self.memory, output, log, flags, *sizes = REQUEST.unpack_from(data)
        size, start = sum(sizes), REQUEST.size
        if len(data) < start + size:
            data = b"".join((data, self.read(start + size - len(data))))
        texts = []
        for length in sizes:
            texts.append(data[start : start + length])
            start += length
        return (flags, output, log, *texts), size

    def result(self, run: Any, parts: tuple[Any, ...]) -> tuple[bytes, bytes]:
        """Run a script; return the type and the text of its last frame."""
        try:
            kind, text = run(*parts)
        except (MemoryError, self.prelude.lua54.LuaMemoryError):
            return NO_MEMORY, b""
        except self.prelude.lua54.LuaError as error:
            return FAILURE, str(error)[:2000].encode(errors="replace")
        if kind == FAULT and text.startswith(b'["memory"'):
            return NO_MEMORY, b""
        return kind, text

    def fits(self, size: int) -> bool:
        """Return whether texts of `size` bytes can be pushed into the runtime.

        lupa pushes them outside of any protected call: without memory for them Lua
        aborts the process, or jumps over Python code that holds the GIL.
        """
        return int(self.runtime.get_memory_used()) + size + SLACK <= self.memory

    def exchange(self, frame: bytes) -> bytes | bool | None:
        """Send a frame of a script and return the worker's answer; called from Lua.

        Returns False where the answer does not fit: Lua then collects garbage and asks
        for it once more, with the frame RETRY_ANSWER. Never raises, because an exception
        would reach the script as a Python object.
        """
        try:
            kind = frame[:1]
            if kind != RETRY_ANSWER:
                self.send(kind, frame[1:])
                if kind not in (CALL, REQUIRE):
                    return None
                (size,) = struct.unpack("!I", self.read(4))
                self.answer = self.read(size)
            answer = self.answer
            if self.fits(len(answer)):
                self.answer = b""
                return answer
            if kind == RETRY_ANSWER:
                self.answer = b""
            return False
        except BaseException:
            os._exit(3)

    def send(self, kind: bytes, text: bytes) -> None:
        """Send one frame."""
        self.sock.sendall(REPLY.pack(kind, len(text)) + text)

    def read(self, size: int) -> bytes:
        """Read exactly `size` bytes; ends the process at end of file."""
        data = self.sock.recv(min(size, CHUNK))
        if len(data) == size:
            return data
        parts = [data]
        while data and (size := size - len(data)):
            data = self.sock.recv(min(size, CHUNK))
            parts.append(data)
        if not data:
            os._exit(0)
        return b"".join(parts)


def become_sandbox(fd: int, prelude: Prelude, address_space: int) -> NoReturn:
    """Turn a forked child into a sandbox on `fd`, its only descriptor but for 1 and 2.

    The limit on descriptors equals their number, so that none can be opened.
    """
    try:
        os.dup2(fd, 0)
        os.closerange(3, 64)
        sock = socket.socket(fileno=0)
        set_limits(address_space)
        Sandbox(sock, prelude).serve()
    finally:
        os._exit(0)


def set_limits(address_space: int) -> None:
    """Set the limits of a sandbox on this process, which can't raise them again."""
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_AS, own_size() + address_space),
    ]
    if hasattr(resource, "RLIMIT_NPROC"):
        limits.append((resource.RLIMIT_NPROC, 0))
    for number, most in limits:
        # Some systems lack some of these limits, which `manage.py doctor` shows (see
        # unenforced); Lua's own memory limit works everywhere.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(number, (most, most))


def unenforced(address_space: int) -> int:
    """Exceed each limit of a sandbox; return the bits (LIMITS) of those not enforced."""
    file = os.memfd_create("probe") if hasattr(os, "memfd_create") else -1
    set_limits(address_space)
    tries: tuple[Callable[[], Any], ...] = (
        # Zeros that nothing reads are mapped and take no memory.
        lambda: bytes(address_space + (1 << 30)),
        lambda: os.dup(0),
        fork_once,
        lambda: write_one(file),
    )
    missing = 0
    for bit, overstep in enumerate(tries):
        with contextlib.suppress(MemoryError, OSError):
            overstep()
            missing |= 1 << bit
    return missing


def fork_once() -> None:
    """Start a process that ends at once; raises OSError where none may be started."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def write_one(file: int) -> None:
    """Make a file larger by a byte; raises OSError where it may not grow."""
    if file >= 0:
        os.write(file, b"x")
    elif resource.getrlimit(resource.RLIMIT_FSIZE)[0] == 0:
        raise OSError


def own_size() -> int:
    """Return the address space of this process, 0 where /proc does not show it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()


class Host:
    """Forks one sandbox at a time; kills it on command and reports how it ended."""

    def __init__(self, sock: socket.socket, prelude: Prelude, space: int) -> None:
        self.sock = sock
        self.prelude = prelude
        self.space = space
        self.below = 0

    def serve(self) -> None:
        """Carry out commands until end of file."""
        while True:
            command, fds, _, _ = socket.recv_fds(self.sock, 1, 1)
            if not command:
                self.end()
                return
            if command == END:
                self.sock.sendall(struct.pack("!i", self.end()))
                continue
            if command == PROBE:
                self.sock.sendall(struct.pack("!i", self.probe()))
                continue
            self.end()
            self.below = os.fork()
            if self.below == 0:
                become_sandbox(fds[0], self.prelude, self.space)
            os.close(fds[0])

    def probe(self) -> int:
        """Try the limits in a fork; return its exit code, the bits of those not enforced."""
        pid = os.fork()
        if pid == 0:
            code = 255
            try:
                code = unenforced(self.space)
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def end(self) -> int:
        """Kill and reap the sandbox; return its exit code or negative signal, 0 for none."""
        pid, self.below = self.below, 0
        if not pid:
            return 0
        # Unreaped until now, it has kept its status and its pid.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    """Load lupa, report `ready` or the error, and serve."""
    sock = socket.socket(fileno=0)
    try:
        sys.path.append(sys.argv[1])
        prelude = Prelude(importlib.import_module("lupa.lua54"))
        # A module loaded later would need a descriptor, which a sandbox can't open.
        prelude.prepare(bytes)
        # The garbage collector need not traverse objects that live as long as the process.
        gc.freeze()
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        sock.sendall(text[:2000].encode(errors="replace"))
        return
    sock.sendall(b"ready")
    Host(sock, prelude, int(sys.argv[2])).serve()


if __name__ == "__main__":
    main()
