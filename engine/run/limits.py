"""The limits of an installation on its runs, and the errors of runs that exceed them."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from engine.blueprint.program import Agent
from engine.flow.json_text import MAX_DEPTH, text_depth
from engine.run.chain.chain import CTX_LIMIT, END, Chain, too_deep
from engine.run.chain.ctx import TooLarge, depth_of, whole_edit
from engine.run.chain.machine import CTX, Ended, Next
from engine.run.chain.outputs import NEVER
from engine.store.record import LONGEST_MS


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets and sizes that bound how a run moves (docs/settings.md)."""

    lease_s: float = 10.0
    steps: int = 100
    """Agent attempts a delivery may make; 0 or 1 make every step its own delivery."""
    seconds: float = 2.0
    lane_batch: int = 64
    window: int = 1024
    consumers: int = 2
    """Worker processes over which a small fanout is spread."""
    ctx_bytes: int = 8 << 20
    input_bytes: int = 32 << 20
    inline_bytes: int = 16 << 10
    """Larger values are kept in the store of outputs, where there is one."""
    attempt_ms: int = 600_000
    """The timeout of an attempt whose agent sets none."""
    events: int = 10_000
    """Output events an attempt may emit; the journal keeps no further ones."""
    event_bytes: int = 1 << 20
    cache_bytes: int = 16 << 20
    """Size of the cache of parsed programs, bases and chords, as JSON text."""
    archive_first: bool = False
    """Whether a step starts only when the commit that led to it is archived."""
    untimed: frozenset[str] = frozenset()
    """The kinds whose attempts may take any time in this process, where a debugger may stop
    them; their records have the timeouts of the agents."""

    def deciding(self, inline_bytes: int = NEVER) -> dict[str, int]:
        """Return the limits that decide how a flow goes on, for the journal."""
        limits = {"ctx_bytes": self.ctx_bytes, "input_bytes": self.input_bytes}
        if inline_bytes != NEVER:
            limits["inline_bytes"] = inline_bytes
        return limits

    def too_large(self, subject: str) -> list[str]:
        """Return the error of a chain where a value exceeds `input_bytes`.

        `subject` names the value, with its verb: "the items of a fanout are".
        """
        return [
            "InputLimit",
            f"{subject} larger than SWARM_INPUT_LIMIT ({self.input_bytes} bytes):"
            " work on ids or paths instead",
        ]


def timeout_of(agent: Agent, limits: Limits) -> int:
    """Return the timeout of an agent's attempts in ms, at most LONGEST_MS."""
    own = agent.timeout_ms
    if own is None:
        own = limits.attempt_ms
    # Without a call of `min`: each step asks three times.
    return own if own < LONGEST_MS else LONGEST_MS


def seconds_for(agent: Agent, limits: Limits) -> float:
    """Return how long this process lets an attempt of an agent take."""
    free = agent.kind in limits.untimed
    return (LONGEST_MS if free else timeout_of(agent, limits)) / 1000


def within_limit(chain: Chain, nxt: Next, limits: Limits) -> Next:
    """Return what a chain needs next; it ends when its Ctx has grown too large.

    Of an ended lane only the selected value is stored.
    """
    error = None
    if chain.selected and nxt == Ended(None):
        error = _select_fault(chain, limits)
    if error is None:
        error = _size_fault(chain, limits)
    if error is None:
        return nxt
    if isinstance(nxt, Ended):
        # The place of the node that has outgrown the limit.
        error += (nxt.error or [])[2:]
    chain.phase, chain.end = END, error
    return Ended(error)


def _select_fault(chain: Chain, limits: Limits) -> list[str] | None:
    """Replace the lane's edit log by the selected value; return the error, if any."""
    value = chain.doc.value
    try:
        line, deep = whole_edit(value, limits.input_bytes)
    except TooLarge:
        return limits.too_large("the value that `select` gives for a lane is")
    except orjson.JSONEncodeError as error:
        text = f"the value that `select` gives for a lane can't be written as JSON: {error}"
        return ["TypeError", text]
    # The line itself is a container.
    if text_depth(line) - 1 + deep > MAX_DEPTH and depth_of(value) > MAX_DEPTH:
        return [
            CTX_LIMIT,
            too_deep("cannot keep the value that `select` gives for a lane"),
        ]
    if chain.shelf is not None and len(line) > chain.shelf.limit:
        line, _ = whole_edit(chain.shelf.kept(value), limits.input_bytes)
    chain.replace_log(line)
    return None


def _size_fault(chain: Chain, limits: Limits) -> list[str] | None:
    """Return the error of a Ctx that is too large, and drop the pending edits then."""
    size = chain.origin_size + chain.offset
    if size <= limits.ctx_bytes and not chain.outgrown:
        return None
    chain.edits.clear()
    if chain.outgrown not in ("", CTX):
        return limits.too_large(chain.outgrown)
    return [
        CTX_LIMIT,
        f"the Ctx is larger than SWARM_CTX_LIMIT ({limits.ctx_bytes} bytes): keep large"
        " bodies in files and their paths in the Ctx",
    ]
