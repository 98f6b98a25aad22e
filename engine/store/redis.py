"""The RunStore in Redis or Valkey: one Lua script a transition.

Scripts are idempotent, so a call whose reply was lost is simply sent again. The step
path talks over one raw connection (store-notes §6.9); reads use the same connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, cast

from engine.flow.json_text import dump_compact
from engine.store.address import Address
from engine.store.base import (
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
    Ref,
    Refusal,
    Refused,
    Settle,
    Start,
)
from engine.store.dead_letters import DeadLetters
from engine.store.entries import batch_broken_entry, finish_entry
from engine.store.record import unpack
from engine.store.redis_reads import STATE, Clock, RedisReads
from engine.store.spec import member_of, pack_chord, unpack_chord
from engine.store.wire import Scripts, Wire

TOMBSTONE_MS: Final = 7 * 24 * 3600 * 1000
EVENT_PAGE: Final = 100


def _refused(reply: list[Any]) -> Refused:
    return Refused(cast(Refusal, reply[0].decode()))


def _claimed(reply: list[Any]) -> Claimed:
    return Claimed(
        record=unpack(reply[1]),
        log=reply[2],
        signal=reply[3],
        program_id=reply[4].decode(),
        chord=unpack_chord(reply[5]) if reply[5] else None,
    )


def _chain(ref: Ref) -> tuple[str, int, str]:
    return ref.run, ref.gen, ref.addr


def _span(batch: BatchRef) -> tuple[str, int, str, int, int]:
    return batch.run, batch.gen, batch.chord, batch.lo, batch.hi


def _flag(value: bool) -> str:
    return "1" if value else "0"


class RedisStore(RedisReads, DeadLetters):
    """RunStore over Redis or Valkey 7 and newer.

    `template` is the queue message of workers/queue.py: list prefix, a newline, text
    with slots. `lease_ms` is how long a claim holds without being renewed.
    """

    def __init__(
        self,
        url: str | Address,
        *,
        template: bytes,
        lease_ms: int = 10_000,
        timeout: float = 15.0,
        patience_s: float = 0.0,
        resend_silent: bool = True,
    ) -> None:
        """Prepare the store; nothing is connected before the first call."""
        self.wire = Wire(url, Scripts(), timeout, patience_s, resend_silent)
        self._template = template
        self._lease = lease_ms

    def start(self, start: Start) -> str:
        """See RunStore.start."""
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
        return cast(str, reply[0].decode())

    def claim(self, ref: Ref, nonce: str, queue: str) -> Claimed | Refused:
        """See RunStore.claim."""
        reply = self.wire.script(
            "claim", ref.run, ref.gen, ref.addr, nonce, queue, self._lease
        )
        return _refused(reply) if reply[0] != b"ok" else _claimed(reply)

    def claim_next(
        self, queues: Sequence[str], nonce: str, most_ms: int
    ) -> tuple[Ref, Claimed] | None:
        """See RunStore.claim_next."""
        prefix, most_s = self._template.split(b"\n", 1)[0], most_ms // 1000
        reply = self.wire.script(
            "claim", "", 0, "", nonce, "", self._lease, most_s, prefix, *queues
        )
        if reply[0] != b"ok":
            return None
        ref = Ref(reply[6].decode(), int(reply[7]), reply[8].decode())
        return ref, _claimed(reply)

    def commit(self, move: Move) -> Moved | Refused:
        """See RunStore.commit."""
        pending, base = move.pending, move.base or ("", b"")
        reply = self.wire.script(
            "commit",
            *_chain(move.ref),
            move.seq,
            move.nonce,
            move.what,
            move.offset,
            move.edits,
            pending.frames,
            pending.queue,
            pending.place,
            pending.timeout_ms,
            _flag(move.keep_tries),
            move.delay_ms,
            move.entry,
            self._lease,
            move.status,
            base[0],
            base[1],
            _flag(move.had_signal),
            "\n".join((move.consumed, *move.needless)),
            self._template if move.what == "p" else b"",
            move.ending,
        )
        return self._moved(reply)

    @staticmethod
    def _moved(reply: list[Any]) -> Moved | Refused:
        if reply[0] != b"ok":
            return _refused(reply)
        return Moved(int(reply[1]), len(reply) > 2 and bool(int(reply[2])))

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
            opening.timeout_ms,
            base[0],
            base[1],
            _flag(opening.had_signal),
            "\n".join((opening.consumed, *opening.needless)),
            self._template,
            *opening.pages,
        )
        return self._moved(reply)

    def upload_items(
        self, run: str, chord: str, nonce: str, pages: Sequence[bytes]
    ) -> None:
        """See RunStore.upload_items."""
        for at in range(0, len(pages), 16):
            part = pages[at : at + 16]
            self.wire.script("upload", run, f"{chord}:{nonce}", at, *part)

    def drop_upload(self, run: str, chord: str, nonce: str) -> None:
        """See RunStore.drop_upload."""
        self.wire.script("drop_upload", run, f"{chord}:{nonce}")

    def settle(self, settling: Settle) -> Moved | Joined | Refused:
        """See RunStore.settle."""
        ref = settling.ref
        reply = self.wire.script(
            "settle",
            *_chain(ref),
            settling.seq,
            settling.nonce,
            settling.offset,
            settling.edits,
            settling.failure or b"",
            settling.entry,
            _flag(settling.decides),
            self._lease,
            _flag(settling.had_signal),
            settling.pending.frames if settling.pending else b"",
            self._template,
            "\n".join((settling.consumed, *settling.needless)),
        )
        return self._joined(reply)

    def _joined(self, reply: list[Any]) -> Moved | Joined | Refused:
        if reply[0] == b"join":
            return Joined(reply[1].decode(), unpack(reply[2]))
        return self._moved(reply)

    def claim_batch(
        self, batch: BatchRef, nonce: str, queue: str
    ) -> BatchClaimed | Refused:
        """See RunStore.claim_batch."""
        reply = self.wire.script(
            "claim_batch",
            *_span(batch),
            nonce,
            queue,
            self._lease,
        )
        if reply[0] != b"ok":
            return _refused(reply)
        return BatchClaimed(
            unpack_chord(reply[1]), int(reply[2]), reply[3], reply[4].decode()
        )

    def commit_batch(self, commit: BatchCommit) -> Moved | Joined | Refused:
        """See RunStore.commit_batch."""
        batch, promote = commit.batch, commit.promote
        alone: tuple[Any, ...] = ("0", "", b"", b"", "", "", 0, 0, 0)
        if promote is not None:
            to = promote.pending
            alone = ("1", promote.what, promote.edits, to.frames, to.queue, to.place,
                     to.timeout_ms, promote.tries, promote.delay_ms)  # fmt: skip
        reply = self.wire.script(
            "commit_batch",
            *_span(batch),
            commit.nonce,
            commit.first,
            commit.entry,
            commit.decided_by,
            self._lease,
            self._template,
            *alone,
            len(commit.results),
            *(
                b"F" + lane.log if lane.failure is None else b"R" + lane.failure
                for lane in commit.results
            ),
        )
        return self._joined(reply)

    def release_batch(
        self, batch: BatchRef, nonce: str, cursor: int
    ) -> Moved | Refused:
        """See RunStore.release_batch."""
        reply = self.wire.script(
            "release_batch",
            *_span(batch),
            nonce,
            cursor,
            self._template,
        )
        return self._moved(reply)

    def break_batch(
        self, batch: BatchRef, nonce: str, lane: int, outcome: bytes
    ) -> Moved | Refused:
        """See RunStore.break_batch."""
        entry = batch_broken_entry(batch.chord, batch.lo, batch.hi, lane)
        reply = self.wire.script(
            "break_batch",
            *_span(batch),
            nonce,
            lane,
            outcome,
            entry,
            self._template,
        )
        return self._moved(reply)

    def signal(
        self, ref: Ref, seq: int, nonce: str, outcome: bytes
    ) -> Literal["ok", "decided", "over", "gone"]:
        """See RunStore.signal."""
        reply = self.wire.script(
            "signal", ref.run, ref.gen, ref.addr, seq, nonce, outcome, self._template
        )
        return cast(Literal["ok", "decided", "over", "gone"], reply[0].decode())

    def renew(self, leases: Sequence[Lease]) -> list[Literal["k", "c", "s"]]:
        """See RunStore.renew."""
        if not leases:
            return []
        flat = [
            part for lease in leases for part in (lease.run, lease.member, lease.nonce)
        ]
        reply = self.wire.script("renew", self._lease, *flat)
        return [cast(Literal["k", "c", "s"], answer.decode()) for answer in reply]

    def died(self, lease: Lease, how: str) -> bool:
        """See RunStore.died."""
        told = dump_compact(how)
        reply = self.wire.script("died", lease.run, lease.member, lease.nonce, told)
        return bool(reply[0])

    def expire(self, max_lost: int, before_ms: int = 0) -> int:
        """See RunStore.expire."""
        reply = self.wire.script(
            "expire", max_lost, EVENT_PAGE, self._template, before_ms
        )
        return int(reply[0])

    def fire(self, before_ms: int = 0) -> Fired:
        """See RunStore.fire."""
        moved, most = self.wire.script("fire", EVENT_PAGE, self._template, before_ms)
        return Fired(int(moved), int(most) >= EVENT_PAGE)

    def repeat(self, age_ms: int, before_ms: int = 0) -> int:
        """See RunStore.repeat; looks at the 20 oldest messages of every queue."""
        moved = 0
        prefix = self._template.split(b"\n", 1)[0].decode()
        for name in self.wire.call("SMEMBERS", f"{STATE}queues"):
            queue = name.decode()
            if not self.wire.call("ZCARD", f"{STATE}d:{queue}"):
                continue
            # Who put another type under a queue's name must not stop this duty.
            self.displace(prefix + queue, "list", queue)
            floor = self._oldest_ticket(
                self.wire.call("LRANGE", prefix + queue, -20, -1)
            )
            reply = self.wire.script(
                "repeat", queue, floor, age_ms, EVENT_PAGE, self._template, before_ms
            )
            moved += int(reply[0])
        return moved

    def _oldest_ticket(self, messages: list[bytes]) -> int:
        tickets = [ticket for ticket in map(ticket_of, messages) if ticket]
        return min(tickets, default=1 << 52)

    def emit(
        self, owner: Ref | BatchRef, seq: int, nonce: str, mark: int, entry: bytes
    ) -> Literal["ok"] | Refusal:
        """See RunStore.emit."""
        addr = member_of(owner)
        reply = self.wire.script(
            "emit", owner.run, owner.gen, addr, seq, nonce, mark, entry
        )
        return cast('Literal["ok"] | Refusal', reply[0].decode())

    def discard(self, ref: Ref, entry: bytes) -> None:
        """See RunStore.discard."""
        self.wire.script("discard", ref.run, ref.gen, entry)

    def elect(self, who: str, ttl_ms: int, seen: bytes = b"") -> tuple[int, bytes]:
        """Take or keep the steward's lock.

        Returns its fencing number, -1 if another holds it, and what the clock says that
        the holder noted last. A holder that has noted nothing since `seen` is gone.
        """
        fence, noted = self.wire.script("elect", who, ttl_ms, seen)
        return int(fence), cast(bytes, noted)

    def abdicate(self, who: str) -> None:
        """Give the steward's lock up if it is ours, so that another need not wait."""
        self.wire.script("elect", who, 0, b"")

    def set_clock(self, clock: Clock, offset_ms: int, now_ms: int, shift: int) -> bool:
        """Note the time, unless somebody has since `clock` was read.

        Milliseconds; a negative `shift` is how far the wall clock was set forward: what
        was timed by it meanwhile is set right.
        """
        reply = self.wire.script(
            "set_clock", clock.noted, offset_ms, now_ms, shift, self._lease
        )
        return bool(reply[0])

    def pause(self, run: str) -> str:
        """See RunStore.pause."""
        return cast(
            str, self.wire.script("pause", run, b'{"e":[["run_paused"]]}')[0].decode()
        )

    def resume(self, run: str) -> str:
        """See RunStore.resume."""
        return self._resume(run, b'{"e":[["run_resumed"]]}')[0]

    def _resume(self, run: str, entry: bytes) -> tuple[str, int]:
        """Dispatch what is held, in pages; returns the status and how much that was."""
        status, left, count = self.wire.script(
            "resume", run, entry, EVENT_PAGE, self._template
        )
        while int(left):
            _, left, moved = self.wire.script(
                "resume", run, b"", EVENT_PAGE, self._template
            )
            count += moved
        return status.decode(), int(count)

    def finish_resumes(self) -> int:
        """See RunStore.finish_resumes."""
        cut_short = self.wire.call("SMEMBERS", f"{STATE}resuming")
        return sum(self._resume(run.decode(), b"")[1] for run in cut_short)

    def finish(self, run: str, status: str, why: str) -> str:
        """See RunStore.finish."""
        entry = finish_entry(status, why)
        return cast(
            str,
            self.wire.script("finish", run, status, entry, TOMBSTONE_MS)[0].decode(),
        )


def ticket_of(message: bytes) -> int:
    """Return the ticket inside a queue message, 0 when it carries none (not ours)."""
    # The ticket is the last number of the argument list that opens the message's body.
    mark = message.find(b"swarm-ticket:")
    if mark < 0:
        return 0
    digits = message[mark + 13 : mark + 33]
    end = 0
    while end < len(digits) and digits[end : end + 1].isdigit():
        end += 1
    return int(digits[:end] or 0)
