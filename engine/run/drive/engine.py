"""The engine takes a delivery and drives its chain from transition to transition.

It knows the machine, the store and the spawners, and neither Celery nor Redis. The caller
of `deliver` is a worker. When two workers drive a chain, the store's fence decides.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping

import orjson

from engine.blueprint.program import Agent
from engine.flow import FlowError
from engine.flow.document import Document
from engine.ports import Spawner, Watch
from engine.run.attempt.attempts import checked, is_poisoned, make_attempt
from engine.run.attempt.emitter import Emitter, Outlet
from engine.run.attempt.leases import Leases, Owner
from engine.run.attempt.outcomes import Outcome, lost_text, unpack_outcome
from engine.run.attempt.retry import judge
from engine.run.chain.chain import END, ENTER, JOIN, STEP, Chain, place_of
from engine.run.chain.machine import (
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
from engine.run.drive.chords import (
    Unstorable,
    checked_pages,
    open_chord,
    opening_of,
    spec_of,
)
from engine.run.drive.commits import UNREADABLE, Commits
from engine.run.drive.folding import fold_outgrown
from engine.run.drive.load import Loader, Origin, Prepared
from engine.run.drive.queue_order import PollOrder, rank
from engine.run.drive.turn import Budget, Turn, engine_pending, new_nonce, step_pending
from engine.run.limits import Limits, timeout_of, within_limit
from engine.store.addresses import chord_at, lane_place, split_lane
from engine.store.base import (
    CONTINUE,
    DISPATCH,
    Claimed,
    Moved,
    MoveKind,
    Ref,
    Refused,
    StoreFull,
    Vanished,
)
from engine.store.port import RunStore


class Engine:
    """Drives chains of live runs.

    `serves` returns whether this worker consumes a queue: only then a chain continues in
    the same delivery. A delivery takes further messages from `queues`, or without them
    from its own queue. `who` names the worker in the journal.
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
        self.watch = watch or Watch()
        self.loader = loader or Loader(store, cache_bytes=self.limits.cache_bytes)
        self.loader.most_bytes = self.limits.ctx_bytes + self.limits.input_bytes
        self.who = who
        self.outlet = Outlet(store, self.limits, who)
        self.leases = Leases(store, self.watch, self.limits.lease_s)
        self.commits = Commits(store, self.loader, self.watch, self.limits, who)
        self._order = PollOrder(queues)

    def deliver(self, ref: Ref, queue: str) -> str:
        """Claim a chain and drive it within the budget.

        While steps are short, the delivery continues with the next messages of its
        queues, which saves each its way through Celery (ADR 12).
        Returns `ok`, or the refusal of the claim (of a doubled or late message).
        """
        nonce, requested_at = new_nonce(), time.monotonic()
        claimed = self.store.claim(ref, nonce, queue)
        if isinstance(claimed, Refused):
            return claimed.why
        budget = Budget(self.limits, claimed.record.timeout_ms, queue)
        try:
            self._work(ref, nonce, claimed, requested_at, budget)
            while budget.allows_next_message() and not self.watch.draining():
                nonce, requested_at = new_nonce(), time.monotonic()
                queues = self._order.next() or [queue]
                taken = self.store.claim_next(queues, nonce, budget.left_ms())
                if taken is None:
                    break
                found = taken[1].record.queue
                self._order.found(found)
                budget.rank = rank(found)
                self._work(taken[0], nonce, taken[1], requested_at, budget)
        except Vanished:
            return "gone"
        finally:
            self.watch.clear()
        return "ok"

    def _work(
        self,
        ref: Ref,
        nonce: str,
        claimed: Claimed,
        requested_at: float,
        budget: Budget,
    ) -> None:
        """Drive a claimed chain and show it to the keeper."""
        record, ref = claimed.record, ref.on(claimed.line)
        self.watch.chain(ref, record.seq, nonce, record.timeout_ms)
        poisoned = is_poisoned(claimed.signal, record.lost)
        make = self._end_poisoned_chain if poisoned else self._turn
        self.drive(make(ref, nonce, claimed, requested_at), budget)

    def _turn(
        self, ref: Ref, nonce: str, claimed: Claimed, requested_at: float
    ) -> Turn | None:
        record = claimed.record
        prepared = self.loader.prepared(ref.key, claimed.program_id)
        turn = self.commits.claimed(
            ref, nonce, prepared, record, requested_at, claimed.log
        )
        if turn is not None and claimed.signal is not None:
            turn.signal, turn.had_signal = unpack_outcome(claimed.signal), True
        return turn

    def _end_poisoned_chain(
        self, ref: Ref, nonce: str, claimed: Claimed, requested_at: float
    ) -> Turn | None:
        """End a chain that kills its workers, without loading its Ctx."""
        prepared = self.loader.prepared(ref.key, claimed.program_id)
        chain = Chain([], 0, END, Document(None), claimed.record.loglen)
        if claimed.chord is not None:
            chain.prefix = lane_place(claimed.chord.place, split_lane(ref.addr)[1])
        turn = Turn(ref, nonce, prepared, chain, claimed.record.seq, requested_at)
        turn.had_signal = True
        how = orjson.loads(claimed.signal or b"{}").get("how")
        error = ["Lost", lost_text(claimed.record.lost, how)]
        turn.events.append(["raised", claimed.record.place, *error])
        return self.commits.finish(turn, error)

    def drive(self, turn: Turn | None, budget: Budget) -> None:
        """Move a chain, and the parents whose joins this worker gets, until its release."""
        while turn is not None:
            owned = turn
            try:
                turn = self._move(owned, budget)
            except UNREADABLE as error:
                self.commits.postpone(
                    owned.ref,
                    owned.seq,
                    owned.nonce,
                    error,
                    owned.outcome,
                    owned.events,
                )
                return

    def _move(self, turn: Turn, budget: Budget) -> Turn | None:
        chain, machine = turn.chain, turn.prepared.machine
        if chain.phase is JOIN:
            chain.consumed = chord_at(turn.ref.addr, chain.opened)
        signal: Signal = self._raised(turn)
        if signal is not None:
            return self._commit(turn, machine.advance(chain, signal), budget)
        if chain.phase is STEP:
            decided = self._step(turn, budget)
            if isinstance(decided, int):
                return self._retry(turn, decided, budget)
            signal = decided
        elif chain.phase is JOIN:
            signal, lane = self.loader.joined(turn.ref, turn.prepared, chain)
            turn.note_join(place_of(turn.prepared.layout, chain), lane, signal)
        elif chain.phase is END:
            # A pause has parked the ended chain; its events are in the journal already.
            return self.commits.finish(turn, chain.end, is_journaled=True)
        return self._commit(turn, machine.advance(chain, signal), budget)

    def _raised(self, turn: Turn) -> Raised | None:
        """Return the failure that a signal means for a chain that is not at a step.

        The engine's own work, such as a join, has killed its workers or exceeded its
        timeout. The outcome of a batched lane is no such failure: the lane has a try but
        no record yet, and takes its outcome when it reaches its step.
        """
        outcome, phase = turn.signal, turn.chain.phase
        if outcome is None or phase not in (ENTER, JOIN):
            return None
        if outcome.kind != "lost" and phase is ENTER and turn.tries > 0:
            return None
        turn.signal = None
        raised = Raised("Lost", outcome.flow_text)
        place = place_of(turn.prepared.layout, turn.chain)
        turn.events.append(["raised", place, raised.kind, raised.text])
        turn.unreferenced += [turn.chain.consumed] * (phase is JOIN)
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
            self.leases.check(turn)
            try:
                outcome = self.attempt(turn, turn.ref, agent, request, turn.attempt)
                turn.outcome = outcome
            except KeyboardInterrupt:
                self._give_back(turn, agent, request.place)
                raise
        attempt = turn.attempt - (outcome.kind == "lost")
        return judge(
            outcome,
            agent,
            request,
            turn.tries,
            turn.events,
            self.limits,
            attempt=attempt,
            run=turn.ref.run,
            shelf=turn.chain.shelf,
        )

    def attempt(
        self, owner: Owner, ref: Ref, agent: Agent, request: StepRequest, number: int
    ) -> Outcome:
        """Make one attempt at a step under the claim of `owner`, which is leased."""
        return make_attempt(
            self.spawners,
            agent,
            ref,
            request.place,
            number,
            request.input,
            self.limits,
            self.watch.cancelled,
            Emitter(self.outlet, owner, request.place, number, agent.name),
        )

    def _give_back(self, turn: Turn, agent: Agent, place: str) -> None:
        """Dispatch a step whose attempt was interrupted; nothing is charged for it.

        Without an answer from the store, its lease ends by itself.
        """
        pending = step_pending(turn.chain, agent, place, self.limits)
        turn.events.append(["pending", place, agent.name])
        with contextlib.suppress(Exception):
            self.commits.write(turn, DISPATCH, pending, gives_back=True)

    def _retry(self, turn: Turn, delay_ms: int, budget: Budget) -> Turn | None:
        assert turn.request is not None  # noqa: S101 - set by _step
        agent = turn.prepared.program.agents[turn.request.ref]
        continues = delay_ms == 0 and self.may_continue(agent, turn.prepared, budget)
        if continues:
            turn.events.append(["started", turn.request.place, turn.attempt + 1])
        pending = step_pending(turn.chain, agent, turn.request.place, self.limits)
        kind = CONTINUE if continues else MoveKind.WAIT if delay_ms else DISPATCH
        moved = self.commits.write(
            turn, kind, pending, keep_tries=True, delay_ms=delay_ms
        )
        turn.tries += 1
        return turn if moved and continues else None

    def may_run(self, agent: Agent, prepared: Prepared, budget: Budget) -> bool:
        """Return whether an agent's step may run in this delivery, by its queue."""
        return self.serves(agent.queue) and budget.allows_rank(
            agent.queue, prepared.most_urgent
        )

    def may_continue(self, agent: Agent, prepared: Prepared, budget: Budget) -> bool:
        """Return whether this delivery may make one more attempt of this agent."""
        return (
            self.may_run(agent, prepared, budget)
            and budget.allows(timeout_of(agent, self.limits))
            and not self.watch.draining()
            # Its message waits for the archive.
            and not self.limits.archive_first
        )

    def _commit(self, turn: Turn, nxt: Next, budget: Budget) -> Turn | None:
        match within_limit(turn.chain, nxt, self.limits):
            case StepRequest() as request:
                return self._to_step(turn, request, budget)
            case Fork() as fork:
                return self._fork(turn, fork)
            case Ended(error=error):
                return self.commits.finish(turn, error)
            case Checkpoint(place=place, nodes=nodes):
                turn.events.append(["checkpoint", place, nodes])
                continues = budget.allows(0) and not self.watch.draining()
                pending = engine_pending(turn.chain, place)
                moved = self.commits.write(
                    turn, CONTINUE if continues else DISPATCH, pending
                )
                return turn if moved and continues else None

    def _to_step(self, turn: Turn, nxt: StepRequest, budget: Budget) -> Turn | None:
        turn.request = nxt
        if turn.signal is not None:
            # The outcome of this step was stored before the chain had its own record.
            return turn
        agent = turn.prepared.program.agents[nxt.ref]
        continues = self.may_continue(agent, turn.prepared, budget)
        turn.events.append(["pending", nxt.place, agent.name])
        if continues:
            turn.events.append(["started", nxt.place, 1])
        pending = step_pending(turn.chain, agent, nxt.place, self.limits)
        moved = self.commits.write(turn, CONTINUE if continues else DISPATCH, pending)
        if not moved or not continues:
            return None
        turn.tries, turn.lost = 1, 0
        return turn

    def _fork(self, turn: Turn, fork: Fork) -> Turn | None:
        try:
            pages = checked_pages(fork.items, self.limits, turn.chain.shelf)
        except Unstorable as fault:
            return self.commits.finish(turn, fault.error)
        fold_outgrown(turn)
        spec = spec_of(turn, fork, self.spawners, self.limits)
        opening = opening_of(turn, fork, spec, self.who)
        chain = turn.chain
        try:
            answer = open_chord(self.store, opening, pages)
        except StoreFull as error:
            # The chain retries its fork later; this is neither an attempt nor a failure.
            delay_ms = self.commits.waits.delay_ms(
                turn.ref, turn.seq, fork.place, error
            )
            chain.phase = ENTER
            turn.events.pop()
            pending = engine_pending(chain, fork.place)
            self.commits.write(turn, MoveKind.WAIT, pending, delay_ms=delay_ms)
            return None
        if isinstance(answer, Moved):
            self.loader.keep_lane_origin(turn.ref, opening.chord, Origin.of(chain))
        return None
