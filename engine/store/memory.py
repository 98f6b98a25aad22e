"""The RunStore in memory: one process, the same transitions as the Redis scripts.

For tests, simulation and an in-process runner. Its broker is a queue of messages for
each name, which a driver empties with `pop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from engine.store.base import (
    ENGINE_QUEUE,
    ROOT,
    ChordResults,
    ChordSpec,
    Claimed,
    JournalEntry,
    Move,
    Moved,
    Ref,
    Refused,
    RunHead,
    Start,
)
from engine.store.entries import started_entry
from engine.store.memory_chords import Chords
from engine.store.memory_core import (
    ENGINE_TIMEOUT_MS,
    FINAL,
    Again,
    Message,
    Owned,
    Run,
    Timer,
    atomic,
    batch_of,
    chord_of,
    is_step,
    moved_again,
    new_chain,
    new_lane,
)
from engine.store.memory_steward import Steward
from engine.store.record import MOST, Record

__all__ = ["MemoryStore", "Message"]

ENTRY_COST = 120
"""About what the journal spends on an entry besides its data, in bytes."""


class MemoryStore(Chords, Steward):
    """RunStore in memory, safe to share between threads."""

    def now_ms(self) -> int:
        """See RunStore.now_ms."""
        return self.clock()

    @atomic
    def start(self, start: Start) -> str:
        """See RunStore.start."""
        found = self.find(start.run)
        if found is not None:
            return "ok" if found.status == "running" else found.status
        if start.run in self.removed and start.gen <= self.removed[start.run][1]:
            return self.removed[start.run][0]
        run = Run("running", start.gen, program_id=start.program_id, at_ms=self.now)
        run.blobs[start.program_id] = start.program
        run.blobs[start.base_id] = start.base
        chain = new_chain(start.pending)
        run.chains[ROOT] = chain.with_(base_id=start.base_id, loglen=len(start.edits))
        run.write_edits(ROOT, 0, start.edits)
        self.runs[start.run] = run
        self.journal_entry(start.run, run, start.entry)
        if start.deadline_ms > 0:
            timer = Timer(start.run, start.gen, ROOT, 0, "deadline")
            self.timers[timer] = self.now + start.deadline_ms
        self.dispatch(start.run, start.gen, ROOT, start.pending.queue)
        return "ok"

    @atomic
    def claim(self, ref: Ref, nonce: str, queue: str) -> Claimed | Refused:
        """See RunStore.claim."""
        run = self.find(ref.run)
        if run is not None and run.gen != ref.gen:
            return Refused("stale")
        chain = run.chains.get(ref.addr) if run else None
        if run and chain and chain.state == "r" and chain.owner == nonce:
            return self._claimed(run, ref, chain)
        self.claimed(ref.run, ref.addr, queue)
        if run is None:
            return Refused("gone")
        if run.status in FINAL:
            return Refused("over")
        if run.closed(ref.addr):
            return Refused("closed")
        found = chain or self._lazy_lane(run, ref.addr)
        if isinstance(found, Refused):
            return found
        if found.state not in "ps":
            return Refused("held" if found.state == "h" else "taken")
        if found.queue != queue:
            return Refused("taken")
        if run.status == "paused":
            run.held.add((ref.addr, found.queue))
            parked = found.with_(state="h") if found.state == "p" else found
            run.chains[ref.addr] = parked
            return Refused("held")
        return self._claimed(run, ref, self._own(run, ref, found, nonce))

    @atomic
    def claim_next(
        self, queues: Sequence[str], nonce: str, most_ms: int
    ) -> tuple[Ref, Claimed] | None:
        """See RunStore.claim_next."""
        if nonce in self.took:
            ref, queue = self.took[nonce]
            return self._taken(ref, nonce, queue)
        for _ in range(8):
            queue = next((name for name in queues if self.messages.get(name)), "")
            if not queue:
                return None
            waiting = self.messages[queue]
            message = waiting[0]
            ref = Ref(message.run, message.gen, message.addr)
            if batch_of(ref.addr) or self._timeout(ref) > most_ms:
                return None
            waiting.popleft()
            self.took[nonce] = ref, queue
            if (got := self._taken(ref, nonce, queue)) is not None:
                return got
        return None

    def _taken(self, ref: Ref, nonce: str, queue: str) -> tuple[Ref, Claimed] | None:
        claimed = self.claim(ref, nonce, queue)
        return None if isinstance(claimed, Refused) else (ref, claimed)

    def _timeout(self, ref: Ref) -> int:
        """Return how long the attempt of a message may take, as its time limit says."""
        run = self.find(ref.run)
        chain = run.chains.get(ref.addr) if run else None
        lane = chord_of(ref.addr)
        chord = run.chords.get(lane[0]) if run and lane else None
        if chain is not None:
            return chain.timeout_ms
        return chord.spec.timeout_ms if chord else 0

    def _lazy_lane(self, run: Run, addr: str) -> Record | Refused:
        """Return the record of a lane that was never claimed, if there is such a lane."""
        lane = chord_of(addr)
        chord = run.chords.get(lane[0]) if lane else None
        if lane is None or chord is None:
            return Refused("gone")
        if lane[1] in chord.settled:
            return Refused("over")
        return (
            new_lane(chord.spec, lane[1])
            if lane[1] < chord.spec.size
            else Refused("gone")
        )

    def _own(self, run: Run, ref: Ref, found: Record, nonce: str) -> Record:
        timeout, tries = found.timeout_ms, found.tries
        attempt = is_step(found) and found.state == "p"
        if found.state == "s":
            timeout = min(timeout, ENGINE_TIMEOUT_MS)
        if attempt:
            tries = min(tries + 1, MOST)
        deadline = self.now + timeout
        chain = found.with_(
            state="r",
            owner=nonce,
            tries=tries,
            timeout_ms=timeout,
            deadline_ms=deadline,
        )
        run.chains[ref.addr] = chain
        if attempt:
            self.journal_entry(ref.run, run, started_entry(ref.addr, chain))
        self.lease(ref.run, ref.addr, deadline)
        return chain

    def _claimed(self, run: Run, ref: Ref, chain: Record) -> Claimed:
        lane = chord_of(ref.addr)
        return Claimed(
            record=chain,
            log=run.read_log(ref.addr, chain.loglen),
            signal=run.signals.get(ref.addr),
            program_id=run.program_id,
            chord=run.chords[lane[0]].spec if lane else None,
        )

    @atomic
    def commit(self, move: Move) -> Moved | Refused:
        """See RunStore.commit."""
        ref = move.ref
        fence = self.fence(ref, move.seq, move.nonce)
        if isinstance(fence, Again):
            return moved_again(fence.chain, move.nonce, move.what)
        if isinstance(fence, Refused):
            return fence
        if move.offset > fence.chain.loglen:
            return Refused("stale")
        chain, run = self._write(move, fence), fence.run
        held = run.status == "paused" and move.what != "w"
        if move.what == "c" and not held:
            deadline = self.now + chain.timeout_ms
            tries = min(chain.tries + is_step(chain), MOST)
            run.chains[ref.addr] = chain.with_(deadline_ms=deadline, tries=tries)
            self.lease(ref.run, ref.addr, deadline)
            return Moved(deadline)
        self.unlease(ref.run, ref.addr)
        state = "h" if held else move.what
        run.chains[ref.addr] = chain.with_(
            state=state, owner="", last=move.nonce, deadline_ms=0
        )
        if state in "hp":
            self.send(ref.run, run, ref.addr, chain.queue)
        elif state == "w" and move.delay_ms > 0:
            timer = Timer(ref.run, run.gen, ref.addr, chain.seq, "retry")
            self.timers[timer] = self.now + move.delay_ms
        elif state == "d":
            run.status, run.why = move.status, move.nonce
            self.stop_deadline(ref.run, run)
        return Moved(held=held)

    def _write(self, move: Move, owned: Owned) -> Record:
        """Write what every transition writes; return the chain as it goes on."""
        run, chain, addr = owned.run, owned.chain, move.ref.addr
        base_id = run.write_base(chain, move.base)
        run.write_edits(addr, move.offset, move.edits)
        if move.had_signal:
            run.signals.pop(addr, None)
        self.forget_joins(move.ref.run, run, move.consumed, move.needless)
        # Only what is not parked by a pause may say that the run is over.
        over = move.what == "d" and run.status != "paused" and move.ending
        if move.entry:
            self.journal_entry(move.ref.run, run, move.ending if over else move.entry)
        return chain.with_(
            seq=move.seq + 1,
            frames=move.pending.frames,
            queue=move.pending.queue,
            place=move.pending.place,
            timeout_ms=move.pending.timeout_ms,
            loglen=move.offset + len(move.edits),
            tries=chain.tries if move.keep_tries else 0,
            lost=chain.lost if move.keep_tries else 0,
            base_id=base_id,
        )

    @atomic
    def signal(
        self, ref: Ref, seq: int, nonce: str, outcome: bytes
    ) -> Literal["ok", "decided", "over", "gone"]:
        """See RunStore.signal."""
        run = self.find(ref.run)
        if run is None:
            return "gone"
        chain = run.chains.get(ref.addr)
        ended = run.gen != ref.gen or run.status in FINAL or run.closed(ref.addr)
        if ended or chain is None or chain.seq != seq:
            return "over"
        first = run.signals.get(ref.addr)
        if first is not None:
            return "ok" if first == outcome else "decided"
        mine = chain.state == "r" and nonce != "" and chain.owner == nonce
        if chain.state != "w" and not mine:
            return "over"
        self.unlease(ref.run, ref.addr)
        self.timers.pop(Timer(ref.run, run.gen, ref.addr, seq, "retry"), None)
        # Who released it waiting may still resend that; who is cut short may not go on.
        last = "" if mine else chain.last
        run.chains[ref.addr] = chain.with_(
            state="s", owner="", last=last, queue=ENGINE_QUEUE
        )
        run.signals[ref.addr] = outcome
        self.send(ref.run, run, ref.addr, ENGINE_QUEUE)
        return "ok"

    @atomic
    def head(self, run: str) -> RunHead | None:
        """See RunStore.head."""
        got = self.find(run)
        if got is None:
            return None
        return RunHead(got.status, got.gen, got.number, got.program_id, got.why)

    @atomic
    def record(self, run: str, addr: str) -> Record | None:
        """See RunStore.record."""
        found = self.find(run)
        return found.chains.get(addr) if found else None

    def program(self, run: str, program_id: str) -> bytes | None:
        """See RunStore.program."""
        return self.base(run, program_id)

    @atomic
    def base(self, run: str, base_id: str) -> bytes | None:
        """See RunStore.base."""
        found = self.find(run)
        return found.blobs.get(base_id) if found else None

    @atomic
    def log(self, run: str, addr: str, length: int) -> bytes:
        """See RunStore.log."""
        found = self.find(run)
        return found.read_log(addr, length) if found else b""

    @atomic
    def chord(self, run: str, chord: str) -> ChordSpec | None:
        """See RunStore.chord."""
        found = self.find(run)
        known = found.chords.get(chord) if found else None
        return known.spec if known else None

    @atomic
    def decided(self, run: str, chord: str) -> str | None:
        """See RunStore.decided."""
        found = self.find(run)
        known = found.chords.get(chord) if found else None
        if known is None:
            return found.decided.get(chord) if found else None
        return known.why

    @atomic
    def items(self, run: str, chord: str, page: int) -> bytes:
        """See RunStore.items."""
        return self.read_page(run, chord, page)

    @atomic
    def results(self, run: str, chord: str, lo: int, hi: int) -> ChordResults:
        """See RunStore.results."""
        found = self.find(run)
        known = found.chords.get(chord) if found else None
        settled = known.settled if known else {}
        here = sorted(i for i in settled if lo <= i < hi)
        return ChordResults({i: (settled[i].log, settled[i].failure) for i in here})

    def journal(self, after: str, count: int, block_ms: int = 0) -> list[JournalEntry]:
        """See RunStore.journal."""
        with self.lock:
            mark = self._entry if after == "$" else _place(after)
            found = self._after(mark, count)
            if not found and block_ms:
                self.lock.wait_for(lambda: self._entry > mark, block_ms / 1000)
                found = self._after(mark, count)
            return found

    def _after(self, mark: tuple[int, int], count: int) -> list[JournalEntry]:
        found: list[JournalEntry] = []
        for entry in reversed(self.entries):
            if _place(entry.id) <= mark:
                break
            found.append(entry)
        return found[::-1][:count]

    @atomic
    def archived(self) -> str:
        """See RunStore.archived."""
        return self.mark

    @atomic
    def trim(self, upto: str, keep_ms: int = 0) -> None:
        """See RunStore.trim."""
        self.mark = max(self.mark, upto, key=_place)
        last = _place(self.mark)
        if keep_ms:
            last = min(last, (self.now - keep_ms, 0))
        while self.entries and _place(self.entries[0].id) <= last:
            self.entries.popleft()

    @atomic
    def journal_bytes(self) -> int:
        """See RunStore.journal_bytes."""
        return sum(len(entry.data) + ENTRY_COST for entry in self.entries)

    @atomic
    def remove(self, run: str) -> None:
        """See RunStore.remove."""
        found = self.runs.pop(run, None)
        if found is not None:
            self.removed[run] = (found.status, found.gen)
        for owner, chord in list(self.pages):
            if owner == run:
                del self.pages[owner, chord]

    def finish_removals(self) -> int:
        """See RunStore.finish_removals; a removal is one action here."""
        return 0


def _place(entry_id: str) -> tuple[int, int]:
    """Return an entry's id as numbers that sort."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)
