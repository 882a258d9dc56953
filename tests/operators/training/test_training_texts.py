"""Which texts are the same, and which the most different."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.training.texts import most_different, text_digest


@settings(deadline=None)
@given(st.text(), st.text())
def test_texts_are_exactly_the_same_only_if_they_are(one, other):
    assert (text_digest(one, "exact") == text_digest(other, "exact")) == (one == other)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1)))
def test_white_space_makes_no_difference_once_normalised(words):
    spaced, lined = "  ".join(words), " " + "\n".join(words) + "\t"
    assert text_digest(spaced, "normalised") == text_digest(lined, "normalised")


def test_the_farthest_text_comes_next():
    texts = ["a b c d", "a b c d e", "a b x y", "q r s t", "a b c d"]
    assert most_different(texts, 3) == [0, 3, 2]


@settings(deadline=None)
@given(st.lists(st.text("ab ", max_size=8), min_size=1, max_size=9), st.integers(1, 12))
def test_no_text_is_taken_twice_and_as_many_as_there_are(texts, count):
    taken = most_different(texts, count)
    assert len(taken) == len(set(taken)) == min(count, len(texts))


def test_none_of_them_is_refused():
    with pytest.raises(ValueError, match="count 0: must be >= 1"):
        most_different(["a"], 0)
