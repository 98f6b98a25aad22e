"""Journal entries that the stores write themselves, not the engine: same bytes in both.

`started`, `lost` and the run's deadline are written by scripts in Redis.
"""

from __future__ import annotations

import orjson

from engine.store.record import Record


def escaped(text: str) -> str:
    """Return text as it stands between JSON quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def started_entry(addr: str, chain: Record) -> bytes:
    """Return the entry of an attempt that begins with its claim.

    Attempts are numbered through: tries are what is charged, lost ones come on top.
    """
    what = f'["started","{escaped(chain.place)}",{chain.tries + chain.lost}]'
    return f'{{"a":"{addr}","s":{chain.seq},"w":"{chain.owner}","e":[{what}]}}'.encode()


def lost_entry(addr: str, chain: Record, lost: int) -> bytes:
    """Return the entry of an attempt whose worker is gone, the `lost`-th of its step."""
    what = f'["lost","{escaped(chain.place)}",{chain.tries + lost - 1},{lost}]'
    return f'{{"a":"{addr}","s":{chain.seq},"e":[{what}]}}'.encode()


def deadline_entry(after_s: int) -> bytes:
    """Return the entry of a run that is not over after `after_s` seconds."""
    text = f'"RunDeadline","run deadline exceeded after {after_s} s"'
    return f'{{"e":[["run_failed",{text}]]}}'.encode()


def finish_entry(status: str, why: str) -> bytes:
    """Return the entry of a run ended from outside."""
    text = why.replace("\n", " ").encode("utf-8", "replace").decode()
    return b'{"e":[["run_%s",%s]]}' % (status.encode(), orjson.dumps(text))


def batch_broken_entry(chord: str, lo: int, hi: int, lane: int) -> bytes:
    """Return the entry of a batch whose worker died in `lane` (-1: in none)."""
    return f'{{"a":"{chord}","e":[["batch_broken",{lo},{hi},{lane}]]}}'.encode()
