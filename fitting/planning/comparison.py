"""How many tries tell model A from model B on the same problems.

The test is that of `difference`: a t test on the differences of the problems' pass rates. Their
variance has two parts, and tries shrink only the second: how differently the models do on single
problems, and the chance of the tries. For these very problems (`difference_on_these`) the second is
all. Knows a belief about the rates, not what tries cost.
Axes: Z pairs of rates, P problems.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import betaincinv, nctdtr, ndtr, ndtri, stdtrit

from fitting.estimators.comparison import difference
from fitting.estimators.counted_problems import Population
from fitting.estimators.pass_at_k import check_counts
from fitting.laws import FloatArray

PAIRS = 4_096
"""Points of a joint distribution of rates."""
MOST_PROBLEMS = 1_000_000
MOST_TRIES = 10_000_000
_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class PairedRates:
    """The pass rates of two models on the same problems, as points of equal weight."""

    first: FloatArray
    """[Z]"""
    second: FloatArray
    """[Z]"""

    @property
    def difference(self) -> float:
        """Mean of the first less mean of the second."""
        return float((self.first - self.second).mean())

    @property
    def correlation(self) -> float:
        """Of the two models' rates over problems; NaN where one of them does not vary."""
        spread = float(self.first.std() * self.second.std())
        centred = (self.first - self.first.mean()) * (self.second - self.second.mean())
        return float(centred.mean()) / spread if spread > 0 else float("nan")

    @property
    def between(self) -> float:
        """Variance of the differences over problems, which no number of tries shrinks."""
        return float((self.first - self.second).var())

    @property
    def within(self) -> float:
        """Variance of the difference of one try of each model at one problem, on average."""
        return float((self.first * (1 - self.first) + self.second * (1 - self.second)).mean())


def paired_betas(first: float, second: float, *, spread: float, correlation: float) -> PairedRates:
    """Return rates of two models that both follow betas, joined by a Gaussian copula.

    Args:
        first: mean pass rate of the first model, in (0, 1).
        second: of the second.
        spread: correlation of two tries at one problem, 1 / (a + b + 1), in (0, 1).
        correlation: of the two models' rates over problems, in [0, 1); where the betas' shapes do
            not allow as much, the most that they do.

    Raises:
        ValueError: a number out of range.
    """
    for name, value in (("first", first), ("second", second), ("spread", spread)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value:g}")
    if not 0 <= correlation < 1:
        raise ValueError(f"correlation must be at least 0 and below 1, got {correlation:g}")
    total = 1 / spread - 1
    # A rank-1 lattice fills the square evenly, so that moments over it have little noise.
    point = np.arange(PAIRS)
    one = ndtri((point + 0.5) / PAIRS)
    other = ndtri((_GOLDEN * (point + 0.5)) % 1)

    def joined(latent: float) -> PairedRates:
        both = latent * one + np.sqrt(1 - latent**2) * other
        return PairedRates(
            first=betaincinv(first * total, (1 - first) * total, ndtr(one)),
            second=betaincinv(second * total, (1 - second) * total, ndtr(both)),
        )

    strongest = 0.9999
    if joined(strongest).correlation <= correlation:
        return joined(strongest)
    if joined(0.0).correlation >= correlation:
        return joined(0.0)
    return joined(
        float(brentq(lambda x: joined(x).correlation - correlation, 0.0, strongest, xtol=1e-4))
    )


@dataclass(frozen=True, kw_only=True)
class MeasuredPair:
    """What counts of two models on the same problems say of their rates."""

    first: float
    """Mean pass rate of the first model."""
    second: float
    spread: float
    """Correlation of two tries at one problem, the mean of the two models'."""
    correlation: float
    """Of the models' true rates over problems, the chance of the tries taken out; in [0, 1]."""


def measured_pair(n: tuple[ArrayLike, ArrayLike], c: tuple[ArrayLike, ArrayLike]) -> MeasuredPair:
    """Return the moments of two models' rates, from counts of the same problems.

    Args:
        n: samples of each model, [P] each, at least 2.
        c: samples that passed.

    Raises:
        ValueError: counts out of range, other problems, or a model that always or never passed.
    """
    (n1, c1), (n2, c2) = check_counts(n[0], c[0]), check_counts(n[1], c[1])
    if len(n1) != len(n2) or len(n1) < 3:
        raise ValueError(f"two models need the same 3 or more problems, got {len(n1)}, {len(n2)}")
    if min(n1.min(), n2.min()) < 2:
        raise ValueError("a problem with one sample says nothing of how rates spread")
    rates, between = [], []
    for samples, passes in ((n1, c1), (n2, c2)):
        rate = passes / samples
        own = (rate * (1 - rate) / (samples - 1)).mean()
        rates.append(rate)
        between.append(max(float(rate.var(ddof=1) - own), 0.0))
    means = [float(rate.mean()) for rate in rates]
    if not all(0 < mean < 1 for mean in means):
        raise ValueError("a model that always or never passed cannot be planned with")
    shares = [v / (m * (1 - m)) for v, m in zip(between, means, strict=True)]
    common = float(np.cov(rates[0], rates[1])[0, 1])
    scale = float(np.sqrt(between[0] * between[1]))
    return MeasuredPair(
        first=means[0],
        second=means[1],
        spread=float(np.clip(np.mean(shares), 1e-4, 0.999)),
        correlation=float(np.clip(common / scale, 0.0, 0.999)) if scale > 0 else 0.0,
    )


def comparison_power(
    pair: PairedRates,
    *,
    problems: int,
    tries: int,
    level: float = 0.95,
    population: Population = "like_these",
) -> float:
    """Return the chance that the test finds the difference, two-sided at 1 - `level`.

    With delta the difference and (between + within / tries) / problems its variance, the t
    statistic is a noncentral t with problems - 1 degrees of freedom; for these very problems it
    is normal, and there is no `between`.

    Args:
        pair: what is believed of the models' rates.
        problems: that both are asked, >= 2.
        tries: of each model at each problem, >= 1.
        level: 1 less the size of the test.
        population: of the conclusion.

    Raises:
        ValueError: a number out of range.

    Source: Miller, arXiv 2411.00640, section 5, with the t distribution for his normal one.
    """
    _check(problems, tries)
    between = pair.between if population == "like_these" else 0.0
    error = np.sqrt((between + pair.within / tries) / problems)
    if error == 0:
        return float(pair.difference != 0)
    away = abs(pair.difference) / error
    if population == "these":
        limit = float(ndtri((1 + level) / 2))
        return float(ndtr(away - limit) + ndtr(-away - limit))
    freedom = problems - 1
    limit = float(stdtrit(freedom, (1 + level) / 2))
    # The far tail is below what matters wherever the noncentral t loses its digits.
    return float(1 - nctdtr(freedom, away, limit) + nctdtr(freedom, away, -limit))


def tries_to_compare(
    pair: PairedRates,
    power: float,
    *,
    problems: int,
    level: float = 0.95,
    population: Population = "like_these",
) -> int | None:
    """Return the fewest tries of each model at each problem that give this power.

    None where no number of tries does: then only more problems help.
    """
    _check_power(power)

    def enough(tries: int) -> bool:
        reached = comparison_power(
            pair, problems=problems, tries=tries, level=level, population=population
        )
        return reached >= power

    return _first(enough, 1, MOST_TRIES)


def problems_to_compare(
    pair: PairedRates,
    power: float,
    *,
    tries: int,
    level: float = 0.95,
    population: Population = "like_these",
) -> int | None:
    """Return the fewest problems that give this power with so many tries; None above 1e6."""
    _check_power(power)

    def enough(problems: int) -> bool:
        reached = comparison_power(
            pair, problems=problems, tries=tries, level=level, population=population
        )
        return reached >= power

    return _first(enough, 2, MOST_PROBLEMS)


def simulate_comparison(
    pair: PairedRates,
    *,
    problems: int,
    tries: int,
    level: float = 0.95,
    simulations: int = 1_000,
    seed: int = 0,
) -> float:
    """Return the share of simulated runs in which `difference` finds that the models differ."""
    _check(problems, tries)
    generator = np.random.default_rng(seed)
    found = 0
    for _ in range(simulations):
        asked = generator.integers(len(pair.first), size=problems)
        first, second = (
            generator.binomial(tries, rates[asked]) / tries for rates in (pair.first, pair.second)
        )
        found += bool(difference(first, second, level=level).p_value < 1 - level)
    return found / simulations


def _first(enough: Callable[[int], bool], least: int, most: int) -> int | None:
    """Return the smallest whole number that is enough, by doubling and halving."""
    low, high = least - 1, least
    while not enough(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _check(problems: int, tries: int) -> None:
    if not 2 <= problems <= MOST_PROBLEMS:
        raise ValueError(f"problems must be from 2 to {MOST_PROBLEMS:,}, got {problems}")
    if not 1 <= tries <= MOST_TRIES:
        raise ValueError(f"tries must be from 1 to {MOST_TRIES:,}, got {tries}")


def _check_power(power: float) -> None:
    if not 0 < power < 1:
        raise ValueError(f"power must lie between 0 and 1, got {power:g}")
