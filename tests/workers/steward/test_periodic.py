"""The steward's duties: one that fails delays no other."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from faster_clock import FasterClock
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.steward.periodic import MAX_WAIT_S, Duty, do_due


def noting(
    done: list[str],
    name: str,
    error: Exception | None = None,
    clock: Callable[[], float] = FasterClock(),  # noqa: B008 - none of these advances it
) -> Duty:
    """Return a duty that is always due, records its calls and optionally fails."""

    def act() -> None:
        done.append(name)
        if error is not None:
            raise error

    return Duty(0.0, act, clock)


def always() -> bool:
    return True


def test_a_duty_that_fails_does_not_keep_the_later_ones_waiting() -> None:
    done: list[str] = []
    duties = [noting(done, "bad", ValueError("no")), noting(done, "good")]
    assert not do_due(duties, always)
    assert done == ["bad", "good"]


def test_a_failure_is_logged_once_a_text_and_again_after_a_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts = iter(["one", "one", "two", "", "two"])

    def act() -> None:
        if text := next(texts):
            raise ValueError(text)

    clock = FasterClock()
    duty = Duty(0.0, act, clock)
    for _ in range(5):
        clock.advance(MAX_WAIT_S)
        do_due([duty], always)
    messages = [record.message for record in caplog.records]
    assert messages == [
        f"steward: {text}; trying again" for text in ("one", "two", "two")
    ]


def test_a_duty_that_keeps_failing_is_tried_less_often() -> None:
    done: list[str] = []
    clock = FasterClock()
    bad = noting(done, "bad", ValueError("no"), clock)
    do_due([bad], always)
    do_due([bad], always)
    assert done == ["bad"]
    for _ in range(20):
        clock.advance(MAX_WAIT_S)
        do_due([bad], always)
    assert len(done) == 21
    clock.advance(MAX_WAIT_S - 1)
    do_due([bad], always)
    assert len(done) == 21
    clock.advance(1)
    do_due([bad], always)
    assert len(done) == 22


@pytest.mark.parametrize(
    "error", [RedisConnectionError("away"), OperationalError("locked"), OSError("gone")]
)
def test_what_is_away_ends_the_round_and_the_others_come_first_in_the_next(
    error: Exception,
) -> None:
    done: list[str] = []
    duties = [noting(done, "away", error), noting(done, "good"), noting(done, "too")]
    for _ in range(2):
        with pytest.raises(type(error)):
            do_due(duties, always)
    # A dead Redis is asked once a round, and no duty is left out for ever.
    assert done == ["away", "good", "too", "away"]


def test_nothing_is_done_without_the_lock() -> None:
    done: list[str] = []
    answers: list[bool] = [True, False]
    may: Callable[[], Any] = lambda: answers.pop(0)  # noqa: E731
    do_due([noting(done, "one"), noting(done, "two")], may)
    assert done == ["one"]
