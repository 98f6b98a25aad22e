"""What a steward and a person ask of the in-memory store: time, loss, pause, end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Literal

from engine.flow.json_text import dump_compact
from engine.store.base import ENGINE_QUEUE, ROOT, Fired, Lease, Ref
from engine.store.entries import deadline_entry, finish_entry, lost_entry
from engine.store.memory_core import (
    FINAL,
    GRACE_MS,
    PAGE,
    TOMBSTONE_MS,
    Core,
    Run,
    Span,
    Timer,
    atomic,
    batch_of,
    chord_of,
    is_step,
)
from engine.store.record import MOST

LOST = b'{"lost":'
OLDEST = 20
"""Messages at the consuming end of a queue that `repeat` looks at."""
DOUBLINGS = 8


class Steward(Core):
    """Renewal, expiry, timers, lost dispatches; pause, resume and finish."""

    @atomic
    def renew(self, leases: Sequence[Lease]) -> list[Literal["k", "c", "s"]]:
        """See RunStore.renew."""
        return [self._renew(lease) for lease in leases]

    def _renew(self, lease: Lease) -> Literal["k", "c", "s"]:
        run = self.find(lease.run)
        if run is None or run.status in FINAL or run.closed(lease.member):
            return "c"
        owner, deadline = self._owner(run, lease.member)
        if owner != lease.nonce:
            return "s"
        if (lease.run, lease.member) in self.leases:
            self.lease(lease.run, lease.member, deadline)
        return "k"

    @atomic
    def died(self, lease: Lease, how: str) -> bool:
        """See RunStore.died."""
        run = self.find(lease.run)
        if run is None or run.status in FINAL:
            return False
        if self._owner(run, lease.member)[0] != lease.nonce:
            return False
        if not batch_of(lease.member):
            run.deaths[lease.member] = (lease.nonce, how)
        if (lease.run, lease.member) in self.leases:
            self.leases[lease.run, lease.member] = 0
        return True

    def _owner(self, run: Run, member: str) -> tuple[str | None, int | None]:
        """Return who owns a chain or batch and until when at most."""
        batch = batch_of(member)
        if batch:
            chord = run.chords.get(batch[0])
            mark = chord.marks.get(batch[1]) if chord else None
            return (mark.nonce if mark and mark.state == "running" else None), None
        chain = run.chains.get(member)
        if chain is None or chain.state != "r":
            return None, None
        # Past that an expiry takes it at once, whoever holds it: none may go on with it.
        if self.now >= chain.deadline_ms + GRACE_MS:
            return None, None
        return chain.owner, chain.deadline_ms

    @atomic
    def expire(self, max_lost: int, before_ms: int = 0) -> int:
        """See RunStore.expire."""
        if before_ms and self.now > before_ms:
            return 0
        due = sorted((at, who) for who, at in self.leases.items() if at <= self.now)
        moved = 0
        for _, (run_id, addr) in due[:PAGE]:
            self.unlease(run_id, addr)
            run = self.find(run_id)
            if run is None or run.status in FINAL or run.closed(addr):
                continue
            batch = batch_of(addr)
            if batch:
                moved += self._lose_batch(run_id, run, *batch)
            else:
                moved += self._lose_chain(run_id, run, addr, max_lost)
        return moved

    def _lose_batch(self, run_id: str, run: Run, chord_id: str, span: Span) -> int:
        """Dispatch the unsettled lanes of a lost batch singly; none is charged."""
        chord = run.chords.get(chord_id)
        mark = chord.marks.get(span) if chord else None
        if chord is None or mark is None or mark.state != "running":
            return 0
        mark.state, mark.nonce = "broken", ""
        for index in range(mark.cursor, span[1]):
            self.send(run_id, run, f"{chord_id}.{index}", chord.spec.queue)
        return 1

    def _lose_chain(self, run_id: str, run: Run, addr: str, max_lost: int) -> int:
        """Take a chain from a dead worker; lost too often, its step ends so."""
        chain = run.chains.get(addr)
        if chain is None or chain.state != "r":
            return 0
        lost, step = chain.lost + 1, is_step(chain)
        nonce, said = run.deaths.pop(addr, ("", ""))
        how = b""
        if nonce == chain.owner:
            how = b',"how":' + dump_compact(said).encode()
        self.journal_entry(run_id, run, lost_entry(addr, chain, lost))
        changed = chain.with_(owner="", last="", lost=min(lost, MOST), deadline_ms=0)
        # Whatever it was about to do, and even a signal that kills who takes it.
        known = run.signals.get(addr, b"").startswith(LOST)
        if lost > max_lost and not known:
            run.signals[addr] = LOST + b"%d%b}" % (lost, how)
        if addr in run.signals:
            changed = changed.with_(state="s", queue=ENGINE_QUEUE)
        else:
            # A lost attempt is capped apart from failures: it is no try.
            tries = chain.tries - 1 if step and chain.tries else chain.tries
            state = "h" if run.status == "paused" else "p"
            changed = changed.with_(state=state, tries=tries)
        run.chains[addr] = changed
        self.send(run_id, run, addr, changed.queue)
        return 1

    @atomic
    def fire(self, before_ms: int = 0) -> Fired:
        """See RunStore.fire."""
        if before_ms and self.now > before_ms:
            return Fired(0, False)
        due = [(at, timer) for timer, at in self.timers.items() if at <= self.now]
        due.sort(key=lambda pair: pair[0])
        ends = [timer for _, timer in due if timer.kind == "deadline"]
        retries = [timer for _, timer in due if timer.kind != "deadline"]
        moved = 0
        for timer in ends[:PAGE] + retries[:PAGE]:
            del self.timers[timer]
            run = self.find(timer.run)
            if run is None or run.gen != timer.gen or run.status in FINAL:
                continue
            if timer.kind == "deadline":
                self._out_of_time(timer.run, run)
                moved += 1
            elif not run.closed(timer.addr):
                moved += self._retry(run, timer)
        return Fired(moved, max(len(ends), len(retries)) >= PAGE)

    def _out_of_time(self, run_id: str, run: Run) -> None:
        after = int((self.now - run.at_ms) / 1000 + 0.5)
        run.status, run.why = "failed", "deadline"
        self.journal_entry(run_id, run, deadline_entry(after))

    def _retry(self, run: Run, timer: Timer) -> int:
        chain = run.chains.get(timer.addr)
        if chain is None or chain.state != "w" or chain.seq != timer.seq:
            return 0
        state = "h" if run.status == "paused" else "p"
        run.chains[timer.addr] = chain.with_(state=state)
        self.send(timer.run, run, timer.addr, chain.queue)
        return 1

    @atomic
    def repeat(self, age_ms: int, before_ms: int = 0) -> int:
        """See RunStore.repeat; looks at the 20 oldest messages of every queue."""
        if before_ms and self.now > before_ms:
            return 0
        return sum(self._repeat(queue, age_ms) for queue in list(self.dispatched))

    def _repeat(self, queue: str, age_ms: int) -> int:
        tickets = self.dispatched[queue]
        now_us = self.now * 1000
        oldest = [m.ticket for m in islice(self.messages.get(queue, ()), OLDEST)]
        old = min(min(oldest, default=now_us) - 1, now_us - age_ms * 1000)
        due = sorted((at, who) for who, at in tickets.items() if at <= old)
        moved = 0
        for ticket, who in due[:PAGE]:
            times = self.again.get(who, 0)
            if now_us - ticket < age_ms * 1000 * 2 ** min(times, DOUBLINGS):
                continue
            run = self.find(who[0])
            if run is not None and self._waiting(run, who[1]):
                self.again[who] = times + 1
                self.dispatch(who[0], run.gen, who[1], queue)
                moved += 1
            else:
                self.claimed(*who, queue)
        return moved

    def _waiting(self, run: Run, addr: str) -> bool:
        """Return whether a chain or batch still waits to be claimed."""
        if run.status in FINAL or run.closed(addr):
            return False
        chain, batch, lane = run.chains.get(addr), batch_of(addr), chord_of(addr)
        if chain is not None:
            return chain.state in "ps"
        if batch:
            chord = run.chords.get(batch[0])
            mark = chord.marks.get(batch[1]) if chord else None
            return chord is not None and (mark is None or mark.state == "free")
        chord = run.chords.get(lane[0]) if lane else None
        return lane is not None and chord is not None and lane[1] not in chord.settled

    @atomic
    def discard(self, ref: Ref, entry: bytes) -> None:
        """See RunStore.discard."""
        found = self.find(ref.run)
        if found is None or found.gen != ref.gen or found.status in FINAL:
            return
        if found.late != entry:
            found.late = entry
            self.journal_entry(ref.run, found, entry)

    @atomic
    def pause(self, run: str) -> str:
        """See RunStore.pause."""
        found = self.find(run)
        if found is None:
            return "gone"
        if found.status == "paused":
            return "ok"
        if found.status != "running":
            return found.status
        found.status = "paused"
        self.journal_entry(run, found, b'{"e":[["run_paused"]]}')
        return "ok"

    @atomic
    def resume(self, run: str) -> str:
        """See RunStore.resume."""
        found = self.find(run)
        if found is None:
            return "gone"
        if found.status not in ("paused", "running"):
            return found.status
        if found.status == "paused":
            found.status = "running"
            self.journal_entry(run, found, b'{"e":[["run_resumed"]]}')
        for addr, queue in sorted(found.held):
            chain = found.chains.get(addr)
            if chain is not None and chain.state == "h":
                found.chains[addr] = chain.with_(state="p")
            self.dispatch(run, found.gen, addr, queue)
        found.held.clear()
        return "ok"

    def finish_resumes(self) -> int:
        """See RunStore.finish_resumes; a resume is one action here."""
        return 0

    @atomic
    def finish(self, run: str, status: str, why: str) -> str:
        """See RunStore.finish."""
        found = self.find(run)
        if found is None:
            self.runs[run] = Run(status, 0, gone_ms=self.now + TOMBSTONE_MS)
            return "ok"
        if found.status in FINAL:
            return "ok" if found.status == status else found.status
        found.status, found.why = status, "outside"
        self.timers.pop(Timer(run, found.gen, ROOT, 0, "deadline"), None)
        self.journal_entry(run, found, finish_entry(status, why))
        return "ok"
