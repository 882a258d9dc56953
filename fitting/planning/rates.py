"""What is believed of a task's pass rates before they are measured: how they spread over problems.

A belief is a distribution of rates as weighted points. Knows distributions, not what is planned
with them. Axes: Z points, P problems.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, expit, log_expit, ndtr, ndtri

from fitting.coverage.rate_distribution import fit_rate_distributions
from fitting.estimators.pass_at_k import check_counts
from fitting.laws import FloatArray
from fitting.results import Status

CELLS = 400
"""Points of a distribution: cells of log-odds, which sum moments of pass@k to within 1%."""
WIDEST = 40.0
"""Log-odds beyond which rates count as 0 and 1: 4e-18."""
LEAST_MASS = 1e-12
FAMILIES = ("beta_binomial", "kumaraswamy", "logit_normal")
"""Shapes that are tried on counts; each has two parameters, so the likelihood chooses."""


@dataclass(frozen=True, kw_only=True)
class PassRates:
    """A distribution of pass rates over problems."""

    rate: FloatArray
    """[Z] in [0, 1]."""
    weight: FloatArray
    """[Z] shares of the problems, which sum to 1."""

    def __post_init__(self) -> None:
        if self.rate.ndim != 1 or self.rate.size == 0 or self.rate.shape != self.weight.shape:
            raise ValueError(
                f"rate and weight must be [Z], got shapes {self.rate.shape}, {self.weight.shape}"
            )
        if not (np.all((self.rate >= 0) & (self.rate <= 1)) and np.all(self.weight >= 0)):
            raise ValueError("rates must lie in [0, 1] and weights must be >= 0")
        if not abs(self.weight.sum() - 1) < 1e-6:
            raise ValueError(f"weights must sum to 1, got {self.weight.sum():g}")

    @property
    def mean(self) -> float:
        """Mean pass rate."""
        return float(self.weight @ self.rate)

    @property
    def correlation(self) -> float:
        """Correlation of two tries at one problem: the variance of the rates over mean (1-mean)."""
        most = self.mean * (1 - self.mean)
        return float(self.weight @ (self.rate - self.mean) ** 2) / most if most > 0 else 0.0

    def coverage(self, k: ArrayLike) -> FloatArray:
        """Return the mean of 1 - (1 - rate)^k over problems, shaped like `k`."""
        log_miss = np.log1p(-np.minimum(self.rate, 1 - 1e-16))
        tries = np.asarray(k, dtype=np.float64)[..., None]
        return np.asarray(-np.expm1(tries * log_miss) @ self.weight)

    def draw(self, generator: np.random.Generator, problems: int) -> FloatArray:
        """Return the rates [P] of problems drawn at random."""
        return generator.choice(self.rate, size=problems, p=self.weight)


def same_rate(rate: float) -> PassRates:
    """Return problems that all pass at one rate in [0, 1]."""
    return PassRates(rate=np.array([float(rate)]), weight=np.ones(1))


def beta_rates(mean: float, correlation: float) -> PassRates:
    """Return rates that follow the beta with this mean and this correlation of tries.

    Args:
        mean: of the rates, in (0, 1).
        correlation: of two tries at one problem, 1 / (a + b + 1), in [0, 1]: 0 where all problems
            have one rate, 1 where each always passes or never does.

    Raises:
        ValueError: a number out of range.

    Source: Griffiths, Biometrics 29 (1973), 637.
    """
    if not 0 < mean < 1:
        raise ValueError(f"mean must lie between 0 and 1, got {mean:g}")
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation must lie from 0 to 1, got {correlation:g}")
    if correlation < 1e-6:
        return same_rate(mean)
    if correlation > 1 - 1e-6:
        return PassRates(rate=np.array([0.0, 1.0]), weight=np.array([1 - mean, mean]))
    total = 1 / correlation - 1
    return _beta(mean * total, (1 - mean) * total)


def log_normal_rates(mean: float, sd: float) -> PassRates:
    """Return rates whose logarithms are normal, cut off at 0.999.

    Args:
        mean: of the rates before the cut, in (0, 1).
        sd: of their natural logarithms, >= 0.

    Raises:
        ValueError: a number out of range.
    """
    if not 0 < mean < 1:
        raise ValueError(f"mean must lie between 0 and 1, got {mean:g}")
    if not 0 <= sd < np.inf:
        raise ValueError(f"sd must be >= 0, got {sd:g}")
    quantiles = (np.arange(CELLS) + 0.5) / CELLS
    rate = np.minimum(mean * np.exp(sd * ndtri(quantiles) - sd**2 / 2), 0.999)
    return PassRates(rate=rate, weight=np.full(CELLS, 1 / CELLS))


def rates_of_counts(n: ArrayLike, c: ArrayLike) -> tuple[PassRates, str]:
    """Return the distribution of pass rates that explains counts best, and its family.

    Betas, Kumaraswamys and normal log-odds are fitted by likelihood, which any stopping rule
    leaves valid.

    Args:
        n: samples drawn, scalar or [P], >= 1.
        c: samples that passed, scalar or [P].

    Raises:
        ValueError: counts out of range, or none of the fits may be read; the message says why.
    """
    n, c = check_counts(n, c)
    fits = {name: fit_rate_distributions(n[None], c[None], name) for name in FAMILIES}
    usable = {name: fit for name, fit in fits.items() if fit.status[0] is Status.CONVERGED}
    if not usable:
        raise ValueError(next(iter(fits.values())).status[0].value)
    best = max(usable, key=lambda name: float(usable[name].log_likelihood[0]))
    first, second = (float(value) for value in usable[best].params[0])
    return _DISTRIBUTIONS[best](first, second), best


def _beta(a: float, b: float) -> PassRates:
    return _cells(lambda z: betainc(a, b, expit(z)))


def _kumaraswamy(a: float, b: float) -> PassRates:
    """P(p > x) = (1 - x^a)^b."""
    return _cells(lambda z: -np.expm1(b * np.log(-np.expm1(a * log_expit(z)))))


def _logit_normal(mean: float, sd: float) -> PassRates:
    return _cells(lambda z: ndtr((z - mean) / sd))


_DISTRIBUTIONS = {
    "beta_binomial": _beta,
    "kumaraswamy": _kumaraswamy,
    "logit_normal": _logit_normal,
}


def _cells(below: Callable[[FloatArray], FloatArray]) -> PassRates:
    """Return a distribution of log-odds, given by its cumulative distribution, as points."""
    coarse = np.linspace(-WIDEST, WIDEST, 8 * CELLS + 1)
    mass = np.asarray(below(coarse))
    first = int(np.searchsorted(mass, LEAST_MASS, side="right"))
    last = int(np.searchsorted(mass, 1 - LEAST_MASS))
    low, high = float(coarse[max(first - 1, 0)]), float(coarse[min(last, len(coarse) - 1)])
    edges = np.linspace(low, high, CELLS + 1)
    share = np.diff(np.asarray(below(edges)), prepend=0.0, append=1.0)
    middles = expit((edges[1:] + edges[:-1]) / 2)
    lowest = 0.0 if low == -WIDEST else float(expit(low))
    highest = 1.0 if high == WIDEST else float(expit(high))
    rate = np.concatenate([[lowest], middles, [highest]])
    there = share > 0
    return PassRates(rate=rate[there], weight=share[there] / share[there].sum())
