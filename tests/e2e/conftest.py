"""The commands as a person starts them; see support/command_shell.py."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from command_shell import Shell
from server_commands import stop_server


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell over a fresh installation; whatever it started is ended."""
    with closed_at_end(Shell(tmp_path_factory.mktemp("v"))) as made:
        yield made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell over one installation for a module, whose workers do the steps of `run`."""
    with closed_at_end(Shell(tmp_path_factory.mktemp("v"))) as made:
        made.env["SWARM_AGENT_MODULES"] = "blueprints.samples.functions,e2e_agents"
        up = made.start("up", "--no-web", "--keep-workers", "--concurrency", "1")
        made.until(lambda: "launch" in made.out)
        up.send_signal(signal.SIGINT)
        up.wait(30)
        yield made


@contextmanager
def closed_at_end(shell: Shell) -> Iterator[Shell]:
    """End whatever a shell has started and left."""
    try:
        yield shell
    finally:
        if list(shell.var.glob("fleets/*.json")):
            shell.run("up", "--stop")
        stop_server(shell.var)
