"""Tests of engine/ids.py."""

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.ids import KINDS, check_id, new_id, uuid7_hex


@pytest.mark.parametrize("prefix", KINDS)
def test_a_new_id_passes_its_own_check(prefix):
    made = new_id(prefix)

    assert re.fullmatch(rf"{prefix}-[0-9a-f]{{32}}", made)
    assert check_id(prefix, made) == made


def test_the_hex_is_a_uuid_of_version_7_with_the_time_in_front():
    before = time.time_ns() // 1_000_000
    digits = uuid7_hex()
    after = time.time_ns() // 1_000_000 + 1

    assert digits[12] == "7"
    assert digits[16] in "89ab"
    assert before <= int(digits[:12], 16) <= after


def test_ids_of_a_process_sort_by_age():
    made = [uuid7_hex() for _ in range(5_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_still_rise_when_the_clock_is_set_back(monkeypatch):
    first = uuid7_hex()
    monkeypatch.setattr(time, "time_ns", lambda: 0)

    assert uuid7_hex() > first


def test_threads_never_get_the_same_id():
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: uuid7_hex()[:16], range(4_000)))

    assert len(set(made)) == len(made)


def test_a_forked_child_makes_other_ids_than_its_parent(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, uuid7_hex().encode())
        os._exit(0)
    own = uuid7_hex()
    os.waitpid(child, 0)
    theirs = os.read(reader, 32).decode()
    os.close(reader)
    os.close(writer)

    assert len(theirs) == 32
    assert own != theirs


def test_an_unknown_prefix_is_refused():
    with pytest.raises(ValueError, match="unknown id prefix 'X'; known: T, R"):
        new_id("X")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a run id: ''"),
        ("R", "expected R-<32 hex digits>"),
        ("X-" + "0" * 32, "expected R-<32 hex digits>"),
        ("T-" + "0" * 32, "is a task id"),
        ("ST-" + "0" * 32, "is a step id"),
        ("R-" + "0" * 31, "expected 32 lower-case hex digits"),
        ("R-" + "A" * 32, "expected 32 lower-case hex digits"),
        ("R-" + "0" * 32 + "\n", "expected 32 lower-case hex digits"),
    ],
)
def test_what_is_no_run_id_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        check_id("R", text)
