"""Holds a chain to the sizes that the limits allow, before anything of it is stored."""

from __future__ import annotations

import orjson

from engine.flow.json_text import MAX_DEPTH, text_depth
from engine.run.chain import CTX_LIMIT, Chain, too_deep
from engine.run.ctx import TooLarge, whole_edit
from engine.run.machine import CTX, Ended, Next
from engine.run.turn import Limits


def within_limit(chain: Chain, nxt: Next, limits: Limits) -> Next:
    """Return what a chain needs next: its end, when its Ctx has grown too large.

    What was selected of an ended lane is all that is stored of it.
    """
    if chain.selected and nxt == Ended(None):
        try:
            line = whole_edit(chain.doc.value, limits.input_bytes)
        except TooLarge:
            chain.end = limits.too_large("what `select` gives of a lane is")
            return Ended(chain.end)
        except orjson.JSONEncodeError as error:
            text = f"what `select` gives of a lane can't be held as JSON: {error}"
            chain.end = ["TypeError", text]
            return Ended(chain.end)
        # The line itself is a container.
        if text_depth(line) - 1 > MAX_DEPTH:
            chain.end = [
                CTX_LIMIT,
                too_deep("cannot keep what `select` gives of a lane"),
            ]
            return Ended(chain.end)
        chain.replace_log(line)
    size = chain.origin_size + chain.offset
    if size <= limits.ctx_bytes and not chain.outgrown:
        return nxt
    chain.edits.clear()
    if chain.outgrown not in ("", CTX):
        chain.end = limits.too_large(chain.outgrown)
        return Ended(chain.end)
    text = (
        "the Ctx is larger than SWARM_CTX_LIMIT"
        f" ({limits.ctx_bytes} bytes): keep large bodies in files and their"
        " paths in the Ctx"
    )
    chain.phase, chain.end = "e", ["CtxLimit", text]
    return Ended(chain.end)
