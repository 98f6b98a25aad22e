"""Random calls to the store: it answers like the model, and nothing is ever lost.

A walk plays workers that come late, die, ask twice or lose messages, a steward and a
person with buttons. After every call the store is audited and compared with the model.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from store_boxes import Box, View, audit
from store_calls import ENGINE, ENTRY, KEY, LUA, RUN, STEP, nonce, ref, spec, starting
from store_model import Model

from engine.run.states import FINAL_RUN
from engine.store.addresses import chord_at, lane_at, member_of, owner_of
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
    MoveKind,
    Open,
    Pending,
    Promote,
    Ref,
    Refused,
    Settle,
)
from engine.store.record import ChainState, Record
from engine.store.redis import RedisStore

WALKS = 240
STEPS = 45
OTHER = "gpu"
JOIN = Pending(b"c", ENGINE, "/", 60_000)


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


@dataclass
class Walk:
    """One run, driven at random."""

    dice: random.Random
    box: Box
    attempts: list[Attempt] = field(default_factory=list)
    batches: list[BatchAttempt] = field(default_factory=list)
    nonces: int = 0
    actions: list[str] = field(default_factory=list)

    @property
    def store(self) -> RedisStore:
        """The store under test."""
        return self.box.store

    def call(self, name: str, *args: Any) -> Any:
        """Make a call, at times twice; compare its answer and the run with the model.

        A call that the model does not have must change nothing that it predicts.
        """
        self.actions.append(f"{name} {args}")
        model = Model(self.view())
        predict = getattr(model, name, lambda *args: None)
        want = predict(*args)
        answer = getattr(self.store, name)(*args)
        for _ in range(self.dice.choice((0, 0, 1))):
            assert getattr(self.store, name)(*args) == answer, self.last()
        found = in_short(answer)
        assert want is None or found == want, f"{answer} is not {want}\n{self.last()}"
        assert want or found != "ok" or name not in ("claim", "claim_next"), self.last()
        self.compare(model)
        return answer

    def audited(self, name: str, *args: Any) -> Any:
        """Make a call whose changes the model does not predict; audit the run."""
        self.actions.append(f"{name} {args}")
        answer = getattr(self.store, name)(*args)
        self.view()
        return answer

    def view(self) -> View:
        """Audit the run and return what the store has of it."""
        try:
            found = audit(self.box, RUN)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.last()}") from error
        assert found is not None
        return found

    def compare(self, model: Model) -> None:
        """See that the store left of the run what the model says."""
        assert model.differs(self.view()) == [], self.last()

    def last(self) -> str:
        """Return what was done so far."""
        return "\n".join(self.actions[-14:])

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
        if self.dice.random() < 0.3:
            return self.claim_next(queue)
        waiting = sorted({m.addr for m in self.box.messages(queue)})
        if not waiting or self.dice.random() < 0.1:
            addr = self.dice.choice(sorted(self.view().chains))
        else:
            addr = self.dice.choice(waiting)
            assert self.box.take(queue, addr) is not None
            if self.dice.random() < 0.1:
                self.actions.append(f"lose the message for {addr}")
                return
        by, owner = self.fresh(), owner_of(RUN, 1, addr)
        if isinstance(owner, Ref):
            got = self.call("claim", owner, by, queue)
            if isinstance(got, Claimed):
                self.own(addr, by, got)
        else:
            got = self.call("claim_batch", owner, by, queue)
            if isinstance(got, BatchClaimed):
                self.batches.append(BatchAttempt(owner, by, got.cursor))

    def claim_next(self, queue: str) -> None:
        """Claim what the queue's next message is about."""
        by, most_ms = self.fresh(), self.dice.choice((1_000, 10**6))
        got = self.call("claim_next", [queue], by, most_ms)
        if got is not None:
            at, claimed = got
            self.own(at.addr, by, claimed)

    def own(self, addr: str, by: str, claimed: Claimed) -> None:
        """Note a claim that has all that the store has of the chain."""
        view = self.view()
        found = (claimed.record, claimed.log, claimed.signal)
        assert found == (view.chains[addr], view.logs[addr], view.signals.get(addr))
        self.note(addr, by, claimed.record, claimed.signal is not None)

    def note(self, addr: str, by: str, record: Record, has_signal: bool) -> None:
        """Note an attempt; a chain at a join remembers the chord it consumes."""
        joins = record.frames.startswith(b"j") * record.frames[1:].decode()
        attempt = Attempt(addr, by, record.seq, record.loglen, has_signal, joins)
        self.attempts.append(attempt)

    def joined(self, answer: Any, by: str) -> None:
        """Note a join that came with an answer."""
        if isinstance(answer, Joined):
            self.note(answer.parent, by, answer.record, False)

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
        kind = MoveKind(self.dice.choice("ccpppwd" if at.addr == "0" else "ccppppw"))
        offset = self.dice.choice((at.loglen, at.loglen, 0, at.loglen + 1))
        edits = self.edits()
        move = Move(
            ref(at.addr), at.seq, at.by, kind, offset, edits, self.step(), ENTRY,
            keep_tries=self.dice.random() < 0.4, gives_back=self.dice.random() < 0.2,
            delay_ms=self.dice.choice((0, 5_000)) if kind is MoveKind.WAIT else 0,
            status="done", had_signal=at.had_signal, consumed=at.joins,
        )  # fmt: skip
        if kind is MoveKind.END and self.dice.random() < 0.6:
            return None
        answer = self.call("commit", move)
        if (
            kind is MoveKind.CONTINUE
            and isinstance(answer, Moved)
            and answer.deadline_ms
        ):
            self.attempts.append(
                Attempt(at.addr, at.by, at.seq + 1, offset + len(edits))
            )
        return None

    def settle(self) -> None:
        """Settle a lane."""
        at = self.pick()
        if at is None or at.addr == "0":
            return self.claim()
        settle = Settle(
            ref(at.addr), at.seq, at.by, at.loglen, self.edits(),
            self.dice.choice((None, None, b'"no"')), ENTRY, self.dice.random() < 0.12,
            had_signal=at.had_signal, frames=b"e[]",
            consumed=at.joins,
        )  # fmt: skip
        answer = self.call("settle", settle)
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
        chord = chord_at(at.addr, at.seq + 1)
        opening = Open(
            ref(at.addr), at.seq, at.by, at.loglen, edits, b"j" + chord.encode(), "/c",
            ENTRY, chord, made, [b"[1]"], had_signal=at.had_signal, consumed=at.joins,
        )  # fmt: skip
        self.call("open_chord", opening)
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
            kind = MoveKind(self.dice.choice("cpw"))
            delay = self.dice.choice((0, 5_000))
            alone = Promote(kind, self.edits(), self.step(), delay_ms=delay)
        count = self.dice.randint(0 if alone else 1, left - (1 if alone else 0))
        if not count and alone is None:
            return None
        lanes = [LaneResult(b"r\n") for _ in range(count)]
        decides = -1
        if alone is None and self.dice.random() < 0.1:
            lanes[-1] = LaneResult(b"", b'"no"')
            decides = at.cursor + count - 1
        made = BatchCommit(at.batch, at.by, at.cursor, lanes, ENTRY, alone, decides)
        answer = self.call("commit_batch", made)
        if isinstance(answer, (Moved, Joined)):
            if (
                alone is not None
                and alone.kind is MoveKind.CONTINUE
                and isinstance(answer, Moved)
                and answer.deadline_ms
            ):
                addr = lane_at(at.batch.chord, at.cursor + count)
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
            self.call("release_batch", at.batch, at.by, at.cursor)
        else:
            lane = self.dice.randint(at.batch.lo, at.batch.hi)
            answer = self.audited("break_batch", at.batch, at.by, lane, b"{}")
            assert self.audited("break_batch", at.batch, at.by, lane, b"{}") == answer
        if self.dice.random() < 0.9:
            self.batches.remove(at)
        return None

    def signal(self) -> None:
        """Signal a waiting chain, or the attempt of a worker."""
        if self.attempts and self.dice.random() < 0.4:
            at = self.dice.choice(self.attempts)
            self.call("signal", ref(at.addr), at.seq, at.by, b"1")
            return
        view = self.view()
        waiting = [a for a, c in view.chains.items() if c.state == ChainState.WAITING]
        addr = self.dice.choice(waiting or sorted(view.chains))
        seq, outcome = view.chains[addr].seq, self.dice.choice((b"1", b"2"))
        self.call("signal", ref(addr), seq, "", outcome)

    def steward(self) -> None:
        """Let time pass, and let the steward or a keeper act."""
        self.box.pass_time(self.dice.choice((1_000, 6_000, 11_000)))
        which = self.dice.choice(("expire", "fire", "repeat", "renew", "all"))
        leases = [Lease(KEY, a.addr, a.by) for a in self.attempts]
        leases += [Lease(KEY, member_of(b.batch), b.by) for b in self.batches]
        if which in ("renew", "all"):
            self.call("renew", leases)
        if which == "renew" and leases and self.dice.random() < 0.3:
            self.call("died", self.dice.choice(leases), 'ended by "signal 9"')
        if which in ("expire", "all"):
            due = due_leases(self.view(), self.box.clock.now)
            assert self.audited("expire", 1) == due, self.last()
            assert self.audited("expire", 1) == 0, self.last()
        if which in ("fire", "all"):
            due = due_timers(self.view(), self.box.clock.now)
            assert self.audited("fire") == (due, False), self.last()
            assert self.audited("fire") == (0, False), self.last()
        if which in ("repeat", "all"):
            model = Model(self.view())
            self.audited("repeat", 4_500)
            assert self.audited("repeat", 4_500) == 0, self.last()
            self.compare(model)

    def button(self) -> None:
        """Pause, resume or, seldom, end the run."""
        roll = self.dice.random()
        status = "paused" if roll < 0.4 else "running" if roll < 0.97 else "cancelled"
        self.actions.append(status)
        model = Model(self.view())
        want = model.button(status)
        for _ in range(self.dice.choice((1, 2))):
            match status:
                case "paused":
                    answer = self.store.pause(RUN)
                case "running":
                    answer = self.store.resume(RUN)
                case _:
                    answer = self.store.finish(RUN, 1, status, "no")
            assert answer == want, self.last()
        self.compare(model)

    def go(self, steps: int) -> None:
        """Start the run and walk."""
        start = starting(deadline_ms=3_600_000)
        assert self.store.start(start) == self.store.start(start) == "ok"
        moves = [
            *[self.claim] * 6, *[self.commit] * 4, *[self.settle] * 4, *[self.open] * 3,
            *[self.commit_batch] * 4, self.end_batch, self.signal, *[self.steward] * 2,
            self.button,
        ]  # fmt: skip
        for _ in range(steps):
            self.dice.choice(moves)()
        numbers = [e.number for e in self.store.journal("0", 9999)]
        assert numbers == list(range(1, self.view().number + 1)), self.last()


def in_short(answer: Any) -> Any:
    """Return an answer as the model predicts it."""
    match answer:
        case Refused() | Moved(held=True):
            return "held" if getattr(answer, "why", "held") == "held" else None
        case Joined():
            return "join"
        case Moved() | Claimed() | (Ref(), Claimed()):
            return "ok"
    return answer


def due_leases(view: View, now: int) -> int:
    """Return how many leases of open chains and batches are over."""
    due = [addr for addr, till in view.leases.items() if till <= now]
    return 0 if view.status in FINAL_RUN else sum(not view.closed(a) for a in due)


def due_timers(view: View, now: int) -> int:
    """Return how many due timers change something: the run's deadline or a retry."""
    due = [timer for timer, at in view.timers.items() if at <= now]
    if view.status in FINAL_RUN:
        return 0
    if any(kind == "deadline" for _, _, kind in due):
        # The run ends before its retries.
        return 1
    waiting = {
        (a, c.seq) for a, c in view.chains.items() if c.state == ChainState.WAITING
    }
    return sum((addr, seq) in waiting and not view.closed(addr) for addr, seq, _ in due)


@pytest.mark.parametrize("part", range(8))
def test_the_store_agrees_with_the_model_and_loses_nothing(box: Box, part: int) -> None:
    for seed in range(part, WALKS, 8):
        box.empty()
        Walk(random.Random(seed), box).go(STEPS)
