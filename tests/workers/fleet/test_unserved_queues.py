"""The advice for a run that waits for a queue that no worker serves."""

from workers.fleet.unserved_queues import server_of


def test_the_advice_starts_what_serves_the_queue():
    kinds = {"swarm.subprocess": "subprocess", "swarm.python_fn.hi": "python_fn"}
    kinds["gpu"] = "python_fn"

    start = "python manage.py fleet --kind"

    assert server_of("swarm.subprocess", kinds) == f"{start} subprocess"
    assert server_of("swarm.python_fn.hi", kinds) == f"{start} python_fn"
    assert server_of("gpu", kinds) == f"{start} python_fn --queues gpu"
    # A queue of somebody's own: only they know its kind.
    assert server_of("other", kinds) == f"{start} KIND --queues other"
    assert server_of("swarm.engine", kinds) == "python manage.py up"
