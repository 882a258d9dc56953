"""Estimators for sampling that stops on passes: PassUntil, and pass@k after it.

The rule: draw samples until r have passed, at most a cap. In practice decisions fall at *looks*,
the ends of complete rounds, so a problem ends with c >= r passes among n samples and had c < r at
the look before. Every estimate here is the exactly unbiased one for that rule: the share of all
sample orders leading to (look, n, c) in which the event of interest happened in the first samples
(Girshick, Mosteller and Savage, Annals of Mathematical Statistics 17 (1946), 13). With a look
after each sample it reduces to Haldane's (r-1)/(K-1), with one look only to c/n.

Knows counts and the rule, not tables. Axes: P problems, K numbers of tries.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fitting.estimators import PassAtK, check_counts, check_tries, log_miss, summarise
from fitting.intervals import mean_rate_interval, rate_interval
from fitting.laws import FloatArray
from fitting.results import Estimate


@dataclass(frozen=True, kw_only=True)
class PassUntil:
    """Pass rates under the stopping rule that was used."""

    problems: Estimate
    """[P] unbiased rate of each problem, with its mid-p interval."""
    mean: Estimate
    """Mean over problems, with an interval for these problems (tries are the only chance)."""
    variance: FloatArray
    """[P] unbiased estimates of the variances of `problems.estimate`. One sample cannot
    say: where n = 1 they are those of the mean rate, on average not too small."""
    ratio: FloatArray
    """[P] r/K, the paper's maximum-likelihood estimate (equation 2), biased upward by about
    r/(r-1); c/n where fewer than r passed."""


def pass_until(
    n: ArrayLike,
    c: ArrayLike,
    r: ArrayLike | None = None,
    nth_pass: ArrayLike | None = None,
    *,
    look: ArrayLike | None = None,
    level: float = 0.95,
) -> PassUntil:
    """Estimate pass rates, unbiased under the stopping rule.

    Args:
        n: samples drawn, scalar or [P].
        c: samples that passed.
        r: passes at which sampling stopped; None for a fixed number of samples.
        nth_pass: sample id, counted from 0, of the r-th pass; NaN or negative where fewer passed.
            Alone with r it gives the textbook estimate (r-1)/(K-1), K = nth_pass + 1, which
            ignores what the round drew after the r-th pass.
        look: samples at the last decision to go on, 0 where the first decision was to stop or r
            was not reached. Uses every sample; preferred where the looks are known.
        level: probability of the intervals.

    Raises:
        ValueError: counts out of range; r given with neither `nth_pass` nor `look`; r < 2 with
            `nth_pass` (no unbiased estimate exists).

    Source: arXiv 2310.03262, section 4.1; Haldane, Biometrika 33 (1945), 222.
    """
    counted = _stopped_counts(n, c, r, nth_pass, look)
    n, c, r, look = counted.n, counted.c, counted.r, counted.look
    weight = _path_weights(n, c, r, look)
    j = np.arange(weight.shape[1])
    first = np.maximum(look, 1)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        # Chance that the second sample passed too; after a look at one, it lies beyond the look.
        beyond = (c - 1) / (n - 1)
        second = np.where(look[:, None] > 1, (j - 1) / (look - 1)[:, None], beyond[:, None])
        rate = np.where(look > 0, (weight * (j / first)).sum(axis=1), c / n)
        both = np.where(
            look > 0,
            (weight * (j / first) * second).sum(axis=1),
            (c / n) * beyond,
        )
    variance = np.where(n > 1, np.maximum(rate**2 - both, 0.0), rate * (1 - rate.mean()))
    low, high = rate_interval(n, c, r, look, level)
    return PassUntil(
        # The interval orders outcomes by look first; where that leaves the unbiased estimate
        # outside it (a lucky last round), the interval is widened to the estimate.
        problems=Estimate(
            estimate=rate, low=np.minimum(low, rate), high=np.maximum(high, rate), level=level
        ),
        mean=mean_rate_interval(rate, variance, 1 / n, level),
        variance=variance,
        ratio=np.where(c >= counted.r, counted.r / counted.tries, c / n),
    )


def pass_at_k_until(
    n: ArrayLike,
    c: ArrayLike,
    k: ArrayLike,
    r: ArrayLike,
    nth_pass: ArrayLike | None = None,
    *,
    look: ArrayLike | None = None,
    level: float = 0.95,
) -> PassAtK:
    """Estimate pass@k when sampling stopped on passes; unbiased for every k up to the cap.

    A problem that passed and stopped before k samples counts as solved: some try before the k-th
    did pass. Arguments are those of `pass_until` and `pass_at_k`.

    Raises:
        ValueError: as `pass_until`, or k exceeds the samples of a problem that did not stop on
            passes.
    """
    counted = _stopped_counts(n, c, r, nth_pass, look)
    n, c, r, look = counted.n, counted.c, counted.r, counted.look
    k = check_tries(k, np.where(c >= r, np.inf, n))
    weight = _path_weights(n, c, r, look)
    look_, n_, c_ = look[:, None], n[:, None], c[:, None]
    rest = n_ - look_
    # First k all miss: within the look, or beyond it with nothing passed before the look.
    within = np.zeros((len(n), len(k)))
    for j in range(weight.shape[1]):
        within += weight[:, j, None] * np.exp(log_miss(look_, np.asarray(float(j)), k))
    beyond = np.clip(k - look_, 0, rest)
    later = weight[:, 0, None] * np.exp(log_miss(rest, np.minimum(c_, rest), beyond))
    missed = np.where(k <= look_, within, np.where(k <= n_, later, 0.0))
    return summarise(1 - missed, k, n, c, r, look, level)


@dataclass(frozen=True, kw_only=True)
class _StoppedCounts:
    """Counts in the one form that the estimators read; all [P]."""

    n: FloatArray
    c: FloatArray
    r: FloatArray
    """inf where no number of passes stops the sampling."""
    look: FloatArray
    """0 wherever the size did not depend on the passes."""
    tries: FloatArray
    """Samples up to the r-th pass, as far as known."""


def _stopped_counts(
    n: ArrayLike,
    c: ArrayLike,
    r: ArrayLike | None,
    nth_pass: ArrayLike | None,
    look: ArrayLike | None,
) -> _StoppedCounts:
    n, c = check_counts(n, c)
    if r is None:
        none = np.full_like(n, np.inf)
        return _StoppedCounts(n=n, c=c, r=none, look=np.zeros_like(n), tries=n)
    r = np.broadcast_to(np.asarray(r, dtype=np.float64), n.shape)
    bad = ~((r >= 1) & (r == np.floor(r)))
    if bad.any():
        raise ValueError(f"r must be a whole number of at least 1, got {r[bad][0]:g}")
    if nth_pass is None and look is None:
        raise ValueError("counts that stopped at r passes need nth_pass or look; got neither")
    reached = c >= r
    tries = n
    if nth_pass is not None:
        at = np.broadcast_to(np.asarray(nth_pass, dtype=np.float64), n.shape)
        bad = reached & ~((at + 1 >= r) & (at < n) & (at == np.floor(at)))
        if bad.any():
            worst = int(np.argmax(bad))
            raise ValueError(
                f"problem {worst} has c = {c[worst]:g} >= r = {r[worst]:g} passes but the r-th "
                f"at sample {at[worst]:g} of {n[worst]:g}"
            )
        tries = np.where(reached, at + 1, n)
    if look is not None:
        looked = np.where(reached, np.broadcast_to(np.asarray(look, dtype=np.float64), n.shape), 0)
        if np.any(~((looked >= 0) & (looked < n) & (looked == np.floor(looked)))):
            raise ValueError("look must be whole, at least 0 and less than n")
        bad = (looked > 0) & (c - (n - looked) >= r)
        if bad.any():
            worst = int(np.argmax(bad))
            raise ValueError(
                f"problem {worst} with n = {n[worst]:g}, c = {c[worst]:g} had passed "
                f"r = {r[worst]:g} times by its look at {looked[worst]:g}: it would have stopped"
            )
        return _StoppedCounts(n=n, c=c, r=r, look=looked, tries=tries)
    if np.any(reached & (r < 2)):
        raise ValueError("after stopping at the first pass no unbiased estimate exists: use r >= 2")
    # Stopped at the r-th pass itself: the look before it was one sample earlier.
    return _StoppedCounts(
        n=tries,
        c=np.where(reached, r, c),
        r=r,
        look=np.where(reached, tries - 1, 0),
        tries=tries,
    )


def _path_weights(n: FloatArray, c: FloatArray, r: FloatArray, look: FloatArray) -> FloatArray:
    """Return [P, J] the share of sample orders ending in (look, n, c) with j < r passes at look.

    There are C(look, j) C(n - look, c - j) orders with j passes at the look; the ratio of one
    count to the next is exact, so no large factorial is ever formed.
    """
    rest = n - look
    most = np.where(look > 0, np.minimum(np.minimum(r - 1, c), look), 0)
    least = np.where(look > 0, np.maximum(c - rest, 0), 0)
    log_weight = np.full((len(n), int(most.max()) + 1), -np.inf)
    current = np.zeros(len(n))
    with np.errstate(divide="ignore", invalid="ignore"):
        for j in range(log_weight.shape[1]):
            grown = current + np.log((look - j + 1) * (c - j + 1) / (j * (rest - c + j)))
            current = np.where(j > least, grown, 0.0)
            inside = (j >= least) & (j <= most)
            log_weight[inside, j] = current[inside]
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))
