import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.importing import values
from pipelines.importing.records import RowError


@pytest.mark.parametrize("value", [True, 1, 1.0, "true", "1", "1.0", "Correct", "PASS", "C", "yes"])
def test_what_passed(value):
    assert values.verdict(value, "passed") is True


@pytest.mark.parametrize("value", [False, 0, 0.0, "False", "0", "incorrect", "fail", "I", "N"])
def test_what_failed(value):
    assert values.verdict(value, "passed") is False


@pytest.mark.parametrize("value", [None, "", "null", "NaN", math.nan, " none "])
def test_what_is_undecided(value):
    assert values.verdict(value, "passed") is None


@pytest.mark.parametrize("value", ["maybe", [], {"a": 1}])
def test_what_is_no_verdict_is_named(value):
    with pytest.raises(RowError, match=r"field passed: is .*, must be true, false"):
        values.verdict(value, "passed")


@given(st.floats(-10, 10).filter(lambda value: value not in (0, 1)))
def test_a_number_is_a_verdict_only_with_a_threshold(value):
    with pytest.raises(RowError, match="--threshold"):
        values.verdict(value, "passed")
    assert values.verdict(value, "passed", threshold=0.5) is (value >= 0.5)
    assert values.verdict(str(value), "passed", threshold=0.5) is (value >= 0.5)


@given(st.integers(0, 2**62))
def test_whole_numbers_keep_every_digit(value):
    assert values.whole(value, "n") == value
    assert values.whole(str(value), "n") == value


@pytest.mark.parametrize("value", [122.0, "122.0", " 122 "])
def test_whole_numbers_as_csv_and_pandas_write_them(value):
    assert values.whole(value, "c") == 122


@pytest.mark.parametrize("value", [-1, 1.5, "x", True, math.inf, [1]])
def test_what_is_no_whole_number_is_named(value):
    with pytest.raises(RowError, match=r"field n: is .*, must be a whole number from 0 on"):
        values.whole(value, "n")


@given(st.text(max_size=40))
def test_names_may_be_part_of_a_path(value):
    try:
        name = values.name(value)
    except RowError:
        return
    assert name[0].isalnum()
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def test_a_conversation_is_its_messages_and_their_text():
    text, messages = values.conversation(
        [{"role": "system", "content": "be brief"}, {"role": "user", "content": [{"text": "2+2?"}]}]
    )
    assert text == "be brief\n2+2?"
    assert messages == (
        '[{"role": "system", "content": "be brief"}, {"role": "user", "content": "2+2?"}]'
    )
