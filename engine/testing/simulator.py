"""A simulator of a fleet, for tests of Blueprints.

It drives real engines over the real store, in one thread and in an order that
its seed determines. It duplicates and loses messages, kills workers and loses replies.
The caller brings the server: `workers/pytest_plugin.py` has fixtures that start one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from engine.blueprint.program import Program
from engine.output_store import OutputStore
from engine.ports import Spawner, StepCall
from engine.run.attempt.emitter import Outlet
from engine.run.attempt.outcomes import Outcome
from engine.run.chain.machine import FUEL_NODES
from engine.run.chain.outputs import Outputs
from engine.run.drive.engine import Engine
from engine.run.drive.lanes import deliver
from engine.run.drive.load import Loader
from engine.run.drive.start import start_of
from engine.run.limits import Limits
from engine.run.states import FINAL_RUN
from engine.store.base import (
    ENGINE_QUEUE,
    ROOT,
    JournalEntry,
    Ref,
    RunHead,
)
from engine.store.port import RunStore
from engine.store.redis import RedisStore
from engine.store.spec import TICKET_MARK

START_MS: Final = 1_790_000_000_000
"""The time at which a stopped clock stands first."""
FAR_BACK_MS: Final = -(1 << 50)
"""An offset that makes any wall clock older than the time a test has set."""
PREFIX: Final = "swarm:q:"
TEMPLATE: Final = PREFIX.encode() + b'\n"swarm-ticket:\0T/\0L/\0R/\0N/\0A"'
"""The queue message of a store under test: only a ticket."""

REPEAT_MS: Final = 5_000
PASSED_MS: Final = (20, 1_000, 6_000, 12_000)
"""The times that pass before the steward acts, chosen at random."""
LONG_MS: Final = 1_800_000
"""Longer than the longest wait before a lost message is dispatched again."""
MAX_BUSY: Final = 3
"""How many workers may be at work at the same time."""
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
        "postpone",
        "break_batch",
    }
)


@dataclass(frozen=True, slots=True)
class Chaos:
    """The probability of each fault, from 0 to 1.

    `double` and `drop` apply to each message. `crash` (of a worker, before or after)
    applies to each write and attempt, `lost_reply` (the call is sent twice) to each
    write. `interleave` is the probability that other workers act between two writes of a
    worker, `steward` that time passes and the steward acts although there are messages.
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
    """The death of a simulated worker; no handler of the engine may catch it."""


_TICKET = re.compile(TICKET_MARK.encode() + rb"(\d+)/\d+/([^/]+)/(\d+)/([^\"]+)")


@dataclass(frozen=True, slots=True)
class Message:
    """A queue message: a hint that a chain or a batch waits for a claim."""

    run: str
    gen: int
    addr: str
    ticket: int

    @classmethod
    def read(cls, text: bytes) -> Message:
        """Parse a message made from any template; raises ValueError without a ticket."""
        found = _TICKET.search(text)
        if found is None:
            raise ValueError(f"The message {text!r} has no ticket.")
        ticket, run, gen, addr = found.groups()
        return cls(run.decode(), int(gen), addr.decode(), int(ticket))


class _Unreliable:
    """A store whose writes a simulator can interrupt, lose or send twice."""

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
    """The clock of a store's scripts, which stands still until a test moves it.

    A test sets it as a steward does: by an offset to the wall clock, and by the time
    written last, before which no script counts. Ids of journal entries, keys that expire
    and `RedisStore.now_ms` still use the wall clock.
    """

    def __init__(self, store: RedisStore) -> None:
        """Stop the clock of a store at START_MS, unless it is stopped already."""
        self._store = store
        clock = store.clock()
        if not clock.beat:
            store.set_clock(clock, FAR_BACK_MS, START_MS, 0)

    @property
    def now(self) -> int:
        """Return the time in milliseconds."""
        return self._store.clock().now

    def pass_time(self, ms: int) -> None:
        """Let time pass."""
        clock = self._store.clock()
        self._store.set_clock(clock, FAR_BACK_MS, clock.now + ms, 0)


class Simulator:
    """A fleet of workers and a steward over one store, driven by one seed."""

    def __init__(
        self,
        store: RedisStore,
        spawners: Mapping[str, Spawner],
        *,
        seed: int = 0,
        chaos: Chaos = CALM,
        limits: Limits | None = None,
        workers: Sequence[Callable[[str], bool]] = (),
        fuel_nodes: int = FUEL_NODES,
        max_lost: int = 90,
        outputs: OutputStore | None = None,
    ) -> None:
        """Bind an empty store made with TEMPLATE, and stop its clock.

        Each of `workers` returns whether that worker serves a queue; every worker serves
        the engine's queue too. The default is two workers that serve all queues.
        `max_lost` is so high that chaos alone ends no step. `outputs` takes the values that
        are too large for the Ctx; without it all stay there.
        """
        self.store = store
        self.clock = Clock(store)
        self.random = random.Random(seed)  # noqa: S311 - a simulation, repeatable by design
        self.chaos = chaos
        self.max_lost = max_lost
        self.actions: list[str] = []
        self.crashes = 0
        self._limits = limits or Limits()
        self._fuel_nodes = fuel_nodes
        self._outputs = outputs
        self._spawners = {k: _Mortal(self, s) for k, s in spawners.items()}
        self._serves = list(workers) or [lambda queue: True] * 2
        self._engines = [self._engine(n) for n in range(len(self._serves))]
        self._busy: set[int] = set()
        self._queues = {ENGINE_QUEUE}
        self._prefetched: list[tuple[str, Message]] = []

    def _engine(self, number: int) -> Engine:
        store = cast(RunStore, _Unreliable(self))
        serves = self._serves[number]
        engine = Engine(
            store,
            self._spawners,
            serves=lambda queue: queue == ENGINE_QUEUE or serves(queue),
            limits=self._limits,
            loader=self._loader(store),
            who=f"worker-{number}",
        )
        # Without a thread of its own, a seed always gives the same run.
        engine.outlet = Outlet(store, engine.limits, engine.who, threaded=False)
        return engine

    def _loader(self, store: RunStore) -> Loader:
        return Loader(store, fuel_nodes=self._fuel_nodes, outputs=self._contents())

    def _contents(self) -> Outputs | None:
        """Return the outputs of one process, with a cache of its own."""
        if self._outputs is None:
            return None
        return Outputs(self._outputs, self._limits.inline_bytes)

    def launch(
        self, program: Program, ctx: Any, run: str = "R-1", *, deadline_ms: int = 0
    ) -> str:
        """Start a run; return `ok` or the status that forbids it."""
        self._queues |= {agent.queue for agent in program.agents.values()}
        loader = self._loader(self.store)
        prepared = loader.prepare(program)
        return self.store.start(
            start_of(run, 1, prepared, ctx, deadline_ms, self._limits, loader.outputs)
        )

    def run(self, run: str = "R-1", *, rounds: int = 20_000) -> RunHead:
        """Run the fleet until a run ends; return its head.

        Raises AssertionError with the last actions if it is still open after `rounds`.
        """
        for _ in range(rounds):
            head = self.store.head(run)
            if head is None:
                raise AssertionError(f"{run} does not exist.")
            if head.status in FINAL_RUN:
                return head
            self.turn()
        last = "\n".join(self.actions[-40:])
        raise AssertionError(f"{run} has not ended after {rounds} rounds:\n{last}")

    def turn(self) -> None:
        """Deliver one message, or let the steward act if there is none."""
        self._prefetch()
        if not self._prefetched or self._happens(self.chaos.steward):
            self.steward(self.random.choice(PASSED_MS))
            return
        self._deliver_one()

    def settle_down(self) -> None:
        """Deliver the messages left after a run, and let the steward clean up."""
        chaos, self.chaos = self.chaos, CALM
        for _ in range(12):
            moved = self.steward(LONG_MS)
            self._prefetch()
            if not moved and not self._prefetched:
                break
            while self._prefetched:
                self._deliver_one()
                self._prefetch()
        self.chaos = chaos

    def steward(self, ms: int) -> int:
        """Let time pass; expire leases, fire timers and dispatch lost messages again.

        Returns how many leases, timers and messages those were.
        """
        self.clock.pass_time(ms)
        moved = [
            self.store.expire(self.max_lost),
            self.store.fire().moved,
            self.store.repeat(REPEAT_MS),
        ]
        self.actions.append(f"steward after {ms} ms: {moved}")
        return sum(moved)

    def interleave(self) -> None:
        """Let another worker or the steward act, with the probability of chaos."""
        if len(self._busy) < MAX_BUSY and self._happens(self.chaos.interleave):
            self._prefetch()
            if self._prefetched and len(self._busy) < len(self._engines):
                self._deliver_one()
            elif self._happens(0.3):
                self.steward(self.random.choice(PASSED_MS))

    def may_crash(self, where: str) -> None:
        """Kill the current worker, with the probability of chaos."""
        if self._happens(self.chaos.crash / 2):
            self.actions.append(f"crash {where}")
            raise Crash

    def write(
        self, name: str, method: Callable[..., Any], args: tuple[Any, ...]
    ) -> Any:
        """Make a worker's call to the store, with the faults of chaos."""
        self.interleave()
        self.may_crash(f"before {name}")
        answer = method(*args)
        if self._happens(self.chaos.lost_reply):
            again = method(*args)
            if again != answer:
                last = f"{name} answered {answer}, then {again}"
                raise AssertionError("\n".join([*self.actions[-20:], last]))
        self.may_crash(f"after {name}")
        return answer

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    def _prefetch(self) -> None:
        """Take all messages off their queues, as workers prefetch them."""
        queues = sorted(self._queues)
        pops = [("RPOP", PREFIX + queue, 1 << 20) for queue in queues]
        for queue, texts in zip(queues, self.store.wire.pipeline(pops), strict=True):
            for message in map(Message.read, texts or ()):
                if self._happens(self.chaos.drop):
                    self.actions.append(f"drop {message.addr}")
                    continue
                self._prefetched.append((queue, message))
                if self._happens(self.chaos.double):
                    self._prefetched.append((queue, message))

    def _deliver_one(self) -> None:
        index = self.random.randrange(len(self._prefetched))
        queue, message = self._prefetched.pop(index)
        free = [
            number
            for number, engine in enumerate(self._engines)
            if number not in self._busy and engine.serves(queue)
        ]
        if not free:
            if not self._busy:
                raise AssertionError(f"No worker serves the queue {queue}.")
            self._prefetched.append((queue, message))
            return
        number = self.random.choice(free)
        self._busy.add(number)
        self.actions.append(f"worker-{number} {queue} {message.addr}")
        try:
            deliver(
                self._engines[number], message.run, message.gen, message.addr, queue
            )
        except Crash:
            self.crashes += 1
            self._engines[number] = self._engine(number)
        finally:
            self._busy.discard(number)

    def final(self, run: str = "R-1") -> Any:
        """Return the Ctx of a run's root chain, read from the store without a cache."""
        head = self.store.head(run)
        ref = Ref(run, head.gen if head else 0, ROOT)
        record = self.store.record(ref.key, ROOT)
        if head is None or record is None:
            raise AssertionError(f"{run} does not exist.")
        loader = self._loader(self.store)
        prepared = loader.prepared(ref.key, head.program_id)
        return loader.chain(ref, prepared, record).doc.value

    def error(self, run: str = "R-1") -> list[str] | None:
        """Return kind and text of a failed run's error from the journal, else None."""
        errors = (event[1:3] for event in self.events(run) if event[0] == "run_failed")
        return next(errors, None)

    def entries(self, run: str = "R-1") -> list[JournalEntry]:
        """Return a run's journal entries, in order."""
        return [e for e in self.store.journal("0", 1_000_000) if e.run == run]

    def events(self, run: str = "R-1") -> Iterator[list[Any]]:
        """Yield a run's events, in order."""
        for entry in self.entries(run):
            yield from orjson.loads(entry.data)["e"]
