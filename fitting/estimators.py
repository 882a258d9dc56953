"""Exact finite-sample estimators for a fixed number of samples per problem: pass@k and pass^k.

Knows counts, not why sampling stopped: where the passes decided that, see `fitting.pass_until`.
Axes: P problems, K numbers of tries, B bootstraps.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from fitting.intervals import problem_bootstrap, rate_interval
from fitting.laws import FloatArray
from fitting.results import check_level

BOOTSTRAPS = 1_000


@dataclass(frozen=True, kw_only=True)
class PassAtK:
    """A metric of k tries: for each problem, and its mean over problems with an interval."""

    k: FloatArray
    """[K] numbers of tries."""
    problems: FloatArray = field(repr=False)
    """[P, K] unbiased estimates, one row a problem."""
    estimate: FloatArray
    """[K] mean over problems."""
    low: FloatArray
    high: FloatArray
    """[K] interval of the mean, for problems like these (bootstrap over problems). With a single
    problem it is the interval of that problem's own value."""
    level: float


def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike, *, level: float = 0.95) -> PassAtK:
    """Estimate the probability that at least one of k tries passes, 1 - C(n-c, k) / C(n, k).

    Unbiased when n was fixed beforehand; see `pass_at_k_until` for counts of a run that stopped
    on passes. Exact to about 1e-14 relative for n up to 1e8.

    Args:
        n: samples drawn, scalar or [P], >= 1.
        c: samples that passed, scalar or [P], 0 <= c <= n.
        k: tries, scalar or [K], 1 <= k <= n.
        level: probability of the interval.

    Raises:
        ValueError: counts out of range, or k > n (then the data cannot say; `fit_coverage` can
            extrapolate).

    Source: Chen et al., arXiv 2107.03374, equation 1.
    """
    n, c = check_counts(n, c)
    k = check_tries(k, n)
    problems = -np.expm1(log_miss(n[:, None], c[:, None], k))
    return summarise(problems, k, n, c, np.zeros_like(n), np.zeros_like(n), level)


def pass_all_k(n: ArrayLike, c: ArrayLike, k: ArrayLike, *, level: float = 0.95) -> PassAtK:
    """Estimate the probability that all of k tries pass ("pass^k"), C(c, k) / C(n, k).

    Arguments, errors and accuracy are those of `pass_at_k`.

    Source: Yao et al., tau-bench, arXiv 2406.12045, section 3.
    """
    n, c = check_counts(n, c)
    k = check_tries(k, n)
    problems = np.exp(log_miss(n[:, None], (n - c)[:, None], k))
    # All k pass exactly when none of k fails: the interval is that of the failures, turned round.
    failures = summarise(1 - problems, k, n, n - c, np.zeros_like(n), np.zeros_like(n), level)
    return PassAtK(
        k=k,
        problems=problems,
        estimate=problems.mean(axis=0),
        low=1 - failures.high,
        high=1 - failures.low,
        level=level,
    )


def summarise(
    problems: FloatArray,
    k: FloatArray,
    n: FloatArray,
    c: FloatArray,
    r: FloatArray,
    look: FloatArray,
    level: float,
) -> PassAtK:
    """Return the mean of `problems` [P, K] over problems with its interval."""
    check_level(level)
    tail = (1 - level) / 2
    estimate = problems.mean(axis=0)
    if len(n) == 1:
        low_rate, high_rate = rate_interval(n, c, r, look, level)
        low, high = -np.expm1(k * np.log1p(-low_rate)), at_least_once(high_rate, k)
    else:
        weights = problem_bootstrap(len(n), BOOTSTRAPS, seed=0)
        low, high = np.quantile(weights @ problems / len(n), [tail, 1 - tail], axis=0)
        if not np.any(c > 0):
            # Resampling zeros gives zeros. What is known is that no sample of all of them passed
            # (or, below, that each did).
            high = at_least_once(-np.expm1(np.log1p(-level) / n.sum()), k)
        if not np.any(c < n):
            low = at_least_once((1 - level) ** (1 / n.sum()), k)
    return PassAtK(
        k=k,
        problems=problems,
        estimate=estimate,
        low=np.minimum(low, estimate),
        high=np.maximum(high, estimate),
        level=level,
    )


def at_least_once(rate: ArrayLike, k: ArrayLike) -> FloatArray:
    """Return 1 - (1 - rate)^k, without loss for small rates."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(np.asarray(k) * np.log1p(-np.asarray(rate, dtype=np.float64))))


def log_miss(n: FloatArray, c: FloatArray, k: FloatArray) -> FloatArray:
    """Return log(C(n-c, k) / C(n, k)): the log-chance that k of n samples hold none of c passes.

    With A = n - c - k it is log[(A+k)! (A+c)! / (A! n!)]. Stirling's formula in which the large
    terms have been cancelled by hand keeps full relative precision where differences of `gammaln`
    lose everything; it needs A >= 16, so smaller A are first raised by the exact recurrence.
    -inf where k > n - c.
    """
    n, c, k = np.broadcast_arrays(n, c, k)
    left = n - c - k
    possible = left >= 0
    a = np.where(possible, left, 16.0)
    product = np.where(possible, c * k, 0.0)
    c, k = np.where(possible, c, 0.0), np.where(possible, k, 0.0)
    total = np.zeros(a.shape)
    for step in range(1, 17):
        low = a < 16
        total[low] += np.log1p(-product[low] / ((a + k + step)[low] * (a + c + step)[low]))
    a = np.where(a < 16, a + 16, a)
    total = (
        total
        + (a + 0.5) * np.log1p(product / (a * (a + c + k)))
        - k * np.log1p(c / (a + k))
        - c * np.log1p(k / (a + c))
        + (_stirling_tail(a + k) - _stirling_tail(a))
        + (_stirling_tail(a + c) - _stirling_tail(a + c + k))
    )
    return np.asarray(np.where(possible, total, -np.inf))


def _stirling_tail(z: FloatArray) -> FloatArray:
    """Return log Gamma(z+1) minus its leading Stirling terms; exact to 1e-15 for z >= 16."""
    w = 1 / (z * z)
    return np.asarray((1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w / 1188)))) / z)


def check_counts(n: ArrayLike, c: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return n and c as float arrays [P], or raise ValueError with the first value that is off."""
    n, c = np.broadcast_arrays(
        np.atleast_1d(np.asarray(n, dtype=np.float64)),
        np.atleast_1d(np.asarray(c, dtype=np.float64)),
    )
    if n.ndim != 1 or n.size == 0:
        raise ValueError(f"n and c must be numbers or one-dimensional, not empty; got {n.shape}")
    bad = ~((n >= 1) & (c >= 0) & (c <= n) & (n % 1 == 0) & (c % 1 == 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(
            f"counts must be whole with 1 <= n and 0 <= c <= n; problem {at} has "
            f"n = {n[at]:g}, c = {c[at]:g}"
        )
    return n, c


def check_tries(k: ArrayLike, most: FloatArray) -> FloatArray:
    """Return k as a float array [K], or raise ValueError if it is no number of tries <= `most`."""
    k = np.atleast_1d(np.asarray(k, dtype=np.float64))
    if k.ndim != 1 or k.size == 0 or np.any(~((k >= 1) & (k % 1 == 0))):
        raise ValueError(f"k must be whole numbers >= 1, got {k}")
    if k.max() > most.min():
        raise ValueError(
            f"k = {k.max():g} exceeds the {most.min():g} samples of problem "
            f"{int(np.argmin(most))}: no estimate exists. Use fit_coverage to extrapolate."
        )
    return k
