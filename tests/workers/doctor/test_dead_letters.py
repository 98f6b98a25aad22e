"""The report of dead letters."""

import json

import pytest
import redis
from django.core.management import call_command
from rig import Rig

from engine.store.dead_letters import DEAD
from workers.doctor.dead_letters import findings


def test_doctor_reports_how_many_dead_letters_there_are_and_why(
    rig: Rig, redis_url: str
) -> None:
    client = redis.Redis.from_url(redis_url)
    assert [(f.level, f.text) for f in findings(client)] == [("ok", "none")]

    rig.store.bury("swarm.lua", "not JSON", b"{")
    rig.store.bury("journal", "it has no run", b"{}")
    [finding] = findings(client)
    assert finding.level == "warn"
    assert finding.text == (
        "1 from journal, 1 from swarm.lua; the newest: journal: it has no run;"
        " swarm.lua: not JSON"
    )
    assert "doctor --dead-letters" in finding.hint

    kept = client.lrange(DEAD, 0, -1)
    client.delete(DEAD)
    client.rpush(DEAD, *(b"1000" + raw[raw.index(b"\n") :] for raw in kept))
    assert [f.level for f in findings(client)] == ["ok"]
    client.close()


def test_dead_letters_are_shown_a_line_each_and_as_text(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.store.bury("swarm.lua", "not JSON", b"\x1b[2J\xff\n")
    call_command("doctor", "--dead-letters")
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    [line] = out.splitlines()
    row = json.loads(line)
    assert (row["source"], row["why"], row["size"]) == ("swarm.lua", "not JSON", 6)
    assert row["text"] == "\x1b[2J\\xff\n"
