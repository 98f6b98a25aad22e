"""What the user of Redis' ACL must be allowed, asked before it is missed."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Final

import redis
from celery import current_app
from redis.exceptions import NoPermissionError, ResponseError

from engine.store.address import Address
from engine.store.redis import STATE

RULE: Final = "user NAME on >PASSWORD ~swarm:* &* +@all -@admin -@dangerous +info"
PROBES: Final[tuple[tuple[Any, ...], ...]] = (
    ("PING",),
    ("INFO", "server"),
    ("EXISTS", f"{STATE}clock"),
    ("EVAL", "return redis.call('EXISTS', KEYS[1])", 1, f"{STATE}clock"),
)
"""What changes nothing and needs each kind of right but that to channels."""


def rights_fault(client: redis.Redis, address: Address) -> str:
    """Return which right the user of a Redis that answers lacks, empty for none.

    Raises what redis-py raises when there is no answer.
    """
    made: Any = client
    try:
        for probe in PROBES:
            made.execute_command(*probe)
        with contextlib.closing(made.pubsub()) as listening:
            # What workers listen to for `inspect` and `control`; nobody is told.
            listening.psubscribe(_channel(address))
            listening.get_message(timeout=3.0)
    except NoPermissionError as error:
        return f"{missing_right(error)} at {address}: give it the rights of `{RULE}`"
    except ResponseError:
        # A cluster, a full disk: whoever needs more than an answer tells.
        pass
    return ""


def missing_right(error: NoPermissionError) -> str:
    """Return in words what Redis refused; its own text names the user."""
    text = str(error)
    found = re.search(r"the '([^']{1,40})' command", text)
    if found:
        return f"the user of Redis may not use the command `{found[1]}`"
    if "channel" in text:
        return "the user of Redis may not listen to all channels (`&*`)"
    if re.search(r"\bkeys?\b", text):
        return "the user of Redis may not use all keys of `swarm:*` (`~swarm:*`)"
    return "the user of Redis lacks a right"


def _channel(address: Address) -> str:
    """Return the channel of Celery's remote control, as kombu calls it."""
    prefix = current_app.conf.broker_transport_options.get("global_keyprefix", "")
    return f"{prefix}/{address.db}.{current_app.control.mailbox.exchange.name}"
