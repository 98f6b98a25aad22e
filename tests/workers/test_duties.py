"""The steward's duties: one that fails holds up no other."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.duties import MAX_WAIT_S, Duty, do_due


def noting(done: list[str], name: str, error: Exception | None = None) -> Duty:
    """Return a duty, always due, that notes itself and fails if told to."""

    def act() -> None:
        done.append(name)
        if error is not None:
            raise error

    return Duty(0.0, act)


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

    duty = Duty(0.0, act)
    for _ in range(5):
        duty.due = 0.0
        do_due([duty], always)
    said = [record.message for record in caplog.records]
    assert said == [f"steward: {text}; trying again" for text in ("one", "two", "two")]


def test_a_duty_that_goes_on_failing_is_tried_less_often() -> None:
    done: list[str] = []
    bad = noting(done, "bad", ValueError("no"))
    do_due([bad], always)
    do_due([bad], always)
    assert done == ["bad"]
    for _ in range(20):
        bad.due = 0.0
        do_due([bad], always)
    assert bad.wait_s == MAX_WAIT_S


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
