"""Shipped doubles: a spawner that follows a script, and a simulator of a whole fleet.

The simulator drives real engines over a real store, in one thread and in an order that
its seed decides; it doubles and loses messages, kills workers and loses replies.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import orjson

from engine.blueprint.program import Program
from engine.ports import Spawner, StepCall
from engine.run.emitter import Outlet
from engine.run.engine import Engine
from engine.run.lanes import deliver_batch
from engine.run.load import Loader
from engine.run.machine import FUEL_NODES
from engine.run.outcomes import Outcome
from engine.run.start import start_of
from engine.run.turn import Limits
from engine.store.base import (
    ENGINE_QUEUE,
    ROOT,
    BatchRef,
    JournalEntry,
    Ref,
    RunHead,
    RunStore,
)
from engine.store.memory import MemoryStore

FINAL: Final = frozenset({"done", "failed", "cancelled"})
REPEAT_MS: Final = 5_000
STEPS_MS: Final = (20, 1_000, 6_000, 12_000)
DEEPEST: Final = 3
WRITES: Final = frozenset(
    {
        "claim",
        "claim_next",
        "commit",
        "open_chord",
        "upload_items",
        "settle",
        "claim_batch",
        "commit_batch",
        "release_batch",
        "emit",
    }
)


class ScriptedSpawner:
    """A Spawner that answers from a function of the call, or from a list in order.

    An answer is an Outcome, an exception (the attempt fails with its text) or a value
    (the attempt passes). `calls` holds every call made so far.
    """

    def __init__(
        self,
        script: Callable[[StepCall], Any] | Sequence[Any],
        *,
        in_process: bool = True,
    ) -> None:
        """Follow `script`; a list that is used up fails every further attempt."""
        self.in_process = in_process
        self.calls: list[StepCall] = []
        self._ask = script if callable(script) else _one_by_one(script)

    def run(self, call: StepCall) -> Outcome:
        """Make one attempt."""
        self.calls.append(call)
        try:
            answer = self._ask(call)
        except Exception as error:
            answer = error
        if isinstance(answer, Outcome):
            return answer
        if isinstance(answer, Exception):
            kind = type(answer).__name__
            return Outcome("failed", text=str(answer), error_type=kind)
        return Outcome("passed", answer)


def _one_by_one(answers: Sequence[Any]) -> Callable[[StepCall], Any]:
    left = iter(answers)

    def ask(call: StepCall) -> Any:
        for answer in left:
            return answer
        return Outcome("failed", text="the script has no more answers", permanent=True)

    return ask


@dataclass(frozen=True, slots=True)
class Chaos:
    """What goes wrong, each as a chance from 0 to 1.

    `double` and `drop` are of messages; `crash` (of a worker, before or after what it
    did) and `lost_reply` (the call is sent twice) of every write and attempt;
    `interleave` is the chance that others move on between two writes of a worker,
    `steward` that time passes and the steward looks though there is other work.
    """

    double: float = 0.0
    drop: float = 0.0
    crash: float = 0.0
    lost_reply: float = 0.0
    interleave: float = 0.0
    steward: float = 0.0


CALM: Final = Chaos()
STORM: Final = Chaos(0.1, 0.1, 0.04, 0.1, 0.15, 0.05)


class Crash(BaseException):
    """A simulated worker dies here; no handler of the engine may catch this."""


class Popped(Protocol):
    """A queue message, as a store's broker hands it out."""

    @property
    def run(self) -> str:
        """The run."""

    @property
    def gen(self) -> int:
        """Its generation."""

    @property
    def addr(self) -> str:
        """A chain's address, or `chord:lo-hi`."""


class _Unreliable:
    """A store whose writes can be interrupted, lost or sent twice by a simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._simulator.store, name)
        if name not in WRITES:
            return method
        return lambda *args: self._simulator.write(name, method, args)


class _Mortal:
    """A spawner whose worker can die before or after an attempt."""

    def __init__(self, simulator: Simulator, spawner: Spawner) -> None:
        self._simulator = simulator
        self._spawner = spawner
        self.in_process = spawner.in_process

    def run(self, call: StepCall) -> Outcome:
        self._simulator.may_crash(f"before attempt {call.place}")
        self._simulator.interleave()
        outcome = self._spawner.run(call)
        self._simulator.may_crash(f"after attempt {call.place}")
        return outcome


class Clock:
    """A clock in milliseconds that stands still until it is told to go on."""

    def __init__(self, now: int = 1_790_000_000_000) -> None:
        """Start at a time of day."""
        self.now = now

    def __call__(self) -> int:
        """Return the time."""
        return self.now

    def pass_time(self, ms: int) -> None:
        """Let time pass."""
        self.now += ms


class Simulator:
    """A fleet of workers and a steward over one store, driven by one seed."""

    def __init__(
        self,
        store: RunStore,
        pop: Callable[[str], Popped | None],
        pass_time: Callable[[int], None],
        spawners: Mapping[str, Spawner],
        *,
        seed: int = 0,
        chaos: Chaos = CALM,
        limits: Limits | None = None,
        workers: Sequence[Callable[[str], bool]] = (),
        fuel_nodes: int = FUEL_NODES,
        max_lost: int = 90,
    ) -> None:
        """Bind a store, its broker's `pop` and its clock.

        `workers` tells for each worker which queues it serves besides the engine's; the
        default is two that serve all. `max_lost` is so high that chaos alone ends no step.
        """
        self.store = store
        self.dice = random.Random(seed)  # noqa: S311 - a simulation, repeatable by design
        self.chaos = chaos
        self.max_lost = max_lost
        self.trail: list[str] = []
        self.crashes = 0
        self._pop = pop
        self._pass_time = pass_time
        self._limits = limits or Limits()
        self._fuel_nodes = fuel_nodes
        self._spawners = {k: _Mortal(self, s) for k, s in spawners.items()}
        self._serves = list(workers) or [lambda queue: True] * 2
        self._engines = [self._engine(n) for n in range(len(self._serves))]
        self._busy: set[int] = set()
        self._queues = {ENGINE_QUEUE}
        self._bag: list[tuple[str, Popped]] = []

    @staticmethod
    def over_memory(spawners: Mapping[str, Spawner], **options: Any) -> Simulator:
        """Return a simulator over a new MemoryStore with a clock of its own."""
        clock = Clock()
        store = MemoryStore(clock=clock)
        return Simulator(store, store.pop, clock.pass_time, spawners, **options)

    def _engine(self, number: int) -> Engine:
        store = cast(RunStore, _Unreliable(self))
        serves = self._serves[number]
        engine = Engine(
            store,
            self._spawners,
            serves=lambda queue: queue == ENGINE_QUEUE or serves(queue),
            limits=self._limits,
            loader=Loader(store, fuel_nodes=self._fuel_nodes),
            who=f"worker-{number}",
        )
        # No thread of its own: what a seed does is the same every time.
        engine.outlet = Outlet(store, engine.limits, engine.who, threaded=False)
        return engine

    def launch(
        self, program: Program, ctx: Any, run: str = "R-1", *, deadline_ms: int = 0
    ) -> str:
        """Start a run; `ok`, or the status that forbids it."""
        self._queues |= {agent.queue for agent in program.agents.values()}
        prepared = Loader(self.store, fuel_nodes=self._fuel_nodes).prepare(program)
        return self.store.start(
            start_of(run, 1, prepared, ctx, deadline_ms, self._limits)
        )

    def run(self, run: str = "R-1", *, rounds: int = 20_000) -> RunHead:
        """Work until a run is over and return how it ended.

        Raises AssertionError with the last actions when it is not over after `rounds`.
        """
        for _ in range(rounds):
            head = self.store.head(run)
            if head is None or head.status in FINAL:
                break
            self.turn()
        else:
            raise AssertionError("not over:\n" + "\n".join(self.trail[-40:]))
        if head is None:
            raise AssertionError(f"{run} does not exist")
        return head

    def turn(self) -> None:
        """Deliver one message; when there is none, let the steward look."""
        self._collect()
        if not self._bag or self._chance(self.chaos.steward):
            self.steward(self.dice.choice(STEPS_MS))
            return
        self._deliver_one()

    def settle_down(self) -> None:
        """Deliver what is left after a run and let the steward clear up."""
        calm, self.chaos = self.chaos, CALM
        for _ in range(12):
            self.steward(4 * max(STEPS_MS))
            self._collect()
            while self._bag:
                self._deliver_one()
                self._collect()
        self.chaos = calm

    def steward(self, ms: int) -> None:
        """Let time pass; expire leases, fire timers and repeat lost messages."""
        self._pass_time(ms)
        moved = [
            self.store.expire(self.max_lost),
            self.store.fire().moved,
            self.store.repeat(REPEAT_MS),
        ]
        self.trail.append(f"steward after {ms} ms: {moved}")

    def interleave(self) -> None:
        """Let other workers move on for a moment, perhaps."""
        if len(self._busy) < DEEPEST and self._chance(self.chaos.interleave):
            self._collect()
            if self._bag and len(self._busy) < len(self._engines):
                self._deliver_one()
            elif self._chance(0.3):
                self.steward(self.dice.choice(STEPS_MS))

    def may_crash(self, where: str) -> None:
        """Kill the worker that is at work, perhaps."""
        if self._chance(self.chaos.crash / 2):
            self.trail.append(f"crash {where}")
            raise Crash

    def write(
        self, name: str, method: Callable[..., Any], args: tuple[Any, ...]
    ) -> Any:
        """Make a worker's call to the store, with what can happen to it on the way."""
        self.interleave()
        self.may_crash(f"before {name}")
        answer = method(*args)
        if self._chance(self.chaos.lost_reply):
            again = method(*args)
            if again != answer:
                told = f"{name} answered {answer}, then {again}"
                raise AssertionError("\n".join([*self.trail[-20:], told]))
        self.may_crash(f"after {name}")
        return answer

    def _chance(self, of: float) -> bool:
        return of > 0 and self.dice.random() < of

    def _collect(self) -> None:
        for queue in sorted(self._queues):
            while (message := self._pop(queue)) is not None:
                if self._chance(self.chaos.drop):
                    self.trail.append(f"drop {message.addr}")
                    continue
                self._bag.append((queue, message))
                if self._chance(self.chaos.double):
                    self._bag.append((queue, message))

    def _deliver_one(self) -> None:
        queue, message = self._bag.pop(self.dice.randrange(len(self._bag)))
        able = [
            n
            for n, engine in enumerate(self._engines)
            if n not in self._busy and engine.serves(queue)
        ]
        if not able:
            if not self._busy:
                raise AssertionError(f"no worker serves {queue}")
            self._bag.append((queue, message))
            return
        number = self.dice.choice(able)
        self._busy.add(number)
        self.trail.append(f"worker-{number} {queue} {message.addr}")
        try:
            self._deliver(self._engines[number], queue, message)
        except Crash:
            self.crashes += 1
            self._engines[number] = self._engine(number)
        finally:
            self._busy.discard(number)

    def _deliver(self, engine: Engine, queue: str, message: Popped) -> None:
        chord, mark, span = message.addr.partition(":")
        if mark:
            lo, _, hi = span.partition("-")
            batch = BatchRef(message.run, message.gen, chord, int(lo), int(hi))
            deliver_batch(engine, batch, queue)
        else:
            engine.deliver(Ref(message.run, message.gen, message.addr), queue)

    def final(self, run: str = "R-1") -> Any:
        """Return the Ctx of a run's root chain, read from the store with no cache."""
        head, record = self.store.head(run), self.store.record(run, ROOT)
        if head is None or record is None:
            raise AssertionError(f"{run} has no Ctx")
        loader = Loader(self.store, fuel_nodes=self._fuel_nodes)
        prepared = loader.prepared(run, head.program_id)
        return loader.chain(Ref(run, head.gen, ROOT), prepared, record).doc.value

    def error(self, run: str = "R-1") -> list[str] | None:
        """Return kind and text with which a run failed, as the journal has it."""
        for event in self.events(run):
            if event[0] == "run_failed":
                return list(event[1:])
        return None

    def entries(self, run: str = "R-1") -> list[JournalEntry]:
        """Return a run's journal entries, in order."""
        return [e for e in self.store.journal("0", 1_000_000) if e.run == run]

    def events(self, run: str = "R-1") -> Iterator[list[Any]]:
        """Yield a run's events, in order."""
        for entry in self.entries(run):
            yield from orjson.loads(entry.data)["e"]
