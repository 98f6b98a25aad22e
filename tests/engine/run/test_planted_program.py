"""A process runs only the program with which its run was started."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flow_documents import at, fanout, lit, seq, step
from random_programs import program, spawners
from store_boxes import Box

from engine.blueprint import Program
from engine.run.drive.load import OTHER_PROGRAM
from engine.store.redis import STATE
from engine.testing import Simulator

INC = step("inc", at("$.a"), "$.a")
GOOD = program(seq(INC, fanout(lit([1, 2]), seq(INC, INC)), INC))
EVIL = program(seq(INC))


def plant(box: Box, name: str, data: bytes) -> None:
    box.store.wire.call("HSET", f"{STATE}r:R-1:1:b", name, data)


@pytest.mark.parametrize(
    "planted",
    [orjson.dumps(EVIL.to_json()), b"{", b"[]", b'{"format": 1}', b'{"format": 7}'],
)
def test_a_program_that_was_put_into_the_state_ends_the_run(
    box: Box, planted: bytes
) -> None:
    called: list[Any] = []

    def script(call: Any) -> Any:
        called.append(call)
        return call.input

    made = Simulator(box.store, spawners(script))
    made.launch(GOOD, {"a": 1})
    plant(box, GOOD.program_id, planted)
    made.run()

    assert called == []
    head = box.store.head("R-1")
    assert head is not None
    assert head.status == "failed"
    entries = [orjson.loads(entry.data)["e"] for entry in box.store.journal("0", 50)]
    assert entries[-1] == [["run_failed", OTHER_PROGRAM]]


def test_the_hash_of_a_program_outlives_the_state() -> None:
    kept = orjson.dumps(GOOD.to_json())
    assert Program.from_json(orjson.loads(kept)).program_id == GOOD.program_id
