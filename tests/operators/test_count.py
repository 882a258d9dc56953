"""`count` and `nth_pass` against a count in plain Python."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.count import count, nth_pass
from operators.schemas import SCORES

READ = ["problem_id", "sample_id", "answer", "passed", "completion_tokens"]
SCHEMA = pl.DataFrame(pl.from_arrow(SCORES.empty_table())).select(READ).schema
COUNTED = ["problem_id", "n", "c", "undecided", "distinct_answers", "completion_tokens"]


@st.composite
def score_tables(draw):
    """Rows in any order, each sample of a problem once, with gaps, nulls and null answers."""
    row = st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 30),
        st.sampled_from(["1", "2", "", None]),
        st.sampled_from([True, False, None]),
        st.integers(0, 2**31 - 1),
    )
    return draw(st.lists(row, max_size=40, unique_by=lambda row: row[:2]))


limit_tables = st.none() | st.dictionaries(st.sampled_from("abcd"), st.integers(0, 32))


def frames(rows, limits):
    scores = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    if limits is None:
        return scores.lazy(), None
    return scores.lazy(), pl.DataFrame(
        {"problem_id": list(limits), "limit": list(limits.values())},
        schema={"problem_id": pl.String, "limit": pl.Int64},
    )


def kept(rows, limits):
    return [row for row in rows if limits is None or row[1] < limits.get(row[0], 0)]


@given(score_tables(), limit_tables)
@settings(deadline=None, max_examples=100)
def test_counts_are_those_of_plain_python(rows, limits):
    expected = []
    for name in sorted({row[0] for row in kept(rows, limits)}):
        own = [row for row in kept(rows, limits) if row[0] == name]
        passed = [row[3] for row in own]
        answers = {row[2] for row in own} - {None}
        tokens = sum(row[4] for row in own)
        expected.append(
            (name, len(own), passed.count(True), passed.count(None), len(answers), tokens)
        )
    counted = count(*frames(rows, limits))
    assert counted.columns == COUNTED
    assert counted.dtypes == [pl.String] + [pl.Int64] * 5
    assert counted.rows() == expected


@given(score_tables(), st.integers(1, 4), limit_tables)
@settings(deadline=None, max_examples=100)
def test_nth_pass_is_that_of_plain_python(rows, r, limits):
    expected = []
    for name in sorted({row[0] for row in rows}):
        ids = sorted(row[1] for row in kept(rows, limits) if row[0] == name and row[3])
        if len(ids) >= r:
            expected.append((name, ids[r - 1]))
    scores, below = frames(rows, limits)
    assert nth_pass(scores, r, below).rows() == expected


def test_nothing_gives_an_empty_table():
    scores, _ = frames([], None)
    assert count(scores).is_empty()
    assert count(scores).columns == COUNTED
    assert nth_pass(scores, 2).columns == ["problem_id", "nth_pass"]
    assert nth_pass(scores, 2).is_empty()


def test_more_tokens_than_32_bits_hold():
    rows = [("a", i, str(i % 2), False, 2**31 - 1) for i in range(4)]
    assert count(frames(rows, None)[0])["completion_tokens"].item() == 4 * (2**31 - 1)
