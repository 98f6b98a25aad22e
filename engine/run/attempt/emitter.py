"""The way of an attempt's output events to the journal, prompt and in bundles.

The first event of an attempt is written at once, later ones at most every EVERY_S in one
entry, and the rest with the end of the attempt. An attempt without output costs one small
object.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any
from typing import Final as Constant

import orjson
from orjson import Fragment

from engine.run.attempt.leases import Claim, Owner
from engine.run.attempt.outcomes import Kind, Outcome, as_json
from engine.run.journal.entries import Event, pack_entry
from engine.run.journal.outputs import (
    AS_EMITTED,
    LONGEST_NAME,
    SHOWN,
    Artifact,
    FileContent,
    Final,
    Log,
    OutputEvent,
    Partial,
    Progress,
    as_value,
    cut,
    fold_parts,
    name_fault,
    to_wire,
)
from engine.run.limits import Limits
from engine.store.base import Ref
from engine.store.port import RunStore

logger = logging.getLogger(__name__)

EVERY_S: Constant = 0.2
"""The least time between two entries of one attempt, in seconds."""
SHOWN_BYTES: Constant = 16 * 1024
"""The journal omits a larger content, which the result has anyway."""
MOST_PARTS: Constant = 10_000
"""The most names of parts that one attempt may stage, refused parts included."""


class Outlet:
    """Writes the output events of one engine's attempts from a thread.

    With a thread no agent waits for Redis, and the alarm that ends an agent does not
    interrupt the reading of a reply. It starts with the first event. Simulations use
    `threaded=False`, where the emitting call writes, so that the order is fixed.
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

    def schedule(self, tail: Tail) -> None:
        """Schedule the writing of an attempt's events."""
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
        """Append an entry under the attempt's fence; return whether the claim is still valid."""
        ref, seq, nonce = claim
        addr = ref.addr if isinstance(ref, Ref) else ref.chord
        entry = pack_entry(addr, seq, self.who, [event])
        return self.store.emit(ref, seq, nonce, next(self._marks), entry) == "ok"


@dataclass(slots=True, eq=False)
class Emitter:
    """The `emit` of one attempt; the first event creates its tail."""

    outlet: Outlet
    owner: Owner
    place: str
    attempt: int
    agent: str
    tail: Tail | None = None

    def __call__(self, event: OutputEvent) -> None:
        """Take an event; never raises, never waits for the store.

        A process that the agent's code forked emits nothing: the attempt belongs to its
        parent, and its copy of a lock may stay locked for ever.
        """
        if os.getpid() != self.outlet.pid:
            return
        if self.tail is None:
            self.tail = Tail(
                self.outlet, self.owner, self.place, self.attempt, self.agent
            )
        try:
            self.tail.take(event)
        except Exception as error:
            # An event that cannot be written must not fail the step.
            logger.warning("an output event of %s is dropped: %s", self.place, error)


class Tail:
    """The events of one attempt that are to be written, and the result they fold to."""

    def __init__(
        self, outlet: Outlet, owner: Owner, place: str, attempt: int, agent: str
    ) -> None:
        """Begin without events, under the current claim of the owner."""
        self._outlet = outlet
        self._owner = owner
        self._claim = owner.claim()
        self._place = place
        self._attempt = attempt
        self._agent = agent
        # Agents may emit from several threads.
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._over = threading.Event()
        # As JSON text: an event is serialised once.
        self._waiting: list[Fragment] = []
        self._written = 0
        self._scheduled = False
        self._due = 0.0
        self._count = self._bytes = 0
        self._truncated = self._void = False
        self._parts: dict[str, Fragment] = {}
        self._part_bytes: dict[str, int] = {}
        self._staged = 0
        self._too_large: set[str] = set()
        self._final: Final | None = None
        self._fault = ""

    @property
    def has_parts(self) -> bool:
        """Whether the attempt has staged parts, so that its value is folded with them."""
        return bool(self._parts)

    def take(self, event: OutputEvent) -> None:
        """Take an event and schedule its writing; drop it after the attempt has ended."""
        if self._over.is_set():
            return
        if self._truncated and not isinstance(event, Artifact | Final):
            # After truncation only artifacts and finals count, for the result.
            return
        text = orjson.dumps(self._add(event))
        with self._lock:
            if self._truncated or self._void:
                return
            self._count += 1
            self._bytes += len(text)
            limits = self._outlet.limits
            if self._count > limits.events or self._bytes > limits.event_bytes:
                self._truncated = True
                text = orjson.dumps(_mark(limits, self._count > limits.events))
            self._waiting.append(Fragment(text))
            ask, self._scheduled = not self._scheduled, True
        if ask:
            self._outlet.schedule(self)

    def _add(self, event: OutputEvent) -> dict[str, Any]:
        """Add an event to the result; return its form for the journal."""
        match event:
            case Artifact(name, content):
                fault = name_fault(name)
                if fault:
                    self._fault = self._fault or fault
                    return to_wire(Log(f"an artifact was dropped: {fault}"))
                try:
                    text = as_json(as_value(content)).text
                except ValueError as error:
                    self._fault = self._fault or f"artifact {name!r}: {error}"
                    return to_wire(Log(f"artifact {name!r} is no JSON"))
                self._stage(name, text)
                artifact = Artifact(name, _as_text(content, text))
                return _shown(to_wire(artifact), "content", len(text))
            case Final(content, ok, by):
                try:
                    text = as_json(as_value(content)).text
                except ValueError as error:
                    self._fault = self._fault or str(error)
                    return to_wire(Log("a final is no JSON"))
                by = cut(by, LONGEST_NAME) or self._agent
                self._final = Final(Fragment(text), ok, by)
                final = Final(_as_text(content, text), ok, by)
                return _shown(to_wire(final), "content", len(text))
            case Partial(chunk):
                try:
                    text = as_json(chunk).text
                except ValueError as error:
                    return to_wire(Log(f"a partial was dropped: {error}"))
                return _shown(to_wire(Partial(Fragment(text))), "chunk", len(text))
            case Progress(stage, note):
                return to_wire(Progress(str(stage), str(note)))
            case Log(text):
                return to_wire(Log(str(text)))

    def _stage(self, name: str, text: bytes) -> None:
        size = len(text) + len(name.encode("utf-8", "replace"))
        with self._lock:
            is_new = name not in self._parts and name not in self._too_large
            if is_new and len(self._parts) + len(self._too_large) >= MOST_PARTS:
                self._fault = (
                    self._fault or f"the step gives more than {MOST_PARTS} parts"
                )
                return
            self._staged -= self._part_bytes.pop(name, 0)
            if self._staged + size > self._outlet.limits.ctx_bytes:
                # Dropped, so that memory stays bounded; a later part of this name may fit.
                self._parts.pop(name, None)
                self._too_large.add(name)
                return
            self._too_large.discard(name)
            self._staged += size
            self._part_bytes[name] = size
            self._parts[name] = Fragment(text)

    def wait_until_due(self) -> bool:
        """Wait until events are due; return False if the attempt ends before."""
        return not self._over.wait(max(0.0, self._due - time.monotonic()))

    def write_due(self) -> None:
        """Write the waiting events if they are due; keep them when that fails."""
        with self._writing:
            if self._over.is_set() or time.monotonic() < self._due:
                return
            with self._lock:
                events, self._waiting = self._waiting, []
                self._scheduled = False
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

    def _event(self, events: list[Fragment]) -> Event:
        return ["output", self._place, self._attempt, self._written + 1, events]

    def end(self, outcome: Outcome) -> Outcome:
        """Close the attempt, leave unwritten events to its owner, return the folded outcome."""
        self._over.set()
        # A write that is not finished before the commit would be stale.
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
            final = self._final
            if final is None:
                text = "the agent ended without a final result"
                stats = outcome.stats
                return Outcome("failed", text=text, error_type="NoFinal", stats=stats)
            kind: Kind = "passed" if final.ok else "blocked"
            outcome = Outcome(kind, final.content, stats=outcome.stats)
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


def _as_text(content: Any, text: bytes) -> Any:
    """Return a content for the journal: a file as it is, a value as its JSON text."""
    return content if isinstance(content, FileContent) else Fragment(text)


def _shown(wire: dict[str, Any], field: str, size: int) -> dict[str, Any]:
    """Return an event's wire form, without its content where that is large."""
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
