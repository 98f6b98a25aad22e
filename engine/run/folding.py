"""Folding: a Ctx becomes a new base when its edit log has outgrown the old one."""

from __future__ import annotations

import orjson

from engine.flow.document import Document
from engine.flow.json_text import text_depth
from engine.run.ctx import FOLD_AT, base_id, fold
from engine.run.turn import Turn
from engine.store.base import ROOT


def fold_outgrown(turn: Turn) -> None:
    """Make a new base of a turn's Ctx where its log is too long and no try needs it."""
    chain = turn.chain
    if chain.offset <= max(FOLD_AT, chain.origin_size // 2) or chain.in_try():
        return
    text = fold(chain.doc.value, 4 * (chain.origin_size + chain.offset) + FOLD_AT)
    if text is None:
        return
    try:
        plain = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    turn.base_id = base_id(turn.ref.addr, text)
    turn.new_base = (turn.base_id, text)
    chain.start, chain.origin_size = 0, len(text)
    chain.edits.clear()
    # No line refers to the chain's chords any more, nor to those inside their lanes.
    own = f"{turn.ref.addr}.k"
    turn.needless += [chord for chord in chain.known if chord.startswith(own)]
    # Joins are plain in the new base, so they must be plain in memory too.
    chain.doc, chain.known = Document(plain, text_depth(text)), {}
    chain.folded = turn.ref.addr != ROOT
