"""The RunStore in Redis or Valkey: one Lua script a transition.

Scripts are idempotent, so a call without a reply is simply sent again. All calls use one
raw connection a thread, at half the cost of a redis-py client.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, cast

from engine.flow.json_text import dump_compact
from engine.store.addresses import member_of
from engine.store.base import (
    DISPATCH,
    ENGINE_QUEUE,
    ENGINE_TIMEOUT_MS,
    ITEM_PAGE,
    TIME_LIMIT_NET_S,
    BatchClaimed,
    BatchCommit,
    BatchRef,
    Claimed,
    Fired,
    Joined,
    Lease,
    Move,
    Moved,
    Open,
    Postponed,
    Ref,
    Refusal,
    Refused,
    Renewal,
    Settle,
    Start,
)
from engine.store.dead_letters import MOST_BYTES, MOST_KEPT, DeadLetters
from engine.store.entries import batch_broken_entry, finish_entry
from engine.store.installs import RESUMED, Installs
from engine.store.leading import Leading
from engine.store.reconciling import Reconciling
from engine.store.record import LONGEST_MS, MAX_COUNT, unpack
from engine.store.redis_reads import STATE, RedisReads
from engine.store.script_texts import Scripts
from engine.store.server_url import ServerUrl
from engine.store.spec import pack_chord, pack_result, ticket_of, unpack_chord
from engine.store.wire import RECONCILED, Wire

__all__ = ["STATE", "RedisStore"]

TOMBSTONE_MS: Final = 7 * 24 * 3600 * 1000
PER_CALL: Final = 100
"""Leases, timers, lost messages or parked chains that one call handles."""
GRACE_MS: Final = 5_000
"""How long a worker owns an attempt past its deadline: the keeper reports it meanwhile."""
TOOK_MS: Final = 30_000
"""How long a resent `claim_next` still gets the message that the first call took."""
SCRIPTS: Final = Scripts(
    {
        "STATE": STATE,
        "RECONCILED": RECONCILED,
        "ENGINE_QUEUE": ENGINE_QUEUE,
        "ENGINE_TIMEOUT_MS": ENGINE_TIMEOUT_MS,
        "ITEM_PAGE": ITEM_PAGE,
        # A delivery's budget must end before the time limit of its message.
        "MESSAGE_NET_S": TIME_LIMIT_NET_S + GRACE_MS // 1000,
        "GRACE_MS": GRACE_MS,
        "TOOK_MS": TOOK_MS,
        "MAX_COUNT": MAX_COUNT,
        "DEAD_KEPT": MOST_KEPT,
        "DEAD_BYTES": MOST_BYTES,
    }
)


def _text(reply: list[Any]) -> str:
    return cast(str, reply[0].decode())


def _refused(reply: list[Any]) -> Refused:
    return Refused(cast(Refusal, _text(reply)))


def _moved(reply: list[Any]) -> Moved | Refused:
    if reply[0] != b"ok":
        return _refused(reply)
    return Moved(int(reply[1]), bool(reply[2]))


def _joined(reply: list[Any]) -> Moved | Joined | Refused:
    if reply[0] == b"join":
        return Joined(reply[1].decode(), unpack(reply[2]))
    return _moved(reply)


def _claimed(reply: list[Any]) -> Claimed:
    return Claimed(
        record=unpack(reply[1]),
        log=reply[2],
        signal=reply[3],
        program_id=reply[4].decode(),
        chord=unpack_chord(reply[5]) if reply[5] else None,
        line=int(reply[6]),
    )


def _chain(ref: Ref) -> tuple[str, int, str]:
    return ref.run, ref.gen, ref.addr


def _span(batch: BatchRef) -> tuple[str, int, str, int, int]:
    return batch.run, batch.gen, batch.chord, batch.lo, batch.hi


class RedisStore(RedisReads, Installs, Reconciling, Leading, DeadLetters):
    """The RunStore in Redis or Valkey 7 and newer.

    `template` is the queue message of workers/broker/messages.py: list prefix, newline,
    text with slots. `lease_ms` is how long a lease lasts without a renewal.
    """

    def __init__(
        self,
        url: str | ServerUrl,
        *,
        template: bytes,
        lease_ms: int = 10_000,
        timeout: float = 15.0,
        patience_s: float = 0.0,
        resend_silent: bool = True,
        untimed: bool = False,
        wary: bool = False,
        archive_first: bool = False,
    ) -> None:
        """Prepare the store; the first call connects.

        The attempts of an `untimed` claimer have no deadline while it owns them. Their
        records have the timeouts of the agents all the same, for those who come after it.
        With `archive_first` a message waits until the entry that dispatched it is archived.
        """
        self.wire = Wire(url, SCRIPTS, timeout, patience_s, resend_silent, wary)
        self._template = b"!" * archive_first + template
        self._prefix = template.split(b"\n", 1)[0]
        self._lease = lease_ms
        self._least = LONGEST_MS if untimed else 0

    def start(self, start: Start) -> str:
        """Create a run and dispatch it; return `ok`, or the status that forbids it.

        The answer for a running run is `ok` too. Raises StoreFull if there is no room.
        """
        reply = self.wire.script(
            "start",
            start.run,
            start.gen,
            start.program_id,
            start.program,
            start.base_id,
            start.base,
            start.edits,
            start.pending.frames,
            start.pending.queue,
            start.pending.place,
            start.pending.timeout_ms,
            start.entry,
            start.deadline_ms,
            self._template,
        )
        return _text(reply)

    def claim(self, ref: Ref, nonce: str, queue: str) -> Claimed | Refused:
        """See RunStore.claim."""
        reply = self.wire.script(
            "claim", *_chain(ref), nonce, queue, self._lease, self._least
        )
        return _refused(reply) if reply[0] != b"ok" else _claimed(reply)

    def claim_next(
        self, queues: Sequence[str], nonce: str, most_ms: int
    ) -> tuple[Ref, Claimed] | None:
        """See RunStore.claim_next."""
        most_s = most_ms // 1000
        reply = self.wire.script(
            "claim", "", 0, "", nonce, "", self._lease, self._least,
            most_s, self._prefix, *queues,
        )  # fmt: skip
        if reply[0] != b"ok":
            return None
        ref = Ref(reply[7].decode(), int(reply[8]), reply[9].decode())
        return ref, _claimed(reply)

    def commit(self, move: Move) -> Moved | Refused:
        """See RunStore.commit."""
        pending, base = move.pending, move.base or ("", b"")
        reply = self.wire.script(
            "commit",
            *_chain(move.ref),
            move.seq,
            move.nonce,
            move.kind,
            move.offset,
            move.edits,
            pending.frames,
            pending.queue,
            pending.place,
            pending.timeout_ms,
            2 if move.gives_back else int(move.keep_tries),
            move.delay_ms,
            move.entry,
            self._lease,
            move.status,
            base[0],
            base[1],
            int(move.had_signal),
            "\n".join((move.consumed, *move.unreferenced)),
            self._template if move.kind is DISPATCH else b"",
            move.ending,
            self._least,
        )
        return _moved(reply)

    def open_chord(self, opening: Open) -> Moved | Refused:
        """See RunStore.open_chord."""
        base = opening.base or ("", b"")
        reply = self.wire.script(
            "open",
            *_chain(opening.ref),
            opening.seq,
            opening.nonce,
            opening.offset,
            opening.edits,
            opening.frames,
            opening.place,
            opening.entry,
            opening.chord,
            pack_chord(opening.spec),
            ENGINE_TIMEOUT_MS,
            base[0],
            base[1],
            int(opening.had_signal),
            "\n".join((opening.consumed, *opening.unreferenced)),
            self._template,
            *opening.pages,
        )
        return _moved(reply)

    def upload_items(
        self, key: str, chord: str, nonce: str, pages: Sequence[bytes]
    ) -> None:
        """See RunStore.upload_items."""
        for at in range(0, len(pages), 16):
            part = pages[at : at + 16]
            self.wire.script("upload", key, f"{chord}:{nonce}", at, *part)

    def drop_upload(self, key: str, chord: str, nonce: str) -> None:
        """See RunStore.drop_upload."""
        self.wire.script("drop_upload", key, f"{chord}:{nonce}")

    def settle(self, settling: Settle) -> Moved | Joined | Refused:
        """See RunStore.settle."""
        reply = self.wire.script(
            "settle",
            *_chain(settling.ref),
            settling.seq,
            settling.nonce,
            settling.offset,
            settling.edits,
            settling.failure or b"",
            settling.entry,
            int(settling.decides),
            self._lease,
            int(settling.had_signal),
            settling.frames,
            self._template,
            "\n".join((settling.consumed, *settling.unreferenced)),
        )
        return _joined(reply)

    def claim_batch(
        self, batch: BatchRef, nonce: str, queue: str
    ) -> BatchClaimed | Refused:
        """See RunStore.claim_batch."""
        span = _span(batch)
        reply = self.wire.script("claim_batch", *span, nonce, queue, self._lease)
        if reply[0] != b"ok":
            return _refused(reply)
        return BatchClaimed(
            unpack_chord(reply[1]),
            int(reply[2]),
            reply[3],
            reply[4].decode(),
            int(reply[5]),
        )

    def commit_batch(self, commit: BatchCommit) -> Moved | Joined | Refused:
        """See RunStore.commit_batch."""
        promote = commit.promote
        promoted: tuple[Any, ...] = ("0", "", b"", b"", "", "", 0, 0, 0)
        if promote is not None:
            to = promote.pending
            promoted = ("1", promote.kind, promote.edits, to.frames, to.queue, to.place,
                        to.timeout_ms, promote.tries, promote.delay_ms)  # fmt: skip
        reply = self.wire.script(
            "commit_batch",
            *_span(commit.batch),
            commit.nonce,
            commit.first,
            commit.entry,
            commit.decided_by,
            self._lease,
            self._template,
            *promoted,
            self._least,
            len(commit.results),
            *(pack_result(lane) for lane in commit.results),
        )
        return _joined(reply)

    def release_batch(
        self, batch: BatchRef, nonce: str, cursor: int
    ) -> Moved | Refused:
        """See RunStore.release_batch."""
        args = (*_span(batch), nonce, cursor, self._template)
        return _moved(self.wire.script("release_batch", *args))

    def break_batch(
        self, batch: BatchRef, nonce: str, lane: int, outcome: bytes
    ) -> Moved | Refused:
        """See RunStore.break_batch."""
        entry = batch_broken_entry(batch.chord, batch.lo, batch.hi, lane, outcome)
        args = (*_span(batch), nonce, lane, outcome, entry, self._template)
        return _moved(self.wire.script("break_batch", *args))

    def postpone(self, put: Postponed) -> Moved | Refused:
        """See RunStore.postpone."""
        args = (put.seq, put.nonce, put.delay_ms, put.outcome, put.entry)
        return _moved(self.wire.script("postpone", *_chain(put.ref), *args))

    def signal(
        self, ref: Ref, seq: int, nonce: str, outcome: bytes
    ) -> Literal["ok", "decided", "over", "gone"]:
        """Record an outcome for a waiting chain, or for one that `nonce` owns.

        The first signal of an attempt wins; the answer to a later one is `decided`.
        """
        reply = self.wire.script(
            "signal", *_chain(ref), seq, nonce, outcome, self._template
        )
        return cast(Literal["ok", "decided", "over", "gone"], _text(reply))

    def renew(self, leases: Sequence[Lease]) -> list[Renewal]:
        """See RunStore.renew."""
        if not leases:
            return []
        flat = [
            part for lease in leases for part in (lease.key, lease.member, lease.nonce)
        ]
        reply = self.wire.script("renew", self._lease, *flat)
        return [Renewal(answer.decode()) for answer in reply]

    def died(self, lease: Lease, how: str) -> bool:
        """End the lease of a dead worker; return False if the worker no longer owned it.

        `how` ends the error of a lost step: `the last worker was ...`.
        """
        text = dump_compact(how)
        reply = self.wire.script("died", lease.key, lease.member, lease.nonce, text)
        return bool(reply[0])

    def end_leases(self) -> int:
        """End every lease, since all workers of this Redis are dead; return how many."""
        key = f"{STATE}leases"
        return int(self.wire.call("ZUNIONSTORE", key, 1, key, "WEIGHTS", 0))

    def leased(self, run: str) -> int:
        """Return how many leases a run has."""
        members: Any = self.wire.call("ZRANGE", f"{STATE}leases", 0, -1)
        return sum(one.startswith(f"{run}:".encode()) for one in members)

    def expire(
        self, max_lost: int, before_ms: int = 0, *, only_ended: bool = False
    ) -> int:
        """Expire at most PER_CALL overdue leases; return how many.

        With `only_ended`, those alone that `died` or `end_leases` has ended.

        A chain that was lost more than `max_lost` times ends `lost`. After the script time
        `before_ms` (0: no limit) the call does nothing: while a server hangs, no worker
        can renew its leases.
        """
        reply = self.wire.script(
            "expire", max_lost, PER_CALL, self._template, before_ms, int(only_ended)
        )
        return int(reply[0])

    def fire(self, before_ms: int = 0) -> Fired:
        """Fire at most PER_CALL due deadlines of runs, then as many delays of retries.

        After the script time `before_ms` (0: no limit) the call does nothing.
        """
        moved, most = self.wire.script("fire", PER_CALL, self._template, before_ms, 0)
        return Fired(int(moved), int(most) >= PER_CALL)

    def fire_unled(self) -> bool:
        """Fire due delays of retries if no steward leads; return whether none does."""
        moved, _ = self.wire.script("fire", PER_CALL, self._template, 0, 1)
        return int(moved) >= 0

    def repeat(self, age_ms: int, before_ms: int = 0) -> int:
        """Dispatch chains again whose messages are older than `age_ms` and lost.

        A message is lost if its ticket is below those of the 20 oldest messages in its
        queue. After the script time `before_ms` (0: no limit) the call does nothing.
        Returns how many chains were dispatched.
        """
        moved = 0
        prefix = self._prefix.decode()
        # What was sent once waits for no entry.
        template = self._template.removeprefix(b"!")
        for name in self.wire.call("SMEMBERS", f"{STATE}queues"):
            queue = name.decode()
            if not self.wire.call("ZCARD", f"{STATE}d:{queue}"):
                continue
            # A value of another type under a queue's name must not stop this duty.
            self.displace(prefix + queue, "list", queue)
            oldest = self.wire.call("LRANGE", prefix + queue, -20, -1)
            floor = min(filter(None, map(ticket_of, oldest)), default=1 << 52)
            reply = self.wire.script(
                "repeat", queue, floor, age_ms, PER_CALL, template, before_ms
            )
            moved += int(reply[0])
        return moved

    def emit(
        self, owner: Ref | BatchRef, seq: int, nonce: str, mark: int, entry: bytes
    ) -> Literal["ok"] | Refusal:
        """See RunStore.emit."""
        addr = member_of(owner)
        reply = self.wire.script(
            "emit", owner.run, owner.gen, addr, seq, nonce, mark, entry
        )
        return cast('Literal["ok"] | Refusal', _text(reply))

    def discard(self, ref: Ref, entry: bytes) -> None:
        """See RunStore.discard."""
        self.wire.script("discard", ref.run, ref.gen, entry)

    def pause(self, run: str) -> str:
        """Stop new steps of a running run; return `ok` or the status that forbids it."""
        return _text(self.wire.script("pause", run, b'{"e":[["run_paused"]]}'))

    def resume(self, run: str) -> str:
        """Resume a paused run; return `ok` or the status that forbids it."""
        return self._resume(run, RESUMED)[0]

    def _resume(self, run: str, entry: bytes) -> tuple[str, int]:
        """Dispatch all parked chains; return the status and how many those were."""
        status, left, count = self.wire.script(
            "resume", run, entry, PER_CALL, self._template
        )
        while left:
            _, left, moved = self.wire.script(
                "resume", run, b"", PER_CALL, self._template
            )
            count += moved
        return status.decode(), count

    def finish_resumes(self) -> int:
        """Dispatch the chains that interrupted resumes left parked; return how many."""
        interrupted = self.wire.call("SMEMBERS", f"{STATE}resuming")
        return sum(self.finish_resume(run.decode()) for run in interrupted)

    def finish_resume(self, run: str) -> int:
        """Dispatch the chains that a run which is resumed still holds; return how many."""
        return self._resume(run, b"")[1]

    def finish(self, run: str, gen: int, status: str, why: str) -> str:
        """See RunStore.finish."""
        args = (run, gen, status, finish_entry(status, why), TOMBSTONE_MS)
        return _text(self.wire.script("finish", *args))
