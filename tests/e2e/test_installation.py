"""A database that was deleted, with the Redis that belonged to it."""

import json

import pytest
from command_shell import Shell, naps

pytestmark = pytest.mark.slow


def test_the_embedded_redis_is_taken_over_by_a_new_database(shell: Shell) -> None:
    file = shell.write(naps(0))
    assert shell.run("run", file) == 0, shell.err
    for path in shell.var.glob("db.sqlite3*"):
        path.unlink()

    assert shell.run("run", file) == 2
    assert "belongs to another installation" in shell.err
    assert "doctor --take-over" in shell.err
    assert shell.run("doctor", "--take-over") == 0, shell.err
    assert shell.run("run", file) == 0, shell.err
    assert json.loads(shell.out) == {"nap0": "/children/0"}
