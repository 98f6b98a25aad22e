"""Values of a run with their joins and outputs in place, as far as they are small enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from django.conf import settings

from blueprints.conf import output_store
from engine.flow.json_text import Json
from engine.output_store import OutputMissing, OutputsAway
from engine.run.chain.ctx import TooLarge, dump_expanded, referred
from engine.run.chain.outputs import NEVER, Outputs


@dataclass(frozen=True, slots=True)
class Expanded:
    """A value with everything in place; `why` it is missing, empty if it is not."""

    value: Json = None
    size: int | None = None
    why: str = ""


def expanded(value: Any, limit: int) -> Expanded:
    """Return a value with joins and outputs in place, unless its text is over a limit."""
    try:
        text = dump_expanded(value, limit)
    except TooLarge:
        return Expanded(why=f"larger than SWARM_INPUT_LIMIT ({limit} bytes)")
    except orjson.JSONEncodeError as error:
        return Expanded(why=f"it can't be written as JSON: {error}")
    except (OutputMissing, OutputsAway) as error:
        return Expanded(why=f"a part of it can't be read: {error}")
    return Expanded(orjson.loads(text), len(text))


def journaled(value: Any, mark: str) -> Expanded:
    """Return a value of a journal entry, whose references have a mark."""
    if not mark:
        return Expanded(value)
    found = referred(value, mark, Outputs(output_store(), NEVER))
    return expanded(found, settings.SWARM_INPUT_LIMIT)
