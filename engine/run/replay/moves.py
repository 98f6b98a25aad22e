"""The transitions of one chain during a replay, made by the machine and compared."""

from __future__ import annotations

import contextlib
import math
import sys
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from engine.blueprint.program import Agent, Program
from engine.flow import FlowError
from engine.flow.document import Document
from engine.flow.json_text import JsonValue, text_depth
from engine.flow.nodes import Step, target_path
from engine.flow.path import Path
from engine.run.attempt.attempts import is_poisoned
from engine.run.attempt.outcomes import Outcome
from engine.run.chain.chain import END, ENTER, JOIN, STEP, Chain, place_of
from engine.run.chain.ctx import TooLarge, depth_of, referred
from engine.run.chain.layout import Layout
from engine.run.chain.machine import (
    FUEL_NODES,
    Checkpoint,
    Ended,
    Failed,
    Fork,
    Machine,
    Next,
    Passed,
    Raised,
    Signal,
    StepRequest,
)
from engine.run.chain.outputs import Outputs
from engine.run.drive.chords import FULL_MS, Unstorable, checked_pages, spec_of
from engine.run.drive.folding import fold_outgrown, result_edits
from engine.run.drive.load import Prepared
from engine.run.drive.turn import engine_pending, step_pending
from engine.run.journal.entries import STEP_ENDS
from engine.run.limits import Limits, within_limit
from engine.run.replay.snapshot import Snapshot
from engine.run.replay.state import Live, State
from engine.run.replay.tape import Tape
from engine.run.states import RunStatus
from engine.store.addresses import chord_at
from engine.store.base import ENGINE_QUEUE, ENGINE_TIMEOUT_MS, ROOT, Pending
from engine.store.record import ChainState

ATTEMPTED: Final = frozenset(
    {ChainState.RUNNING, ChainState.SIGNALLED, ChainState.WAITING}
)
"""The states of a chain whose step may end: under way, or with an outcome from outside."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A finished step: what its agent got, and the Ctx before and after the step wrote.

    The Ctx is the same after a step that has failed. The values may contain `Lanes`.
    """

    place: str
    addr: str
    agent: str
    number: int
    """The journal entry with its end."""
    input: Any
    before: Any
    after: Any


class Moves:
    """Makes the transitions of a run's chains; `visit` is the watched step once it ended."""

    def __init__(
        self,
        program: Program,
        limits: Limits,
        kept: Snapshot,
        watch: str,
        outputs: Outputs | None = None,
    ) -> None:
        """Continue from a snapshot, with the limits that the run has."""
        self.program = program
        self.limits = limits
        self.layout = Layout(program.flow)
        self.watch = watch
        self.visit: Visit | None = None
        self._machines: dict[int, Machine] = {}
        prepared = Prepared(program, self.layout, self.machine(FUEL_NODES), 0)
        self.state = State(prepared, kept, outputs)

    def machine(self, nodes: int) -> Machine:
        """Return a machine that stops after as many nodes as a checkpoint has counted."""
        if nodes not in self._machines:
            self._machines[nodes] = Machine(
                self.layout,
                agents=self.program.agents,
                fuel_nodes=nodes,
                fuel_s=math.inf,
                most_bytes=self.limits.ctx_bytes + self.limits.input_bytes,
                clock=float,
            )
        return self._machines[nodes]

    def transition(self, live: Live, tape: Tape) -> None:
        """Make the transition of a chain that an entry has."""
        chain = live.chain
        signal: Signal = None
        if chain.phase is JOIN:
            chain.consumed = chord_at(live.turn.ref.addr, chain.opened)
        if tape.kind == "raised":
            self._raise(live, tape)
        elif chain.phase is END:
            self._finish(live, chain.end, tape, is_journaled=True)
        elif chain.phase is STEP:
            if live.state not in ATTEMPTED:
                raise tape.differs("an attempt that has not started")
            self._step(live, tape)
        else:
            if chain.phase is JOIN:
                signal = self._joined(live, tape)
            self._go_on(live, self.advance(chain, signal, tape), tape)

    def advance(self, chain: Chain, signal: Signal, tape: Tape) -> Next:
        """Move a chain; it stops where the next event is its checkpoint."""
        event, nodes = tape.next, sys.maxsize
        # After lanes without any event the next one may be of a later lane.
        if event and event[0] == "checkpoint" and event[1].startswith(chain.prefix):
            # One of an old journal has no count, and was made after this many.
            nodes = (event[2] or sys.maxsize) if len(event) > 2 else FUEL_NODES
        return self.machine(nodes).advance(chain, signal)

    def edit(self, addr: str, lines: bytes) -> None:
        """Make edits, lines of an edit log, in the Ctx of a chain that waits at a step.

        A lane that has not begun moves to its first step. Raise FlowError where the Ctx
        has no room or the step has no input then, and ValueError for a lane that begins
        with no step.
        """
        live = self.state.find(addr)
        assert live is not None  # noqa: S101 - the caller has cut it off there
        chain = live.chain
        if chain.phase is ENTER:
            self._begin(live)
        for line in lines.splitlines(keepends=True):
            keys, value = orjson.loads(line)
            # The line itself is a container.
            chain.write_as(Path("$", tuple(keys)), value, line, text_depth(line) - 1)
        live.log += chain.edits
        chain.mark_committed()
        # A journal has no event for it: the input was evaluated before the step began.
        if isinstance(request := self.state.prepared.machine.request(chain), FlowError):
            raise request

    def _begin(self, live: Live) -> None:
        """Move a chain to its first step, as its first transition does."""
        nxt = self.machine(sys.maxsize).advance(live.chain)
        if not isinstance(nxt, StepRequest):
            raise ValueError(f"{live.chain.prefix} begins with {named(nxt)}")
        agent = self.program.agents[nxt.ref]
        pending = step_pending(live.chain, agent, nxt.place, self.limits)
        self.state.write(live, pending, ChainState.PENDING)

    def _raise(self, live: Live, tape: Tape) -> None:
        """Raise the failure of a join, or end a chain that has killed its workers."""
        chain, turn = live.chain, live.turn
        poisoned = is_poisoned(live.signal, turn.lost)
        place = live.pending.place if poisoned else place_of(self.layout, chain)
        event = tape.take("raised", place, "Lost")
        if poisoned:
            chain.edits.clear()
            chain.frames, chain.consumed = [], ""
            chain.folded = chain.selected = False
            self._finish(live, ["Lost", event[3]], tape)
            return
        if chain.phase is JOIN:
            turn.unreferenced.append(chain.consumed)
        raised = Raised("Lost", event[3])
        self._go_on(live, self.advance(chain, raised, tape), tape)

    def _joined(self, live: Live, tape: Tape) -> Signal:
        chain = live.chain
        kept = self.state.kept.chords.get(chain.consumed)
        if kept is None or not kept.decided:
            raise tape.differs("a wait for the lanes of its fanout")
        signal, lane = self.state.joins.decided(chain.consumed, kept.spec, chain)
        place = place_of(self.layout, chain)
        tape.place = place
        live.turn.note_join(place, lane, signal)
        tape.take("joined", place, lane)
        return signal

    def agent_at(self, chain: Chain) -> tuple[Step, Agent, str]:
        """Return the step at which a chain waits, its agent and its place."""
        node = self.layout.nodes[chain.cursor]
        assert isinstance(node, Step)  # noqa: S101 - phase STEP always points at a step
        return node, self.program.agents[node.ref], place_of(self.layout, chain)

    def _step(self, live: Live, tape: Tape) -> None:
        """End the attempt of a chain's step, and go on unless it is tried again."""
        chain, turn = live.chain, live.turn
        _, agent, place = self.agent_at(chain)
        tape.place = place
        pending = step_pending(chain, agent, place, self.limits)
        if tape.take_if("pending", place, agent.name):
            # The attempt was interrupted, and nothing is charged for it.
            self._dispatch(live, pending, tries=max(0, turn.tries - 1), lost=turn.lost)
            return
        # A checkpoint before the step of a broken batch's lane has reset the counters.
        attempt = max(1, turn.attempt)
        if tape.kind == "retry":
            self._retry(live, pending, tape, (place, attempt, agent.name))
            return
        signal = self.ended(chain, attempt, turn.ref.addr, tape)
        self._go_on(live, self.advance(chain, signal, tape), tape)

    def ended(self, chain: Chain, attempt: int, addr: str, tape: Tape) -> Signal:
        """Return the signal of a step that has ended, from the next event."""
        node, agent, place = self.agent_at(chain)
        kind = tape.kind
        if kind not in STEP_ENDS:
            raise tape.differs(
                f"the end of attempt {attempt} of the agent {agent.name}"
            )
        event = tape.take(kind, place, attempt - (kind == "step_lost"), agent.name)
        signal: Passed | Failed = Failed(event[4])
        if kind == "passed":
            signal = Passed(self._result(event[4], tape.content.mark))
        elif kind == "blocked":
            signal = Failed(Outcome("blocked", event[4]).flow_text)
        if place == self.watch:
            self._note_visit(chain, node, addr, signal, tape)
        return signal

    def _result(self, value: Any, mark: str) -> JsonValue:
        """Return the value of a `passed` event, whose references have a mark."""
        text = orjson.dumps(value)
        if not mark or mark.encode() not in text:
            # The mark may be of other outputs of the transition.
            return JsonValue(value, text, text_depth(text))
        kept = referred(value, mark, self.state.joins.contents)
        return JsonValue(kept, text, depth_of(kept), mark)

    def _note_visit(
        self,
        chain: Chain,
        node: Step,
        addr: str,
        signal: Passed | Failed,
        tape: Tape,
    ) -> None:
        request = self.state.prepared.machine.request(chain)
        given = request.input if isinstance(request, StepRequest) else None
        before = after = chain.doc.snapshot()
        if isinstance(signal, Passed):
            doc = Document(before)
            # A value that has no room there fails the step.
            with contextlib.suppress(FlowError):
                doc.write(target_path(node.out), signal.result.value)
            after = doc.value
        number = tape.entry.number
        self.visit = Visit(self.watch, addr, node.ref, number, given, before, after)

    def _retry(
        self, live: Live, pending: Pending, tape: Tape, tried: tuple[str, int, str]
    ) -> None:
        turn, (place, attempt, _) = live.turn, tried
        event = tape.take("retry", *tried)
        delay, tries, lost = event[5], turn.tries, turn.lost
        if tape.take_if("started", place, attempt + 1):
            self._dispatch(live, pending, True, tries=tries, lost=lost)
        elif not delay:
            self._dispatch(live, pending, tries=tries, lost=lost)
        else:
            due = tape.entry.at_ms + delay
            self.state.write(
                live, pending, ChainState.WAITING, tries=tries, lost=lost, due_ms=due
            )

    def _dispatch(
        self,
        live: Live,
        pending: Pending,
        continues: bool = False,
        *,
        tries: int = 0,
        lost: int = 0,
    ) -> None:
        """Write a transition to the next step, which a pause parks."""
        fold_outgrown(live.turn)
        # The fold moves the log, and with it the rollback points in the frames.
        pending = replace(pending, frames=live.chain.pack())
        state = ChainState.PENDING
        if self.state.paused:
            state = ChainState.HELD
        elif continues:
            state, tries = ChainState.RUNNING, tries + 1
        self.state.write(live, pending, state, tries=tries, lost=lost)

    def _go_on(self, live: Live, nxt: Next, tape: Tape) -> None:
        """Write the transition to what a chain needs next."""
        chain = live.chain
        match within_limit(chain, nxt, self.limits):
            case StepRequest(place=place, ref=ref):
                tape.place = place
                if tape.kind in STEP_ENDS or tape.kind == "retry":
                    # A lane of a broken batch: it had its outcome before its own record.
                    self._step(live, tape)
                    return
                agent = self.program.agents[ref]
                tape.take("pending", place, agent.name)
                continues = tape.take_if("started", place, 1)
                pending = step_pending(chain, agent, place, self.limits)
                self._dispatch(live, pending, continues)
            case Fork() as fork:
                self._fork(live, fork, tape)
            case Ended(error=error):
                self._finish(live, error, tape)
            case Checkpoint(place=place):
                tape.take("checkpoint", place)
                self._dispatch(live, engine_pending(chain, place))

    def _fork(self, live: Live, fork: Fork, tape: Tape) -> None:
        turn, chain = live.turn, live.chain
        tape.place = fork.place
        try:
            pages = checked_pages(fork.items, self.limits, chain.shelf)
        except Unstorable as fault:
            self._finish(live, fault.error, tape)
            return
        fold_outgrown(turn)
        if not tape.kind:
            # The store was full, and the chain tries its fork again.
            chain.phase = ENTER
            pending, due = engine_pending(chain, fork.place), tape.entry.at_ms + FULL_MS
            self.state.write(live, pending, ChainState.WAITING, due_ms=due)
            return
        spec = spec_of(turn, fork, {}, self.limits)
        event = tape.take("opened", fork.place, spec.mode, spec.size)
        if len(event) > 5:
            spec = replace(spec, batch=event[4], window=event[5])
        chain.opened = turn.seq
        chord = chord_at(turn.ref.addr, turn.seq)
        pending = Pending(chain.pack(), ENGINE_QUEUE, fork.place, ENGINE_TIMEOUT_MS)
        self.state.write(live, pending, ChainState.JOINING)
        self.state.open(live, chord, spec, pages)

    def _finish(
        self,
        live: Live,
        error: list[str] | None,
        tape: Tape,
        *,
        is_journaled: bool = False,
    ) -> None:
        """End a chain: the run if it is the root, else its lane. A pause parks it."""
        chain, state = live.chain, self.state
        chain.phase, chain.end = END, error
        pending = engine_pending(chain, "")
        if live.turn.ref.addr == ROOT:
            if state.paused:
                state.write(live, pending, ChainState.HELD)
                return
            tape.take(*(["run_failed", *error] if error else ["run_done"]))
            state.write(live, pending, ChainState.ENDED)
            state.kept.status = RunStatus.FAILED if error else RunStatus.DONE
            state.kept.error = error
            return
        if error is not None and not is_journaled:
            tape.take("lane_ended", chain.prefix, error[1])
        try:
            offset, edits = result_edits(chain, error is not None, self.limits)
        except TooLarge:
            too_large = self.limits.too_large("the result of a lane is")
            self._finish(live, too_large, tape)
            return
        if state.paused:
            chain.start, chain.edits = offset, bytearray(edits)
            to, turn = live.pending, live.turn
            pending = Pending(chain.pack(), ENGINE_QUEUE, to.place, to.timeout_ms)
            held = ChainState.HELD
            state.write(live, pending, held, tries=turn.tries, lost=turn.lost)
            return
        failure = None if error is None else orjson.dumps(error)
        state.settle_chain(live, offset, edits, failure)


def named(nxt: Next) -> str:
    """Return what a chain needs next in words, for an error."""
    match nxt:
        case StepRequest(ref=ref, place=place):
            return f"the step of {ref} at {place}"
        case Fork(place=place):
            return f"the fanout at {place}"
        case Checkpoint(place=place):
            return f"a checkpoint at {place}"
        case Ended(error=error):
            return f"the error {error[1]!r}" if error else "the end of the chain"
