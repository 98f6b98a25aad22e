"""Loads chains from the store: programs, bases and edit logs, with caches.

Loaded values are shared and never changed: documents copy on write.
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
from engine.flow.nodes import Fanout, target_path
from engine.flow.offloaded import Contents
from engine.run.chain.chain import ENTER, JOIN, Chain, unpack_frames
from engine.run.chain.ctx import Lanes, read_stored, replay
from engine.run.chain.layout import Layout
from engine.run.chain.machine import FUEL_NODES, MOST_BYTES, Machine, Signal
from engine.run.chain.outputs import NO_CONTENTS, Outputs, Shelf, output_owner
from engine.run.drive.cache import Cache
from engine.run.drive.joins import Joins, bound
from engine.run.drive.queue_order import rank
from engine.run.states import FINAL_RUN
from engine.store.addresses import chord_at, chords_around, lane_place, split_lane
from engine.store.base import (
    ITEM_PAGE,
    REPLACED,
    ROOT,
    ChordSpec,
    Ref,
    Vanished,
    split_key,
)
from engine.store.port import ChainReads, RunStore
from engine.store.record import Record

CACHE_BYTES: Final = 16 << 20

OTHER_PROGRAM: Final = (
    "the program in Redis is not the one that this run was started with (its content has"
    " another hash), so nothing of it was executed: find out who writes to this Redis,"
    " then start the run again"
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A program ready to run."""

    program: Program
    layout: Layout
    machine: Machine
    most_urgent: int
    """The rank (queue_order.py) of its most urgent agent's queue."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The value from which a chain's edit log starts, and the joins inside it.

    `size` is its stored size in bytes, `base_size` the part of that in a base; `depth` is
    an upper bound of its depth.
    """

    value: Any
    size: int = 0
    base_size: int = 0
    known: dict[str, Lanes] = field(default_factory=dict)
    depth: int = 0

    @classmethod
    def of(cls, chain: Chain) -> Origin:
        """Return the origin of the lanes of a fanout that a chain opens now."""
        size, base_size = chain.origin_size + chain.offset, chain.origin_size
        value, known = chain.doc.snapshot(), dict(chain.known)
        return cls(value, size, base_size, known, chain.doc.depth)

    def document(self) -> Document:
        """Return a new document that starts with this value."""
        return Document(self.value, self.depth)

    @property
    def weight(self) -> int:
        """The bytes that were read for it, the joins inside it included."""
        return self.size + sum(lanes.size for lanes in self.known.values())


def stored_base(data: bytes, contents: Contents) -> Origin:
    """Return the origin of a base from its stored form."""
    size = len(data)
    value, depth = read_stored(data, contents)
    return Origin(value, size, size, depth=depth)


def read_program(data: bytes) -> Program | None:
    """Read a stored program; return None if it is invalid."""
    try:
        return Program.from_json(orjson.loads(data))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


class ChainReader:
    """Builds chains from what is kept of their runs, with a cache."""

    def __init__(
        self,
        store: ChainReads,
        *,
        cache_bytes: int = CACHE_BYTES,
        most_joined: int | None = None,
        outputs: Outputs | None = None,
    ) -> None:
        """Read from `store`; `most_joined` bounds the bytes of lanes read for one Ctx.

        A chain whose joins have more raises TooLarge. Large values are kept in `outputs`
        and read from there.
        """
        self.outputs = outputs
        self._contents: Contents = outputs or NO_CONTENTS
        self._reads = store
        self._most_joined = most_joined
        self.cache = Cache(cache_bytes)

    def spec(self, key: str, chord: str) -> ChordSpec:
        """Return a chord's constants."""

        def read() -> tuple[ChordSpec, int]:
            found = self._reads.chord(key, chord)
            if found is None:
                raise Vanished(chord)
            return found, 0

        return cast(ChordSpec, self.cache.get(("spec", key, chord), read))

    def base(self, key: str, base_id: str) -> Origin:
        """Return a stored base."""

        def read() -> tuple[Origin, int]:
            data = self._reads.base(key, base_id)
            if data is None:
                raise Vanished(base_id)
            return stored_base(data, self._contents), len(data)

        return cast(Origin, self.cache.get((key, base_id), read))

    def keep_base(self, key: str, base_id: str, data: bytes) -> None:
        """Cache a base that was read along with other data."""
        self.cache.put((key, base_id), stored_base(data, self._contents), len(data))

    def forget_base(self, key: str, base_id: str) -> None:
        """Remove a base from the cache after the end of its generation."""
        self.cache.drop((key, base_id))

    def lane_origin(
        self, prepared: Prepared, ref: Ref, chord: str, spec: ChordSpec
    ) -> Origin:
        """Return the origin of a chord's lanes: their parent's Ctx at its opening."""

        def read() -> tuple[Origin, int]:
            origin = self._origin(
                prepared, Ref(ref.run, ref.gen, spec.parent), spec.base_id
            )
            log = self._reads.log(ref.key, spec.parent, spec.parent_len)
            if len(log) < spec.parent_len:
                raise Vanished(chord)
            doc, known = origin.document(), dict(origin.known)
            expand = self._joins(prepared, ref).expand
            replay(doc, log, expand, known, self._contents)
            size = origin.size + len(log)
            made = Origin(doc.value, size, origin.size, known, doc.depth)
            return made, made.weight

        return cast(Origin, self.cache.get((ref.key, chord), read))

    def keep_lane_origin(self, ref: Ref, chord: str, origin: Origin) -> None:
        """Cache the origin of the lanes of a new chord, so that it is not read again."""
        self.cache.put((ref.key, chord), origin, origin.weight)

    def _origin(self, prepared: Prepared, ref: Ref, base_id: str) -> Origin:
        if base_id:
            return self.base(ref.key, base_id)
        chord, index = split_lane(ref.addr)
        spec = self.spec(ref.key, chord)
        origin = self.lane_origin(prepared, ref, chord, spec)
        page = self.items(self._reads.items(ref.key, chord, index // ITEM_PAGE))
        if index % ITEM_PAGE >= len(page):
            raise Vanished(ref.addr)
        doc = lane_document(prepared, spec, origin, page[index % ITEM_PAGE])
        return replace(origin, value=doc.value, depth=doc.depth)

    def items(self, page: bytes) -> list[Any]:
        """Return the items of a stored page."""
        return cast("list[Any]", read_stored(page, self._contents)[0])

    def shelf(self, key: str, addr: str) -> Shelf | None:
        """Return a shelf for the first transition of a chain; None if nothing goes there."""
        if self.outputs is None:
            return None
        return Shelf(self.outputs, partial(output_owner, key, addr, 0))

    @contextmanager
    def reading(self, ref: Ref) -> Iterator[None]:
        """Raise Vanished for an error of reading if the chain is over by now.

        The parent of a decided chord continues and may overwrite the log that the losing
        lanes still read.
        """
        try:
            yield
        except (ValueError, LookupError, FlowError) as error:
            if self._over(ref):
                raise Vanished(ref.addr) from error
            raise

    def _over(self, ref: Ref) -> bool:
        head = self._reads.head_of(ref.key)
        if head is None or head.status in (*FINAL_RUN, REPLACED):
            return True
        return any(
            self._reads.decided(ref.key, chord) for chord in chords_around(ref.addr)
        )

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
            spec = self.spec(ref.key, chord)
            first = prepared.layout.children[spec.node][0]
            prefix, fanout = lane_place(spec.place, index), spec.node
        phase, cursor, frames, end, opened = unpack_frames(record.frames, first)
        chain = Chain(frames, cursor, phase, Document(None), record.loglen)
        chain.prefix, chain.end, chain.opened = prefix, end, opened
        chain.fanout = fanout
        chain.shelf = self.shelf(ref.key, ref.addr)
        chain.folded = bool(record.base_id) and ref.addr != ROOT
        marks = [frame.rollback for frame in frames if frame.rollback >= 0]
        if phase is JOIN and not marks:
            # Its lanes started from the same Ctx, which this process may have cached.
            kept = self.cache.find((ref.key, chord_at(ref.addr, opened)))
            if kept is not None:
                chain.doc, chain.known = kept.document(), dict(kept.known)
                chain.origin_size = kept.base_size
                return chain
        if log is None:
            log = self._reads.log(ref.key, ref.addr, record.loglen)
        origin = self._origin(prepared, ref, record.base_id)
        chain.doc, chain.known = origin.document(), dict(origin.known)
        chain.origin_size = origin.size
        found = replay(
            chain.doc,
            log[: record.loglen],
            self._joins(prepared, ref).expand,
            chain.known,
            self._contents,
            marks,
        )
        for frame in frames:
            if frame.rollback >= 0:
                frame.snapshot = found[frame.rollback]
        return chain

    def joined(self, ref: Ref, prepared: Prepared, chain: Chain) -> tuple[Signal, int]:
        """Return the signal of the chord at which a chain waits, and the deciding lane.

        The lane is -1 if all lanes have settled.
        """
        with self.reading(ref):
            chord = chord_at(ref.addr, chain.opened)

            spec = self.spec(ref.key, chord)
            return self._joins(prepared, ref).decided(chord, spec, chain)

    def _joins(self, prepared: Prepared, ref: Ref) -> Joins:
        return Joins(
            self._reads, ref.key, prepared.layout, self._most_joined, self._contents
        )


class Loader(ChainReader):
    """Reads chains of live runs from a store."""

    def __init__(
        self,
        store: RunStore,
        *,
        fuel_nodes: int = FUEL_NODES,
        cache_bytes: int = CACHE_BYTES,
        most_joined: int | None = None,
        outputs: Outputs | None = None,
    ) -> None:
        """Read from `store`.

        `fuel_nodes` bounds the nodes that a chain enters between two commits,
        `cache_bytes` the cache, and `most_joined` the bytes of lanes that are read for one
        Ctx (TooLarge beyond it). `outputs` has the values that are too large for a Ctx.
        """
        super().__init__(
            store, cache_bytes=cache_bytes, most_joined=most_joined, outputs=outputs
        )
        self.most_bytes = MOST_BYTES
        """The most bytes that a chain serialises at once; the engine sets it."""
        self._fuel_nodes = fuel_nodes
        self._finish = store.finish

    def prepared(self, key: str, program_id: str) -> Prepared:
        """Return a program of a generation; it is read once per process, as its id is its hash."""
        read = partial(self._program, key, program_id)
        return cast(Prepared, self.cache.get(program_id, read))

    def _program(self, key: str, program_id: str) -> tuple[Prepared, int]:
        data = self._reads.base(key, program_id)
        if data is None:
            raise Vanished(program_id)
        program = read_program(data)
        if program is None or program.program_id != program_id:
            # Otherwise every writer to Redis could choose what the workers execute.
            run, gen = split_key(key)
            self._finish(run, gen, "failed", OTHER_PROGRAM)
            raise Vanished(OTHER_PROGRAM)
        return self.prepare(program), len(data)

    def prepare(self, program: Program) -> Prepared:
        """Prepare a program for the machine."""
        layout = Layout(program.flow)
        return Prepared(
            program,
            layout,
            Machine(
                layout,
                agents=program.agents,
                fuel_nodes=self._fuel_nodes,
                most_bytes=self.most_bytes,
            ),
            min((rank(agent.queue) for agent in program.agents.values()), default=0),
        )


def lane_document(
    prepared: Prepared, spec: ChordSpec, origin: Origin, item: Any
) -> Document:
    """Return the first Ctx of a lane: its chord's origin with the item at `bind`."""
    node = prepared.layout.nodes[spec.node]
    assert isinstance(node, Fanout)  # noqa: S101 - a chord is opened by a fanout
    return bound(origin.document(), target_path(node.bind), item)


def lane_chain(
    prepared: Prepared,
    spec: ChordSpec,
    origin: Origin,
    item: Any,
    index: int,
    shelf: Shelf | None = None,
) -> Chain:
    """Return a lane of a chord before its first node; large values go on the shelf."""
    doc = lane_document(prepared, spec, origin, item)
    chain = Chain([], prepared.layout.children[spec.node][0], ENTER, doc)
    chain.prefix, chain.fanout = lane_place(spec.place, index), spec.node
    chain.shelf = shelf
    chain.origin_size, chain.known = origin.size, dict(origin.known)
    return chain
