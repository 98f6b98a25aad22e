"""What a spawner returns, how it travels as a signal, and whether it is tried again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from engine.blueprint.program import MOST_ATTEMPTS, Retry
from engine.flow.json_text import MAX_DEPTH, text_depth

Kind = Literal["passed", "blocked", "failed", "timed_out", "lost"]

RETRIED: Final = frozenset({"failed", "timed_out"})
MAX_TEXT: Final = 64 * 1024
HOW_UNKNOWN: Final = (
    "how the last worker ended is not known: its host or the whole worker is gone"
)
STRICT: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt.

    `passed` and `blocked` carry a JSON value; the others a text for people. `permanent`
    failures are not tried again; `error_type` is matched against a policy's `not` list.
    `stats` tells what the work cost (model, usage, turns) where the agent knows it.
    """

    kind: Kind
    value: Any = None
    text: str = ""
    permanent: bool = False
    error_type: str = ""
    stats: dict[str, Any] | None = None

    def pack(self) -> bytes:
        """Return the signal that records this outcome in the store."""
        signal = {
            "kind": self.kind,
            "value": self.value,
            "text": self.text,
            "permanent": self.permanent,
            "type": self.error_type,
        }
        if self.stats is not None:
            signal["stats"] = self.stats
        return orjson.dumps(signal)

    @property
    def flow_text(self) -> str:
        """The text with which a failure reaches the flow."""
        if self.kind == "blocked":
            return "blocked: " + orjson.dumps(
                self.value, option=orjson.OPT_SORT_KEYS
            ).decode("utf-8")
        return self.text


def unpack_outcome(data: bytes) -> Outcome:
    """Read a signal; the store's own `{"lost":n}` is one too."""
    got = orjson.loads(data)
    if "lost" in got:
        return Outcome("lost", text=lost_text(got["lost"], got.get("how")))
    return Outcome(
        got["kind"],
        got["value"],
        got["text"],
        got["permanent"],
        got["type"],
        got.get("stats"),
    )


def lost_text(count: int, how: str | None) -> str:
    """Return what a step says whose workers died; `how` is that of the last, if known."""
    return f"lost after {count} attempts, {how or HOW_UNKNOWN}"


def timed_out(timeout_ms: int) -> Outcome:
    """Return the outcome of an attempt that outlived its timeout."""
    seconds = timeout_ms / 1000
    return Outcome("timed_out", text=f"timed out after {seconds:g} s")


def as_text(text: str) -> str:
    """Return a text for people that JSON can hold, cut at MAX_TEXT characters."""
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "…"
    # What an agent printed may hold lone surrogates, which are no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def as_json(value: Any) -> tuple[Any, bytes]:
    """Return a value as JSON holds it, and its text; ValueError names what it can't.

    The value comes back by value: nothing the agent keeps can change it later.
    """
    try:
        text = orjson.dumps(value, option=STRICT)
        back = orjson.loads(text)
    except (orjson.JSONEncodeError, orjson.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the result can't be held as JSON: {error}") from None
    # orjson writes NaN and Infinity as null; only then is a closer look needed.
    if b"null" in text and _has_nan(value):
        raise ValueError("the result can't be held as JSON: NaN or Infinity in it")
    if text_depth(text) > MAX_DEPTH:
        raise ValueError(
            f"the result can't be held as JSON: nested deeper than {MAX_DEPTH} containers"
        )
    return back, text


def _has_nan(value: Any) -> bool:
    stack = [value]
    while stack:
        at = stack.pop()
        if isinstance(at, float):
            if at != at or at in (float("inf"), float("-inf")):
                return True
        elif isinstance(at, dict):
            stack.extend(at.values())
        elif isinstance(at, list | tuple):
            stack.extend(at)
    return False


def retry_delay(policy: Retry, outcome: Outcome, tries: int, seed: str) -> int | None:
    """Return how many milliseconds to wait before the next try, None for no more.

    `tries` counts the attempts made. Waits double from base to cap; jitter is taken
    from `seed`, so a resent decision is the same decision. The budget bounds the sum
    of the waits.
    """
    if outcome.kind not in RETRIED or outcome.permanent:
        return None
    if tries >= min(policy.max_attempts, MOST_ATTEMPTS):
        return None
    if outcome.error_type and outcome.error_type in policy.never:
        return None
    waited, delay = 0, 0
    for n in range(tries):
        delay = min(policy.base_ms * (1 << min(n, 20)), policy.cap_ms)
        waited += delay
    if policy.budget_ms and waited > policy.budget_ms:
        return None
    digest = hashlib.blake2b(f"{seed}/{tries}".encode(), digest_size=4).digest()
    spread = int.from_bytes(digest) / 0xFFFFFFFF * 2 - 1
    return max(0, round(delay * (1 + policy.jitter * spread)))
