"""Changes a Blueprint and is killed at a named point; a process of its own.

Given the change, the point and a text that tells the documents apart.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django

django.setup()

from kept_blueprints import ADA, document  # noqa: E402

from blueprints.conf import blueprint_store  # noqa: E402
from blueprints.index import intents  # noqa: E402
from blueprints.models import BlueprintIntent, BlueprintVersion  # noqa: E402
from blueprints.services.blueprints import (  # noqa: E402
    alias_set,
    blueprint_archive,
    blueprint_register,
    blueprint_rollback,
)
from engine.blueprint_store import Content  # noqa: E402

STORE_CALLS = {
    "register": "commit",
    "rollback": "restore",
    "alias": "set_alias",
    "archive": "archive",
}


def die(*_: Any, **__: Any) -> Any:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that ends this process when a call is done."""
    return lambda *args, **more: die(call(*args, **more))


def arm(change: str, point: str) -> None:
    """Make this process die at a point of a change."""
    store, call = blueprint_store(), STORE_CALLS[change]
    match point:
        case "before the note":
            intents.standing_of = die
        case "before the store":
            setattr(store, call, die)
        case "after the store":
            setattr(store, call, then_die(getattr(store, call)))
        case "among the rows":
            intents.catch_up = then_die(intents.catch_up)
        case "before the end":
            BlueprintIntent.delete = then_die(BlueprintIntent.delete)


def make(change: str, text: str) -> None:
    """Make a change."""
    by = {"actor": ADA, "message": f"Change {text}"}
    newest = BlueprintVersion.objects.filter(blueprint="mail").order_by("-number")
    match change:
        case "register":
            blueprint_register("mail", Content(document(text)), **by)
        case "rollback":
            blueprint_rollback("mail", newest[1], **by)
        case "alias":
            alias_set("mail", text.replace(" ", "-"), newest.first(), **by)
        case "archive":
            blueprint_archive("mail", **by)


if __name__ == "__main__":
    arm(sys.argv[1], sys.argv[2])
    make(sys.argv[1], sys.argv[3])
