"""scores -> counts: how many samples of each problem there are, and how many passed.

Reads narrow columns only, so that a hundred million samples are counted without a completion.
"""

import polars as pl


def count(scores: pl.LazyFrame, limits: pl.DataFrame | None = None) -> pl.DataFrame:
    """Count the samples of one cell, problem by problem.

    Args:
        scores: columns of schema SCORES, each sample once.
        limits: problem_id and `limit`; counts only sample ids below a problem's limit, and only
            problems that have one. None counts everything.

    Returns:
        problem_id, n, c, undecided, distinct_answers and completion_tokens, sorted by problem.
        An undecided sample is counted in n and not in c. completion_tokens is null where a sample
        came without.
    """
    # Votes first: rows collapse to distinct answers in one streaming pass, which gives the number
    # of distinct answers for a fraction of the time and memory of n_unique.
    votes = (
        _below(scores, limits)
        .group_by("problem_id", "answer")
        .agg(
            n=pl.len(),
            c=pl.col("passed").sum(),
            undecided=pl.col("passed").null_count(),
            completion_tokens=pl.col("completion_tokens").sum(),
            untold=pl.col("completion_tokens").null_count(),
        )
    )
    counts = votes.group_by("problem_id").agg(
        pl.col("n", "c", "undecided").sum().cast(pl.Int64),
        distinct_answers=pl.col("answer").count().cast(pl.Int64),
        completion_tokens=pl.when(pl.col("untold").sum() == 0).then(
            pl.col("completion_tokens").sum()
        ),
    )
    return counts.sort("problem_id").collect(engine="streaming")


def nth_pass(scores: pl.LazyFrame, r: int, limits: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return problem_id and nth_pass, the sample id of the r-th pass, where there are r passes."""
    passes = _below(scores, limits).filter("passed").group_by("problem_id")
    first = passes.agg(passes=pl.len(), nth_pass=pl.col("sample_id").bottom_k(r).max())
    reached = first.filter(pl.col("passes") >= r).select("problem_id", "nth_pass")
    return reached.sort("problem_id").collect(engine="streaming")


def _below(scores: pl.LazyFrame, limits: pl.DataFrame | None) -> pl.LazyFrame:
    if limits is None:
        return scores
    known = limits.lazy().select("problem_id", pl.col("limit").cast(pl.Int64))
    return scores.join(known, on="problem_id").filter(pl.col("sample_id") < pl.col("limit"))
