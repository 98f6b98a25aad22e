"""What `manage.py doctor` says of what was set aside because nothing could use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from blueprints.command_line import typed
from engine.store.dead_letters import BURIED, DEAD, DeadLetter, counts, dead_letter
from workers.findings import Finding

SHOWN_DEAD: Final = 3
A_DAY_MS: Final = 24 * 3600 * 1000


def findings(client: Any) -> Iterator[Finding]:
    """Yield how many dead letters there are and the reasons of the newest."""
    name = "dead letters"
    found = counts(client.hgetall(BURIED))
    if not found:
        yield Finding(name, "ok", "none")
        return
    newest = [dead_letter(raw) for raw in client.lrange(DEAD, 0, SHOWN_DEAD - 1)]
    told = ", ".join(
        f"{count} from {source}" for source, count in sorted(found.items())
    )
    text = f"{told}; the newest: " + "; ".join(
        f"{letter.source}: {letter.why}" for letter in newest
    )
    now_ms = 1000 * client.time()[0]
    if all(now_ms - letter.at_ms > A_DAY_MS for letter in newest):
        yield Finding(name, "ok", f"none for a day; {text}")
        return
    hint = (
        f"`{typed('doctor --dead-letters')}` shows each: who else writes to this Redis?"
    )
    yield Finding(name, "warn", text, hint)


def as_row(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter as JSON holds it."""
    return {
        "at_ms": letter.at_ms,
        "source": letter.source,
        "why": letter.why,
        "size": letter.size,
        "text": letter.text.decode("utf-8", "backslashreplace"),
    }
