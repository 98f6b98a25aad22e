"""Results of a batch of lanes before they are committed."""

import math
from typing import Any

import pytest

from engine.run.drive.lanes import BYTES, RESULTS, Batch


@pytest.mark.parametrize(
    ("results", "full"),
    [
        ([(b"x", None)] * (RESULTS - 1), False),
        ([(b"x", None)] * RESULTS, True),
        ([(b"x" * (BYTES // 2), None)], False),
        ([(b"x" * (BYTES // 2), None)] * 2, True),
        ([(b"", b"x" * BYTES)], True),
    ],
)
def test_results_in_hand_are_bounded_by_number_and_by_bytes(
    results: list[tuple[bytes, bytes | None]], full: bool
) -> None:
    nothing: Any = None
    batch = Batch(nothing, "", nothing, nothing, nothing, [], 0, 0.0, math.inf)
    for log, failure in results:
        batch.add(log, failure)
    assert batch.full is full
