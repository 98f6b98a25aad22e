"""An installation of its own and `manage.py` in it, as a person would use them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from living_processes import with_variable

REPO = Path(__file__).resolve().parents[2]


class Shell:
    """Runs `manage.py` with a `var` of its own and finds what it leaves behind."""

    def __init__(self, var: Path) -> None:
        self.var = var
        self.env = {
            **os.environ,
            "SWARM_VAR": str(var),
            "SWARM_AGENT_MODULES": "e2e_agents",
            "SWARM_LEASE": "3",
            "PYTHONPATH": str(Path(__file__).parent),
        }

    before: Sequence[str] = ()
    """What a command is started by, where it is not Python itself."""

    def line(self, *args: object) -> list[str]:
        """Return a command as it is started."""
        return [*self.before, sys.executable, "manage.py", *map(str, args)]

    def start(self, *args: object, **env: str) -> subprocess.Popen[str]:
        """Start a command; its output goes to files, so nothing waits for it."""
        with open(self.var / "out", "w") as out, open(self.var / "err", "w") as err:
            return subprocess.Popen(
                self.line(*args),
                cwd=REPO,
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                text=True,
                start_new_session=True,
            )

    def run(self, *args: object, **env: str) -> int:
        """Run a command to its end; the exit code."""
        return self.start(*args, **env).wait(60)

    @property
    def out(self) -> str:
        """What the last command printed."""
        return (self.var / "out").read_text()

    @property
    def err(self) -> str:
        """What the last command said on the side."""
        return (self.var / "err").read_text()

    def calls(self) -> list[str]:
        """Return what the agents noted."""
        path = self.var / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def write(self, flow: Any, **more: Any) -> Path:
        """Write a Blueprint of the test agents."""
        agents = [
            {"name": name, "kind": "python_fn", "spec": {"fn_id": f"e2e-{name}"}}
            for name in ("nap", "refuse", "talk")
        ]
        path = self.var / "blueprint.json"
        document = {"schema_version": "0.1.0", "id": "e2e", "flow": flow}
        path.write_text(json.dumps({**document, "agents": agents, **more}))
        return path

    def workers(self) -> list[str]:
        """Return the living processes that name this installation, but the server's."""
        return [
            line
            for line in with_variable("SWARM_VAR", self.var)
            if line and "embedded_server/supervisor.py" not in line
        ]

    def until(self, true: Callable[[], object], seconds: float = 30) -> None:
        """Wait for something; fails with what was said so far."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.err + "\n".join(self.workers())
            time.sleep(0.05)


def naps(*seconds: float) -> Any:
    """Return a flow of naps one after the other."""
    steps = [
        {
            "kind": "step",
            "ref": "nap",
            "in": {"op": "lit", "value": length},
            "out": {"op": "path", "at": f"$.nap{number}"},
        }
        for number, length in enumerate(seconds)
    ]
    return {"kind": "seq", "children": steps}
