"""Cluster mode: scripts touch keys of a run that would be on several servers."""

import contextlib

from redis_servers import HOST, Servers, free_port

from engine.store.server_url import ServerUrl
from workers.doctor.checks import CHECKS


def test_doctor_refuses_a_cluster_node(made: Servers) -> None:
    port = free_port()
    made.start(port, ["cluster-enabled yes", f"cluster-port {free_port()}"])
    client = ServerUrl.of(f"redis://{HOST}:{port}").client()
    with contextlib.closing(client):
        [found] = CHECKS["cluster"](client)

    assert found.level == "fail"
    assert found.hint == "use a server that is no cluster node"
