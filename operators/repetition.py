"""samples -> whether they repeat each other, as independent samples would not.

Streams that share seeds repeat at a distance: what was drawn twice because a process started again
without a seed, requests with neighbouring seeds, a server that copies one completion n times.
pass@1 hides it and coverage at many tries bends early, so it is looked for before anything is
fitted. Knows completions and their order; nothing of seeds or engines.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

FALSE_ALARM = 1e-6
"""Chance, at most, that independent samples are called repeated."""


def repetition(samples: pl.DataFrame, longest_lag: int = 1_024) -> pl.DataFrame:
    """Compare each sample with the one `lag` later of the same problem, at every lag.

    If the samples of a problem are independent, each order of them is as likely, so a pair at any
    lag is equal as often as any other pair: L pairs with a share q of equal ones over all pairs.
    Every second pair of a chain i, i + lag, i + 2 lag, ... shares no sample with another one, so
    m or more equal pairs have a chance of at most 2 exp(-L/2 KL(m/L || q)): Hoeffding, Probability
    inequalities for sums of bounded random variables, 1963, theorem 1 and section 6, which covers
    drawing without replacement.

    Args:
        samples: problem_id, sample_id and completion (any type that can be compared); a problem
            with fewer than two samples tells nothing.
        longest_lag: samples further apart are not compared; at most half the samples of a problem
            are.

    Returns:
        lag, pairs, equal, expected (equal pairs of independent samples) and log_chance (natural
        logarithm of that bound, at most 0), by lag.
    """
    problems = samples.sort("problem_id", "sample_id").partition_by("problem_id")
    codes = [frame["completion"].rank("dense").to_numpy() for frame in problems]
    lags = min(longest_lag, max((len(code) // 2 for code in codes), default=0))
    pairs, equal, expected = np.zeros((3, lags))
    for code in codes:
        among, share = len(code), _equal_share(code)
        for lag in range(1, min(lags, among // 2) + 1):
            pairs[lag - 1] += among - lag
            equal[lag - 1] += np.count_nonzero(code[lag:] == code[:-lag])
            expected[lag - 1] += (among - lag) * share
    chance = np.log(2.0) - pairs / 2 * _divergence(equal / pairs, expected / pairs)
    return pl.DataFrame(
        {
            "lag": np.arange(1, lags + 1),
            "pairs": pairs.astype(np.int64),
            "equal": equal.astype(np.int64),
            "expected": expected,
            "log_chance": np.minimum(chance, 0.0),
        }
    )


def repeated(lags: pl.DataFrame, false_alarm: float = FALSE_ALARM) -> pl.DataFrame:
    """Return the lags at which samples repeat each other, the least likely first.

    Args:
        lags: as `repetition` gives them.
        false_alarm: the chance that independent samples have any, at most.
    """
    limit = np.log(false_alarm) - np.log(max(lags.height, 1))
    return lags.filter(pl.col("log_chance") < limit).sort("log_chance")


def _equal_share(code: NDArray[np.uint32]) -> float:
    """Return the share of equal ones among all pairs."""
    counts = np.unique(code, return_counts=True)[1].astype(float)
    pairs = len(code) * (len(code) - 1)
    return float((counts * (counts - 1)).sum() / pairs) if pairs else 0.0


def _divergence(seen: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return KL(seen || share) of Bernoulli variables in nats; 0 where seen is not larger."""
    with np.errstate(divide="ignore", invalid="ignore"):
        yes = np.where(seen > 0, seen * np.log(seen / share), 0.0)
        no = np.where(seen < 1, (1 - seen) * np.log((1 - seen) / (1 - share)), 0.0)
    return np.where(seen > share, yes + no, 0.0)
