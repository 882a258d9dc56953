"""Pass rates as parts of a curriculum."""

import polars as pl
import pytest

from operators.training.difficulty import difficulty


def bucket(n, c, undecided=0, estimate=None):
    key = {"model": "m", "task": "t", "problem_id": "p"}
    counts = pl.DataFrame([{**key, "n": n, "c": c, "undecided": undecided}])
    rate = c / n if estimate is None else estimate
    rates = pl.DataFrame([{**key, "estimate": rate, "low": 0.0, "high": 1.0, "level": 0.95}])
    return difficulty(counts, rates)["bucket"][0]


@pytest.mark.parametrize(
    ("c", "expected"),
    [(0, "unsolved"), (1, "hard"), (24, "hard"), (25, "medium"), (75, "medium"), (76, "easy"),
     (99, "easy"), (100, "solved")],
)  # fmt: skip
def test_buckets_begin_and_end_where_they_say(c, expected):
    assert bucket(100, c) == expected


def test_the_bucket_goes_by_the_unbiased_rate():
    """Sampling that stopped at the second pass in two tries: (r - 1) / (K - 1), not 2 / 2."""
    assert bucket(8, 2, estimate=1 / 7) == "hard"


@pytest.mark.parametrize(
    ("c", "undecided", "expected"), [(50, 20, "medium"), (20, 10, None), (0, 1, None)]
)
def test_a_bucket_that_undecided_samples_leave_open_is_null(c, undecided, expected):
    assert bucket(100, c, undecided) == expected


def test_a_problem_without_a_rate_has_no_row():
    key = {"model": "m", "task": "t", "problem_id": "p", "n": 1, "c": 1, "undecided": 0}
    rates = pl.DataFrame(
        schema={"model": pl.String, "task": pl.String, "problem_id": pl.String,
                "estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64, "level": pl.Float64}
    )  # fmt: skip
    assert difficulty(pl.DataFrame([key]), rates).is_empty()
