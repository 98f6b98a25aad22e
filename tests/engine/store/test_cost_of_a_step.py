"""What a step in continuation costs: one script call, its commands, and its bytes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from store_boxes import Box
from store_calls import A, begin, move

from engine.store.base import Moved

STEPS = 50
COMMANDS = ("evalsha", "hmget", "time", "get", "setrange", "xadd", "hset", "zadd")
MOST_BYTES = 2_048
"""Besides the edits."""


def counted(box: Box) -> tuple[Counter[str], int]:
    """Return how often the server ran each command, and the bytes it received."""
    stats: dict[str, Any] = box.client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}
    calls.pop("info", None)
    return Counter(calls), box.client.info("stats")["total_net_input_bytes"]


def test_a_step_in_continuation_is_one_call_with_few_commands(box: Box) -> None:
    begin(box)
    box.store.commit(move("c"))
    (before, bytes_before), trips = counted(box), box.store.wire.calls
    for seq in range(1, STEPS + 1):
        answer = box.store.commit(move("c", seq=seq, offset=3 + 5 * seq, by=A))
        assert isinstance(answer, Moved)
        assert answer.deadline_ms
    after, bytes_after = counted(box)
    assert box.store.wire.calls - trips == STEPS
    assert after - before == Counter(dict.fromkeys(COMMANDS, STEPS))
    # The key of the generation is in what is sent, and no template of a message.
    assert (bytes_after - bytes_before) / STEPS < MOST_BYTES
