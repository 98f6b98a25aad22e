"""A resume that was cut short: the steward finishes it, unless a pause came in between."""

from __future__ import annotations

from store_boxes import Box
from store_calls import KEY, LUA, RUN, B, check, opened, ref, spec

from engine.store.base import Refused
from engine.store.redis import RedisStore

HELD = 230


def paused(box: Box) -> None:
    """Pause a run with more held lanes than one call of resume dispatches."""
    opened(box, spec(size=HELD))
    box.store.pause(RUN)
    while (message := box.pop(LUA)) is not None:
        assert box.store.claim(ref(message.addr), B, LUA) == Refused("held")


def sent(box: Box) -> list[str]:
    return sorted(message.addr for message in box.messages(LUA))


ALL = sorted(f"0.k1.{i}" for i in range(HELD))


def test_a_resume_that_was_cut_short_is_finished(box: Box, store: RedisStore) -> None:
    paused(box)
    box.resume_cut_short(RUN)
    store.finish_resumes()
    check(box)
    assert sent(box) == ALL
    assert store.finish_resumes() == 0
    assert sent(box) == ALL


def test_a_whole_resume_leaves_nothing_to_finish(box: Box, store: RedisStore) -> None:
    paused(box)
    assert store.resume(RUN) == "ok"
    assert store.finish_resumes() == 0
    assert sent(box) == ALL


def test_a_pause_meanwhile_holds_what_is_left(box: Box, store: RedisStore) -> None:
    paused(box)
    box.resume_cut_short(RUN)
    store.pause(RUN)
    before = sent(box)
    assert store.finish_resumes() == 0
    assert store.head(RUN).status == "paused"  # type: ignore[union-attr]
    assert sent(box) == before
    check(box)
    assert store.resume(RUN) == "ok"
    assert sent(box) == ALL
    check(box)


def test_a_run_that_is_over_has_no_resume_to_finish(
    box: Box, store: RedisStore
) -> None:
    paused(box)
    box.resume_cut_short(RUN)
    before = sent(box)
    store.finish(RUN, 1, "cancelled", "by a test")
    assert store.finish_resumes() == 0
    assert sent(box) == before
    store.remove(KEY)
    assert store.finish_resumes() == 0


def test_no_page_of_a_resume_undoes_a_later_pause(box: Box) -> None:
    paused(box)
    inner, calls = box.store.wire.script, []

    def script(name: str, *args: object) -> list[object]:
        answer = inner(name, *args)
        calls.append(name)
        if len(calls) == 1:
            inner("pause", RUN, b'{"e":[["run_paused"]]}')
        return answer

    box.store.wire.script = script  # type: ignore[method-assign]
    assert box.store.resume(RUN) == "ok"
    assert box.store.head(RUN).status == "paused"  # type: ignore[union-attr]
    assert len(sent(box)) == 100
    assert box.client.keys("swarm:s:resuming") == []
    check(box)
