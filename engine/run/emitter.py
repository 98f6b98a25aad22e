"""What an attempt emits, on its way to the journal: seen at once, written in bundles.

The first event of an attempt is written as soon as it is there, later ones at most
every EVERY_S in one entry, and what is left goes out with the end of the attempt. An
attempt that emits nothing pays for one small object.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from dataclasses import replace
from queue import SimpleQueue
from typing import Any, Protocol
from typing import Final as Constant

import orjson

from engine.run.events import Event, pack_entry
from engine.run.outcomes import Outcome, as_json
from engine.run.outputs import (
    AS_EMITTED,
    LONGEST_NAME,
    SHOWN,
    Artifact,
    Final,
    Log,
    OutputEvent,
    Partial,
    Progress,
    cut,
    fold_parts,
    name_fault,
    to_wire,
)
from engine.run.turn import Limits
from engine.store.base import BatchRef, Ref, RunStore

logger = logging.getLogger(__name__)

EVERY_S: Constant = 0.2
"""How often at most the events of one attempt are written, in seconds."""
SHOWN_BYTES: Constant = 16 * 1024
"""A content of more bytes is not repeated in the journal: the result has it."""
MOST_PARTS: Constant = 10_000
"""Names of parts that one attempt may give, those without room for them included."""

Claim = tuple[Ref | BatchRef, int, str]
"""What an attempt runs under: chain or batch, sequence number, nonce."""


class Owner(Protocol):
    """Who makes an attempt: a turn, or a batch of lanes."""

    owned_at: float
    """When the claim was asked for or last confirmed, in monotonic seconds."""

    @property
    def events(self) -> list[Event]:
        """What goes into the journal with the end of the attempt."""

    def claim(self) -> Claim:
        """Return what the attempt runs under."""


class Outlet:
    """Writes what the attempts of one engine emit, from a thread of its own.

    A thread, so that an agent never waits for Redis, and no alarm that ends an agent
    can cut a reply in two. It starts with the first event. Not threaded, a due event is
    written by who emits it: the same order every time, for simulations.
    """

    def __init__(
        self, store: RunStore, limits: Limits, who: str, *, threaded: bool = True
    ) -> None:
        """Bind the parts; nothing is started."""
        self.store = store
        self.limits = limits
        self.who = who
        self.pid = os.getpid()
        self._threaded = threaded
        self._marks = itertools.count(1)
        self._due: SimpleQueue[Tail] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def soon(self, tail: Tail) -> None:
        """Have the events of an attempt written once they are due."""
        if not self._threaded:
            tail.write_due()
            return
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._work, name="swarm-outlet", daemon=True
            )
            self._thread.start()
        self._due.put(tail)

    def _work(self) -> None:
        while True:
            tail = self._due.get()
            if tail.wait_until_due():
                tail.write_due()

    def write(self, claim: Claim, event: Event) -> bool:
        """Append an entry under the attempt's fence; False when it is not ours any more."""
        ref, seq, nonce = claim
        addr = ref.addr if isinstance(ref, Ref) else ref.chord
        entry = pack_entry(addr, seq, self.who, [event])
        return self.store.emit(ref, seq, nonce, next(self._marks), entry) == "ok"


class Emitter:
    """The `emit` of one attempt; all that it needs is made with its first event."""

    __slots__ = ("_agent", "_attempt", "_outlet", "_owner", "_place", "tail")

    def __init__(
        self, outlet: Outlet, owner: Owner, place: str, attempt: int, agent: str
    ) -> None:
        """Bind the attempt."""
        self._outlet = outlet
        self._owner = owner
        self._place = place
        self._attempt = attempt
        self._agent = agent
        self.tail: Tail | None = None

    def __call__(self, event: OutputEvent) -> None:
        """Take an event; never raises, never waits for the store.

        Not in a process that an agent's code forked: the attempt is not its own, and a
        lock may be held for ever in its copy.
        """
        if os.getpid() != self._outlet.pid:
            return
        tail = self.tail
        if tail is None:
            tail = self.tail = Tail(
                self._outlet, self._owner, self._place, self._attempt, self._agent
            )
        try:
            tail.take(event)
        except Exception as error:
            # Whatever an agent says, saying it must not fail its step.
            logger.warning("an output event of %s is dropped: %s", self._place, error)


class Tail:
    """The events of one attempt: those still to be written, and what they add up to."""

    def __init__(
        self, outlet: Outlet, owner: Owner, place: str, attempt: int, agent: str
    ) -> None:
        """Begin with nothing under the claim that the owner has now."""
        self._outlet = outlet
        self._owner = owner
        self._claim = owner.claim()
        self._place = place
        self._attempt = attempt
        self._agent = agent
        # Agents may emit from threads of their own.
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._waiting: list[dict[str, Any]] = []
        self._written = 0
        self._asked = False
        self._due = 0.0
        self._count = self._bytes = 0
        self._truncated = self._void = False
        self._parts: dict[str, Any] = {}
        self._part_bytes: dict[str, int] = {}
        self._staged = 0
        self._too_large: set[str] = set()
        self._final: Final | None = None
        self._fault = ""

    def take(self, event: OutputEvent) -> None:
        """Note an event and have it written; those of an attempt that is over are dropped."""
        if self._over.is_set():
            return
        if self._truncated and not isinstance(event, Artifact | Final):
            # Only what counts for the result is worth a look any more.
            return
        wire = self._noted(event)
        size = len(orjson.dumps(wire))
        with self._lock:
            if self._truncated or self._void:
                return
            self._count += 1
            self._bytes += size
            limits = self._outlet.limits
            if self._count > limits.events or self._bytes > limits.event_bytes:
                self._truncated = True
                wire = _mark(limits, self._count > limits.events)
            self._waiting.append(wire)
            ask, self._asked = not self._asked, True
        if ask:
            self._outlet.soon(self)

    def _noted(self, event: OutputEvent) -> dict[str, Any]:
        """Note what an event adds to the result; returns what the journal says of it."""
        match event:
            case Artifact(name, content):
                fault = name_fault(name)
                if fault:
                    self._fault = self._fault or fault
                    return to_wire(Log(f"an artifact was dropped: {fault}"))
                try:
                    value, text = as_json(content)
                except ValueError as error:
                    self._fault = self._fault or f"artifact {name!r}: {error}"
                    return to_wire(Log(f"artifact {name!r} is no JSON"))
                self._stage(name, value, len(text))
                return _shown(to_wire(Artifact(name, value)), "content", len(text))
            case Final(content, ok, by):
                try:
                    value, text = as_json(content)
                except ValueError as error:
                    self._fault = self._fault or str(error)
                    return to_wire(Log("a final is no JSON"))
                self._final = Final(value, ok, cut(by, LONGEST_NAME) or self._agent)
                return _shown(to_wire(self._final), "content", len(text))
            case Partial(chunk):
                try:
                    value, text = as_json(chunk)
                except ValueError as error:
                    return to_wire(Log(f"a partial was dropped: {error}"))
                return _shown(to_wire(Partial(value)), "chunk", len(text))
            case Progress(stage, note):
                return to_wire(Progress(str(stage), str(note)))
            case Log(text):
                return to_wire(Log(str(text)))

    def _stage(self, name: str, value: Any, size: int) -> None:
        size += len(name.encode("utf-8", "replace"))
        with self._lock:
            if self._is_one_too_many(name):
                self._fault = (
                    self._fault or f"the step gives more than {MOST_PARTS} parts"
                )
                return
            self._staged -= self._part_bytes.pop(name, 0)
            if self._staged + size > self._outlet.limits.ctx_bytes:
                # Not kept, so memory stays bounded; a later one of this name may fit.
                self._parts.pop(name, None)
                self._too_large.add(name)
                return
            self._too_large.discard(name)
            self._staged += size
            self._part_bytes[name] = size
            self._parts[name] = value

    def _is_one_too_many(self, name: str) -> bool:
        if name in self._parts or name in self._too_large:
            return False
        return len(self._parts) + len(self._too_large) >= MOST_PARTS

    def wait_until_due(self) -> bool:
        """Wait until events may be written again; False when the attempt is over first."""
        return not self._over.wait(max(0.0, self._due - time.monotonic()))

    def write_due(self) -> None:
        """Write what waits, if it is due; what can't be written stays for later."""
        with self._writing:
            if self._over.is_set() or time.monotonic() < self._due:
                return
            with self._lock:
                events, self._waiting = self._waiting, []
                self._asked = False
            self._due = time.monotonic() + EVERY_S
            if not events:
                return
            try:
                kept = self._outlet.write(self._claim, self._event(events))
            except Exception as error:
                logger.warning("output of %s waits: %s", self._place, error)
                with self._lock:
                    self._waiting[:0] = events
                return
            self._written += len(events)
            if not kept:
                with self._lock:
                    self._void = True
                    self._waiting.clear()

    def _event(self, events: list[dict[str, Any]]) -> Event:
        return ["output", self._place, self._attempt, self._written + 1, events]

    def end(self, outcome: Outcome) -> Outcome:
        """Close the attempt: what is left goes to its owner's events; the folded outcome."""
        self._over.set()
        # A write that is under way would come after the commit, and be stale.
        with self._writing, self._lock:
            if self._waiting:
                self._owner.events.append(self._event(self._waiting))
                self._waiting = []
            return self._folded(outcome)

    def _folded(self, outcome: Outcome) -> Outcome:
        if outcome.kind not in ("passed", "blocked"):
            return outcome
        if self._fault or self._too_large:
            text = self._fault or self._no_room()
            return Outcome("failed", text=text, permanent=True, stats=outcome.stats)
        if outcome.value is AS_EMITTED:
            outcome = replace(final_outcome(self._final), stats=outcome.stats)
            if outcome.kind == "failed":
                return outcome
        if not self._parts:
            return outcome
        return replace(outcome, value=fold_parts(outcome.value, self._parts))

    def _no_room(self) -> str:
        limit = self._outlet.limits.ctx_bytes
        names = ", ".join(sorted(map(repr, self._too_large)))
        return (
            f"the parts are larger than SWARM_CTX_LIMIT ({limit} bytes), with no room"
            f" for {cut(names, SHOWN)}: stage paths instead"
        )


def final_outcome(final: Final | None) -> Outcome:
    """Return the outcome that the last Final of an attempt means; none is a failure."""
    if final is None:
        text = "the agent ended without a final result"
        return Outcome("failed", text=text, error_type="NoFinal")
    return Outcome("passed" if final.ok else "blocked", final.content)


def _shown(wire: dict[str, Any], field: str, size: int) -> dict[str, Any]:
    """Return an event's wire form, its content left out where it is large."""
    if size > SHOWN_BYTES:
        wire[field] = {"kind": "omitted", "size": size}
    return wire


def _mark(limits: Limits, by_count: bool) -> dict[str, Any]:
    why = (
        f"more than SWARM_EVENT_LIMIT ({limits.events} events)"
        if by_count
        else f"more than SWARM_EVENT_BYTES_LIMIT ({limits.event_bytes} bytes)"
    )
    return {"type": "truncated", "why": why}
