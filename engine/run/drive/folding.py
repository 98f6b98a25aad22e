"""Folding: a Ctx becomes a new base when its edit log, or what its log refers to, is too long."""

from __future__ import annotations

import orjson

from engine.flow.document import Document
from engine.run.chain.chain import JOIN, Chain
from engine.run.chain.ctx import (
    FOLD_AT,
    TooLarge,
    base_id,
    read_stored,
    stored_text,
    whole_edit,
)
from engine.run.drive.turn import Turn
from engine.run.limits import Limits
from engine.store.addresses import is_opened_within
from engine.store.base import ROOT


def fold_outgrown(turn: Turn) -> None:
    """Replace base and log of a turn's Ctx by a new base if the log is too long.

    Before a chain forks, the results of its earlier chords count, too: as long as the log
    refers to them they stay in the store, also when they are no longer in the Ctx.
    """
    chain = turn.chain
    size = chain.offset
    if chain.phase is JOIN and chain.known:
        size += sum(
            lanes.size
            for chord, lanes in chain.known.items()
            if is_opened_within(turn.ref.addr, chord)
        )
    if size <= FOLD_AT or size <= chain.origin_size // 2 or not chain.can_fold():
        return
    most = 3 * (chain.origin_size + chain.offset) + chain.origin_size + size + FOLD_AT
    try:
        text = stored_text(chain.doc.value, most)
        plain, depth = read_stored(text, chain.contents)
    except (TooLarge, orjson.JSONEncodeError, orjson.JSONDecodeError):
        # A Ctx that is too large or too deep for a base keeps its log.
        return
    turn.base_id = base_id(turn.ref.addr, text)
    turn.new_base = (turn.base_id, text)
    chain.start, chain.origin_size = 0, len(text)
    chain.edits.clear()
    # Without the log nothing refers to the chain's chords, nor to those in their lanes.
    turn.unreferenced += [k for k in chain.known if is_opened_within(turn.ref.addr, k)]
    # The new base has no references to joins, so the Ctx in memory must have none.
    chain.doc, chain.known = Document(plain, depth), {}
    chain.move_rollbacks()
    chain.folded = turn.ref.addr != ROOT


def result_edits(chain: Chain, failed: bool, limits: Limits) -> tuple[int, bytes]:
    """Return the offset and the edits with which a lane's log becomes its result.

    Raises TooLarge. A result is applied to the chord's base, so a lane with its own base
    writes its whole Ctx as one edit of the root. Its joins are expanded, since the log with
    their lines is removed.
    """
    if chain.folded and not chain.selected and not failed:
        return 0, whole_edit(chain.doc.value, limits.input_bytes)[0]
    return chain.start, bytes(chain.edits)
