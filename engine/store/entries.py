"""Journal entries that the store packs for its scripts; the engine packs all others.

The scripts themselves write the entries of `started`, `lost` and the run's deadline.
"""

from __future__ import annotations

import orjson


def finish_entry(status: str, why: str) -> bytes:
    """Return the entry of a run that is ended from outside."""
    text = why.replace("\n", " ").encode("utf-8", "replace").decode()
    return b'{"e":[["run_%s",%s]]}' % (status.encode(), orjson.dumps(text))


def batch_broken_entry(
    chord: str, lo: int, hi: int, lane: int, outcome: bytes
) -> bytes:
    """Return the entry of a batch whose worker died in `lane` (-1: between lanes).

    `outcome` is the JSON text of the outcome that the lane gets.
    """
    event = ["batch_broken", lo, hi, lane, orjson.Fragment(outcome)]
    return orjson.dumps({"a": chord, "e": [event]})
