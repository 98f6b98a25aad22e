"""Queue messages: Celery's own form with slots that a store script fills.

A message is a hint: it carries ids and a ticket, and whoever gets it asks the store.
"""

from __future__ import annotations

import json

from celery import Celery
from kombu.serialization import dumps

# How the Lua prelude fills a slot: \0R run, \0N generation, \0A address, \0T ticket,
# \0Q queue, \0L time limit of the attempt in seconds, \0K Celery task name.
SLOTS = {"R": "@@R@@", "N": "@@N@@", "A": "@@A@@", "T": "@@T@@", "Q": "@@Q@@"}
SLOTS |= {"L": "@@L@@", "K": "@@K@@"}
NUMBERS = frozenset("NL")
TICKET_MARK = "swarm-ticket:"


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
            # What the store reads when a worker takes the next message by itself.
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
