"""scores -> standings: what a completion's choice goes by, under the selector that is named.

A selector is `verdict`, `majority`, a column of numbers, or a weighted vote such as
`borda(self_certainty)`. Knows one cell's scores; not which samples may be chosen, nor their texts.
"""

import re
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl

from operators.confidence.columns import with_likelihoods
from operators.schemas import RECORDED
from operators.selection.candidates import Candidates, Weighting
from operators.selection.weightings import borda, confidence_informed, weighted_majority

VERDICT = "verdict"
NUMBERS = ("score", *RECORDED, "mean_logprob")
"""Columns that a completion may be chosen by."""
_VOTES: Mapping[str, Callable[[str], Weighting]] = {
    "borda": borda,
    "confidence_informed": confidence_informed,
    "weighted_majority": weighted_majority,
}
_CALL = re.compile(r"(\w+)\((\w+)\)")


def check_selector(by: str) -> None:
    """Raise ValueError, naming what is allowed, where no selector has this name."""
    call = _CALL.fullmatch(by)
    known = by in (VERDICT, "majority", *NUMBERS)
    if not known and not (call and call[1] in _VOTES and call[2] in NUMBERS):
        raise ValueError(
            f"{by!r} is no selector; give {VERDICT}, majority, one of {', '.join(NUMBERS)}, or a "
            f"vote of one of these, as in borda(self_certainty) ({', '.join(_VOTES)})"
        )


def is_vote(by: str) -> bool:
    """Whether a selector chooses an answer, by a sum over its completions."""
    return by == "majority" or "(" in by


def columns_of(by: str) -> list[str]:
    """Return the columns of schema SCORES that a selector reads, besides answers and verdicts."""
    call = _CALL.fullmatch(by)
    column = call[2] if call else by
    if column == "mean_logprob":
        return ["sum_logprob"]
    return [column] if column in NUMBERS else []


def with_standing(scores: pl.DataFrame, by: str) -> pl.DataFrame:
    """Add what each completion is chosen by, and what orders those of equal standing.

    Args:
        scores: problem_id, answer, passed, completion_tokens and `columns_of(by)`.
        by: a selector.

    Returns:
        The table with, as f64, null where it is unknown:
        standing: for a vote the share of all weight that the completion's answer has, in [0, 1],
        for `majority` its vote share (Wang et al., arXiv 2203.11171); for `verdict` 1 or 0; else
        the value of the column.
        weight: the completion's own in a vote; else its standing.

    Raises:
        ValueError: there is no such selector, or a weight of a weighted majority is negative.
    """
    check_selector(by)
    if "sum_logprob" in scores.columns:
        scores = with_likelihoods(scores).drop("sequence_probability", "perplexity")
    if not is_vote(by):
        value = pl.col("passed" if by == VERDICT else by).cast(pl.Float64)
        return scores.with_columns(standing=value.fill_nan(None), weight=value.fill_nan(None))
    weighed = _weighed(scores, by)
    total = pl.col("weight").sum()
    share = total.over("problem_id", "answer") / total.over("problem_id")
    voted = pl.col("answer").is_not_null() & share.is_finite()
    return weighed.with_columns(standing=pl.when(voted).then(share))


def _weighed(scores: pl.DataFrame, by: str) -> pl.DataFrame:
    """Add each completion's weight in a vote; null where it has no answer."""
    answered = pl.col("answer").is_not_null()
    call = _CALL.fullmatch(by)
    if call is None:
        return scores.with_columns(weight=pl.when(answered).then(1.0))
    weigh, column = _VOTES[call[1]](call[2]), call[2]
    weights = np.zeros(scores.height)
    groups = scores.with_row_index("row").group_by("problem_id", maintain_order=True)
    for _, group in groups:
        answer = group["answer"].rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1
        values = group[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        weights[group["row"].to_numpy()] = weigh(
            Candidates(
                answer=answer,
                tokens=group["completion_tokens"].cast(pl.Int64).to_numpy(),
                confidence={column: values},
            )
        )
    return scores.with_columns(weight=pl.when(answered).then(pl.Series(weights)))
