"""Time to register, list and compare kept Blueprints, and how it grows with history.

Run with `python -m tests.benchmarks.kept_blueprints [VERSIONS... [--blueprints N]]`;
nothing is asserted. Database and repository are below a temporary directory.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import django
from django.utils.module_loading import import_string

NODES: Final = 200
ROUNDS: Final = 15

Json = Any


def document(id: str, number: int) -> Json:
    """Return a Blueprint of 200 nodes; `number` is in one of its steps."""
    agents = [
        {"name": f"agent{n}", "kind": "lua", "spec": {"source": "return 1\n"}}
        for n in range(20)
    ]
    groups = [_group(n) for n in range(NODES // 8)]
    # The sequence of all is a node, too.
    del groups[0]["children"][-1]
    groups[number % len(groups)]["children"][-1]["in"] = f"$.n + {number}"
    flow = {"kind": "seq", "children": groups}
    return {"id": id, "dialect": "swarm", "flow": flow, "agents": agents}


def _group(n: int) -> dict[str, Json]:
    """Return 8 nodes."""
    step = {"kind": "step", "agent": f"agent{n % 20}", "in": "$.n"}
    return {
        "kind": "seq",
        "children": [
            {"kind": "assign", "at": "$.n", "value": n},
            {**step, "name": f"first {n}", "out": f"$.first{n}"},
            {
                "kind": "branch",
                "cond": f"$.first{n}.ok == true and $.n > {n}",
                "then": {**step, "name": f"then {n}", "out": f"$.then{n}"},
                "else": {"kind": "assign", "at": f"$.then{n}", "value": {"no": n}},
            },
            {**step, "in": f"$.then{n}", "name": f"second {n}", "out": f"$.second{n}"},
            {**step, "name": f"last {n}", "out": f"$.last{n}"},
        ],
    }


class Measured:
    """The wall times of operations in ms, and their CPU times."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}

    def time(self, name: str, work: Callable[[], object]) -> None:
        """Do something once and note how long it took."""
        since, cpu = time.perf_counter(), time.process_time()
        work()
        self.cpu.setdefault(name, []).append((time.process_time() - cpu) * 1000)
        self.wall.setdefault(name, []).append((time.perf_counter() - since) * 1000)

    def rows(self, where: str) -> Iterator[str]:
        """Yield a line for each operation: medians, and the slowest."""
        for name, wall in self.wall.items():
            median, cpu = statistics.median(wall), statistics.median(self.cpu[name])
            yield f"{where:<25}{name:<18}{median:9.1f}{max(wall):9.1f}{cpu:9.1f}"


class Bench:
    """One installation, whose Blueprint `main` gets more and more versions."""

    def __init__(self) -> None:
        """Register nothing yet."""
        self.number = 0
        self._client = import_string("django.test.Client")()
        service = "blueprints.services.blueprints"
        self._register = import_string(f"{service}.blueprint_register")
        self._actor = import_string(f"{service}.Actor")("Ada", "ada@example.org")
        self._content = import_string("engine.blueprint_store.Content")
        users = import_string("django.contrib.auth.get_user_model")()
        user = users.objects.create_superuser("admin", "admin@example.org", "x")
        self._client.force_login(user)

    def register(self, id: str, given: Json) -> None:
        """Register a document through the services."""
        content = self._content(given)
        self._register(id, content, actor=self._actor, message="Change it")

    def grow(self, versions: int) -> None:
        """Register versions until there are so many."""
        while self.number < versions:
            self.number += 1
            self.register("main", document("main", self.number))

    def request(self, path: str, body: bytes | None = None) -> Json:
        """Send a request; return the answer."""
        if body is None:
            answer = self._client.get(f"/v1/{path}")
        else:
            kind = "application/json"
            answer = self._client.post(f"/v1/{path}", body, content_type=kind)
        if answer.status_code >= 300:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.content!r}")
        return answer.json()

    def measure(self, rounds: int) -> tuple[Measured, Measured]:
        """Measure the services, then the routes, each operation in turn."""
        selectors = "blueprints.selectors.blueprints"
        blueprint_list = import_string(f"{selectors}.blueprint_list")
        version_list = import_string(f"{selectors}.version_list")
        content = import_string(f"{selectors}.version_content")
        chosen = import_string("blueprints.selectors.version_selector.VersionSelector")
        compare = import_string("engine.blueprint.comparison.compare")

        def diff(first: int, last: int) -> object:
            rows = version_list("main").filter(number__in=[first, last])
            new, old = rows
            return compare(
                content(new).document,
                content(old).document,
                old_identities=new.known_identities,
                new_identities=old.known_identities,
            ).to_json()

        services, routes = Measured(), Measured()
        for warm in (True, *[False] * rounds):
            into = (Measured(), Measured()) if warm else (services, routes)
            self.number += 1
            given = document("main", self.number)
            into[0].time("register", partial(self.register, "main", given))
            into[0].time("list", lambda: list(blueprint_list()[:50]))
            into[0].time("history", lambda: list(version_list("main")[:50]))
            into[0].time("head", lambda: content(chosen().resolve("main")))
            into[0].time("diff", lambda: diff(1, self.number))
            self.number += 1
            body = json.dumps(document("main", self.number)).encode()
            old = self.request("blueprints/main/versions?limit=200")["items"][-1]
            first = old["version"]
            time_route = into[1].time
            time_route("register", partial(self.request, "blueprints/main", body))
            time_route("list", lambda: self.request("blueprints"))
            time_route("history", lambda: self.request("blueprints/main/history"))
            time_route("head", lambda: self.request("blueprints/main/head"))
            path = f"blueprints/main/diff?old={first}"
            time_route("diff", partial(self.request, path))
        return services, routes


def main() -> None:
    """Print a line for each operation at each number of versions."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.kept_blueprints")
    parser.add_argument("versions", type=int, nargs="*", default=[10, 500, 2000])
    parser.add_argument("--blueprints", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swarm-bench-") as folder:
        os.environ["SWARM_VAR"] = folder
        os.environ["SWARM_BLUEPRINTS"] = str(Path(folder, "kept.git"))
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "swarm_project.settings")
        os.environ["SWARM_ALLOWED_HOSTS"] = "testserver"
        os.environ.pop("DATABASE_URL", None)
        django.setup()
        import_string("django.core.management.call_command")("migrate", verbosity=0)
        out = sys.stdout
        bench = Bench()
        # As in swarm_project/asgi.py.
        gc.freeze()
        for n in range(chosen.blueprints - 1):
            bench.register(f"other-{n}", document(f"other-{n}", n))
        out.write(
            f"{chosen.blueprints} Blueprints of {NODES} nodes; ms: median, slowest, CPU\n"
        )
        for versions in chosen.versions:
            bench.grow(versions)
            services, routes = bench.measure(chosen.rounds)
            for where, measured in (("services", services), ("routes", routes)):
                for row in measured.rows(f"{where}, {versions} versions"):
                    out.write(f"{row}\n")
                out.flush()


if __name__ == "__main__":
    main()
