"""The source of the functions that running workers have: published, and compared."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from django.conf import settings

from blueprints.agent_sources import (
    Hashes,
    function_sources,
    module_hashes,
    source_difference,
)
from blueprints.command_line import typed
from engine.blueprint import Agent
from engine.flow.spelling import listed
from workers.fleet.prerequisites import SetupFailed
from workers.fleet.records import Held, Record, hold_record, records, sources_file
from workers.process.posix import locked

ENTER_S: Final = 30.0
"""How long a process waits for others that compare their sources."""
SOURCES_FILE: Final = "SWARM_SOURCES_FILE"
"""The variable with the file in which a worker says what it has loaded."""


class OtherSources(SetupFailed):
    """What runs has other sources than the process that enters, or none."""

    def __init__(self, others: Mapping[str, Record]) -> None:
        """Keep by a sentence which record it is about; the text says what to do."""
        shared = [one.shared for one in others.values()]
        ways = []
        if any(shared):
            ways.append(f"End them with: {typed('up --stop')}")
        if not all(shared):
            names = ["SWARM_VAR"]
            for name in ("SWARM_REDIS_URL", "DATABASE_URL"):
                names += [name] if os.environ.get(name, "").strip() else []
            ways.append(
                "Wait until they have ended, or end them, or start this one with another"
                f" {listed(names)}"
            )
        super().__init__(f"{'; '.join(others)}. {'. '.join(ways)}")


def publish_sources(file: Path, hashes: Hashes) -> None:
    """Write for other processes which modules a worker has; a full disk is no fault."""
    made = file.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        made.write_text(json.dumps(hashes))
        made.replace(file)


def needs_of(agents: Iterable[Agent]) -> dict[str, dict[str, Hashes]]:
    """Return the sources of the functions of agents, by queue and function."""
    by_queue: dict[str, list[Agent]] = {}
    for agent in agents:
        by_queue.setdefault(agent.queue, []).append(agent)
    return {queue: function_sources(some) for queue, some in by_queue.items()}


def enter(record: Record) -> Held:
    """Record what is about to do steps, with the sources here; raise OtherSources.

    It serves nothing yet. Of two that start at once and can't run beside each other, the
    second sees the record of the first.
    """
    hashes = module_hashes()
    with _alone():
        _compare(record, hashes)
        held = hold_record(record)
        publish_sources(sources_file(record), hashes)
    return held


def compare(record: Record) -> None:
    """Raise OtherSources if `enter` would."""
    with _alone():
        _compare(record, module_hashes())


def _alone() -> contextlib.AbstractContextManager[None]:
    return locked(Path(settings.VAR_DIR) / "fleets.lock", ENTER_S)


def _compare(record: Record, hashes: Hashes) -> None:
    """Compare what a record needs with what others have, and the other way round.

    What counts are the functions whose queues the other serves: it takes their steps,
    also if others serve the same queues.
    """
    others: dict[str, Record] = {}
    for other in records():
        known = other.known_as
        if lacks := _lacks(other.queues, _published(other), record.needs):
            others[f"the workers of {known} have {lacks}"] = other
        elif lacks := _lacks(record.queues, hashes, other.needs):
            text = f"{known} has not ended, and workers started now would have {lacks}"
            others[text] = other
    if others:
        raise OtherSources(others)


def _lacks(
    queues: Iterable[str], hashes: Hashes, needs: Mapping[str, Mapping[str, Hashes]]
) -> str:
    """Return of which functions, that these queues get, the hashes lack the source."""
    functions = {
        name: modules
        for queue in queues
        for name, modules in needs.get(queue, {}).items()
    }
    found = source_difference(functions, hashes)
    return " and ".join(
        f"{what} source of {listed(names)}"
        for what, names in (("another", found.other), ("no", found.none))
        if names
    )


def _published(record: Record) -> Hashes:
    """Return the modules that a record's workers have; none if they tell none."""
    with contextlib.suppress(OSError, ValueError):
        found: Hashes = json.loads(sources_file(record).read_text())
        return found
    return {}
