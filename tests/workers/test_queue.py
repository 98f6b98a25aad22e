"""The message template: Celery's form, filled as a store script fills it."""

import json

from kombu.transport.redis import Channel

from swarm_project.celery import app
from workers.malformed import check
from workers.queue import TICKET_MARK, message_template

FILL = {"R": "R-1", "N": "2", "A": "0.k3.7", "T": "99", "Q": "swarm.lua.hi", "L": "60"}
FILL |= {"K": "swarm.run_step"}


def filled() -> tuple[str, dict]:
    """Return the list prefix and the message of a filled template."""
    prefix, text = message_template(app).decode().split("\n", 1)
    for letter, value in FILL.items():
        text = text.replace("\0" + letter, value)
    return prefix, json.loads(text)


def test_a_filled_template_is_a_message_celery_reads() -> None:
    _, message = filled()
    assert json.loads(message["body"]) == [["R-1", 2, "0.k3.7"], {}, {}]
    assert message["headers"]["task"] == "swarm.run_step"
    assert message["headers"]["timelimit"] == [60, None]
    assert message["properties"]["delivery_tag"] == TICKET_MARK + "99/60/R-1/2/0.k3.7"
    check(message, "swarm.lua.hi", {"swarm.run_step"})


def test_no_slot_is_left_unfilled() -> None:
    _, message = filled()
    assert "\0" not in json.dumps(message)
    assert "@@" not in json.dumps(message)


def test_the_list_name_is_the_one_kombu_pops() -> None:
    prefix, _ = filled()
    connection = app.connection_for_write()
    options = connection.transport_options
    assert prefix == options["global_keyprefix"]
    # With one priority step kombu's list is the queue's own name.
    assert options["priority_steps"] == [0]
    channel = Channel.__new__(Channel)
    channel.priority_steps, channel.sep = [0], Channel.sep
    assert channel._q_for_pri("swarm.lua.hi", 0) == "swarm.lua.hi"
