"""The engine: takes a delivery, drives its chain and commits every transition.

It knows the machine, the store and the spawners, and neither Celery nor Redis. Whoever
calls `deliver` is a worker; whatever goes wrong on the way, the store's fence decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import orjson

from engine.blueprint.program import Agent
from engine.flow import FlowError
from engine.flow.document import Document
from engine.ports import NoWatch, Spawner, Watch
from engine.run.attempts import checked, gave_up, judge, make_attempt
from engine.run.chain import Chain, place_of
from engine.run.chords import (
    Waits,
    lane_decides,
    open_chord,
    opening_of,
    pages_of,
    spec_of,
)
from engine.run.ctx import TooLarge, whole_edit
from engine.run.emitter import Emitter, Outlet, Owner
from engine.run.events import Event, discards, pack_entry
from engine.run.folding import fold_outgrown
from engine.run.load import LeaseOver, Loader, Origin, Prepared, Vanished, split_lane
from engine.run.looks import Looks
from engine.run.machine import (
    Checkpoint,
    Ended,
    Failed,
    Fork,
    Next,
    Passed,
    Raised,
    Signal,
    StepRequest,
)
from engine.run.outcomes import lost_text, unpack_outcome
from engine.run.sizes import within_limit
from engine.run.turn import Budget, Limits, Turn, engine_pending, new_nonce, timeout_of
from engine.store.base import (
    ROOT,
    Claimed,
    Joined,
    Lease,
    Move,
    Moved,
    Pending,
    Ref,
    Refused,
    RunStore,
    Settle,
    StoreFull,
)
from engine.store.spec import member_of

What = Literal["c", "p", "w", "d"]


class Engine:
    """Drives chains of live runs.

    `serves` tells whether this worker consumes a queue: only then a chain goes on in
    the same delivery. `queues` are those it takes further messages from, in the order
    of looks.py; without them it stays with the one of its delivery. `who` names the
    worker in the journal.
    """

    def __init__(
        self,
        store: RunStore,
        spawners: Mapping[str, Spawner],
        *,
        serves: Callable[[str], bool],
        limits: Limits | None = None,
        watch: Watch | None = None,
        loader: Loader | None = None,
        who: str = "",
        queues: Iterable[str] = (),
    ) -> None:
        """Bind the parts; nothing is read before the first delivery."""
        self.store = store
        self.spawners = spawners
        self.serves = serves
        self.limits = limits or Limits()
        self.watch = watch or NoWatch()
        self.loader = loader or Loader(store, cache_bytes=self.limits.cache_bytes)
        self.loader.most_bytes = self.limits.ctx_bytes + self.limits.input_bytes
        self.who = who
        self.outlet = Outlet(store, self.limits, who)
        self._waits = Waits()
        self._looks = Looks(queues)

    def deliver(self, ref: Ref, queue: str) -> str:
        """Claim a chain and drive it as far as the budget allows.

        While that is spent in small coin it goes on with the next messages of its queues,
        which saves each the way through Celery (ADR 12).
        Returns `ok`, or why there was nothing to do (a doubled or late message).
        """
        nonce, asked_at = new_nonce(), time.monotonic()
        claimed = self.store.claim(ref, nonce, queue)
        if isinstance(claimed, Refused):
            return claimed.why
        budget = Budget(self.limits, claimed.record.timeout_ms, queue)
        try:
            self._work(ref, nonce, claimed, asked_at, budget)
            while budget.takes_on() and not self.watch.draining():
                nonce, asked_at = new_nonce(), time.monotonic()
                taken = self._looks.take(self.store, queue, nonce, budget)
                if taken is None:
                    break
                self._work(taken[0], nonce, taken[1], asked_at, budget)
        except Vanished:
            return "gone"
        finally:
            self.watch.clear()
        return "ok"

    def _work(
        self, ref: Ref, nonce: str, claimed: Claimed, asked_at: float, budget: Budget
    ) -> None:
        """Drive a claimed chain, and show it to the keeper meanwhile."""
        record = claimed.record
        self.watch.chain(ref, record.seq, nonce, record.timeout_ms)
        make = self._give_up if gave_up(claimed) else self._turn
        self.drive(make(ref, nonce, claimed, asked_at), budget)

    def _turn(self, ref: Ref, nonce: str, claimed: Claimed, asked_at: float) -> Turn:
        record = claimed.record
        prepared = self.loader.prepared(ref.run, claimed.program_id)
        chain = self.loader.chain(ref, prepared, record, claimed.log)
        turn = Turn(ref, nonce, prepared, chain, record.seq, asked_at)
        turn.tries, turn.lost = record.tries, record.lost
        turn.base_id, turn.timeout_ms = record.base_id, record.timeout_ms
        if claimed.signal is not None:
            turn.signal, turn.had_signal = unpack_outcome(claimed.signal), True
        return turn

    def _give_up(
        self, ref: Ref, nonce: str, claimed: Claimed, asked_at: float
    ) -> Turn | None:
        """End a chain whose very loading kills workers: nothing of it is read."""
        prepared = self.loader.prepared(ref.run, claimed.program_id)
        chain = Chain([], 0, "e", Document(None), claimed.record.loglen)
        if claimed.chord is not None:
            chain.prefix = f"{claimed.chord.place}/lane[{split_lane(ref.addr)[1]}]"
        turn = Turn(ref, nonce, prepared, chain, claimed.record.seq, asked_at)
        turn.had_signal = True
        how = orjson.loads(claimed.signal or b"{}").get("how")
        error = ["Lost", lost_text(claimed.record.lost, how)]
        turn.events.append(["raised", claimed.record.place, *error])
        return self._finish(turn, error)

    def drive(self, turn: Turn | None, budget: Budget) -> None:
        """Move a chain, and the parents whose joins it wins, until it is released."""
        while turn is not None:
            turn = self._move(turn, budget)

    def _move(self, turn: Turn, budget: Budget) -> Turn | None:
        chain, machine = turn.chain, turn.prepared.machine
        if chain.phase == "j":
            chain.consumed = f"{turn.ref.addr}.k{chain.opened}"
        signal: Signal = self._raised(turn)
        if signal is not None:
            return self._commit(turn, machine.advance(chain, signal), budget)
        match chain.phase:
            case "e":
                # A pause parked it; what it did is in the journal already.
                return self._finish(turn, chain.end, told=True)
            case "s":
                decided = self._step(turn, budget)
                if isinstance(decided, int):
                    return self._retry(turn, decided, budget)
                signal = decided
            case "j":
                signal, lane = self.loader.joined(turn.ref, turn.prepared, chain)
                turn.joined(place_of(turn.prepared.layout, chain), lane, signal)
            case _:
                pass
        return self._commit(turn, machine.advance(chain, signal), budget)

    def _raised(self, turn: Turn) -> Raised | None:
        """Return the failure that a signal means to a chain that is not at a step.

        The engine's own work, such as a join, killed worker after worker or took too
        long. Not meant is the outcome of a batched lane, which has a try but no record
        of its own yet: it waits for the lane to reach its step.
        """
        outcome, phase = turn.signal, turn.chain.phase
        if outcome is None or phase not in "cj":
            return None
        if outcome.kind != "lost" and phase == "c" and turn.tries > 0:
            return None
        turn.signal = None
        raised = Raised("Lost", outcome.flow_text)
        place = place_of(turn.prepared.layout, turn.chain)
        turn.events.append(["raised", place, raised.kind, raised.text])
        turn.needless += [turn.chain.consumed] * (phase == "j")
        return raised

    def _step(self, turn: Turn, budget: Budget) -> Passed | Failed | Raised | int:
        request = turn.request or turn.prepared.machine.request(turn.chain)
        if isinstance(request, FlowError):
            return Raised(request.kind, str(request))
        turn.request = request
        agent = turn.prepared.program.agents[request.ref]
        if turn.signal is not None:
            outcome, turn.signal = checked(turn.signal, self.limits), None
        else:
            budget.spend()
            self.check_lease(turn)
            outcome = make_attempt(
                self.spawners,
                agent,
                turn.ref,
                request.place,
                turn.attempt,
                request.input,
                self.limits,
                self.watch.cancelled,
                Emitter(self.outlet, turn, request.place, turn.attempt, agent.name),
            )
        attempt = turn.attempt - (outcome.kind == "lost")
        return judge(
            outcome,
            agent,
            request.place,
            turn.tries,
            turn.events,
            attempt=attempt,
            run=turn.ref.run,
        )

    def check_lease(self, owner: Owner) -> None:
        """Raise LeaseOver if what `owner` claimed may belong to another worker by now.

        A process that was stopped between its claim and its agent must not run the
        agent beside its successor.
        """
        while time.monotonic() - owner.owned_at > self.limits.lease_s:
            if not self.still_owns(owner):
                raise LeaseOver
        if self.watch.cancelled():
            raise LeaseOver

    def still_owns(self, owner: Owner) -> bool:
        """Ask the store whether a claim still holds, and lease it anew if so."""
        ref, _, nonce = owner.claim()
        asked_at = time.monotonic()
        if self.store.renew([Lease(ref.run, member_of(ref), nonce)]) != ["k"]:
            return False
        owner.owned_at = asked_at
        return not self.watch.cancelled()

    def _retry(self, turn: Turn, delay_ms: int, budget: Budget) -> Turn | None:
        assert turn.request is not None  # noqa: S101 - set by _step
        agent = turn.prepared.program.agents[turn.request.ref]
        goes_on = delay_ms == 0 and self.goes_on(agent, turn.prepared, budget)
        if goes_on:
            turn.events.append(["started", turn.request.place, turn.attempt + 1])
        pending = Pending(
            turn.chain.pack(),
            agent.queue,
            turn.request.place,
            timeout_of(agent, self.limits),
        )
        what: What = "c" if goes_on else "w" if delay_ms else "p"
        moved = self._write(turn, what, pending, keep_tries=True, delay_ms=delay_ms)
        turn.tries += 1
        return turn if moved and goes_on else None

    def may_run(self, agent: Agent, prepared: Prepared, budget: Budget) -> bool:
        """Tell whether this delivery need not leave an agent's step to its queue."""
        return self.serves(agent.queue) and budget.allows_rank(
            agent.queue, prepared.most_urgent
        )

    def goes_on(self, agent: Agent, prepared: Prepared, budget: Budget) -> bool:
        """Tell whether this delivery may make one more attempt of this agent."""
        return (
            self.may_run(agent, prepared, budget)
            and budget.allows(timeout_of(agent, self.limits))
            and not self.watch.draining()
        )

    def _commit(self, turn: Turn, nxt: Next, budget: Budget) -> Turn | None:
        match within_limit(turn.chain, nxt, self.limits):
            case StepRequest() as request:
                return self._to_step(turn, request, budget)
            case Fork() as fork:
                return self._fork(turn, fork)
            case Ended(error=error):
                return self._finish(turn, error)
            case Checkpoint(place=place):
                turn.events.append(["checkpoint", place])
                goes_on = budget.allows(0) and not self.watch.draining()
                pending = engine_pending(turn, place)
                moved = self._write(turn, "c" if goes_on else "p", pending)
                return turn if moved and goes_on else None

    def _to_step(self, turn: Turn, nxt: StepRequest, budget: Budget) -> Turn | None:
        turn.request = nxt
        if turn.signal is not None:
            # The outcome was recorded before the chain had a record of its own.
            return turn
        agent = turn.prepared.program.agents[nxt.ref]
        goes_on = self.goes_on(agent, turn.prepared, budget)
        turn.events.append(["pending", nxt.place, agent.name])
        if goes_on:
            turn.events.append(["started", nxt.place, 1])
        timeout_ms = timeout_of(agent, self.limits)
        pending = Pending(turn.chain.pack(), agent.queue, nxt.place, timeout_ms)
        moved = self._write(turn, "c" if goes_on else "p", pending)
        if not moved or not goes_on:
            return None
        turn.tries, turn.lost, turn.timeout_ms = 1, 0, timeout_ms
        return turn

    def _fork(self, turn: Turn, fork: Fork) -> Turn | None:
        try:
            pages = pages_of(fork.items, self.limits.input_bytes)
        except TooLarge:
            return self._finish(
                turn, self.limits.too_large("the items of a fanout are")
            )
        except (TypeError, ValueError) as error:
            text = f"the items of a fanout can't be held as JSON: {error}"
            return self._finish(turn, ["InputLimit", text])
        fold_outgrown(turn)
        spec = spec_of(turn, fork, self.spawners, self.limits)
        opening = opening_of(turn, fork, spec, self.who)
        chain = turn.chain
        try:
            answer = open_chord(self.store, opening, pages)
        except StoreFull as error:
            self._wait_for_room(turn, fork.place, error)
            return None
        if isinstance(answer, Moved):
            size = chain.origin_size + chain.offset
            origin = Origin(
                chain.doc.snapshot(),
                size,
                chain.origin_size,
                dict(chain.known),
                chain.doc.depth,
            )
            self.loader.keep_lane_origin(turn.ref, opening.chord, origin)
        return None

    def _wait_for_room(self, turn: Turn, place: str, error: StoreFull) -> None:
        """Have a chain make its fork again later, which is no attempt and no failure."""
        delay_ms = self._waits.delay_ms(turn.ref, turn.seq, place, error)
        turn.chain.phase = "c"
        turn.events.pop()
        self._write(turn, "w", engine_pending(turn, place), delay_ms=delay_ms)

    def _write(
        self,
        turn: Turn,
        what: What,
        pending: Pending,
        *,
        keep_tries: bool = False,
        delay_ms: int = 0,
        status: str = "",
        ending: bytes = b"",
    ) -> bool:
        """Commit what the turn found out; False when it is no longer ours or parked."""
        if what in "cp":
            fold_outgrown(turn)
        chain, entry = turn.chain, b""
        if turn.events or what != "w":
            entry = pack_entry(turn.ref.addr, turn.seq, self.who, turn.events)
        move = Move(
            ref=turn.ref,
            seq=turn.seq,
            nonce=turn.nonce,
            what=what,
            offset=chain.start,
            edits=bytes(chain.edits),
            pending=pending,
            entry=entry,
            keep_tries=keep_tries,
            delay_ms=delay_ms,
            status=status,
            base=turn.new_base,
            had_signal=turn.had_signal,
            consumed=chain.consumed,
            needless=turn.dropped(),
            ending=ending,
        )
        asked_at = time.monotonic()
        answer = self.store.commit(move)
        if isinstance(answer, Refused):
            self.note_discarded(turn.ref, turn.seq, turn.events, answer)
            return False
        if answer.held:
            return False
        turn.committed(asked_at)
        if what == "c":
            self.watch.chain(turn.ref, turn.seq, turn.nonce, pending.timeout_ms)
        return True

    def _finish(
        self, turn: Turn, error: list[str] | None, *, told: bool = False
    ) -> Turn | None:
        """End a chain: the run if it is the root, else its lane.

        With `told` the journal has it already that the lane has ended.
        """
        turn.chain.phase, turn.chain.end = "e", error
        pending = engine_pending(turn, "")
        if turn.ref.addr == ROOT:
            end = ["run_failed", *error] if error else ["run_done"]
            ending = pack_entry(ROOT, turn.seq, self.who, [*turn.events, end])
            status = "failed" if error else "done"
            self._write(turn, "d", pending, status=status, ending=ending)
            return None
        if error is not None and not told:
            turn.events.append(["lane_ended", turn.chain.prefix, error[1]])
        return self._settle(turn, error, pending)

    def _settle(
        self, turn: Turn, error: list[str] | None, pending: Pending
    ) -> Turn | None:
        chain, ref = turn.chain, turn.ref
        chord, _ = split_lane(ref.addr)
        mode = self.loader.spec(ref.run, ref.gen, chord).mode
        offset, edits = chain.start, bytes(chain.edits)
        if chain.folded and not chain.selected and error is None:
            # A result is read on top of the chord's base, so a lane that has a base of
            # its own says its whole Ctx as one edit of the root, its joins expanded:
            # their own lines are in the log that goes away.
            try:
                offset, edits = 0, whole_edit(chain.doc.value, self.limits.input_bytes)
            except TooLarge:
                return self._finish(
                    turn, self.limits.too_large("the result of a lane is")
                )
        asked_at = time.monotonic()
        answer = self.store.settle(
            Settle(
                ref=ref,
                seq=turn.seq,
                nonce=turn.nonce,
                offset=offset,
                edits=edits,
                failure=None if error is None else orjson.dumps(error),
                entry=pack_entry(ref.addr, turn.seq, self.who, turn.events),
                decides=lane_decides(mode, error is not None),
                had_signal=turn.had_signal,
                pending=pending,
                consumed=chain.consumed,
                needless=turn.needless,
            )
        )
        if isinstance(answer, Refused):
            self.note_discarded(ref, turn.seq, turn.events, answer)
        return self.parent(ref, turn.nonce, turn.prepared, answer, asked_at)

    def note_discarded(
        self, ref: Ref, seq: int, events: list[Event], answer: Refused
    ) -> None:
        """Tell the journal of outcomes that another worker's claim made void."""
        told = discards(events)
        if told and answer.why in ("stale", "closed"):
            self.store.discard(ref, pack_entry(ref.addr, seq, self.who, told))

    def parent(
        self,
        ref: Ref,
        nonce: str,
        prepared: Prepared,
        answer: Moved | Joined | Refused,
        asked_at: float,
    ) -> Turn | None:
        """Return the parent's turn when an answer hands us its pending join."""
        if not isinstance(answer, Joined):
            return None
        # A batch of the chord that is decided now is in vain; its parent is not, which
        # goes on under the same nonce.
        self.watch.batch(None)
        up = Ref(ref.run, ref.gen, answer.parent)
        record = answer.record
        self.watch.chain(up, record.seq, nonce, record.timeout_ms)
        chain = self.loader.chain(up, prepared, record)
        turn = Turn(up, nonce, prepared, chain, record.seq, asked_at)
        turn.base_id = record.base_id
        return turn
