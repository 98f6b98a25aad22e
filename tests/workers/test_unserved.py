"""What is advised where a run waits for a queue that no worker serves."""

from workers.unserved import advice


def test_the_advice_starts_what_serves_the_queue():
    kinds = {"swarm.subprocess": "subprocess", "swarm.python_fn.hi": "python_fn"}
    kinds["gpu"] = "python_fn"

    assert advice("swarm.subprocess", kinds) == (
        "no worker serves swarm.subprocess;"
        " start `python manage.py fleet --kind subprocess`"
    )
    assert advice("swarm.python_fn.hi", kinds).endswith("--kind python_fn`")
    assert advice("gpu", kinds).endswith("--kind python_fn --queues gpu`")
    # A queue of somebody's own: only they know its kind.
    assert advice("other", kinds).endswith("fleet --kind KIND --queues other`")
    assert advice("swarm.engine", kinds).endswith("start `python manage.py up`")
