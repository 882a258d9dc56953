"""standings -> candidates: which samples may be chosen or rejected, the best first.

Knows verdicts, standings and lengths of one cell's samples; not their texts, so that of equal ones
and of truncated ones others come up in their order.
"""

import hashlib
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from operators.training.standing import is_vote, with_standing

Prefer = Literal["random", "shortest", "diverse"]

_CONTRADICTED = (
    (pl.col("passed").min() != pl.col("passed").max())
    .over("problem_id", "answer")
    .fill_null(value=False)
) & pl.col("answer").is_not_null()
_EMPTY = {
    "problem_id": pl.String,
    "sample_id": pl.Int64,
    "role": pl.String,
    "rank": pl.Int64,
    "standing": pl.Float64,
    "passed": pl.Boolean,
}


def candidates(
    scores: pl.DataFrame,
    by: str,
    *,
    pairs: bool,
    passes_only: bool,
    without_verdicts: bool = False,
    prefer: Prefer = "random",
    seed: int = 0,
) -> pl.DataFrame:
    """Return who may be chosen and who may be rejected, in the order to take them in.

    A sample that failed with an error is neither, nor one whose standing is unknown or infinite.
    One that is known to be wrong is never chosen, one that passed or that nobody could judge never
    rejected, unless no verdict is looked at. A completion whose answer both passed and failed, as
    of a program near its time limit, counts as one that nobody could judge. A vote chooses among
    the completions of the winning answer alone, and rejects those of other answers.

    Args:
        scores: samples of one cell: problem_id, sample_id, answer, passed, completion_tokens,
            error, and what the selector reads.
        by: a selector, see `operators.training.standing`.
        pairs: whether any are to be rejected.
        passes_only: whether only samples that passed are chosen.
        without_verdicts: choose as if nobody had judged: by votes or confidence alone.
        prefer: which of equal standing come first. `diverse` orders as `random`; the most
            different texts are found among them.
        seed: of the random order.

    Returns:
        problem_id, sample_id, role (chosen, rejected), rank (from 0 in each problem and role),
        standing and passed, sorted by these first four with problems as they came.

    Raises:
        ValueError: as `with_standing`.
    """
    if scores.is_empty():
        return pl.DataFrame(schema=_EMPTY)
    scores = scores.with_columns(passed=pl.when(~_CONTRADICTED).then("passed"))
    stands = with_standing(scores, by).with_columns(chance=pl.Series(_chances(scores, seed)))
    stands = stands.filter(pl.col("error").is_null(), pl.col("standing").is_finite())
    verdict = pl.lit(None, pl.Boolean) if without_verdicts else pl.col("passed")
    may_win = (verdict if passes_only else verdict.fill_null(value=True)).fill_null(value=False)
    chosen, others = stands.filter(may_win), stands
    if is_vote(by):
        winner = pl.col("answer").sort_by("standing", "_tie", descending=True).first()
        tied = stands.with_columns(_tie=pl.col("chance").max().over("problem_id", "answer"))
        wins = pl.col("answer") == winner.over("problem_id")
        won = tied.with_columns(wins=wins).drop("_tie")
        chosen, others = won.filter("wins", may_win), won.filter(~pl.col("wins"))
    chosen = _ranked(chosen, "chosen", _order(by, prefer))
    if not pairs:
        return _sorted(chosen, scores)
    may_lose = pl.lit(value=True) if without_verdicts else ~verdict.fill_null(value=True)
    rejected = _ranked(
        others.filter(may_lose), "rejected", [pl.col("standing"), *_order(by, prefer)[1:]]
    )
    return _sorted(pl.concat([chosen, rejected]), scores)


def _order(by: str, prefer: Prefer) -> list[pl.Expr]:
    """Return what the best comes first by: standing, and what tells among equals."""
    equals = [pl.col("completion_tokens")] if prefer == "shortest" else []
    if is_vote(by):
        equals = [-pl.col("weight"), *equals]
    return [-pl.col("standing"), *equals, pl.col("chance")]


def _ranked(table: pl.DataFrame, role: str, order: list[pl.Expr]) -> pl.DataFrame:
    ordered = table.sort(*order, "sample_id")
    rank = pl.int_range(pl.len(), dtype=pl.Int64).over("problem_id")
    return ordered.with_columns(role=pl.lit(role), rank=rank).select(list(_EMPTY))


def _sorted(table: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    place = scores.select(pl.col("problem_id").unique(maintain_order=True)).with_row_index("place")
    placed = table.join(place, on="problem_id", how="left")
    return placed.sort("place", "role", "rank").drop("place")


def _chances(scores: pl.DataFrame, seed: int) -> NDArray[np.uint64]:
    """Return a number for each sample that looks random and depends on seed, problem and id alone.

    By the finaliser of splitmix64 (Steele et al., OOPSLA 2014, figure 17), so that it is the same
    on every machine and in every version.
    """
    names = scores["problem_id"].unique()
    keys = {name: _key(seed, name) for name in names}
    key = scores["problem_id"].replace_strict(keys, return_dtype=pl.UInt64).to_numpy()
    with np.errstate(over="ignore"):
        word = key + scores["sample_id"].cast(pl.UInt64).to_numpy() * np.uint64(0x9E3779B97F4A7C15)
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(word ^ (word >> np.uint64(31)), dtype=np.uint64)


def _key(seed: int, problem: str) -> int:
    digest = hashlib.blake2b(f"{seed}\0{problem}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
