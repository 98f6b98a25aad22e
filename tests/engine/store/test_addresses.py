"""Addresses and places: what one function makes, another one parses."""

import pytest

from engine.store.addresses import (
    chord_at,
    chords_around,
    is_opened_within,
    lane_at,
    lane_place,
    member_of,
    owner_of,
    split_lane,
)
from engine.store.base import ROOT, BatchRef, Ref


@pytest.mark.parametrize(
    ("owner", "member"),
    [
        (Ref("R-1", 2, ROOT), "0"),
        (Ref("R-1", 2, "0.k7.3"), "0.k7.3"),
        (BatchRef("R-1", 2, "0.k7.3.k1", 3, 8), "0.k7.3.k1:3-8"),
    ],
)
def test_an_owner_is_found_by_its_address(owner: Ref | BatchRef, member: str) -> None:
    assert member_of(owner) == member
    assert owner_of("R-1", 2, member) == owner


def test_an_address_begins_with_those_of_the_chords_around_it() -> None:
    outer = chord_at(ROOT, 7)
    inner = chord_at(lane_at(outer, 3), 12)
    lane = lane_at(inner, 0)

    assert lane == "0.k7.3.k12.0"
    assert split_lane(lane) == (inner, 0)
    assert chords_around(lane) == [outer, inner]
    assert chords_around(ROOT) == []
    assert is_opened_within(ROOT, inner)
    assert is_opened_within("0.k7.3", inner)
    assert not is_opened_within("0.k7.3", "0.k7.30.k1")


def test_a_lane_has_a_place_below_its_fanout() -> None:
    assert lane_place("/children/1", 17) == "/children/1/lane[17]"
