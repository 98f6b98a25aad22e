"""The message template: Celery's form, filled as a store script fills it."""

import json

from bad_messages import filled, filled_template
from kombu.transport.redis import Channel

from engine.store.spec import TICKET_MARK
from swarm_project.celery import app
from workers.broker.message_checks import check


def test_a_filled_template_is_a_message_celery_reads() -> None:
    message = filled(Q="swarm.lua.hi")
    assert json.loads(message["body"]) == [["R-1", 2, "0.k3.7"], {}, {}]
    assert message["headers"]["task"] == "swarm.run_step"
    assert message["headers"]["timelimit"] == [60, None]
    assert message["properties"]["delivery_tag"] == TICKET_MARK + "99/60/R-1/2/0.k3.7"
    check(message, "swarm.lua.hi", {"swarm.run_step"})


def test_no_slot_is_left_unfilled() -> None:
    message = filled(Q="swarm.lua.hi")
    assert "\0" not in json.dumps(message)
    assert "@@" not in json.dumps(message)


def test_the_list_name_is_the_one_kombu_pops() -> None:
    prefix, _ = filled_template(Q="swarm.lua.hi")
    connection = app.connection_for_write()
    options = connection.transport_options
    assert prefix == options["global_keyprefix"]
    # With one priority step kombu's list is the queue's own name.
    assert options["priority_steps"] == [0]
    channel = Channel.__new__(Channel)
    channel.priority_steps, channel.sep = [0], Channel.sep
    assert channel._q_for_pri("swarm.lua.hi", 0) == "swarm.lua.hi"
