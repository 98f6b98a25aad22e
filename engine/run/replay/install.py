"""Makes the next generation of a snapshot, installs it in a store, and opens it.

A new generation holds what waits to go on; its first resume dispatches it. Chains whose
attempt was under way start that attempt again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final, TypeAlias

import orjson

from engine.blueprint.program import Program
from engine.run.replay.snapshot import ChainSnapshot, ChordSnapshot, Snapshot
from engine.run.states import RunStatus
from engine.store.addresses import lane_at, split_lane
from engine.store.base import ENGINE_QUEUE, ROOT, generation_key
from engine.store.installs import InstallRefused, Part, Target
from engine.store.record import ChainState, pack
from engine.store.redis import RedisStore
from engine.store.spec import pack_chord, pack_result

PART_BYTES: Final = 256 * 1024
PAGES: Final = 16
"""Pages of items in one call."""
NONCE: Final = "0" * 12
"""Who settled the lanes of a snapshot: no claim has this nonce."""
Piece: TypeAlias = tuple[Part, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Opening:
    """How an installed generation begins; times are milliseconds.

    `now_ms` is the wall clock by which chains wait for their retries, `deadline_ms`
    counts from now. `line` is the generation that began its line, 0 for itself.
    """

    now_ms: int
    deadline_ms: int
    is_paused: bool = False
    line: int = 0


def generation_from(
    snapshot: Snapshot, run: str, gen: int, *, charge_lost: bool = False
) -> Snapshot:
    """Return the snapshot with which a generation begins: all that moves is held.

    With `charge_lost` an attempt that was under way counts as lost.
    """
    chains = {a: _at_rest(one, charge_lost) for a, one in snapshot.chains.items()}
    begun = replace(
        snapshot.copy(), run=run, gen=gen, number=0, status=RunStatus.PAUSED.value
    )
    return replace(begun, chains=chains, error=None)


def _at_rest(one: ChainSnapshot, charge_lost: bool) -> ChainSnapshot:
    """Return a chain as it waits for the first resume."""
    match one.state:
        case ChainState.ENDED | ChainState.JOINING | ChainState.WAITING:
            return one
        case _ if one.signal:
            return replace(one, state=ChainState.SIGNALLED, queue=ENGINE_QUEUE)
        case ChainState.RUNNING | ChainState.SIGNALLED if one.frames.startswith(b"s"):
            # The journal does not have the outcome of one with a signal.
            tries, lost = max(0, one.tries - 1), one.lost + charge_lost
            return replace(one, state=ChainState.HELD, tries=tries, lost=lost)
        case ChainState.RUNNING if one.frames.startswith(b"j"):
            return replace(one, state=ChainState.HELD, queue=ENGINE_QUEUE)
    return replace(one, state=ChainState.HELD)


def install(
    store: RedisStore, snapshot: Snapshot, program: Program, opening: Opening
) -> str:
    """Install a generation and open it; return `ok`, or the status that forbids it.

    The snapshot is one that `generation_from` has made. The call may be made again
    after an interruption, with the same snapshot.
    """
    digest = hashlib.sha256(snapshot.to_json()).hexdigest()[:16]
    target = Target(snapshot.run, snapshot.gen, digest)
    status = RunStatus.PAUSED if opening.is_paused else RunStatus.RUNNING
    try:
        for part, args in _bundled(_pieces(snapshot, program, opening)):
            store.install(target, part, args)
    except InstallRefused as refused:
        # It has been opened already.
        why = str(refused)
        return "ok" if why in (RunStatus.RUNNING, RunStatus.PAUSED) else why
    answer = store.open_installed(target, status, opening.deadline_ms)
    if answer == "ok":
        store.finish_resume(snapshot.run)
    elif answer not in ("gone", "taken"):
        # Not one that another installer of it has opened.
        store.remove(generation_key(snapshot.run, snapshot.gen), 0)
    return answer


def _bundled(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Yield pieces; those of one part that take fields are put together."""
    part: Part | None = None
    args: list[Any] = []
    size = 0
    for what, more in pieces:
        joins = what in ("hash", "base", "held")
        if args and part is not None and (what != part or size > PART_BYTES):
            yield part, tuple(args)
            part, args, size = None, [], 0
        if not joins:
            yield what, more
            continue
        part = what
        args += more
        size += sum(len(str(one)) if isinstance(one, int) else len(one) for one in more)
    if args and part is not None:
        yield part, tuple(args)


def _pieces(snapshot: Snapshot, program: Program, opening: Opening) -> Iterator[Piece]:
    """Yield what is written of a snapshot: first the fields that a removal reads."""
    chains, unsent = snapshot.chains.values(), _first_unsent(snapshot)
    head: tuple[Any, ...] = ("prog", snapshot.program_id, "n", 0)
    # Claims tell it to those who make the ids of steps.
    continues = opening.line not in (0, snapshot.gen)
    yield "begin", (*head, "line", opening.line) if continues else head
    fields = (
        *chain.from_iterable(_chain_fields(one, opening) for one in chains),
        *chain.from_iterable(
            _chord_fields(addr, one, unsent[addr])
            for addr, one in snapshot.chords.items()
        ),
        *_opened_lists(snapshot),
    )
    yield from (("hash", one) for one in fields)
    program_text = orjson.dumps(program.to_json())
    for name, text in {snapshot.program_id: program_text, **snapshot.bases}.items():
        yield "base", (name, text)
    for one in chains:
        for at in range(0, len(one.log), PART_BYTES):
            yield "log", (one.addr, at, one.log[at : at + PART_BYTES])
    for addr, chord in snapshot.chords.items():
        yield from _lane_pieces(addr, chord)
    yield from (("held", (member,)) for member in _held(snapshot, unsent))


def _held(snapshot: Snapshot, unsent: Mapping[str, int]) -> Iterator[str]:
    """Yield what the first resume dispatches, each with its queue."""
    for one in snapshot.chains.values():
        if one.state in (ChainState.HELD, ChainState.SIGNALLED) or one.due_ms:
            yield f"{one.addr}|{one.queue}"
    for addr, chord in snapshot.chords.items():
        if not chord.decided:
            waiting = _waiting(snapshot, addr, unsent[addr])
            yield from (f"{one}|{chord.spec.queue}" for one in waiting)


def _chain_fields(one: ChainSnapshot, opening: Opening) -> Iterator[tuple[Any, ...]]:
    # The record of a chain that waits has the rest of its delay as deadline.
    rest = max(1, one.due_ms - opening.now_ms) if one.due_ms else 0
    yield f"c:{one.addr}", pack(replace(one.record(), deadline_ms=rest))
    if one.signal:
        yield f"s:{one.addr}", one.signal


def _chord_fields(
    addr: str, chord: ChordSnapshot, unsent: int
) -> Iterator[tuple[Any, ...]]:
    yield f"k:{addr}", pack_chord(chord.spec)
    if chord.decided and not chord.consumed:
        yield f"x:{addr}", chord.decided
    if not chord.consumed:
        yield f"o:{addr}", chord.spec.size - len(chord.results)
        yield f"n:{addr}", unsent


def _first_unsent(snapshot: Snapshot) -> dict[str, int]:
    """Return the first lane of each chord that waits for others of its window to settle."""
    after = {
        addr: max(len(one.results) + one.spec.window, 1 + max(one.results, default=-1))
        for addr, one in snapshot.chords.items()
    }
    for chord, lane in (split_lane(one) for one in snapshot.chains if one != ROOT):
        after[chord] = max(after[chord], lane + 1)
    # A batch begins at a multiple of its size, so that it stays on one page of items.
    return {
        addr: min(one.spec.size, -(-after[addr] // one.spec.batch) * one.spec.batch)
        for addr, one in snapshot.chords.items()
    }


def _opened_lists(snapshot: Snapshot) -> Iterator[tuple[Any, ...]]:
    """Yield which chords each lane has opened, and which chords have such lanes."""
    opened: dict[str, list[str]] = {}
    for addr in snapshot.chords:
        parent = addr.rpartition(".")[0]
        if parent != ROOT:
            opened.setdefault(parent, []).append(addr)
    for lane, chords in opened.items():
        yield f"q:{lane}", "".join(f"{addr}\n" for addr in chords)
        yield f"q:{split_lane(lane)[0]}", "1"


def _lane_pieces(addr: str, chord: ChordSnapshot) -> Iterator[Piece]:
    """Yield the items and the settled lanes of a chord."""
    for at in range(0, len(chord.pages), PAGES):
        yield "items", (addr, at, *chord.pages[at : at + PAGES])
    fields: list[Any] = []
    size = 0
    for lane, one in chord.results.items():
        kept = pack_result(one)
        fields += [lane, NONCE.encode() + kept]
        size += len(kept)
        if size > PART_BYTES or len(fields) >= 1000:
            yield "results", (addr, *fields)
            fields, size = [], 0
    if fields:
        yield "results", (addr, *fields)


def _waiting(snapshot: Snapshot, addr: str, sent: int) -> Iterator[str]:
    """Yield the batches and lanes of an open chord that are dispatched first."""
    chord = snapshot.chords[addr]
    batch = chord.spec.batch
    waiting = {lane for lane in snapshot.waiting_lanes(addr) if lane < sent}
    for lo in range(0, sent, batch):
        lanes = range(lo, min(lo + batch, chord.spec.size))
        if batch > 1 and waiting.issuperset(lanes):
            yield f"{addr}:{lanes.start}-{lanes.stop}"
            continue
        yield from (lane_at(addr, lane) for lane in lanes if lane in waiting)
