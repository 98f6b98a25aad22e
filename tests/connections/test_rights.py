"""A user of Redis' ACL without a needed right is reported in one line, without a wait."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_shell import REPO, Shell, naps
from redis_servers import HOST, Servers, free_port

from engine.store.server_url import ServerUrl
from workers.broker.redis_permissions import RULE
from workers.fleet.fleet import worker_command
from workers.fleet.prerequisites import SetupFailed, reach

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
    without, message = LACKING[right]
    with pytest.raises(SetupFailed) as refused:
        reach(ServerUrl.of(url(made, RULE.replace(right, without))))

    assert message in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.slow
def test_commands_and_workers_refuse_a_user_without_channels(
    made: Servers, shell: Shell
) -> None:
    env = {"SWARM_REDIS_URL": url(made, RULE.replace("&*", "resetchannels"))}
    assert shell.run("run", shell.write(naps(0)), **env) == 2
    printed = [shell.err]
    assert shell.run("doctor", **env) == 1
    printed.append(shell.out)
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
    printed.append(worker.stdout + worker.stderr)

    for text in printed:
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
