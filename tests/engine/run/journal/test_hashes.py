"""The hashes of archived entries: what was changed is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.run.journal.entries import gap_of, pack_entry
from engine.run.journal.hashes import (
    BEFORE_FIRST,
    CHANGED,
    COLUMN,
    MISSING,
    ORDER,
    ArchivedEntry,
    JournalCheck,
    JournalFault,
    entry_hash,
)

RUN, GEN = "R-1", 3


def archived(*contents: bytes, numbers: list[int] | None = None) -> list[ArchivedEntry]:
    """Return entries with the hashes that the archive gives them."""
    made, last = [], BEFORE_FIRST
    for number, data in zip(
        numbers or range(1, len(contents) + 1), contents, strict=True
    ):
        last = entry_hash(last, RUN, GEN, number, 1000 * number, data)
        made.append(ArchivedEntry(number, 1000 * number, data, last))
    return made


def faults(
    entries: list[ArchivedEntry], whole: list[ArchivedEntry]
) -> list[JournalFault]:
    """Return what a check finds in entries, where the run keeps the end of all."""
    check = JournalCheck(RUN, GEN)
    found = [fault for entry in entries for fault in check.add(entry)]
    end = whole[-1] if whole else ArchivedEntry(0, 0, b"", BEFORE_FIRST)
    return [*found, *check.end(end.number, end.hash)]


def kinds(entries: list[ArchivedEntry], whole: list[ArchivedEntry]) -> list[object]:
    return [(fault.number, fault.kind) for fault in faults(entries, whole)]


FIVE = archived(*(pack_entry("0", n, "w", [["checkpoint", "/x"]]) for n in range(5)))


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_what_was_archived_has_no_fault(contents: list[bytes]) -> None:
    made = archived(*contents)
    assert faults(made, made) == []


@given(st.data())
def test_any_change_of_any_entry_is_found(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, 4))
    one = FIVE[at]
    changed = data.draw(
        st.one_of(
            st.binary().map(lambda b: replace(one, data=b)),
            st.integers(0, 1 << 52).map(lambda n: replace(one, at_us=n)),
            st.integers(0, 20).map(lambda n: replace(one, number=n)),
            st.binary(min_size=32, max_size=32).map(lambda b: replace(one, hash=b)),
        )
    )
    made = [*FIVE[:at], changed, *FIVE[at + 1 :]]
    assert bool(faults(made, FIVE)) == (changed != one)


def test_a_changed_entry_is_named() -> None:
    made = [*FIVE[:2], replace(FIVE[2], data=b"{}"), *FIVE[3:]]
    [fault] = faults(made, FIVE)
    assert fault.to_json() == {
        "run": RUN,
        "generation": GEN,
        "number": 3,
        "kind": CHANGED,
        "text": "its hash does not follow from its bytes, its time and the hash of entry"
        " 2: it or that one is not what was archived",
    }


def test_a_missing_entry_is_named_and_those_after_it_are_not_blamed() -> None:
    assert kinds([FIVE[0], FIVE[3], FIVE[4]], FIVE) == [(2, MISSING)]
    assert "entries 2 to 3" in faults([FIVE[0], FIVE[3], FIVE[4]], FIVE)[0].text
    assert kinds(FIVE[1:], FIVE) == [(1, MISSING)]
    assert kinds(FIVE[:3], FIVE) == [(4, MISSING)]
    assert kinds([], FIVE) == [(1, MISSING)]


def test_two_entries_in_the_wrong_order_are_named() -> None:
    swapped = [replace(FIVE[2], number=2), replace(FIVE[1], number=3)]
    made = [FIVE[0], *swapped, *FIVE[3:]]
    assert kinds(made, FIVE) == [(2, CHANGED), (3, ORDER)]
    made = [FIVE[0], FIVE[2], FIVE[1], *FIVE[3:]]
    assert (2, ORDER) in kinds(made, FIVE)


def test_a_last_entry_with_another_hash_is_found_by_what_the_run_keeps() -> None:
    forged = archived(*(entry.data for entry in FIVE[:4]), b"{}")
    assert kinds(forged, FIVE) == [(5, CHANGED)]


def test_a_recorded_gap_is_no_missing_entry() -> None:
    gap = pack_entry("0", 0, "", [gap_of(4, "not JSON")])
    made = archived(FIVE[0].data, gap, FIVE[4].data, numbers=[1, 2, 5])
    assert faults(made, made) == []
    check = JournalCheck(RUN, GEN)
    assert not any(fault for entry in made for fault in check.add(entry))
    assert check.gaps == [
        {"generation": GEN, "number": 2, "upto": 4, "text": "not JSON"}
    ]
    assert kinds([made[0], made[2]], made) == [(2, MISSING)]


def test_an_entry_under_a_wrong_address_is_found() -> None:
    made = [*FIVE[:4], replace(FIVE[4], addr="0.k1.2")]
    assert kinds(made, FIVE) == [(5, COLUMN)]
    assert kinds([replace(one, addr="0") for one in FIVE], FIVE) == []
