"""The replay of a run: its program moves again, with the signals that the journal has.

Each journal entry is one transition. The replay makes it with the machine and compares
what the program does with what the entry says; the first difference is a ReplayError.
It asks no agent, reads no clock and needs neither Redis nor a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from engine.blueprint.program import Program
from engine.output_store import OutputStore
from engine.run.chain.chain import END, ENTER, STEP
from engine.run.chain.ctx import base_id
from engine.run.chain.machine import StepRequest
from engine.run.chain.outputs import NEVER, Outputs
from engine.run.drive.start import first_chain
from engine.run.drive.turn import engine_pending, step_pending
from engine.run.journal.entries import (
    ENDS,
    MOVES,
    BadEntry,
    Content,
    Event,
    archived_entry,
    gaps_in,
    read_entry,
)
from engine.run.limits import Limits
from engine.run.replay.batches import replay_batch
from engine.run.replay.moves import Moves, Visit, named
from engine.run.replay.recorded import RecordedOutputs
from engine.run.replay.snapshot import Snapshot
from engine.run.replay.state import Live, State
from engine.run.replay.tape import ReplayError, Tape
from engine.run.states import FINAL_RUN, RunStatus
from engine.store.addresses import lane_at
from engine.store.base import ROOT, JournalEntry, generation_key
from engine.store.record import MAX_COUNT, ChainState

FROM_OUTSIDE: Final = (MOVES | ENDS).keys() - {"run_started", "run_done"}
"""The events that move a run from outside its flow."""


class Replay:
    """Replays the entries of one generation of a run, one after the other.

    With `in_parts` the entries are a selection (engine/run/replay/selection.py), so that
    numbers may be missing.
    """

    def __init__(
        self,
        program: Program,
        ctx: Any = None,
        *,
        limits: Limits | None = None,
        snapshot: Snapshot | None = None,
        watch: str = "",
        in_parts: bool = False,
        outputs: OutputStore | None = None,
    ) -> None:
        """Start with the merged initial Ctx, or after the last entry of a snapshot.

        The limits that the journal has win over `limits`. `visit` is the step at the place
        `watch`, once it has ended. Large values are read from `outputs` where an expression
        or the caller looks into them; nothing is put there but by RemadeOutputs.
        """
        if not isinstance(outputs, RecordedOutputs):
            outputs = RecordedOutputs(outputs)
        self._recorded = outputs
        self._program = program
        self._ctx = ctx
        self._limits = limits or Limits()
        self._watch = watch
        self._in_parts = in_parts
        self._moves: Moves | None = None
        if snapshot is not None:
            self._limits = replace(
                self._limits,
                ctx_bytes=snapshot.ctx_bytes,
                input_bytes=snapshot.input_bytes,
                inline_bytes=snapshot.inline_bytes,
            )
            self._moves = self._moves_of(snapshot.copy())

    def _moves_of(self, kept: Snapshot) -> Moves:
        outputs = Outputs(self._recorded, self._limits.inline_bytes)
        return Moves(self._program, self._limits, kept, self._watch, outputs)

    @property
    def moves(self) -> Moves:
        """The chains as they move; ValueError before the first entry."""
        if self._moves is None:
            raise ValueError("no entry has been replayed yet")
        return self._moves

    @property
    def has_begun(self) -> bool:
        """Whether there is a state: after the first entry, or from a snapshot."""
        return self._moves is not None

    @property
    def state(self) -> State:
        """The state after the last entry."""
        return self.moves.state

    @property
    def visit(self) -> Visit | None:
        """The watched step, once it has ended."""
        return None if self._moves is None else self._moves.visit

    def snapshot(self) -> Snapshot:
        """Return a snapshot of the run after the last entry."""
        return self.state.snapshot()

    def ctx(self, addr: str = ROOT) -> Any:
        """Return the Ctx of a chain after the last entry; KeyError for an unknown chain."""
        live = self.state.chains[addr]
        if live.chain.phase is not END:
            return live.chain.doc.snapshot()
        # The edits that exceeded a limit are not kept.
        made = State(self.state.prepared, self.snapshot(), self.state.outputs)
        return made.chains[addr].chain.doc.value

    def request(self, place: str) -> tuple[str, StepRequest] | None:
        """Return the address of the chain that waits at a step, and the step's request."""
        for addr, live in self.state.chains.items():
            if live.chain.phase is STEP and live.pending.place == place:
                found = self.state.prepared.machine.request(live.chain)
                return (addr, found) if isinstance(found, StepRequest) else None
        return None

    def apply(self, entry: JournalEntry) -> None:
        """Replay the next entry; raise ReplayError at a difference."""
        try:
            content = read_entry(entry)
        except BadEntry as error:
            lacks = f"an invalid entry ({error})"
            for upto, why in gaps_in(archived_entry(entry.data)):
                lacks = f"a gap up to entry {upto} ({why})"
            raise ReplayError(entry, "", lacks, "a transition") from None
        tape = Tape(entry, content)
        if self._moves is None:
            self._start(tape)
        else:
            self._follow(tape, entry)
            self._apply(tape, content)
        tape.end()
        kept = self.state.kept
        kept.number, kept.at_ms = entry.number, entry.at_ms
        _count_usage(kept.usage, content.events)

    def _follow(self, tape: Tape, entry: JournalEntry) -> None:
        """Check that an entry follows the last one."""
        kept = self.state.kept
        if (kept.run, kept.gen) != (entry.run, entry.gen):
            found = f"run {entry.run}, generation {entry.gen}"
            raise tape.wrong(found, f"run {kept.run}, generation {kept.gen}")
        expected = kept.number + 1
        if entry.number != expected and not (
            self._in_parts and entry.number > expected
        ):
            raise tape.wrong(f"number {entry.number}", f"number {expected}")

    def _apply(self, tape: Tape, content: Content) -> None:
        status, kind = self.state.kept.status, tape.kind
        if content.settled < 0 and content.events and not kind:
            # Output of agents, and late results.
            return
        if status in FINAL_RUN:
            raise tape.differs(f"nothing, since the run is {status}")
        if content.settled >= 0:
            replay_batch(self.moves, tape, content)
        elif not content.addr:
            self._move_run(tape)
        elif kind == "started":
            self._claim(tape, content)
        elif kind == "postponed":
            self._postpone(tape, content)
        elif kind == "lost":
            self._lose(tape, content)
        elif kind == "batch_broken":
            self._break_batch(tape, content)
        else:
            self.moves.transition(self._found(tape, content), tape)

    def _start(self, tape: Tape) -> None:
        entry, program = tape.entry, self._program
        if entry.number != 1:
            raise tape.wrong(f"number {entry.number}", "number 1")
        event = tape.take("run_started", program.program_id)
        # Runs that knew no such limit kept everything in the Ctx.
        limits: dict[str, Any] = {"inline_bytes": NEVER}
        limits |= event[3] if len(event) > 3 else self._limits.deciding()
        self._limits = replace(self._limits, **limits)
        kept = Snapshot(
            entry.run,
            entry.gen,
            program.program_id,
            deadline_ms=event[2],
            status=RunStatus.RUNNING.value,
            ctx_bytes=self._limits.ctx_bytes,
            input_bytes=self._limits.input_bytes,
            inline_bytes=self._limits.inline_bytes,
        )
        self._moves = self._moves_of(kept)
        key = generation_key(entry.run, entry.gen)
        base, chain = first_chain(key, self._ctx, self.state.outputs)
        pending = engine_pending(chain, "")
        if tape.kind == "pending":
            first = self._moves.advance(chain, None, tape)
            if not isinstance(first, StepRequest):
                raise tape.differs(named(first))
            agent = program.agents[first.ref]
            tape.take("pending", first.place, agent.name)
            pending = step_pending(chain, agent, first.place, self._limits)
        live = self.state.add(ROOT, chain, pending)
        live.log += chain.edits
        chain.mark_committed()
        chain.origin_size = len(base)
        self.state.set_base(live, base_id(ROOT, base), base)

    def _move_run(self, tape: Tape) -> None:
        kept = self.state.kept
        if tape.kind not in FROM_OUTSIDE:
            raise tape.differs("no such event outside the flow")
        status = (MOVES | ENDS)[tape.kind]
        if kept.status == status:
            raise tape.differs(f"nothing, since the run is {kept.status}")
        event = tape.take(tape.kind)
        if event[0] == "run_failed":
            # Ended from outside, it has only a text.
            kept.error = event[1:] if len(event) > 2 else ["Failed", event[1]]
        elif event[0] == "run_cancelled":
            kept.error = ["Cancelled", event[1]]
        kept.status = status

    def _found(self, tape: Tape, content: Content) -> Live:
        """Return the chain of an entry, with the sequence number of the entry.

        A wait for room in a full store is a transition without an entry: the chain stands
        before a fork and enters it again.
        """
        live = self.state.find(content.addr)
        if live is None:
            raise tape.differs(f"no chain {content.addr} that could move")
        tape.place, turn = live.pending.place, live.turn
        if (
            content.seq > turn.seq
            and live.chain.phase is ENTER
            and tape.kind in ("opened", "lost", "raised")
        ):
            turn.seq = content.seq
        if content.seq != turn.seq:
            raise tape.wrong(
                f"transition {content.seq} of chain {content.addr}",
                f"transition {turn.seq}",
            )
        return live

    def _claim(self, tape: Tape, content: Content) -> None:
        live = self._found(tape, content)
        if live.chain.phase is not STEP or live.state is ChainState.RUNNING:
            raise tape.differs("no attempt")
        live.turn.tries += 1
        tape.take("started", live.pending.place, live.turn.attempt)
        live.state = ChainState.RUNNING

    def _postpone(self, tape: Tape, content: Content) -> None:
        """Take back an attempt that could not start, as it waits for outputs."""
        live = self._found(tape, content)
        if live.chain.phase is not STEP or live.state is not ChainState.RUNNING:
            raise tape.differs("no attempt that could wait")
        tape.take("postponed", live.pending.place, live.turn.attempt)
        live.turn.tries = max(0, live.turn.tries - 1)
        live.state = ChainState.PENDING

    def _lose(self, tape: Tape, content: Content) -> None:
        live = self._found(tape, content)
        turn = live.turn
        turn.lost = min(turn.lost + 1, MAX_COUNT)
        event = tape.take("lost")
        expected = ["lost", event[1], turn.attempt - 1, turn.lost]
        if event[:4] != expected:
            raise tape.wrong(f"lost {event[2:4]}", f"lost {expected[2:]}")
        if len(event) > 4:
            live.take_signal(event[4])
            return
        live.state = ChainState.HELD if self.state.paused else ChainState.PENDING
        if live.chain.phase is STEP and turn.tries > 0:
            turn.tries -= 1

    def _break_batch(self, tape: Tape, content: Content) -> None:
        event = tape.take("batch_broken")
        lane = event[3]
        if self.state.may_run(content.addr, lane):
            live = self.state.find(lane_at(content.addr, lane))
            assert live is not None  # noqa: S101 - it may run
            live.turn.tries = 1
            live.take_signal(event[4] if len(event) > 4 else {})


def _count_usage(total: dict[str, int], events: Iterable[Event]) -> None:
    for event in events:
        usage = event[3].get("usage") if event[0] == "stats" else None
        if isinstance(usage, Mapping):
            for name, count in usage.items():
                if isinstance(count, int):
                    total[name] = total.get(name, 0) + count
