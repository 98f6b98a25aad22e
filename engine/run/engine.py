"""The engine: takes a delivery, drives its chain and commits every transition.

It knows the machine, the store and the spawners, and neither Celery nor Redis. Whoever
calls `deliver` is a worker; whatever goes wrong on the way, the store's fence decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import orjson

from engine.blueprint.program import Agent
from engine.flow import FlowError
from engine.flow.document import Document
from engine.flow.path import Path
from engine.ports import NoWatch, Spawner, Watch
from engine.run.attempts import checked, judge, make_attempt
from engine.run.chain import place_of
from engine.run.chords import UPLOAD_ABOVE, opening_of, pages_of, spec_of
from engine.run.ctx import FOLD_AT, TooLarge, base_id, dump_edit, fold
from engine.run.events import pack_entry
from engine.run.load import Loader, Origin, Prepared, Vanished, split_lane
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
from engine.run.outcomes import unpack_outcome
from engine.run.turn import Budget, Limits, Turn, engine_pending, new_nonce
from engine.store.base import (
    ROOT,
    Claimed,
    Joined,
    Move,
    Moved,
    Pending,
    Ref,
    Refused,
    RunStore,
    Settle,
)

What = Literal["c", "p", "w", "d"]
ROOT_PATH = Path("$", ())


class Engine:
    """Drives chains of live runs.

    `serves` tells whether this worker consumes a queue: only then a chain goes on in
    the same delivery. `who` names the worker in the journal.
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
    ) -> None:
        """Bind the parts; nothing is read before the first delivery."""
        self.store = store
        self.spawners = spawners
        self.serves = serves
        self.limits = limits or Limits()
        self.watch = watch or NoWatch()
        self.loader = loader or Loader(store)
        self.who = who

    def deliver(self, ref: Ref, queue: str) -> str:
        """Claim a chain and drive it as far as the budget allows.

        Returns `ok`, or why there was nothing to do (a doubled or late message).
        """
        nonce = new_nonce()
        claimed = self.store.claim(ref, nonce, queue)
        if isinstance(claimed, Refused):
            return claimed.why
        record = claimed.record
        self.watch.chain(ref, record.seq, nonce, record.timeout_ms)
        try:
            turn = self._turn(ref, nonce, claimed)
            self.drive(turn, Budget(self.limits, record.timeout_ms))
        except Vanished:
            return "gone"
        finally:
            self.watch.clear()
        return "ok"

    def _turn(self, ref: Ref, nonce: str, claimed: Claimed) -> Turn:
        record = claimed.record
        prepared = self.loader.prepared(ref.run, claimed.program_id)
        chain = self.loader.chain(ref, prepared, record, claimed.log)
        turn = Turn(ref, nonce, prepared, chain, record.seq, record.tries)
        turn.base_id, turn.timeout_ms = record.base_id, record.timeout_ms
        if claimed.signal is not None:
            turn.signal, turn.had_signal = unpack_outcome(claimed.signal), True
        return turn

    def drive(self, turn: Turn | None, budget: Budget) -> None:
        """Move a chain, and the parents whose joins it wins, until it is released."""
        while turn is not None:
            turn = self._move(turn, budget)

    def _move(self, turn: Turn, budget: Budget) -> Turn | None:
        chain, machine = turn.chain, turn.prepared.machine
        signal: Signal = None
        match chain.phase:
            case "e":
                return self._finish(turn, chain.end)
            case "s":
                decided = self._step(turn, budget)
                if isinstance(decided, int):
                    return self._retry(turn, decided, budget)
                signal = decided
            case "j":
                signal, lane = self.loader.joined(turn.ref, turn.prepared, chain)
                chain.consumed = f"{turn.ref.addr}.k{chain.opened}"
                place = place_of(turn.prepared.layout, chain)
                turn.events.append(["joined", place, lane])
            case _:
                pass
        return self._commit(turn, machine.advance(chain, signal), budget)

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
            outcome = make_attempt(
                self.spawners,
                agent,
                turn.ref,
                request.place,
                turn.tries,
                request.input,
                self.limits,
                self.watch.cancelled,
            )
        return judge(outcome, agent, request.place, turn.tries, turn.events)

    def _retry(self, turn: Turn, delay_ms: int, budget: Budget) -> Turn | None:
        assert turn.request is not None  # noqa: S101 - set by _step
        agent = turn.prepared.program.agents[turn.request.ref]
        goes_on = delay_ms == 0 and self._goes_on(agent, budget)
        if goes_on:
            turn.events.append(["started", turn.request.place, turn.tries + 1])
        pending = Pending(
            turn.chain.pack(), agent.queue, turn.request.place, agent.timeout_ms
        )
        what: What = "c" if goes_on else "w" if delay_ms else "p"
        moved = self._write(turn, what, pending, keep_tries=True, delay_ms=delay_ms)
        turn.tries += 1
        return turn if moved and goes_on else None

    def _goes_on(self, agent: Agent, budget: Budget) -> bool:
        return (
            self.serves(agent.queue)
            and budget.allows(agent.timeout_ms)
            and not self.watch.draining()
        )

    def _commit(self, turn: Turn, nxt: Next, budget: Budget) -> Turn | None:
        chain = turn.chain
        if chain.origin_size + chain.offset > self.limits.ctx_bytes:
            chain.edits.clear()
            chain.phase, chain.end = "e", ["CtxLimit", self._ctx_limit_text()]
            nxt = Ended(chain.end)
        match nxt:
            case StepRequest():
                return self._to_step(turn, nxt, budget)
            case Fork():
                return self._fork(turn, nxt)
            case Ended(error=error):
                return self._finish(turn, error)
            case Checkpoint(place=place):
                turn.events.append(["checkpoint", place])
                goes_on = budget.allows(0) and not self.watch.draining()
                pending = engine_pending(turn, place)
                moved = self._write(turn, "c" if goes_on else "p", pending)
                return turn if moved and goes_on else None

    def _ctx_limit_text(self) -> str:
        return (
            f"the Ctx is larger than SWARM_CTX_LIMIT ({self.limits.ctx_bytes} bytes):"
            " keep large bodies in files and their paths in the Ctx"
        )

    def _to_step(self, turn: Turn, nxt: StepRequest, budget: Budget) -> Turn | None:
        turn.request = nxt
        if turn.signal is not None:
            # The outcome was recorded before the chain had a record of its own.
            return turn
        agent = turn.prepared.program.agents[nxt.ref]
        goes_on = self._goes_on(agent, budget)
        turn.events.append(["pending", nxt.place, agent.name])
        if goes_on:
            turn.events.append(["started", nxt.place, 1])
        pending = Pending(turn.chain.pack(), agent.queue, nxt.place, agent.timeout_ms)
        moved = self._write(turn, "c" if goes_on else "p", pending)
        if not moved or not goes_on:
            return None
        turn.tries, turn.timeout_ms = 1, agent.timeout_ms
        return turn

    def _fork(self, turn: Turn, fork: Fork) -> Turn | None:
        try:
            pages = pages_of(fork.items, self.limits.input_bytes)
        except TooLarge:
            return self._finish(
                turn,
                [
                    "InputLimit",
                    "the items of a fanout are larger than SWARM_INPUT_LIMIT"
                    f" ({self.limits.input_bytes} bytes): fan out over ids or paths",
                ],
            )
        self._fold(turn)
        spec = spec_of(turn, fork, self.spawners, self.limits)
        opening = opening_of(turn, fork, spec, self.who)
        if sum(map(len, pages)) > UPLOAD_ABOVE:
            self.store.upload_items(turn.ref.run, opening.chord, pages)
            pages = []
        chain = turn.chain
        if isinstance(
            self.store.open_chord(replace(opening, pages=pages, base=turn.new_base)),
            Moved,
        ):
            size = chain.origin_size + chain.offset
            origin = Origin(
                chain.doc.snapshot(), size, chain.origin_size, dict(chain.known)
            )
            self.loader.keep_lane_origin(turn.ref, opening.chord, origin)
        return None

    def _fold(self, turn: Turn) -> None:
        """Make a new base of the Ctx when its edit log has outgrown the old one."""
        chain = turn.chain
        if chain.offset <= max(FOLD_AT, chain.origin_size // 2) or chain.in_try():
            return
        text = fold(chain.doc.value, 4 * (chain.origin_size + chain.offset) + FOLD_AT)
        if text is None:
            return
        turn.base_id = base_id(turn.ref.addr, text)
        turn.new_base = (turn.base_id, text)
        chain.start, chain.origin_size = 0, len(text)
        chain.edits.clear()
        # Joins are plain in the new base, so they must be plain in memory too.
        chain.doc, chain.known = Document(orjson.loads(text)), {}
        chain.folded = turn.ref.addr != ROOT

    def _write(
        self,
        turn: Turn,
        what: What,
        pending: Pending,
        *,
        keep_tries: bool = False,
        delay_ms: int = 0,
        status: str = "",
    ) -> bool:
        """Commit what the turn found out; False when it is no longer ours or parked."""
        if what in "cp":
            self._fold(turn)
        chain = turn.chain
        move = Move(
            ref=turn.ref,
            seq=turn.seq,
            nonce=turn.nonce,
            what=what,
            offset=chain.start,
            edits=bytes(chain.edits),
            pending=pending,
            entry=pack_entry(turn.ref.addr, turn.seq, self.who, turn.events),
            keep_tries=keep_tries,
            delay_ms=delay_ms,
            status=status,
            base=turn.new_base,
            had_signal=turn.had_signal,
            consumed=chain.consumed,
        )
        answer = self.store.commit(move)
        if isinstance(answer, Refused) or answer.held:
            return False
        chain.committed()
        turn.seq += 1
        turn.events.clear()
        turn.had_signal, turn.new_base = False, None
        if what == "c":
            self.watch.chain(turn.ref, turn.seq, turn.nonce, pending.timeout_ms)
        return True

    def _finish(self, turn: Turn, error: list[str] | None) -> Turn | None:
        """End a chain: the run if it is the root, else its lane."""
        turn.chain.phase, turn.chain.end = "e", error
        pending = engine_pending(turn, "")
        if turn.ref.addr == ROOT:
            turn.events.append(["run_failed", *error] if error else ["run_done"])
            self._write(turn, "d", pending, status="failed" if error else "done")
            return None
        return self._settle(turn, error, pending)

    def _settle(
        self, turn: Turn, error: list[str] | None, pending: Pending
    ) -> Turn | None:
        chain, ref = turn.chain, turn.ref
        chord, _ = split_lane(ref.addr)
        mode = self.loader.spec(ref.run, ref.gen, chord).mode
        if error is not None:
            turn.events.append(["lane_ended", chain.prefix, error[1]])
        offset, edits = chain.start, bytes(chain.edits)
        if chain.folded and error is None:
            # A result is read on top of the chord's base, so a lane that has a base of
            # its own says its whole Ctx as one edit of the root.
            offset, edits = 0, dump_edit(ROOT_PATH, chain.doc.value)
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
            )
        )
        return self.parent(ref, turn.nonce, turn.prepared, answer)

    def parent(
        self,
        ref: Ref,
        nonce: str,
        prepared: Prepared,
        answer: Moved | Joined | Refused,
    ) -> Turn | None:
        """Return the parent's turn when an answer hands us its pending join."""
        if not isinstance(answer, Joined):
            return None
        up = Ref(ref.run, ref.gen, answer.parent)
        record = answer.record
        self.watch.chain(up, record.seq, nonce, record.timeout_ms)
        chain = self.loader.chain(up, prepared, record)
        turn = Turn(up, nonce, prepared, chain, record.seq)
        turn.base_id = record.base_id
        return turn


def lane_decides(mode: str, failed: bool) -> bool:
    """Tell whether a lane that ended this way decides its chord at once."""
    match mode:
        case "race":
            return True
        case "any":
            return not failed
        case "all":
            return failed
        case _:
            return False
