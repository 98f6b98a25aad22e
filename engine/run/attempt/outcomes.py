"""The outcome of an attempt, which a spawner returns and a signal carries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from engine.blueprint.findings.diagnostics import place_in
from engine.flow.json_text import MAX_DEPTH, JsonValue, first_fault, text_depth
from engine.flow.values import with_article
from engine.run.journal.outputs import cut

Kind = Literal["passed", "blocked", "failed", "timed_out", "lost"]

MAX_TEXT: Final = 64 * 1024
MAX_FAULT: Final = 500
TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH} containers"
HOW_UNKNOWN: Final = (
    "how the last worker ended is not known: its host or the whole worker is gone"
)
STRICT: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
INSTEAD: Final = {
    "set": "return a list",
    "frozenset": "return a list",
    "bytes": "return text",
    "bytearray": "return text",
    "datetime": "return text or numbers",
    "date": "return text or numbers",
    "time": "return text or numbers",
    "timedelta": "return text or numbers",
    "Decimal": "return text or numbers",
    "defaultdict": "return a dict",
    "OrderedDict": "return a dict",
    "coroutine": "await it",
}
"""What to do instead of returning a value of some types."""


# Not frozen, which would triple its cost: each step makes two.
@dataclass(slots=True)
class Outcome:
    """The end of one attempt; nobody changes it.

    `passed` and `blocked` carry a JSON value, the others a text for people. A `permanent`
    failure is not retried; the `not` list of a retry policy names values of `error_type`.
    `stats` is the cost of the attempt (model, usage, turns) as far as the agent knows it.
    `json` is the checked value; `traceback` shows where the agent's own code has failed.
    """

    kind: Kind
    value: Any = None
    text: str = ""
    permanent: bool = False
    error_type: str = ""
    stats: dict[str, Any] | None = None
    json: JsonValue | None = None
    traceback: str = ""

    def pack(self) -> bytes:
        """Return the signal that stores this outcome."""
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
        """The text that the flow gets of a failure."""
        if self.kind == "blocked":
            return "blocked: " + orjson.dumps(
                self.value, option=orjson.OPT_SORT_KEYS
            ).decode("utf-8")
        return self.text


def unpack_outcome(data: bytes) -> Outcome:
    """Read a signal, such as the store's own `{"lost":n}`."""
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
    """Return the text of a step whose workers died; `how` describes the last death."""
    return f"lost after {count} attempts, {how or HOW_UNKNOWN}"


def timed_out(timeout_ms: int) -> Outcome:
    """Return the outcome of an attempt that exceeded its timeout."""
    seconds = timeout_ms / 1000
    return Outcome("timed_out", text=f"timed out after {seconds:g} s")


def as_text(text: str) -> str:
    """Return a text for people as valid UTF-8 of at most MAX_TEXT characters."""
    return cut(text, MAX_TEXT)


def as_json(value: Any) -> JsonValue:
    """Return a value with its JSON text; ValueError says why it has none."""
    try:
        text = orjson.dumps(value, option=STRICT)
        back = orjson.loads(text)
    except (orjson.JSONEncodeError, orjson.JSONDecodeError, RecursionError) as error:
        raise ValueError(_not_json(_fault_of(value) or str(error))) from None
    if b"null" in text:
        # orjson writes NaN and Infinity as null; json refuses them.
        try:
            json.dumps(value, allow_nan=False, default=str)
        except ValueError:
            fault = _fault_of(value) or "NaN or Infinity in it"
            raise ValueError(_not_json(fault)) from None
    if b"\n" in text:
        # A newline comes from an agent's own JSON text (orjson.Fragment).
        text = orjson.dumps(back)
    depth = text_depth(text)
    if depth > MAX_DEPTH:
        raise ValueError(_not_json(TOO_DEEP))
    return JsonValue(back, text, depth)


def _not_json(fault: str) -> str:
    return f"the result can't be written as JSON: {fault}"


def _fault_of(value: Any) -> str:
    """Return the place and the fault of the first part that is no JSON, empty for none."""
    found = first_fault(value, _part_fault, _container_fault, (dict, list, tuple))
    if found is None or found[1] == TOO_DEEP:
        return TOO_DEEP if found else ""
    keys, fault = found
    return cut(f"{place_in('$', keys)} {fault}", MAX_FAULT)


def _container_fault(part: Any, depth: int) -> str | None:
    return _part_fault(part) or (TOO_DEEP if depth > MAX_DEPTH else None)


def _part_fault(part: Any) -> str | None:
    """Return why a value can't be written as JSON, apart from the values inside it."""
    if type(part) is dict:
        wrong = [key for key in part if type(key) is not str]
        return f"has the key {wrong[0]!r}; keys must be texts" if wrong else None
    if type(part) in (list, tuple):
        return None
    kind = type(part).__name__
    if isinstance(part, float) and part - part != 0.0:
        return f"is {part}; JSON has no such number"
    try:
        orjson.dumps(part, option=STRICT)
    except (orjson.JSONEncodeError, RecursionError) as error:
        if type(part) in (str, int):
            return f"can't be written: {error}"
        instead = INSTEAD.get(kind, "return texts, numbers, lists and objects")
        return f"is {with_article(kind)}; {instead}"
    return None
