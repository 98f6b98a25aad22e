"""The check of `manage.py doctor` for outputs: where they are, and who sees them."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DatabaseError

from blueprints.command_line import typed
from blueprints.conf import output_store
from blueprints.selectors.outputs import outputs_unsure
from blueprints.services.outputs import (
    OutputsElsewhere,
    check_outputs,
    outputs_probe,
)
from engine.output_store import OutputsAway
from workers.doctor.check_result import CheckResult, fail, ok, warn
from workers.runs.full_storage import MOST_NEEDED


def findings() -> Iterator[CheckResult]:
    """Yield whether this host sees the installation's outputs; put nothing there."""
    try:
        store = output_store()
        where = f"{store}, {store.reach()}"
        if not outputs_probe():
            yield ok(f"nothing yet in {where}")
            return
        check_outputs()
        unsure = outputs_unsure()
    except ImportError as error:
        yield fail(f"their store can't be imported: {error}", "install its extra")
    except OutputsElsewhere as error:
        text, _, hint = str(error).partition(". ")
        yield fail(text, hint)
    except OutputsAway as error:
        yield fail(str(error), "runs that need them wait until they are back")
    except DatabaseError:
        # The check of the database reports it.
        return
    else:
        if unsure:
            yield warn(
                f"none are deleted: {unsure}",
                f"they are when it has ended; `{typed('runs show RUN')}` tells the gap",
            )
        room = store.room()
        if room is None or room >= MOST_NEEDED:
            yield ok(f"this host sees them: {where}")
            return
        yield warn(
            f"{store} has room for {room} bytes only",
            "free some space: a run waits whose value finds no room there",
        )
