"""The LuaHost: scripts in sandbox processes that are reused, and killed at a limit."""

from __future__ import annotations

import os
import re
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final

import orjson
from django.conf import settings

from engine.ports import (
    NO_INPUT,
    LuaFault,
    LuaLimits,
    LuaScript,
    never,
)
from engine.run.outcomes import as_json
from engine.run.outputs import (
    LONGEST_NAME,
    Artifact,
    Log,
    OutputEvent,
    Partial,
    Progress,
    cut,
    no_output,
)
from workers.lua.alarm import until
from workers.lua.link import Gone, Link
from workers.lua.sandbox_process import MOST, REQUEST
from workers.process.descriptors import look_after
from workers.process.forks import end_fork

MIB: Final = 1024 * 1024
MAX_CALLS: Final = 10_000
"""Scripts one sandbox runs before another takes its place: a net below leaks."""
MAX_FUNCTION_TEXT: Final = 2000
MAX_MODULES: Final = 200
"""Modules that one script may ask for, those that are not there included."""
# What a frame has besides what is counted as output.
_ROOM: Final = 64 * 1024
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SandboxHost:
    """Keeps one sandbox per script under way; safe in threads and after a fork."""

    def __init__(self) -> None:
        """Start nothing; the first script starts a sandbox (about 100 ms)."""
        self._lock = threading.Lock()
        self._idle: list[Link] = []
        self._all: set[Link] = set()
        _hosts.add(self)

    def run(
        self,
        script: LuaScript,
        limits: LuaLimits,
        *,
        emit: Callable[[OutputEvent], None] = no_output,
        cancelled: Callable[[], bool] = never,
    ) -> Any:
        """Return the JSON value a script returns; raises LuaFault."""
        data = _request(script, limits)
        talk = _Talk(script, limits, emit, cancelled)
        deadline = time.monotonic() + limits.seconds
        again = True
        while True:
            link = self._take()
            healthy = False
            try:
                link.open()
                # Its start is not the script's time.
                if link.fresh:
                    deadline = time.monotonic() + limits.seconds
                value, healthy = talk.hold(link, data, deadline)
                return value
            except TimeoutError:
                text = f"ran longer than {limits.seconds:g} s"
                raise LuaFault("time", text) from None
            except Gone:
                status = link.end_sandbox()
                # It may have been killed while idle: nothing has happened yet.
                if again and not talk.heard:
                    again = False
                    continue
                raise LuaFault("sandbox", _how_it_ended(status)) from None
            except LuaFault as fault:
                healthy = fault.kind not in ("memory", "output", "cancelled", "sandbox")
                raise
            finally:
                self._put(link, healthy)

    def unenforced(self) -> list[str]:
        """Return the limits of its processes that do not hold here; raises LuaFault.

        They are the net below the limits of scripts, which hold everywhere.
        """
        link = self._take()
        try:
            return link.probe()
        finally:
            self._put(link, healthy=True)

    def close(self) -> None:
        """End all that runs below; a later script starts anew."""
        with self._lock:
            links, self._all, self._idle = self._all, set(), []
        for link in links:
            link.close()

    def _take(self) -> Link:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            link = Link(address_space())
            self._all.add(link)
            return link

    def _put(self, link: Link, healthy: bool) -> None:
        if not healthy or link.calls >= MAX_CALLS:
            link.end_sandbox()
        with self._lock:
            if link in self._all:
                self._idle.append(link)
                return
        link.close()

    def forget(self) -> None:
        """Drop the parent's sandboxes, in the child of a fork."""
        self._lock = threading.Lock()
        for link in self._all:
            link.forget()
        self._all, self._idle = set(), []


def address_space() -> int:
    """Return what a sandbox may map besides its own size: the net below Lua's limit."""
    texts = 3 * (settings.SWARM_INPUT_LIMIT + settings.SWARM_OUTPUT_LIMIT)
    return int(settings.SWARM_LUA_MEMORY_MAX + texts + 64 * MIB)


_hosts: weakref.WeakSet[SandboxHost] = weakref.WeakSet()


def _after_fork() -> None:
    for host in list(_hosts):
        host.forget()


os.register_at_fork(after_in_child=_after_fork)


class _Talk:
    """What is said between one script and the worker."""

    def __init__(
        self,
        script: LuaScript,
        limits: LuaLimits,
        emit: Callable[[OutputEvent], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.script = script
        self.limits = limits
        self.emit = emit
        self.cancelled = cancelled
        self.heard = False
        self.modules = 0

    def hold(self, link: Link, data: bytes, deadline: float) -> tuple[Any, bool]:
        """Send the request and serve the script; its value, and True: all is well."""
        link.send(data, deadline)
        most = max(self.limits.output, self.limits.log * 6) + _ROOM
        while True:
            kind, text = link.receive(deadline, self.cancelled, most)
            if kind == b"R":
                return _loads(text), True
            self.heard = True
            if kind == b"E":
                self.emit(_event(_loads(text)))
            elif kind in (b"H", b"Q"):
                with until(deadline):
                    answer = self._call(text) if kind == b"H" else self._find(text)
                link.send(len(answer).to_bytes(4, "big") + answer, deadline)
            elif kind == b"X":
                what, said, place, permanent = _loads(text)
                raise _fault(what, said, place, permanent, self.limits)
            elif kind == b"M":
                raise _fault("memory", text.decode(), "", True, self.limits)
            else:
                said = text[:MAX_FUNCTION_TEXT].decode(errors="replace")
                raise LuaFault("sandbox", f"the sandbox failed: {said}")

    def _call(self, frame: bytes) -> bytes:
        """Call a host function; `v` and its JSON, or `e` and what went wrong."""
        name, _, text = frame.partition(b"\0")
        holder = os.getpid()
        try:
            try:
                value = self.script.functions[name.decode()](_loads(text))
            finally:
                end_fork(holder)
                look_after()
            return b"v" + _bounded(as_json(value)[1])
        # SystemExit too: a host function must not end the worker.
        except (Exception, SystemExit) as error:
            return _as_table(error)

    def _find(self, name: bytes) -> bytes:
        """Return `v` and the source of a module, or `e` and why there is none."""
        self.modules += 1
        try:
            if self.modules > MAX_MODULES:
                raise LookupError(f"a script requires at most {MAX_MODULES} modules")
            return b"v" + self.script.find_module(name.decode()).encode()
        except (LookupError, UnicodeError) as error:
            return _as_table(error)


class AnswerTooLarge(ValueError):
    """What a host function returned is larger than what a script may be given."""

    permanent = True


def _bounded(answer: bytes) -> bytes:
    most = settings.SWARM_INPUT_LIMIT
    if len(answer) > most:
        raise AnswerTooLarge(
            f"its answer of {len(answer)} bytes is larger than SWARM_INPUT_LIMIT"
            f" ({most} bytes): give a path, an id or a part of it"
        )
    return answer


def _as_table(error: BaseException) -> bytes:
    said = str(error)[:MAX_FUNCTION_TEXT]
    fault = {
        "kind": cut(type(error).__name__, LONGEST_NAME),
        "text": said.encode("utf-8", "replace").decode(),
        "permanent": getattr(error, "permanent", False) is True,
    }
    return b"e" + orjson.dumps(fault)


def _request(script: LuaScript, limits: LuaLimits) -> bytes:
    for name in script.functions:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} can't be the name of a host function")
    flags = 1 if script.big_integers_as_text else 0
    given = b""
    if script.input is not NO_INPUT:
        flags |= 2
        if isinstance(script.input, str):
            flags |= 4
            given = _utf8(script.input, "the input")
        else:
            given = _dumps(script.input)
    extras = b""
    if script.globals:
        extras = _dumps({"globals": script.globals})
    texts = [
        _utf8(script.label, "the label"),
        _utf8(script.source, "the source"),
        given,
        " ".join(sorted(script.functions)).encode(),
        extras,
    ]
    if sum(map(len, texts)) > MOST:
        raise LuaFault("input", f"more than {MOST} bytes", permanent=True)
    head = REQUEST.pack(
        limits.memory, limits.output, limits.log, flags, *map(len, texts)
    )
    return b"".join([head, *texts])


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        fault = f"{what} holds half a surrogate pair"
        raise LuaFault("input", fault, permanent=True) from None


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        text = f"what it is given can't be held as JSON: {error}"
        raise LuaFault("input", text, permanent=True) from None


def _loads(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # Our own Lua code wrote it, so this is a sandbox that went wrong.
        raise LuaFault("sandbox", "the sandbox sent what is no JSON") from None


def _event(said: list[Any]) -> OutputEvent:
    match said:
        case ["log", str(text), _]:
            return Log(text)
        case ["progress", str(stage), str(note)]:
            return Progress(stage, note)
        case ["partial", _, chunk]:
            return Partial(chunk)
        case ["artifact", str(name), content]:
            return Artifact(name, content)
    raise LuaFault("sandbox", "the sandbox sent an unknown event")


def _fault(
    kind: Any, text: str, place: str, permanent: bool, limits: LuaLimits
) -> LuaFault:
    if kind == "memory" and text.isdigit():
        text = (
            f"what it is given, {text} bytes, does not fit in"
            f" {limits.memory} bytes of memory"
        )
    elif kind == "memory":
        text = f"used more than {limits.memory} bytes of memory"
    elif kind == "output":
        text = f"gave more than {limits.output} bytes of output"
    elif kind == "input":
        place = _in_ctx(place)
        return LuaFault(kind, f"its input at {place}: {text}", place, True)
    elif kind == "result":
        return LuaFault(kind, f"its result at {place}: {text}", place, True)
    permanent = permanent or kind in ("memory", "output", "syntax")
    return LuaFault(kind, text, place, permanent)


def _in_ctx(place: str) -> str:
    """Say the place as a script would: `$.globals.x` is the global x, else `_CTX`."""
    if place.startswith("$.globals."):
        return place.removeprefix("$.globals.")
    return "_CTX" + place.removeprefix("$")


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"the sandbox was killed by signal {-status}"
    return f"the sandbox ended with exit code {status}"
