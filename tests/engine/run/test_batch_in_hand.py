"""What a batch of lanes holds before it commits."""

import math
from typing import Any

import pytest

from engine.run.lanes import BYTES, RESULTS, Batch
from engine.store.base import LaneResult


@pytest.mark.parametrize(
    ("results", "full"),
    [
        ([LaneResult(b"x")] * (RESULTS - 1), False),
        ([LaneResult(b"x")] * RESULTS, True),
        ([LaneResult(b"x" * (BYTES // 2))], False),
        ([LaneResult(b"x" * (BYTES // 2))] * 2, True),
        ([LaneResult(b"", b"x" * BYTES)], True),
    ],
)
def test_results_in_hand_are_bounded_by_number_and_by_bytes(
    results: list[LaneResult], full: bool
) -> None:
    nothing: Any = None
    batch = Batch(
        nothing, "", nothing, nothing, nothing, [], 0, 0.0, math.inf, results=results
    )
    assert batch.full is full
