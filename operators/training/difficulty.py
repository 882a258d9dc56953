"""counts and rates -> how difficult each problem is for each model, for curricula.

Knows tables of results; not prompts, nor what anybody trains.
"""

import polars as pl

BUCKETS = ("unsolved", "hard", "medium", "easy", "solved")
"""From never passed to always: below 1/4, up to 3/4, and above are hard, medium and easy."""


def difficulty(counts: pl.DataFrame, rates: pl.DataFrame) -> pl.DataFrame:
    """Return the pass rate of each problem and the part of a curriculum that it belongs to.

    Args:
        counts: schema COUNTS.
        rates: schema RATES, unbiased under the rule that stopped the sampling.

    Returns:
        A row for each row of `counts` that has a rate: model, task, problem_id, n, c, undecided,
        pass_rate, low, high, interval (the level of low and high) and bucket, one of BUCKETS;
        null where samples that nobody could judge leave open which.
    """
    joined = counts.join(
        rates, on=["model", "task", "problem_id"], how="inner", maintain_order="left"
    )
    most = pl.col("c") + pl.col("undecided")
    # Undecided samples may have passed: a bucket stands where it is the same either way.
    least = _bucket(pl.col("estimate"), pl.col("c"))
    might = _bucket(pl.col("estimate") + pl.col("undecided") / pl.col("n"), most)
    return joined.select(
        "model",
        "task",
        "problem_id",
        "n",
        "c",
        "undecided",
        pass_rate="estimate",
        low="low",
        high="high",
        interval="level",
        bucket=pl.when(least == might).then(least),
    )


def _bucket(rate: pl.Expr, passes: pl.Expr) -> pl.Expr:
    words = [pl.lit(name) for name in BUCKETS]
    return (
        pl.when(passes == 0).then(words[0])
        .when(passes == pl.col("n")).then(words[4])
        .when(rate < 0.25).then(words[1])
        .when(rate <= 0.75).then(words[2])
        .otherwise(words[3])
    )  # fmt: skip
