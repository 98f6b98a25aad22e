"""Loads chains from the store: programs, bases, edit logs and joined lanes, with caches.

What is loaded is shared and never changed: documents copy what they write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, cast

import orjson

from engine.blueprint.program import Program
from engine.flow import FlowError
from engine.flow.document import Document
from engine.flow.json_text import text_depth
from engine.flow.nodes import (
    Fanout,
    Join,
    fulfilled_record,
    rejected_record,
    target_path,
)
from engine.flow.path import Path
from engine.run.cache import Cache
from engine.run.chain import Chain, unpack_frames
from engine.run.ctx import (
    ChordRef,
    Expand,
    Lanes,
    TooLarge,
    depth_of,
    join_line,
    note_join,
    replay,
)
from engine.run.layout import Layout
from engine.run.looks import rank
from engine.run.machine import (
    FUEL_NODES,
    MOST_BYTES,
    Externs,
    JoinedValue,
    Machine,
    Raised,
    Signal,
)
from engine.run.states import FINAL_RUN
from engine.store.base import ITEM_PAGE, ROOT, ChordResults, ChordSpec, Ref, RunStore
from engine.store.record import Record

CACHE_BYTES: Final = 16 << 20
FIRST_LANES: Final = 64
MOST_LANES: Final = 31 * FIRST_LANES
LANES_BYTES: Final = 1 << 20
"""Lanes are read by twice as many at a time until that many bytes come at once."""
LANE_BYTES: Final = 200
"""About what a lane's document costs besides what it shares."""


OTHER_PROGRAM: Final = (
    "the program in Redis is not the one that this run was started with (its content has"
    " another hash), so nothing of it was executed: find out who writes to this Redis,"
    " then start the run anew"
)


class Vanished(Exception):
    """What a chain needs is no longer in the store: its run or chord is over."""


class LeaseOver(Vanished):
    """A claim is older than its lease before its agent has started."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program ready to run."""

    program: Program
    layout: Layout
    machine: Machine
    most_urgent: int
    """The rank (looks.py) of its most urgent agent's queue."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a chain's edit log starts from: a value and the joins inside it.

    `size` is what is stored of it in bytes; `base_size` the part of that in a base.
    `depth` bounds how many containers are inside each other.
    """

    value: Any
    size: int = 0
    base_size: int = 0
    known: dict[str, Lanes] = field(default_factory=dict)
    depth: int = 0

    def document(self) -> Document:
        """Return a document of its own that starts from it."""
        return Document(self.value, self.depth)

    @property
    def weight(self) -> int:
        """What it was read from, with the joins inside it, in bytes."""
        return self.size + sum(lanes.size for lanes in self.known.values())


def stored_base(data: bytes) -> Origin:
    """Return the origin that a base is, from its JSON text."""
    size = len(data)
    return Origin(orjson.loads(data), size, size, depth=text_depth(data))


def read_program(data: bytes) -> Program | None:
    """Read a program from the state; None for what is none."""
    try:
        return Program.from_json(orjson.loads(data))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def split_lane(addr: str) -> tuple[str, int]:
    """Return the chord and the index of a lane's address."""
    chord, _, index = addr.rpartition(".")
    return chord, int(index)


class Loader:
    """Reads chains of live runs from a store."""

    def __init__(
        self,
        store: RunStore,
        externs: Externs | None = None,
        *,
        fuel_nodes: int = FUEL_NODES,
        cache_bytes: int = CACHE_BYTES,
        most_joined: int | None = None,
    ) -> None:
        """Read from `store`; `externs` are the pure functions expressions may call.

        `fuel_nodes` bounds the nodes a chain enters between two commits, `cache_bytes`
        what is kept parsed, `most_joined` the bytes of lanes that one Ctx is read from
        (TooLarge beyond it).
        """
        self.most_bytes = MOST_BYTES
        """The most that a chain writes out at once; whoever knows the limits sets it."""
        self._fuel_nodes = fuel_nodes
        self._store = store
        self._externs = externs
        self._most_joined = most_joined
        self.cache = Cache(cache_bytes)

    def prepared(self, run: str, program_id: str) -> Prepared:
        """Return a run's program; read once per process, since it is named by content."""
        read = partial(self._program, run, program_id)
        return cast(Prepared, self.cache.get(program_id, read))

    def _program(self, run: str, program_id: str) -> tuple[Prepared, int]:
        data = self._store.program(run, program_id)
        if data is None:
            raise Vanished(program_id)
        program = read_program(data)
        if program is None or program.program_id != program_id:
            # Whoever can write to the state would choose what its workers run.
            self._store.finish(run, "failed", OTHER_PROGRAM)
            raise Vanished(OTHER_PROGRAM)
        return self._laid_out(program), len(data)

    def prepare(self, program: Program) -> Prepared:
        """Lay a program out for the machine and keep it."""
        prepared = self._laid_out(program)
        size = len(orjson.dumps(program.to_json()))
        self.cache.put(program.program_id, prepared, size)
        return prepared

    def _laid_out(self, program: Program) -> Prepared:
        layout = Layout(program.flow)
        return Prepared(
            program,
            layout,
            Machine(
                layout,
                self._externs,
                agents=program.agents,
                fuel_nodes=self._fuel_nodes,
                most_bytes=self.most_bytes,
            ),
            min((rank(agent.queue) for agent in program.agents.values()), default=0),
        )

    def spec(self, run: str, gen: int, chord: str) -> ChordSpec:
        """Return a chord's constants."""

        def read() -> tuple[ChordSpec, int]:
            found = self._store.chord(run, chord)
            if found is None:
                raise Vanished(chord)
            return found, 0

        return cast(ChordSpec, self.cache.get(("spec", run, gen, chord), read))

    def base(self, run: str, base_id: str) -> Origin:
        """Return a stored base."""

        def read() -> tuple[Origin, int]:
            data = self._store.base(run, base_id)
            if data is None:
                raise Vanished(base_id)
            return stored_base(data), len(data)

        return cast(Origin, self.cache.get((run, base_id), read))

    def keep_base(self, run: str, base_id: str, data: bytes) -> None:
        """Note a base that was read along with other things."""
        self.cache.put((run, base_id), stored_base(data), len(data))

    def forget_base(self, run: str, base_id: str) -> None:
        """Keep a base no longer: its run has ended."""
        self.cache.drop((run, base_id))

    def lane_origin(
        self, prepared: Prepared, ref: Ref, chord: str, spec: ChordSpec
    ) -> Origin:
        """Return what the lanes of a chord start from: their parent's Ctx at opening."""

        def read() -> tuple[Origin, int]:
            origin = self._origin(
                prepared, Ref(ref.run, ref.gen, spec.parent), spec.base_id
            )
            log = self._store.log(ref.run, spec.parent, spec.parent_len)
            if len(log) < spec.parent_len:
                raise Vanished(chord)
            doc, known = origin.document(), dict(origin.known)
            replay(doc, log, self._expander(prepared, ref), known)
            size = origin.size + len(log)
            made = Origin(doc.value, size, origin.size, known, doc.depth)
            return made, made.weight

        return cast(Origin, self.cache.get((ref.run, ref.gen, chord), read))

    def keep_lane_origin(self, ref: Ref, chord: str, origin: Origin) -> None:
        """Note what the lanes of a chord just opened start from, so that it isn't read."""
        self.cache.put((ref.run, ref.gen, chord), origin, origin.weight)

    def _origin(self, prepared: Prepared, ref: Ref, base_id: str) -> Origin:
        if base_id:
            return self.base(ref.run, base_id)
        chord, index = split_lane(ref.addr)
        spec = self.spec(ref.run, ref.gen, chord)
        origin = self.lane_origin(prepared, ref, chord, spec)
        page = orjson.loads(self._store.items(ref.run, chord, index // ITEM_PAGE))
        if index % ITEM_PAGE >= len(page):
            raise Vanished(ref.addr)
        return lane_start(prepared, spec, origin, page[index % ITEM_PAGE])

    @contextmanager
    def reading(self, ref: Ref) -> Iterator[None]:
        """Raise Vanished for what can't be read because the chain is over by now.

        A parent that goes on after a decided chord may write over the log that its
        losing lanes still read.
        """
        try:
            yield
        except (ValueError, LookupError, FlowError) as error:
            if self._over(ref):
                raise Vanished(ref.addr) from error
            raise

    def _over(self, ref: Ref) -> bool:
        head = self._store.head(ref.run)
        if head is None or head.gen != ref.gen or head.status in FINAL_RUN:
            return True
        parts = ref.addr.split(".")
        chords = [
            ".".join(parts[: n + 1])
            for n, part in enumerate(parts)
            if part.startswith("k")
        ]
        return any(self._store.decided(ref.run, chord) for chord in chords)

    def chain(
        self, ref: Ref, prepared: Prepared, record: Record, log: bytes | None = None
    ) -> Chain:
        """Build a claimed chain from its record and edit log (read if not given)."""
        with self.reading(ref):
            return self._chain(ref, prepared, record, log)

    def _chain(
        self, ref: Ref, prepared: Prepared, record: Record, log: bytes | None
    ) -> Chain:
        first, prefix, fanout = 0, "", -1
        if ref.addr != ROOT:
            chord, index = split_lane(ref.addr)
            spec = self.spec(ref.run, ref.gen, chord)
            first = prepared.layout.children[spec.node][0]
            prefix, fanout = f"{spec.place}/lane[{index}]", spec.node
        phase, cursor, frames, end, opened = unpack_frames(record.frames, first)
        chain = Chain(frames, cursor, phase, Document(None), record.loglen)
        chain.prefix, chain.end, chain.opened = prefix, end, opened
        chain.fanout = fanout
        chain.folded = bool(record.base_id) and ref.addr != ROOT
        marks = [frame.rollback for frame in frames if frame.rollback >= 0]
        if phase == "j" and not marks:
            # Its lanes started from this very Ctx, and may have been here.
            kept = self.cache.find((ref.run, ref.gen, f"{ref.addr}.k{opened}"))
            if kept is not None:
                chain.doc, chain.known = kept.document(), dict(kept.known)
                chain.origin_size = kept.base_size
                return chain
        if log is None:
            log = self._store.log(ref.run, ref.addr, record.loglen)
        origin = self._origin(prepared, ref, record.base_id)
        chain.doc, chain.known = origin.document(), dict(origin.known)
        chain.origin_size = origin.size
        found = replay(
            chain.doc,
            log[: record.loglen],
            self._expander(prepared, ref),
            chain.known,
            marks,
        )
        for frame in frames:
            if frame.rollback >= 0:
                frame.snapshot = found[frame.rollback]
        return chain

    def joined(self, ref: Ref, prepared: Prepared, chain: Chain) -> tuple[Signal, int]:
        """Return how the chord a chain waits at was decided, and the lane that did.

        The lane is -1 where all of them settled.
        """
        with self.reading(ref):
            return self._joined(ref, prepared, chain)

    def _joined(self, ref: Ref, prepared: Prepared, chain: Chain) -> tuple[Signal, int]:
        chord = f"{ref.addr}.k{chain.opened}"
        spec = self.spec(ref.run, ref.gen, chord)
        why = self._store.decided(ref.run, chord)
        if why is None:
            raise Vanished(chord)
        if why == "all":
            short: ChordRef = {"k": chord, "node": spec.node, "n": spec.size}
            lanes = self._lanes(prepared, ref, short, chain.doc, chain.known)
            note_join(chain.known, short, lanes, lanes.depth)
            line = partial(join_line, ref=short)
            return JoinedValue(lanes, line, lanes.depth), -1
        index = int(why)
        lane = self._store.results(ref.run, chord, index, index + 1).lanes.get(index)
        if lane is None:
            raise Vanished(chord)
        one: ChordRef = {"k": chord, "node": spec.node, "i": index}
        if lane[1] is not None:
            kind, text = orjson.loads(lane[1])
            return Raised(kind, text), index
        value, depth = self._one(prepared, ref, one, chain.doc, chain.known)
        note_join(chain.known, one, value, depth)
        return JoinedValue(value, partial(join_line, ref=one), depth), index

    def _expander(self, prepared: Prepared, ref: Ref) -> Expand:
        def expand(
            short: ChordRef, base: Document, known: dict[str, Lanes]
        ) -> tuple[Any, int]:
            if "i" in short:
                return self._one(prepared, ref, short, base, known)
            lanes = self._lanes(prepared, ref, short, base, known)
            return lanes, lanes.depth

        return expand

    def _one(
        self,
        prepared: Prepared,
        ref: Ref,
        short: ChordRef,
        base: Document,
        known: dict[str, Lanes],
    ) -> tuple[Any, int]:
        index = short["i"]
        got = self._store.results(ref.run, short["k"], index, index + 1)
        values, depth, _ = self._values(prepared, ref, short, base, got, known)
        if not values:
            raise Vanished(short["k"])
        return values[0], depth

    def _lanes(
        self,
        prepared: Prepared,
        ref: Ref,
        short: ChordRef,
        base: Document,
        known: dict[str, Lanes],
    ) -> Lanes:
        values: list[Any] = []
        lo, step, depth, size = 0, FIRST_LANES, 0, 0
        while lo < short["n"]:
            hi = min(lo + step, short["n"])
            got = self._store.results(ref.run, short["k"], lo, hi)
            some, deep, read = self._values(prepared, ref, short, base, got, known)
            if len(some) != hi - lo:
                raise Vanished(short["k"])
            values += some
            lo, depth, size = hi, max(depth, deep), size + read
            if self._most_joined is not None:
                before = sum(lanes.size for lanes in known.values())
                if before + size > self._most_joined:
                    raise TooLarge
            step = min(2 * step, MOST_LANES) if read < LANES_BYTES else FIRST_LANES
        return Lanes(values, short, depth + 1, size)

    def _values(
        self,
        prepared: Prepared,
        ref: Ref,
        short: ChordRef,
        base: Document,
        got: ChordResults,
        known: dict[str, Lanes],
    ) -> tuple[list[Any], int, int]:
        """Return the values of the lanes in `got`, in order, how deep and large they are.

        A lane's log may refer to joins of the chains around it, and the chain around
        may later refer to a join inside the lane: so all of them share `known`.
        """
        node = prepared.layout.nodes[short["node"]]
        assert isinstance(node, Fanout)  # noqa: S101 - a chord is opened by a fanout
        bind = target_path(node.bind)
        settled = node.join is Join.ALL_SETTLED
        expand = self._expander(prepared, ref)
        values: list[Any] = []
        page: list[Any] = []
        before, at, depth, size = base.snapshot(), -1, 1, 0
        for index, (log, failure) in sorted(got.lanes.items()):
            if failure is not None:
                kind_text = orjson.loads(failure)
                values.append(rejected_record(kind_text[1]))
                continue
            if index // ITEM_PAGE != at:
                at = index // ITEM_PAGE
                text = self._store.items(ref.run, short["k"], at)
                page, size = orjson.loads(text), size + len(text)
            doc = bound(Document(before, base.depth), bind, page[index % ITEM_PAGE])
            if log:
                replay(doc, log, expand, known)
            depth = max(depth, doc.depth + settled)
            size += len(log or b"") + LANE_BYTES
            values.append(fulfilled_record(doc.value) if settled else doc.value)
        return values, depth, size


def lane_start(
    prepared: Prepared, spec: ChordSpec, origin: Origin, item: Any
) -> Origin:
    """Return what one lane starts from: its chord's origin with the item at `bind`."""
    node = prepared.layout.nodes[spec.node]
    assert isinstance(node, Fanout)  # noqa: S101 - a chord is opened by a fanout
    doc = bound(origin.document(), target_path(node.bind), item)
    return replace(origin, value=doc.value, depth=doc.depth)


def bound(doc: Document, bind: Path, item: Any) -> Document:
    """Return a lane's document with its item where the fanout binds it."""
    doc.write(bind, item)
    if isinstance(item, dict | list):
        doc.depth = max(doc.depth, len(bind.keys) + depth_of(item))
    else:
        doc.depth = max(doc.depth, len(bind.keys))
    return doc
