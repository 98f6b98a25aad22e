"""Tests of engine/flow/spelling.py: the known word that a word is a slip of."""

import pytest

from engine.flow.spelling import slip_of

KNOWN = ("text", "draft", "topic", "round1", "box", "verdict")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("txet", "text"), ("drft", "draft"), ("drafft", "draft"), ("draff", "draft"),
     ("tpoic", "topic"), ("verdikt", "verdict"), ("texts", ""), ("boxes", ""),
     ("round2", ""), ("test", ""), ("box1", ""), ("essay", ""), ("text", "")],
)  # fmt: skip
def test_a_slip_is_one_letter_off(word: str, meant: str) -> None:
    assert slip_of(word, [one for one in KNOWN if one != word]) == meant


@pytest.mark.parametrize(
    ("word", "known"),
    [("text_de", "text_en"), ("y_min", "x_min"), ("lang_b", "lang_a"), ("text_a", "text"),
     ("yMin", "xMin"), ("textDE", "textEN"), ("YMinimum", "XMinimum"), ("draft-b", "draft-a"),
     ("temperature_max", "temperature_min"), ("translation_german", "translation_english"),
     ("texts_en", "text_en"), ("round2_text", "round1_text"), ("b_text_of", "a_text_of")],
)  # fmt: skip
def test_another_part_is_another_name(word: str, known: str) -> None:
    assert (slip_of(word, [known]), slip_of(known, [word])) == ("", "")


@pytest.mark.parametrize(
    ("word", "known"),
    [("titel", "title"), ("topc", "topic"), ("verdct", "verdict"), ("verdct_a", "verdict_a"),
     ("user_nmae", "user_name"), ("user_di", "user_id"), ("first_verdikt", "first_verdict"),
     ("userNmae", "userName"), ("username", "userName"), ("user_name", "userName"),
     ("textde", "text_de"), ("Topic", "topic")],
)  # fmt: skip
def test_a_slip_within_a_part_is_one(word: str, known: str) -> None:
    assert (slip_of(word, [known]), slip_of(known, [word])) == (known, word)
