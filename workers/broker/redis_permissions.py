"""The rights that the user of a Redis with ACL needs, checked at the start."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Final

import redis
from celery import current_app
from redis.exceptions import NoPermissionError, ResponseError

from engine.store.redis import STATE
from engine.store.server_url import ServerUrl

RULE: Final = "user NAME on >PASSWORD ~swarm:* &* +@all -@admin -@dangerous +info"
PROBES: Final[tuple[tuple[Any, ...], ...]] = (
    ("PING",),
    ("INFO", "server"),
    ("EXISTS", f"{STATE}clock"),
    ("EVAL", "return redis.call('EXISTS', KEYS[1])", 1, f"{STATE}clock"),
)
"""Commands that change nothing and need every right but that to channels."""


def rights_fault(client: redis.Redis, server_url: ServerUrl) -> str:
    """Return which right the user of a Redis lacks, empty if none.

    Raises the errors of redis-py if there is no answer.
    """
    made: Any = client
    try:
        for probe in PROBES:
            made.execute_command(*probe)
        with contextlib.closing(made.pubsub()) as listening:
            # Workers subscribe to this channel for `inspect` and `control`.
            listening.psubscribe(_channel(server_url))
            listening.get_message(timeout=3.0)
    except NoPermissionError as error:
        return f"{missing_right(error)} at {server_url}: give it the rights of `{RULE}`"
    except ResponseError:
        # A cluster or a full disk: the command that fails reports it.
        pass
    return ""


def missing_right(error: NoPermissionError) -> str:
    """Return the missing right as text; the text of Redis would name the user."""
    text = str(error)
    found = re.search(r"the '([^']{1,40})' command", text)
    if found:
        return f"the user of Redis may not use the command `{found[1]}`"
    if "channel" in text:
        return "the user of Redis may not listen to all channels (`&*`)"
    if re.search(r"\bkeys?\b", text):
        return "the user of Redis may not use all keys of `swarm:*` (`~swarm:*`)"
    return "the user of Redis lacks a right"


def _channel(server_url: ServerUrl) -> str:
    """Return the channel of Celery's remote control."""
    prefix = current_app.conf.broker_transport_options.get("global_keyprefix", "")
    return f"{prefix}/{server_url.db}.{current_app.control.mailbox.exchange.name}"
