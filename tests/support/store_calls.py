"""Short ways to make the calls of the contract suite, and to check them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from store_boxes import Box, audit

from engine.store.addresses import member_of
from engine.store.base import (
    ROOT,
    BatchClaimed,
    BatchCommit,
    BatchRef,
    ChordSpec,
    Claimed,
    LaneResult,
    Move,
    MoveKind,
    Open,
    Pending,
    Promote,
    Ref,
    Settle,
    Start,
)

RUN = "R-1"
KEY = "R-1:1"
LUA = "swarm.lua"
ENGINE = "swarm.engine"
CHORD = "0.k1"
STEP = Pending(b"s[1]", LUA, "/children/0", 60_000)
END = Pending(b'e["ok"]', ENGINE, "/", 60_000)
ENTRY = b'{"e":[["passed"]]}'

T = TypeVar("T")


def nonce(number: int) -> str:
    """Return a nonce of 12 hex characters."""
    return f"{number:012x}"


A, B, C, D = (nonce(0xABC000000000 + n) for n in range(4))


def ref(addr: str = ROOT, gen: int = 1) -> Ref:
    """Return a chain of the run under test."""
    return Ref(RUN, gen, addr)


def starting(**changes: Any) -> Start:
    """Return a start whose root chain waits for its first step."""
    start = Start(
        RUN, 1, "p" * 16, b"program", "b" * 16, b'{"a":1}', b"[]\n", STEP,
        b'{"e":[["run_started"]]}', 0,
    )  # fmt: skip
    return replace(start, **changes)


def move(what: str = "p", seq: int = 0, by: str = A, **changes: Any) -> Move:
    """Return a transition of the root chain."""
    made = Move(ref(), seq, by, MoveKind(what), 3, b"edit\n", STEP, ENTRY)
    if what == "d":
        made = replace(made, pending=END, status="done")
    return replace(made, **changes)


def spec(
    size: int = 4, batch: int = 1, window: int = 1024, **changes: Any
) -> ChordSpec:
    """Return a chord's constants."""
    made = ChordSpec(
        size, batch, window, ROOT, 8, "b" * 16, LUA, 30_000, "all", 2, "/children/1"
    )
    return replace(made, **changes)


def opening(
    of: ChordSpec | None = None, seq: int = 0, by: str = A, **changes: Any
) -> Open:
    """Return the opening of the chord `0.k1` by the root chain."""
    of = of or spec()
    pages = [b"[1,2,3]"]
    made = Open(
        ref(), seq, by, 3, b"open\n", b"j[1]", "/children/1", b'{"e":[["opened"]]}',
        CHORD, of, pages,
    )  # fmt: skip
    return replace(made, **changes)


def settling(lane: int, by: str = B, **changes: Any) -> Settle:
    """Return the end of a lane of `0.k1` right after its first claim."""
    made = Settle(
        ref(f"{CHORD}.{lane}"), 0, by, 0, b"r%d\n" % lane, None, ENTRY, False,
        frames=b"e[]",
    )  # fmt: skip
    return replace(made, **changes)


def batch(lo: int, hi: int, chord: str = CHORD) -> BatchRef:
    """Return a batch of the run under test."""
    return BatchRef(RUN, 1, chord, lo, hi)


def results(
    of: BatchRef, first: int, count: int, by: str = B, **changes: Any
) -> BatchCommit:
    """Return results of lanes of a batch."""
    lanes = [LaneResult(b"r%d\n" % i) for i in range(first, first + count)]
    return replace(BatchCommit(of, by, first, lanes, ENTRY), **changes)


def promote(what: str, **changes: Any) -> Promote:
    """Return the promotion of a lane."""
    made = Promote(
        MoveKind(what), b"own\n", Pending(b"s[5]", LUA, "/children/1/lane", 20_000)
    )
    return replace(made, **changes)


def check(box: Box, run: str = RUN) -> None:
    """Audit the run, and that its journal numbers leave no gap."""
    audit(box, run)
    head = box.store.head(run)
    assert head is not None
    entries = box.store.journal("0", 10_000)
    numbers = [e.number for e in entries if (e.run, e.gen) == (run, head.gen)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert head.number == len(numbers)


def twice(box: Box, call: Callable[[], T], run: str = RUN) -> T:
    """Make a call, send it again: the same answer, and nothing else is written."""
    first = call()
    view = audit(box, run)
    written = len(box.store.journal("0", 10_000))
    assert call() == first
    assert len(box.store.journal("0", 10_000)) == written
    assert box.view(run) == view
    return first


def begin(box: Box, by: str = A, **changes: Any) -> Claimed:
    """Start the run and claim its first step."""
    assert box.store.start(starting(**changes)) == "ok"
    return claim(box, ROOT, by)


def claim(box: Box, addr: str, by: str, queue: str = LUA) -> Claimed:
    """Take the message of a chain and claim it, twice."""
    message = box.take(queue, addr)
    assert message is not None, f"no message for {addr} in {queue}"
    got = twice(box, lambda: box.store.claim(ref(addr, message.gen), by, queue))
    assert isinstance(got, Claimed), got
    return got


def claim_batch(box: Box, of: BatchRef, by: str = B) -> BatchClaimed:
    """Take the message of a batch and claim it, twice."""
    assert box.take(LUA, member_of(of)) is not None
    got = twice(box, lambda: box.store.claim_batch(of, by, LUA))
    assert isinstance(got, BatchClaimed), got
    return got


def opened(box: Box, of: ChordSpec | None = None, **changes: Any) -> None:
    """Start a run whose root chain opens the chord `0.k1`."""
    begin(box)
    twice(box, lambda: box.store.open_chord(opening(of, **changes)))
    check(box)
