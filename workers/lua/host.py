"""The LuaHost: scripts in sandbox processes that are reused, and killed at a limit."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.conf import settings

from engine.ports import NO_INPUT, LuaFault, LuaLimits, LuaScript, never
from engine.run.attempt.outcomes import as_json
from engine.run.journal.outputs import (
    LONGEST_NAME,
    Artifact,
    Log,
    OutputEvent,
    Partial,
    Progress,
    cut,
    no_output,
)
from workers.lua.link import Gone, Link
from workers.lua.sandbox_process import (
    CALL,
    EVENT,
    FAULT,
    MOST,
    NO_MEMORY,
    REQUEST,
    REQUIRE,
    RESULT,
)
from workers.process.alarm import until
from workers.process.descriptors import check_descriptors
from workers.process.forks import end_fork
from workers.process.pool import ChildPool

MIB: Final = 1024 * 1024
MAX_CALLS: Final = 10_000
"""Scripts that one sandbox runs before another replaces it, in case it leaks memory."""
MAX_FUNCTION_TEXT: Final = 2000
MAX_MODULES: Final = 200
"""Modules that one script may require, missing ones included."""
# Bytes of a frame that do not count as output.
_ROOM: Final = 64 * 1024
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SandboxHost:
    """Keeps one sandbox for each running script; safe in threads and after a fork."""

    def __init__(self) -> None:
        """Start nothing; the first script starts a sandbox (about 100 ms)."""
        self._links = ChildPool(lambda: Link(address_space()))

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
        exchange = _Exchange(script, limits, emit, cancelled)
        deadline = time.monotonic() + limits.seconds
        may_retry = True
        while True:
            link = self._links.take()
            healthy = False
            try:
                link.open()
                # The start of a sandbox does not count as its first script's time.
                if link.calls == 1:
                    deadline = time.monotonic() + limits.seconds
                value = exchange.serve(link, data, deadline)
                healthy = True
                return value
            except TimeoutError:
                text = f"ran longer than {limits.seconds:g} s"
                raise LuaFault("time", text) from None
            except Gone:
                status = link.end_sandbox()
                # The sandbox may have been killed while idle: a retry repeats nothing.
                if may_retry and not exchange.has_effects:
                    may_retry = False
                    continue
                raise LuaFault("sandbox", _how_it_ended(status)) from None
            except LuaFault as fault:
                healthy = fault.kind not in ("memory", "output", "cancelled", "sandbox")
                raise
            finally:
                self._put_back(link, healthy)

    def unenforced(self) -> list[str]:
        """Return the process limits that this host does not enforce; raises LuaFault.

        They back up the limits of scripts, which Lua itself enforces everywhere.
        """
        link = self._links.take()
        try:
            return link.probe()
        finally:
            self._put_back(link, healthy=True)

    def close(self) -> None:
        """End every sandbox; a later script starts a new one."""
        idle, busy = self._links.clear()
        for link in (*idle, *busy):
            link.close()

    def _put_back(self, link: Link, healthy: bool) -> None:
        if not healthy or link.calls >= MAX_CALLS:
            link.end_sandbox()
        if not self._links.put_back(link, reusable=True):
            link.close()


def address_space() -> int:
    """Return how far a sandbox's address space may grow, in case Lua's own limit fails."""
    texts = 3 * (settings.SWARM_INPUT_LIMIT + settings.SWARM_OUTPUT_LIMIT)
    return int(settings.SWARM_LUA_MEMORY_MAX + texts + 64 * MIB)


@dataclass(slots=True)
class _Exchange:
    """The frames that one script and the worker exchange."""

    script: LuaScript
    limits: LuaLimits
    emit: Callable[[OutputEvent], None]
    cancelled: Callable[[], bool]
    has_effects: bool = False
    modules: int = 0

    def serve(self, link: Link, data: bytes, deadline: float) -> Any:
        """Send the request, serve the script and return its value; raises LuaFault."""
        link.send(data, deadline)
        most = max(self.limits.output, self.limits.log * 6) + _ROOM
        while True:
            kind, text = link.receive(deadline, self.cancelled, most)
            if kind == RESULT:
                return _loads(text)
            self.has_effects = True
            if kind == EVENT:
                self.emit(_event(_loads(text)))
            elif kind in (CALL, REQUIRE):
                with until(deadline):
                    answer = self._call(text) if kind == CALL else self._find(text)
                link.send(len(answer).to_bytes(4, "big") + answer, deadline)
            elif kind == FAULT:
                raise _fault(*_loads(text), limits=self.limits)
            elif kind == NO_MEMORY:
                raise _fault("memory", text.decode(), "", True, limits=self.limits)
            else:
                error = text[:MAX_FUNCTION_TEXT].decode(errors="replace")
                raise LuaFault("sandbox", f"the sandbox failed: {error}")

    def _call(self, frame: bytes) -> bytes:
        """Call a host function; return `v` and its JSON, or `e` and the error."""
        name, _, text = frame.partition(b"\0")
        worker_pid = os.getpid()
        try:
            try:
                value = self.script.functions[name.decode()](_loads(text))
            finally:
                end_fork(worker_pid)
                check_descriptors()
            answer, most = as_json(value).text, settings.SWARM_INPUT_LIMIT
            if len(answer) > most:
                raise AnswerTooLarge(
                    f"its answer of {len(answer)} bytes is larger than SWARM_INPUT_LIMIT"
                    f" ({most} bytes): give a path, an id or a part of it"
                )
            return b"v" + answer
        # SystemExit too: a host function must not end the worker.
        except (Exception, SystemExit) as error:
            return _as_table(error)

    def _find(self, name: bytes) -> bytes:
        """Return `v` and the source of a module, or `e` and the error."""
        self.modules += 1
        try:
            if self.modules > MAX_MODULES:
                raise LookupError(f"a script requires at most {MAX_MODULES} modules")
            return b"v" + self.script.find_module(name.decode()).encode()
        except (LookupError, UnicodeError) as error:
            return _as_table(error)


class AnswerTooLarge(ValueError):
    """A host function returned more than a script may receive."""

    permanent = True


def _as_table(error: BaseException) -> bytes:
    text = str(error)[:MAX_FUNCTION_TEXT]
    fault = {
        "kind": cut(type(error).__name__, LONGEST_NAME),
        "text": text.encode("utf-8", "replace").decode(),
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
    extras = _dumps({"globals": script.globals}) if script.globals else b""
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
        fault = f"{what} contains half a surrogate pair"
        raise LuaFault("input", fault, permanent=True) from None


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        text = f"its input can't be written as JSON: {error}"
        raise LuaFault("input", text, permanent=True) from None


def _loads(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # Our own Lua code writes these texts, so the fault is the sandbox's.
        raise LuaFault("sandbox", "the sandbox sent text that is not JSON") from None


def _event(fields: list[Any]) -> OutputEvent:
    match fields:
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
    kind: Any, text: str, place: str, permanent: bool, *, limits: LuaLimits
) -> LuaFault:
    if kind == "memory" and text.isdigit():
        text = (
            f"its source and input, {text} bytes, do not fit in"
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
    """Return the place as a script names it: a global of `$.globals`, otherwise `_CTX`."""
    if place.startswith("$.globals."):
        return place.removeprefix("$.globals.")
    return "_CTX" + place.removeprefix("$")


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"the sandbox was killed by signal {-status}"
    return f"the sandbox ended with exit code {status}"
