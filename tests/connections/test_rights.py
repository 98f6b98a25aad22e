"""A user of Redis' ACL without a right that is needed: told in one line, never waited for."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_shell import REPO, Shell, naps
from redis_servers import HOST, Servers, free_port

from engine.store.address import Address
from workers.fleets import SetupFailed, reach, worker_command
from workers.rights import RULE

GUIDE = (REPO / "docs/guides/run-a-fleet.md").read_text()
LACKING = {
    "&*": ("resetchannels", "all channels (`&*`)"),
    "~swarm:*": ("~other:*", "all keys of `swarm:*` (`~swarm:*`)"),
    "+info": ("-info", "the command `info`"),
    "-@admin": ("-@scripting", "the command `eval`"),
}


def url(made: Servers, rule: str) -> str:
    """Start a server with one user, called `s3cret-key`; its URL."""
    port = free_port()
    user = rule.replace("NAME", "s3cret-key").replace("PASSWORD", "s3cret")
    made.start(port, ["user default off", user])
    return f"redis://s3cret-key:s3cret@{HOST}:{port}/0"


@pytest.mark.parametrize("right", LACKING)
def test_the_right_that_is_missing_is_named(right: str, made: Servers) -> None:
    without, told = LACKING[right]
    with pytest.raises(SetupFailed) as refused:
        reach(Address.of(url(made, RULE.replace(right, without))))

    assert told in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.slow
def test_commands_and_workers_refuse_a_user_without_channels(
    made: Servers, shell: Shell
) -> None:
    env = {"SWARM_REDIS_URL": url(made, RULE.replace("&*", "resetchannels"))}
    assert shell.run("run", shell.write(naps(0)), **env) == 2
    said = [shell.err]
    assert shell.run("doctor", **env) == 1
    said.append(shell.out)
    command: Any = worker_command(["swarm.engine"], name="w", concurrency=1)
    worker = subprocess.run(
        command,
        cwd=Path(REPO),
        env={**shell.env, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert worker.returncode == 2, worker.stderr
    said.append(worker.stdout + worker.stderr)

    for text in said:
        assert text.count("may not listen to all channels (`&*`)") == 1
        assert "Traceback" not in text
        assert "s3cret" not in text


@pytest.mark.slow
def test_the_rule_of_the_guide_is_enough(made: Servers, shell: Shell) -> None:
    assert f"`{RULE.replace('NAME', 'swarm')}`" in GUIDE
    env = {"SWARM_REDIS_URL": url(made, RULE)}
    assert shell.run("run", shell.write(naps(0, 0)), **env) == 0, shell.err
    assert shell.run("doctor", **env) == 0, shell.out
    for log in (shell.var / "log").iterdir():
        assert "permission" not in log.read_text()
