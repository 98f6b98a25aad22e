"""The events of a journal as sentences."""

from typing import Any

import pytest

from engine.flow.nodes import Seq
from engine.run.journal.entries import FIELDS
from engine.run.journal.sentences import SENTENCES, sentence
from engine.run.place_names import PlaceNames

NAMES = PlaceNames(Seq(()))


def test_every_kind_has_a_sentence_of_its_own_fields() -> None:
    assert SENTENCES.keys() == FIELDS.keys()
    for kind, fields in FIELDS.items():
        event = [kind, *("/a" if name == "place" else name for name in fields)]
        assert "?" not in sentence(event, NAMES), kind


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (["run_failed", "K", "no luck"], "The run failed: no luck"),
        (["passed", "/a", 2, "g", {"n": [1] * 9}],
         'Attempt 2 of /a passed: {"n":[1,1,1,"… 6 more"]}'),
        (["timed_out", "", 1, "g", "timed out after 2 s"],
         "Attempt 1 of the flow timed out after 2 s."),
        (["started"], "Attempt ? of ? started."),
        (["of a newer version", 1], "of a newer version"),
    ],
)  # fmt: skip
def test_an_event_reads_as_a_sentence(event: list[Any], text: str) -> None:
    assert sentence(event, NAMES) == text
    assert len(sentence(["failed", "/a", 1, "g", "x" * 9000], NAMES)) < 300
