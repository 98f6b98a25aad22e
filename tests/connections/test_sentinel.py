"""Sentinels: a failover during runs, planned and unplanned."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from fault_installation import Installation, dumps, step
from flow_documents import seq
from redis_servers import HOST, Authority, Servers, free_port, tls_lines
from waiting import until

from engine.flow import evaluate, parse_node
from engine.store.server_url import ServerUrl

RUNS = 50
STEPS = 8
FLOW = seq(*[step() for _ in range(STEPS)])
MASTER_PASSWORD = "m/aster"
SENTINEL_PASSWORD = "sent/inel"


class Watched(Installation):
    """An installation whose Redis is a master with a replica that a sentinel watches."""

    def __init__(self, var: Path, servers: Servers, tls: Authority | None) -> None:
        """Start the servers and wait until the sentinel knows both."""
        super().__init__(var)
        self.servers = servers
        self.ports = free_port(), free_port()
        self.sentinel = free_port()
        for port in self.ports:
            servers.start(port, self._lines(port, tls))
        servers.start(self.sentinel, self._sentinel_lines(tls), sentinel=True)
        query = f"master_name=mymaster&sentinel_password={SENTINEL_PASSWORD}"
        query = query.replace("/", "%2F")
        password = MASTER_PASSWORD.replace("/", "%2F")
        # The first of the two is down, as it may be.
        places = f"{HOST}:{free_port()},{HOST}:{self.sentinel}"
        scheme = "sentinels" if tls else "sentinel"
        url = f"{scheme}://:{password}@{places}/0?{query}"
        if tls:
            certificate, key = tls.issue("client")
            url += f"&ssl_ca_certs={tls.folder}/ca.pem"
            url += f"&ssl_certfile={certificate}&ssl_keyfile={key}"
        self.url = url
        self.tls = tls is not None
        self.sentinel_options = ServerUrl.of(url).sentinel_options
        self.until_watched()

    def _lines(self, port: int, tls: Authority | None) -> list[str]:
        lines = [f"requirepass {MASTER_PASSWORD}", f"masterauth {MASTER_PASSWORD}"]
        lines += ["repl-diskless-sync-delay 0"]
        if not tls:
            # A master that its replica has left takes nothing any more.
            lines += ["min-replicas-to-write 1", "min-replicas-max-lag 5"]
        if port != self.ports[0]:
            lines += [f"replicaof {HOST} {self.ports[0]}"]
        if tls:
            lines += [*tls_lines(tls, port), "tls-replication yes"]
        return lines

    def _sentinel_lines(self, tls: Authority | None) -> list[str]:
        lines = [
            f"requirepass {SENTINEL_PASSWORD}",
            f"sentinel monitor mymaster {HOST} {self.ports[0]} 1",
            f"sentinel auth-pass mymaster {MASTER_PASSWORD}",
            "sentinel down-after-milliseconds mymaster 1500",
            "sentinel failover-timeout mymaster 20000",
        ]
        if tls:
            lines += [*tls_lines(tls, self.sentinel), "tls-replication yes"]
        return lines

    def ask(self, *words: str) -> object:
        """Ask the sentinel."""
        known = redis.Redis(HOST, self.sentinel, **self.sentinel_options)
        with contextlib.closing(known):
            return known.execute_command("SENTINEL", *words)

    def until_watched(self) -> None:
        """Wait until the sentinel could make the replica a master."""

        def good() -> bool:
            with contextlib.suppress(redis.RedisError, ValueError):
                [seen] = self.ask("REPLICAS", "mymaster")  # type: ignore[misc]
                return bool(seen[b"master-link-status"] == b"ok")
            return False

        until(good, 30, "the sentinel knows no replica")

    def master(self) -> int:
        """Return the port of the master as the sentinel has it."""
        _, port = self.ask("GET-MASTER-ADDR-BY-NAME", "mymaster")  # type: ignore[misc]
        return int(port)

    def archived(self, runs: list[str]) -> dict[str, str]:
        """Return the statuses of runs as the database has them."""
        return dict(
            self.rows("SELECT id, status FROM blueprints_run WHERE id IN ?", runs)
        )

    def start(self) -> None:
        """Point everything at the sentinels; there is no embedded server."""
        self.settle(self.url)


@pytest.fixture(params=["plain", "tls"])
def watched(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    made: Servers,
    authority: Authority,
) -> Iterator[Watched]:
    """Master, replica, sentinel and an installation that asks it."""
    tls = authority if request.param == "tls" else None
    installation = Watched(tmp_path_factory.mktemp("v"), made, tls)
    try:
        installation.start()
        yield installation
    finally:
        installation.stop()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_failover_with_fifty_runs_in_flight(watched: Watched) -> None:
    watched.pace(0.1)
    runs = watched.launch_with_rows(FLOW, {"n": 0}, RUNS)
    # A delivery makes one step, so that all runs get on side by side.
    for _ in range(2):
        watched.worker(concurrency=2, SWARM_STEP_BUDGET="1")
    watched.until(lambda: sum(watched.noted().values()), lambda n: n >= RUNS, 60)
    flying = sum(watched.status(run) == "running" for run in runs)
    if watched.tls:
        # The connection was not closed: the sentinel finds out.
        watched.servers.kill(watched.ports[0])
    else:
        assert watched.ask("FAILOVER", "mymaster")
    until(lambda: watched.master() == watched.ports[1], 60, "no failover")
    before = sum(watched.noted().values())
    ended = watched.until(
        lambda: watched.archived(runs), lambda got: set(got.values()) == {"done"}, 90
    )

    assert Counter(ended.values()) == {"done": RUNS}, watched.log(0) + watched.log(1)
    assert flying == RUNS
    assert sum(watched.noted().values()) > before
    want = dumps(evaluate(parse_node(FLOW), {"n": 0}, lambda ref, value: value + 1))
    results = watched.rows("SELECT result FROM blueprints_run WHERE id IN ?", runs)
    assert {dumps(json.loads(result)) for (result,) in results} == {want}
    committed = Counter(
        (run, event[1]) for run, event in watched.events(runs) if event[0] == "passed"
    )
    assert set(committed.values()) <= {1}
    steps = watched.rows(
        "SELECT run_id, place FROM blueprints_step WHERE status = 'passed'"
        " AND run_id IN ?",
        runs,
    )
    assert len(steps) == len(set(steps)) == RUNS * STEPS
    for number in (0, 1):
        assert "Traceback" not in watched.log(number)
        for secret in (MASTER_PASSWORD, SENTINEL_PASSWORD):
            assert secret not in watched.log(number)
            assert secret.replace("/", "%2F") not in watched.log(number)
