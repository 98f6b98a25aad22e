"""The check of `manage.py doctor` for dead letters: messages that could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from blueprints.command_line import typed
from engine.store.dead_letters import BURIED, DEAD, DeadLetter, counts, dead_letter
from workers.doctor.check_result import CheckResult, ok, warn

SHOWN_DEAD: Final = 3
A_DAY_MS: Final = 24 * 3600 * 1000


def findings(client: Any) -> Iterator[CheckResult]:
    """Yield the number of dead letters and why the newest were rejected."""
    found = counts(client.hgetall(BURIED))
    if not found:
        yield ok("none")
        return
    newest = [dead_letter(raw) for raw in client.lrange(DEAD, 0, SHOWN_DEAD - 1)]
    sources = ", ".join(f"{count} from {name}" for name, count in sorted(found.items()))
    reasons = "; ".join(f"{letter.source}: {letter.why}" for letter in newest)
    text = f"{sources}; the newest: {reasons}"
    now_ms = 1000 * client.time()[0]
    if all(now_ms - letter.at_ms > A_DAY_MS for letter in newest):
        yield ok(f"none for a day; {text}")
        return
    show = f"`{typed('doctor --dead-letters')}`"
    yield warn(text, f"{show} shows each: find out who else writes to this Redis")


def as_row(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as a JSON object."""
    return asdict(letter) | {"text": letter.text.decode("utf-8", "backslashreplace")}
