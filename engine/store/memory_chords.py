"""Chords of the in-memory store: opening, lanes of their own, and batches of lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from engine.store.base import (
    ENGINE_QUEUE,
    BatchClaimed,
    BatchCommit,
    BatchRef,
    Joined,
    Moved,
    Open,
    Promote,
    Ref,
    Refusal,
    Refused,
    Settle,
)
from engine.store.entries import batch_broken_entry
from engine.store.memory_core import (
    FINAL,
    Again,
    Chord,
    Core,
    Mark,
    Owned,
    Run,
    Settled,
    Timer,
    atomic,
    batch_addr,
    chord_of,
    is_step,
    moved_again,
    new_chain,
    new_lane,
)
from engine.store.record import MOST, Record
from engine.store.spec import member_of


class Chords(Core):
    """The chord methods of RunStore."""

    @atomic
    def open_chord(self, opening: Open) -> Moved | Refused:
        """See RunStore.open_chord."""
        ref = opening.ref
        fence = self.fence(ref, opening.seq, opening.nonce)
        if isinstance(fence, Again):
            return Moved()
        if isinstance(fence, Refused):
            return fence
        run, chain = fence.run, fence.chain
        if opening.offset > chain.loglen:
            return Refused("stale")
        base_id = run.write_base(chain, opening.base)
        run.chains[ref.addr] = chain.with_(
            seq=opening.seq + 1,
            frames=opening.frames,
            place=opening.place,
            state="j",
            timeout_ms=opening.timeout_ms,
            queue=ENGINE_QUEUE,
            owner="",
            last=opening.nonce,
            tries=0,
            lost=0,
            deadline_ms=0,
            loglen=opening.offset + len(opening.edits),
            base_id=base_id,
        )
        run.write_edits(ref.addr, opening.offset, opening.edits)
        if opening.had_signal:
            run.signals.pop(ref.addr, None)
        self.forget_joins(ref.run, run, opening.consumed, opening.needless)
        uploaded = self.pages.pop((ref.run, f"{opening.chord}:{opening.nonce}"), None)
        if opening.pages or uploaded:
            self.write_pages(ref.run, opening.chord, opening.pages or uploaded or [])
        self.unlease(ref.run, ref.addr)
        self.journal_entry(ref.run, run, opening.entry)
        run.chords[opening.chord] = Chord(opening.spec, opening.spec.size)
        # A paused run opens its chord too: the claims park what is dispatched here.
        self.send_lanes(ref.run, run, opening.chord)
        return Moved()

    @atomic
    def upload_items(
        self, run: str, chord: str, nonce: str, pages: Sequence[bytes]
    ) -> None:
        """See RunStore.upload_items."""
        self.write_pages(run, f"{chord}:{nonce}", pages)

    @atomic
    def drop_upload(self, run: str, chord: str, nonce: str) -> None:
        """See RunStore.drop_upload."""
        self.pages.pop((run, f"{chord}:{nonce}"), None)

    @atomic
    def settle(self, settling: Settle) -> Moved | Joined | Refused:
        """See RunStore.settle."""
        ref, nonce = settling.ref, settling.nonce
        lane = chord_of(ref.addr)
        if lane is None:
            raise ValueError(f"{ref.addr} is not a lane")
        chord_id, index = lane
        again = self._settled_before(settling, chord_id, index)
        if again is not None:
            return again
        fence = self.fence(ref, settling.seq, nonce)
        if isinstance(fence, Again):
            # Only what a pause parked still has a record.
            released = fence.chain.last == nonce
            return Moved(held=True) if released else Refused("stale")
        if isinstance(fence, Refused):
            return fence
        run, chord = fence.run, fence.run.chords.get(chord_id)
        if settling.offset > fence.chain.loglen or chord is None:
            return Refused("stale")
        self.forget_joins(ref.run, run, settling.consumed, settling.needless)
        if run.status == "paused":
            return self._park_settling(settling, fence)
        log = None
        if settling.failure is None:
            log = run.read_log(ref.addr, settling.offset) + settling.edits
        else:
            self.forget_opened(ref.run, run, ref.addr)
        chord.settled[index] = Settled(nonce, log, settling.failure)
        chord.outstanding -= 1
        run.logs.pop(ref.addr, None)
        run.blobs.pop(fence.chain.base_id, None)
        run.signals.pop(ref.addr, None)
        del run.chains[ref.addr]
        run.emitted.pop(ref.addr, None)
        self.unlease(ref.run, ref.addr)
        self.journal_entry(ref.run, run, settling.entry)
        if chord.outstanding == 0 or settling.decides:
            alone = settling.decides or chord.spec.mode == "any"
            why = str(index) if alone else "all"
            return self.close_chord(ref.run, run, chord_id, why, nonce)
        self.send_lanes(ref.run, run, chord_id)
        return Moved()

    def _settled_before(
        self, settling: Settle, chord_id: str, index: int
    ) -> Moved | Joined | None:
        ref, run = settling.ref, self.find(settling.ref.run)
        if run is None or run.gen != ref.gen or ref.addr in run.chains:
            return None
        chord = run.chords.get(chord_id)
        mine = chord.settled.get(index) if chord else None
        if mine is None or mine.nonce != settling.nonce:
            return None
        return self.join_again(run, chord_id, settling.nonce)

    def _park_settling(self, settling: Settle, owned: Owned) -> Moved:
        """Keep a lane's end until its run is resumed: it then ends by `pending`."""
        ref, run = settling.ref, owned.run
        run.write_edits(ref.addr, settling.offset, settling.edits)
        run.chains[ref.addr] = owned.chain.with_(
            seq=settling.seq + 1,
            state="h",
            owner="",
            last=settling.nonce,
            queue=ENGINE_QUEUE,
            loglen=settling.offset + len(settling.edits),
            frames=settling.pending.frames if settling.pending else b"",
        )
        if settling.had_signal:
            run.signals.pop(ref.addr, None)
        self.journal_entry(ref.run, run, settling.entry)
        self.unlease(ref.run, ref.addr)
        run.held.add((ref.addr, ENGINE_QUEUE))
        return Moved(held=True)

    @atomic
    def claim_batch(
        self, batch: BatchRef, nonce: str, queue: str
    ) -> BatchClaimed | Refused:
        """See RunStore.claim_batch."""
        addr = batch_addr(batch.chord, batch.lo, batch.hi)
        run = self.find(batch.run)
        if run is not None and run.gen != batch.gen:
            return Refused("stale")
        self.claimed(batch.run, addr, queue)
        if run is None:
            return Refused("gone")
        if run.status in FINAL:
            return Refused("over")
        if run.closed(addr):
            return Refused("closed")
        chord = run.chords.get(batch.chord)
        if chord is None:
            return Refused("gone")
        mark = chord.marks.get((batch.lo, batch.hi))
        if mark is None or mark.state == "free":
            if run.status == "paused":
                run.held.add((addr, queue))
                return Refused("held")
            mark = Mark("running", nonce, batch.lo)
            chord.marks[batch.lo, batch.hi] = mark
            self.lease(batch.run, addr)
        elif mark.state != "running":
            return Refused("over")
        elif mark.nonce != nonce:
            return Refused("taken")
        page = self.page_of(batch.run, batch.chord, batch.lo)
        return BatchClaimed(chord.spec, mark.cursor, page, run.program_id)

    @atomic
    def commit_batch(self, commit: BatchCommit) -> Moved | Joined | Refused:
        """See RunStore.commit_batch."""
        batch, nonce, promote = commit.batch, commit.nonce, commit.promote
        found = self._batch(batch)
        if isinstance(found, Refused):
            return found
        run, chord, mark = found
        addr = batch_addr(batch.chord, batch.lo, batch.hi)
        alone = commit.first + len(commit.results)
        after = alone + (1 if promote else 0)
        mine = mark.nonce == nonce
        running = mine and mark.state == "running"
        if (mine and mark.state == "done") or (running and mark.cursor >= after):
            return self._committed_before(run, commit, alone)
        if run.status in FINAL or run.closed(addr):
            self.unlease(batch.run, addr)
            return Refused("over" if run.status in FINAL else "closed")
        if not running or mark.cursor != commit.first:
            return Refused("stale")
        for index, lane in enumerate(commit.results, commit.first):
            log = lane.log if lane.failure is None else None
            chord.settled[index] = Settled(nonce, log, lane.failure)
        chord.outstanding -= len(commit.results)
        mark.cursor = after
        mark.state = "done" if after == batch.hi else "running"
        self.journal_entry(batch.run, run, commit.entry)
        # While paused its worker is told to give the rest back.
        reply = Moved(held=run.status == "paused")
        if promote is not None:
            deadline = self._promote(run, commit, promote, alone)
            reply = replace(reply, deadline_ms=deadline)
        if after == batch.hi:
            self.unlease(batch.run, addr)
        else:
            self.lease(batch.run, addr)
        if chord.outstanding == 0 or commit.decided_by >= 0:
            self.unlease(batch.run, addr)
            why = str(commit.decided_by) if commit.decided_by >= 0 else "all"
            return self.close_chord(batch.run, run, batch.chord, why, nonce)
        self.send_lanes(batch.run, run, batch.chord)
        return reply

    @atomic
    def emit(
        self, owner: Ref | BatchRef, seq: int, nonce: str, mark: int, entry: bytes
    ) -> Literal["ok"] | Refusal:
        """See RunStore.emit."""
        run, addr = self.find(owner.run), member_of(owner)
        if run is None:
            return "gone"
        if run.gen == owner.gen and run.emitted.get(addr) == (nonce, mark):
            return "ok"
        refused = self._not_owned(owner, seq, nonce)
        if refused is not None:
            return refused
        run.emitted[addr] = (nonce, mark)
        self.journal_entry(owner.run, run, entry)
        return "ok"

    def _not_owned(self, owner: Ref | BatchRef, seq: int, nonce: str) -> Refusal | None:
        if isinstance(owner, Ref):
            fence = self.fence(owner, seq, nonce)
            if isinstance(fence, Refused):
                return fence.why
            return "stale" if isinstance(fence, Again) else None
        found = self._batch(owner)
        if isinstance(found, Refused):
            return found.why
        run, _, mark = found
        if mark.state != "running" or mark.nonce != nonce:
            return "stale"
        if run.status in FINAL:
            return "over"
        return "closed" if run.closed(member_of(owner)) else None

    def _batch(self, batch: BatchRef) -> tuple[Run, Chord, Mark] | Refused:
        """Find a batch that somebody has claimed at some time."""
        run = self.find(batch.run)
        chord = run.chords.get(batch.chord) if run else None
        if run is None:
            return Refused("gone")
        if chord is None:
            addr = member_of(batch)
            self.unlease(batch.run, addr)
            return Refused("closed" if run.closed(addr) else "gone")
        mark = chord.marks.get((batch.lo, batch.hi))
        if run.gen != batch.gen or mark is None:
            return Refused("stale")
        return run, chord, mark

    def _committed_before(
        self, run: Run, commit: BatchCommit, alone: int
    ) -> Moved | Joined:
        lane = run.chains.get(f"{commit.batch.chord}.{alone}")
        if commit.promote is not None and lane is not None:
            again: Moved | Joined
            again = moved_again(lane, commit.nonce, commit.promote.what)
        else:
            again = self.join_again(run, commit.batch.chord, commit.nonce)
        if isinstance(again, Moved) and not again.deadline_ms:
            return replace(again, held=again.held or run.status == "paused")
        return again

    def _promote(
        self, run: Run, commit: BatchCommit, promote: Promote, index: int
    ) -> int:
        """Give a batched lane a record of its own; return the deadline if it goes on."""
        batch, nonce, what = commit.batch, commit.nonce, promote.what
        addr = f"{batch.chord}.{index}"
        chain: Record = new_chain(promote.pending).with_(
            seq=1,
            last=nonce,
            state=what,
            tries=min(promote.tries, MOST),
            loglen=len(promote.edits),
        )
        run.write_edits(addr, 0, promote.edits)
        deadline = 0
        if what != "w" and run.status == "paused":
            chain = chain.with_(state="h")
            run.held.add((addr, chain.queue))
        elif what == "c":
            deadline = self.now + chain.timeout_ms
            tries = min(promote.tries + is_step(chain), MOST)
            chain = chain.with_(
                state="r", owner=nonce, last="", deadline_ms=deadline, tries=tries
            )
            self.lease(batch.run, addr, deadline)
        elif what == "p":
            self.dispatch(batch.run, run.gen, addr, chain.queue)
        elif promote.delay_ms > 0:
            timer = Timer(batch.run, run.gen, addr, 1, "retry")
            self.timers[timer] = self.now + promote.delay_ms
        run.chains[addr] = chain
        return deadline

    @atomic
    def release_batch(
        self, batch: BatchRef, nonce: str, cursor: int
    ) -> Moved | Refused:
        """See RunStore.release_batch."""
        found = self._batch(batch)
        if isinstance(found, Refused):
            return found
        run, chord, mark = found
        addr = batch_addr(batch.chord, batch.lo, batch.hi)
        if mark.nonce == nonce and mark.state in ("done", "free"):
            return Moved()
        mine = mark.nonce == nonce and mark.state == "running"
        if not mine or mark.cursor != cursor:
            return Refused("stale")
        self.unlease(batch.run, addr)
        if run.status in FINAL:
            return Refused("over")
        if run.closed(addr):
            return Refused("closed")
        # Given back whole, it keeps its address and is free to be claimed again.
        mark.state = "free" if cursor == batch.lo else "done"
        if cursor < batch.hi:
            rest = batch_addr(batch.chord, cursor, batch.hi)
            self.send(batch.run, run, rest, chord.spec.queue)
        return Moved()

    @atomic
    def break_batch(
        self, batch: BatchRef, nonce: str, lane: int, outcome: bytes
    ) -> Moved | Refused:
        """See RunStore.break_batch."""
        found = self._batch(batch)
        if isinstance(found, Refused):
            return found
        run, chord, mark = found
        addr = batch_addr(batch.chord, batch.lo, batch.hi)
        if mark.nonce == nonce and mark.state == "broken":
            return Moved()
        if mark.nonce != nonce or mark.state != "running":
            return Refused("stale")
        self.unlease(batch.run, addr)
        if run.status in FINAL:
            return Refused("over")
        if run.closed(addr):
            return Refused("closed")
        mark.state = "broken"
        told = lane if mark.cursor <= lane < batch.hi else -1
        for index in range(mark.cursor, batch.hi):
            at, queue = f"{batch.chord}.{index}", chord.spec.queue
            if index == told:
                chain = new_lane(chord.spec, index)
                queue = ENGINE_QUEUE
                run.chains[at] = chain.with_(state="s", tries=1, queue=queue)
                run.signals[at] = outcome
            self.dispatch(batch.run, run.gen, at, queue)
        entry = batch_broken_entry(batch.chord, batch.lo, batch.hi, lane)
        self.journal_entry(batch.run, run, entry)
        return Moved()
