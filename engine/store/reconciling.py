"""What is asked and written when the data of Redis are compared with the archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.store.base import RunHead, split_key
from engine.store.redis_reads import HEAD, STATE, head_from
from engine.store.removals import Removals
from engine.store.wire import RECONCILED, server_of

EPOCH: Final = f"{STATE}epoch"
OWNER: Final = f"{STATE}installation"
DEADLINES: Final = f"{STATE}t:run"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a Redis says of itself; a text is empty if it has none.

    `server` is the run id of its process, `reconciled` that of the process whose data were
    compared last. `epoch` names the data, `owner` the installation.
    """

    server: str
    reconciled: str
    epoch: str
    owner: str

    @property
    def is_reconciled(self) -> bool:
        """Whether nothing was lost or exchanged since the last comparison.

        A server that does not tell its run id is never known to be the same.
        """
        known = self.epoch and self.owner and self.server
        return bool(known) and self.server == self.reconciled


class Reconciling(Removals):
    """The calls of the RedisStore for that."""

    def standing(self) -> Standing:
        """Return what the server says of itself."""
        names = ((RECONCILED,), (EPOCH,), (OWNER,))
        asked = [("INFO", "server"), *(("GET", *name) for name in names)]
        info, *texts = self.wire.pipeline(asked)
        known = ((text or b"").decode() for text in texts)
        return Standing(server_of(info).decode(), *known)

    def reconcile(self, server: str, epoch: str, owner: str) -> None:
        """Record that the data of a server process were compared; a full Redis takes it."""
        self.wire.script("reconciled", server, epoch, owner)

    def heads(self, keys: Sequence[str]) -> list[RunHead | None]:
        """Return the heads of generations, in order."""
        asked = [("HMGET", f"{STATE}r:{key}", *HEAD) for key in keys]
        rows = self.wire.pipeline(asked)
        return [head_from(key, row) for key, row in zip(keys, rows, strict=True)]

    def open_generations(self) -> set[tuple[str, int]]:
        """Return run and number of each generation that is open here: those with a deadline."""
        members = self.wire.call("ZRANGE", DEADLINES, 0, -1)
        return {split_key(member.decode().partition("|")[0]) for member in members}

    def freeze(self, key: str) -> None:
        """End and remove a generation that lags behind the archive: nothing reads it again."""
        self.wire.script("freeze", key)
        self.remove(key)
