"""Queue messages: Celery's own form with slots that a store script fills.

A message is a hint: it carries ids and a ticket, and its worker asks the store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import cache
from typing import Final

from celery import Celery, current_app
from kombu.serialization import dumps

from engine.store.base import TIME_LIMIT_NET_S
from engine.store.spec import TICKET_MARK

# How the Lua prelude fills a slot: \0R run, \0N generation, \0A address, \0T ticket,
# \0Q queue, \0L time limit of the attempt in seconds, \0K Celery task name.
SLOTS = {letter: f"@@{letter}@@" for letter in "RNATQLK"}
NUMBERS = frozenset("NL")
OURS: Final = frozenset({"swarm.run_step", "swarm.advance_run"})
PATTERNS: Final = {
    "R": r"[A-Za-z0-9_-]{1,64}",
    "N": r"0|[1-9]\d{0,8}",
    "A": r"0(\.k\d{1,9}\.\d{1,9})*(\.k\d{1,9}:(?P<lo>\d{1,9})-(?P<hi>\d{1,9}))?",
    "T": r"\d{1,20}",
    # The compiler decides which names there are; is_own compares it with the queue.
    "Q": r"[!#-\[\]-~]{1,128}",
    "L": r"[1-9]\d{1,8}",
    "K": "|".join(map(re.escape, sorted(OURS))),
}
"""The pattern of each slot's value."""
MOST_OWN_BYTES: Final = 4096


def message_template(app: Celery) -> bytes:
    """Return the template of a queue message: list prefix, newline, text with slots.

    The body is made by Celery's serializer, the envelope is the least a stock worker
    accepts.
    """
    args = [SLOTS["R"], SLOTS["N"], SLOTS["A"]]
    content_type, encoding, body = dumps([args, {}, {}], serializer="json")
    message = {
        "body": body,
        "content-type": content_type,
        "content-encoding": encoding,
        "headers": {
            "lang": "py",
            "task": SLOTS["K"],
            "id": f"{SLOTS['R']}/{SLOTS['A']}/{SLOTS['T']}",
            "timelimit": [SLOTS["L"], None],
            "argsrepr": f"({SLOTS['R']}, {SLOTS['N']}, {SLOTS['A']})",
        },
        "properties": {
            "delivery_mode": 2,
            # The store reads it when a delivery continues with the next message.
            "delivery_tag": TICKET_MARK + "/".join(SLOTS[slot] for slot in "TLRNA"),
            "delivery_info": {"exchange": "", "routing_key": SLOTS["Q"]},
        },
    }
    text = json.dumps(message)
    for letter, sentinel in SLOTS.items():
        slot = "\0" + letter
        if letter in NUMBERS:
            # Numbers lose their quotes; in the body these are escaped.
            text = text.replace(f'\\"{sentinel}\\"', slot)
            text = text.replace(f'"{sentinel}"', slot)
        text = text.replace(sentinel, slot)
    prefix = app.conf.broker_transport_options.get("global_keyprefix", "")
    return f"{prefix}\n{text}".encode()


@cache
def _own_pattern() -> re.Pattern[bytes]:
    _, _, text = message_template(current_app).decode().partition("\n")
    text = re.escape(text)
    for letter, pattern in PATTERNS.items():
        slot = "\0" + letter
        text = text.replace(slot, f"(?P<{letter}>{pattern})", 1)
        text = text.replace(slot, f"(?P={letter})")
    return re.compile(text.encode())


def is_own(data: bytes, queue: str, tasks: Collection[str]) -> bool:
    """Return whether a script of the store has made a message for this queue.

    Nearly all messages are such, and a check field by field takes ten times as long.
    `tasks` are the names of the tasks that this process knows.
    """
    found = _own_pattern().fullmatch(data) if len(data) <= MOST_OWN_BYTES else None
    return (
        found is not None
        and found["Q"].decode() == queue
        and int(found["L"]) >= TIME_LIMIT_NET_S
        and found["K"].decode() in tasks
        and (found["hi"] is None or int(found["lo"]) < int(found["hi"]))
    )
