"""Make sure that this process reads the outputs that all hosts of the installation read.

The first process puts a content of its own, the probe, and names it in the database.
"""

import json
import secrets
from typing import Final

from blueprints.command_line import typed
from blueprints.conf import output_store
from blueprints.models import Installation
from blueprints.services.installations import installation_name
from engine.output_store import OutputMissing, OutputStore

_read: Final[list[OutputStore]] = []
"""The store whose probe this process has read."""


class OutputsElsewhere(Exception):
    """This process does not read the installation's outputs; the text says what to do."""


def ensure_outputs() -> None:
    """Check once that the probe can be read; raises as `check_outputs`."""
    store = output_store()
    if store not in _read:
        check_outputs()
        _read[:] = [store]


def check_outputs() -> None:
    """Read the probe, which the first process puts.

    Raises OutputsElsewhere where another store has it, and OutputsAway.
    """
    probe = outputs_probe() or _put_probe(replacing="")
    try:
        output_store().get(probe)
    except OutputMissing:
        raise OutputsElsewhere(outputs_elsewhere_text()) from None


def outputs_probe() -> str:
    """Return the name of the probe, empty before the first process has put one."""
    found = Installation.objects.values_list("outputs_probe", flat=True)
    return found.filter(pk=1).first() or ""


def adopt_outputs() -> None:
    """Put a probe into the configured store, whatever store had one."""
    _put_probe(replacing=outputs_probe())


def _put_probe(replacing: str) -> str:
    """Put a probe and name it, unless another process was first; return its name."""
    text = {"probe of": installation_name(), "number": secrets.token_hex(16)}
    mine = output_store().put(json.dumps(text).encode())
    rows = Installation.objects.filter(pk=1, outputs_probe=replacing)
    return mine if rows.update(outputs_probe=mine) else outputs_probe()


def outputs_elsewhere_text() -> str:
    """Return the text of OutputsElsewhere."""
    return (
        f"this host does not see the outputs of this installation: {output_store()} lacks"
        " the content that its first process put there. All hosts need one store: set"
        " SWARM_OUTPUTS on each of them to the same shared folder, to `database` or to"
        " `s3://BUCKET/PREFIX`. If the outputs were moved on purpose, stop all workers,"
        f" copy them and run `{typed('doctor --adopt-outputs')}`"
    )
