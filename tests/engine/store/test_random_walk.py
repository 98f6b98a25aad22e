"""The same random calls to both stores: the same answers, and nothing is ever lost.

A walk plays workers that come late, die, ask twice or lose messages, a steward and a
person with buttons. After every call both stores are audited and compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from store_boxes import MemoryBox, RedisBox, View, audit, timeless
from store_calls import ENGINE, ENTRY, LUA, RUN, STEP, nonce, ref, spec, starting

from engine.store.base import (
    BatchClaimed,
    BatchCommit,
    BatchRef,
    Claimed,
    Joined,
    LaneResult,
    Lease,
    Move,
    Moved,
    Open,
    Pending,
    Promote,
    RunStore,
    Settle,
)
from engine.store.memory_core import batch_of, chord_of

WALKS = 240
STEPS = 45
OTHER = "gpu"
JOIN = Pending(b"c", ENGINE, "/", 60_000)

Call = Callable[[RunStore], Any]


@dataclass
class Attempt:
    """A claim that a worker believes it has."""

    addr: str
    by: str
    seq: int
    loglen: int
    had_signal: bool = False
    joins: str = ""


@dataclass
class BatchAttempt:
    """A batch that a worker believes it has."""

    batch: BatchRef
    by: str
    cursor: int


def plain(answer: Any) -> Any:
    """Return an answer without its times."""
    if isinstance(answer, Moved):
        return ("moved", answer.deadline_ms > 0, answer.held)
    if isinstance(answer, Joined):
        return ("joined", answer.parent, timeless(answer.record))
    if isinstance(answer, Claimed):
        return replace(answer, record=timeless(answer.record))
    if isinstance(answer, tuple):
        return tuple(map(plain, answer))
    return answer


def comparable(view: View | None) -> View | None:
    """Return a view without what a consumed chord may leave or drop."""
    if view is None:
        return None
    for chord in view.chords.values():
        if not chord.outstanding or chord.why is not None:
            chord.next = chord.outstanding = 0
    for name in view.chords:
        marks = view.chords[name].marks
        for span, (state, _, cursor) in marks.items():
            if state == "broken":
                marks[span] = (state, "", cursor)
    view.messages.sort()
    return view


@dataclass
class Walk:
    """One run, driven at random in both stores."""

    dice: random.Random
    boxes: tuple[MemoryBox, RedisBox]
    attempts: list[Attempt] = field(default_factory=list)
    batches: list[BatchAttempt] = field(default_factory=list)
    nonces: int = 0
    trail: list[str] = field(default_factory=list)

    def both(self, what: str, call: Call) -> Any:
        """Make a call to both stores, at times twice; compare all that can be seen."""
        self.trail.append(what)
        for _ in range(self.dice.choice((1, 1, 2))):
            first, second = (call(box.store) for box in self.boxes)
            assert plain(first) == plain(second), self.told()
        self.compare()
        return first

    def compare(self) -> None:
        """Audit both stores, and see that they hold the same."""
        views = []
        for box in self.boxes:
            try:
                views.append(comparable(audit(box, RUN)))
            except AssertionError as error:
                raise AssertionError(f"{box.name}: {error}\n{self.told()}") from error
        assert views[0] == views[1], self.told()

    def told(self) -> str:
        """Return what was done so far."""
        return "\n".join(self.trail[-14:])

    def fresh(self) -> str:
        """Return a nonce nobody had; its first character is any."""
        self.nonces += 1
        return f"{self.dice.choice('0123456789abcdef')}{nonce(self.nonces)[1:]}"

    def edits(self) -> bytes:
        """Return some edits."""
        return self.dice.choice((b"", b"[1]\n", b"[1,22]\n"))

    def claim(self) -> None:
        """Claim from a message, or from one that is long gone."""
        queue = self.dice.choice((LUA, LUA, ENGINE, OTHER))
        # What a resume dispatches is a set: its order is each store's own.
        orders = {tuple(m.addr for m in box.messages(queue)) for box in self.boxes}
        if len(orders) == 1 and self.dice.random() < 0.3:
            return self.claim_next(queue)
        waiting = sorted({m.addr for m in self.boxes[0].messages(queue)})
        if not waiting or self.dice.random() < 0.1:
            view = self.boxes[0].view(RUN)
            addr = self.dice.choice(sorted(view.chains)) if view else "0"
        else:
            addr = self.dice.choice(waiting)
            taken = [box.take(queue, addr) for box in self.boxes]
            assert None not in taken
            if self.dice.random() < 0.1:
                self.trail.append(f"lose the message for {addr}")
                return
        by, found = self.fresh(), batch_of(addr)
        if found is None:
            got = self.both(
                f"claim {addr} {by} {queue}", lambda s: s.claim(ref(addr), by, queue)
            )
            if isinstance(got, Claimed):
                self.own(addr, by, got.record.seq, len(got.log), got.signal is not None)
        else:
            batch = BatchRef(RUN, 1, found[0], *found[1])
            got = self.both(
                f"claim {addr} {by}", lambda s: s.claim_batch(batch, by, queue)
            )
            if isinstance(got, BatchClaimed):
                self.batches.append(BatchAttempt(batch, by, got.cursor))

    def claim_next(self, queue: str) -> None:
        """Claim what the queue's next message is about."""
        by, most_ms = self.fresh(), self.dice.choice((1_000, 10**6))
        got = self.both(
            f"claim_next {by} {queue} {most_ms}",
            lambda s: s.claim_next([queue], by, most_ms),
        )
        if got is not None:
            at, claimed = got
            self.own(
                at.addr,
                by,
                claimed.record.seq,
                len(claimed.log),
                claimed.signal is not None,
            )

    def own(self, addr: str, by: str, seq: int, loglen: int, signal: bool) -> None:
        """Note a claim; a chain at a join remembers the chord it consumes."""
        record = self.boxes[0].store.record(RUN, addr)
        joins = ""
        if record is not None and record.frames.startswith(b"j"):
            joins = record.frames[1:].decode()
        self.attempts.append(Attempt(addr, by, seq, loglen, signal, joins))

    def joined(self, answer: Any, by: str) -> None:
        """Note a join that came with an answer."""
        if isinstance(answer, Joined):
            r = answer.record
            self.own(answer.parent, by, r.seq, r.loglen, False)

    def pick(self) -> Attempt | None:
        """Return one attempt; mostly it is done with thereafter, at times it lingers."""
        if not self.attempts:
            return None
        attempt = self.dice.choice(self.attempts)
        if self.dice.random() < 0.9:
            self.attempts.remove(attempt)
        return attempt

    def step(self) -> Pending:
        """Return what a chain may wait for next."""
        pending = replace(STEP, queue=self.dice.choice((LUA, LUA, OTHER)))
        return self.dice.choice((pending, pending, JOIN))

    def commit(self) -> None:
        """Commit a transition of an attempt."""
        at = self.pick()
        if at is None:
            return self.claim()
        what = self.dice.choice("ccpppwd" if at.addr == "0" else "ccppppw")
        offset = self.dice.choice((at.loglen, at.loglen, 0, at.loglen + 1))
        edits = self.edits()
        move = Move(
            ref(at.addr), at.seq, at.by, what, offset, edits, self.step(), ENTRY,
            keep_tries=self.dice.random() < 0.4,
            delay_ms=self.dice.choice((0, 5_000)) if what == "w" else 0,
            status="done", had_signal=at.had_signal, consumed=at.joins,
        )  # fmt: skip
        if what == "d" and self.dice.random() < 0.6:
            return None
        answer = self.both(f"commit {what} {at} {offset}", lambda s: s.commit(move))
        if what == "c" and isinstance(answer, Moved) and answer.deadline_ms:
            self.attempts.append(
                Attempt(at.addr, at.by, at.seq + 1, offset + len(edits))
            )
        return None

    def settle(self) -> None:
        """Settle a lane."""
        at = self.pick()
        if at is None or chord_of(at.addr) is None:
            return self.claim()
        settle = Settle(
            ref(at.addr), at.seq, at.by, at.loglen, self.edits(),
            self.dice.choice((None, None, b'"no"')), ENTRY, self.dice.random() < 0.12,
            had_signal=at.had_signal, pending=Pending(b"e[]", ENGINE, "/", 60_000),
            consumed=at.joins,
        )  # fmt: skip
        answer = self.both(f"settle {at}", lambda s: s.settle(settle))
        return self.joined(answer, at.by)

    def open(self) -> None:
        """Open a chord, nested at most twice."""
        at = self.pick()
        if at is None or at.addr.count(".k") > 2:
            return self.claim()
        size = self.dice.randint(1, 7)
        mode = self.dice.choice(("all", "all", "any", "race"))
        batch = self.dice.choice((1, 2, 4)) if mode == "all" else 1
        edits = self.edits()
        made = spec(
            size, batch, self.dice.choice((2, 4, 1024)), parent=at.addr,
            parent_len=at.loglen + len(edits), mode=mode,
        )  # fmt: skip
        chord = f"{at.addr}.k{at.seq + 1}"
        opening = Open(
            ref(at.addr), at.seq, at.by, at.loglen, edits, b"j" + chord.encode(), "/c",
            ENTRY, chord, made, [b"[1]"], had_signal=at.had_signal, consumed=at.joins,
        )  # fmt: skip
        self.both(f"open {at} {made}", lambda s: s.open_chord(opening))
        return None

    def commit_batch(self) -> None:
        """Commit results of a batch, perhaps with a promoted lane."""
        if not self.batches:
            return self.claim()
        at = self.dice.choice(self.batches)
        left = at.batch.hi - at.cursor
        if left <= 0:
            self.batches.remove(at)
            return None
        alone = None
        if self.dice.random() < 0.4:
            what = self.dice.choice("cpw")
            delay = self.dice.choice((0, 5_000))
            alone = Promote(what, self.edits(), self.step(), delay_ms=delay)
        count = self.dice.randint(0 if alone else 1, left - (1 if alone else 0))
        if not count and alone is None:
            return None
        lanes = [LaneResult(b"r\n") for _ in range(count)]
        decides = -1
        if alone is None and self.dice.random() < 0.1:
            lanes[-1] = LaneResult(b"", b'"no"')
            decides = at.cursor + count - 1
        made = BatchCommit(at.batch, at.by, at.cursor, lanes, ENTRY, alone, decides)
        answer = self.both(f"commit_batch {made}", lambda s: s.commit_batch(made))
        if isinstance(answer, (Moved, Joined)):
            if (
                alone is not None
                and alone.what == "c"
                and isinstance(answer, Moved)
                and answer.deadline_ms
            ):
                addr = f"{at.batch.chord}.{at.cursor + count}"
                self.attempts.append(Attempt(addr, at.by, 1, len(alone.edits)))
            at.cursor += count + (1 if alone else 0)
        elif self.dice.random() < 0.5:
            self.batches.remove(at)
        return self.joined(answer, at.by)

    def end_batch(self) -> None:
        """Give a batch back, or report that its worker died."""
        if not self.batches:
            return self.claim()
        at = self.dice.choice(self.batches)
        if self.dice.random() < 0.7:
            self.both(
                f"release {at}", lambda s: s.release_batch(at.batch, at.by, at.cursor)
            )
        else:
            lane = self.dice.randint(at.batch.lo, at.batch.hi)
            self.both(
                f"break {at}", lambda s: s.break_batch(at.batch, at.by, lane, b"{}")
            )
        if self.dice.random() < 0.9:
            self.batches.remove(at)
        return None

    def signal(self) -> None:
        """Signal a waiting chain, or the attempt of a worker."""
        if self.attempts and self.dice.random() < 0.4:
            at = self.dice.choice(self.attempts)
            self.both(
                f"signal {at}", lambda s: s.signal(ref(at.addr), at.seq, at.by, b"1")
            )
            return
        view = self.boxes[0].view(RUN)
        assert view is not None
        waiting = [a for a, c in view.chains.items() if c.state == "w"]
        addr = self.dice.choice(waiting or sorted(view.chains))
        seq, outcome = view.chains[addr].seq, self.dice.choice((b"1", b"2"))
        self.both(f"signal {addr}", lambda s: s.signal(ref(addr), seq, "", outcome))

    def steward(self) -> None:
        """Let time pass and the steward look."""
        ms = self.dice.choice((1_000, 6_000, 11_000))
        for box in self.boxes:
            box.pass_time(ms)
        which = self.dice.choice(("expire", "fire", "repeat", "renew", "all"))
        if which in ("renew", "all"):
            leases = [Lease(RUN, a.addr, a.by) for a in self.attempts]
            leases += [
                Lease(RUN, f"{b.batch.chord}:{b.batch.lo}-{b.batch.hi}", b.by)
                for b in self.batches
            ]
            self.both("renew", lambda s: s.renew(leases))
        if which == "renew" and leases and self.dice.random() < 0.3:
            dead = self.dice.choice(leases)
            self.both("died", lambda s: s.died(dead, 'ended by "signal 9"'))
        if which in ("expire", "all"):
            self.both("expire", lambda s: bool(s.expire(1)))
            self.both("expire", lambda s: s.expire(1))
        if which in ("fire", "all"):
            self.once(f"fire after {ms}", lambda s: s.fire())
        if which in ("repeat", "all"):
            self.once(f"repeat after {ms}", lambda s: s.repeat(4_500))

    def once(self, what: str, call: Call) -> None:
        """Make a call whose answer is a count of what it moved: a second one moves none."""
        self.trail.append(what)
        first, second = (call(box.store) for box in self.boxes)
        assert first == second, self.told()
        self.compare()

    def button(self) -> None:
        """Pause, resume or, seldom, end the run."""
        roll = self.dice.random()
        if roll < 0.4:
            self.both("pause", lambda s: s.pause(RUN))
        elif roll < 0.97:
            self.both("resume", lambda s: s.resume(RUN))
        else:
            self.both("finish", lambda s: s.finish(RUN, "cancelled", "no"))

    def go(self, steps: int) -> None:
        """Start the run and walk."""
        start = starting(deadline_ms=3_600_000)
        self.both("start", lambda s: s.start(start))
        moves = [
            *[self.claim] * 6, *[self.commit] * 4, *[self.settle] * 4, *[self.open] * 3,
            *[self.commit_batch] * 4, self.end_batch, self.signal, *[self.steward] * 2,
            self.button,
        ]  # fmt: skip
        for _ in range(steps):
            self.dice.choice(moves)()
        journals = [
            sorted(e.data for e in b.store.journal("0", 9999)) for b in self.boxes
        ]
        assert journals[0] == journals[1], self.told()
        numbers = [e.number for e in self.boxes[1].store.journal("0", 9999)]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("part", range(8))
def test_both_stores_do_the_same_and_lose_nothing(redis_socket: str, part: int) -> None:
    for seed in range(part, WALKS, 8):
        boxes = (MemoryBox(), RedisBox(redis_socket))
        Walk(random.Random(seed), boxes).go(STEPS)
        boxes[1].client.close()
