"""Reads the results of a chord's lanes for its join.

An edit log has a join as a reference to its chord. The value is read from the edit logs
of the lanes, applied to the Ctx with which the chord was opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from engine.flow.document import Document
from engine.flow.nodes import (
    Fanout,
    Join,
    fulfilled_record,
    rejected_record,
    target_path,
)
from engine.flow.offloaded import Contents
from engine.flow.path import Path
from engine.run.chain.chain import Chain
from engine.run.chain.ctx import (
    ChordRef,
    Lanes,
    TooLarge,
    depth_of,
    join_line,
    note_join,
    read_stored,
    replay,
)
from engine.run.chain.layout import Layout
from engine.run.chain.machine import JoinedValue, Raised, Signal
from engine.store.base import (
    ITEM_PAGE,
    ChordSpec,
    Vanished,
)
from engine.store.port import ChainReads, ChordResults

FIRST_LANES: Final = 64
MOST_LANES: Final = 31 * FIRST_LANES
LANES_BYTES: Final = 1 << 20
"""The number of lanes in a read doubles until a read has this many bytes."""
LANE_BYTES: Final = 200
"""The approximate size of a lane's document without its shared parts."""


@dataclass(frozen=True, slots=True)
class Joins:
    """Reads the joins of one generation; `most_bytes` bounds what is read for one Ctx."""

    store: ChainReads
    key: str
    layout: Layout
    most_bytes: int | None
    contents: Contents

    def decided(self, chord: str, spec: ChordSpec, chain: Chain) -> tuple[Signal, int]:
        """Return the signal of a decided chord of `chain`, and the lane that decided.

        The lane is -1 if all lanes have settled.
        """
        why = self.store.decided(self.key, chord)
        if why is None:
            raise Vanished(chord)
        ref: ChordRef = {"k": chord, "node": spec.node}
        if why == "all":
            ref["n"], lane = spec.size, -1
        else:
            ref["i"] = lane = int(why)
            if (error := self._failure(chord, lane)) is not None:
                return error, lane
        value, depth = self.expand(ref, chain.doc, chain.known)
        note_join(chain.known, ref, value, depth)
        return JoinedValue(value, partial(join_line, ref=ref), depth), lane

    def _failure(self, chord: str, index: int) -> Raised | None:
        lane = self.store.results(self.key, chord, index, index + 1).get(index)
        if lane is None:
            raise Vanished(chord)
        return None if lane[1] is None else Raised(*orjson.loads(lane[1]))

    def expand(
        self, ref: ChordRef, base: Document, known: dict[str, Lanes]
    ) -> tuple[Any, int]:
        """Return the value of a reference to a chord, and its depth."""
        if "i" not in ref:
            lanes = self._lanes(ref, base, known)
            return lanes, lanes.depth
        got = self.store.results(self.key, ref["k"], ref["i"], ref["i"] + 1)
        values, depth, _ = self._values(ref, base, got, known)
        if not values:
            raise Vanished(ref["k"])
        return values[0], depth

    def _lanes(self, ref: ChordRef, base: Document, known: dict[str, Lanes]) -> Lanes:
        values: list[Any] = []
        lo, step, depth, size = 0, FIRST_LANES, 0, 0
        while lo < ref["n"]:
            hi = min(lo + step, ref["n"])
            got = self.store.results(self.key, ref["k"], lo, hi)
            some, deep, read = self._values(ref, base, got, known)
            if len(some) != hi - lo:
                raise Vanished(ref["k"])
            values += some
            lo, depth, size = hi, max(depth, deep), size + read
            if self.most_bytes is not None:
                before = sum(lanes.size for lanes in known.values())
                if before + size > self.most_bytes:
                    raise TooLarge
            step = min(2 * step, MOST_LANES) if read < LANES_BYTES else FIRST_LANES
        return Lanes(values, ref, depth + 1, size)

    def _values(
        self, ref: ChordRef, base: Document, got: ChordResults, known: dict[str, Lanes]
    ) -> tuple[list[Any], int, int]:
        """Return the values of the lanes in `got` in order, their depth and their size.

        A lane's log may refer to joins of enclosing chains, and an enclosing chain may
        later refer to a join of the lane, so all of them share `known`.
        """
        node = self.layout.nodes[ref["node"]]
        assert isinstance(node, Fanout)  # noqa: S101 - a chord is opened by a fanout
        bind = target_path(node.bind)
        settled = node.join is Join.ALL_SETTLED
        values: list[Any] = []
        page: list[Any] = []
        before, at, depth, size = base.snapshot(), -1, 1, 0
        for index, (log, failure) in sorted(got.items()):
            if failure is not None:
                kind_text = orjson.loads(failure)
                values.append(rejected_record(kind_text[1]))
                continue
            if index // ITEM_PAGE != at:
                at = index // ITEM_PAGE
                text = self.store.items(self.key, ref["k"], at)
                page, size = read_stored(text, self.contents)[0], size + len(text)
            doc = bound(Document(before, base.depth), bind, page[index % ITEM_PAGE])
            if log:
                replay(doc, log, self.expand, known, self.contents)
            depth = max(depth, doc.depth + settled)
            size += len(log or b"") + LANE_BYTES
            values.append(fulfilled_record(doc.value) if settled else doc.value)
        return values, depth, size


def bound(doc: Document, bind: Path, item: Any) -> Document:
    """Write a lane's item where the fanout binds it, and return the document."""
    doc.write(bind, item)
    depth = len(bind.keys) + depth_of(item)
    if depth > doc.depth:
        doc.depth = depth
    return doc
