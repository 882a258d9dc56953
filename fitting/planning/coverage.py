"""How wide the interval of coverage will be: problems and tries against the half-width.

The width is that of `pass_at_k` itself, at the counts that are expected: each number of passes
among n tries enters with the share of problems that should show it. Against the mean width of
simulated runs that is off by 1 to 3% for 50 problems or more, and a little too wide for fewer.
Knows a belief about the rates; not what tries cost.
Axes: U numbers of passes, Z points of a distribution of rates, S simulations.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from fitting.estimators.counted_problems import CountedProblems, IntervalFor, Population
from fitting.estimators.pass_at_k import pass_at_k
from fitting.estimators.without_replacement import log_miss
from fitting.laws import FloatArray
from fitting.planning.rates import PassRates

MOST_TRIES = 1_000_000
MOST_PROBLEMS = 1_000_000
"""No search goes beyond these."""
ALL_COUNTS = 4_000
"""Up to so many tries each number of passes is a point of its own; beyond, every half standard
deviation of a binomial has one."""
LEAST_PROBLEMS = 1e-3
"""Numbers of passes that fewer problems than this should show are left out."""


@dataclass(frozen=True, kw_only=True)
class CoverageWidth:
    """The interval of coverage at k that a run is expected to give."""

    k: int
    problems: int
    tries: int
    """Of each problem."""
    coverage: float
    half_width: float
    """Half of the interval's length."""
    level: float
    population: Population


def coverage_width(
    rates: PassRates,
    k: int,
    *,
    problems: int,
    tries: int,
    level: float = 0.95,
    population: Population = "like_these",
) -> CoverageWidth:
    """Return the width of the interval of pass@k that `pass_at_k` will give.

    Args:
        rates: what is believed of the problems' pass rates.
        k: tries of the coverage, 1 <= k <= tries.
        problems: from 2 to 1e6.
        tries: samples of each problem, at most 1e6.
        level: probability of the interval.
        population: for problems like these, or for these very problems.

    Raises:
        ValueError: a number out of range.
    """
    _check(k, problems, tries)
    return _Expected(rates, k, tries, level, population).width(problems)


def tries_for_coverage(
    rates: PassRates,
    k: int,
    within: float,
    *,
    problems: int,
    level: float = 0.95,
    population: Population = "like_these",
) -> CoverageWidth | None:
    """Return the fewest tries of each problem whose interval is no wider than +- `within`.

    None where no number of tries up to 1e6 gets there: then only more problems help.

    Raises:
        ValueError: a number out of range.
    """
    _check(k, problems, k)
    _check_within(within)

    def at(tries: int) -> CoverageWidth:
        return _Expected(rates, k, tries, level, population).width(problems)

    low, high = k, min(max(2 * k, 8), MOST_TRIES)
    if (found := at(low)).half_width <= within:
        return found
    while (found := at(high)).half_width > within:
        if high == MOST_TRIES:
            return None
        low, high = high, min(2 * high, MOST_TRIES)
    while high - low > max(1, low // 500):
        middle = (low + high) // 2
        tried = at(middle)
        if tried.half_width <= within:
            high, found = middle, tried
        else:
            low = middle
    return found


def problems_for_coverage(
    rates: PassRates,
    k: int,
    within: float,
    *,
    tries: int,
    level: float = 0.95,
    population: Population = "like_these",
) -> CoverageWidth | None:
    """Return the fewest problems whose interval is no wider than +- `within`; None above 1e6.

    Raises:
        ValueError: a number out of range.
    """
    _check(k, 2, tries)
    _check_within(within)
    expected = _Expected(rates, k, tries, level, population)
    low, high = 1, 2
    while (found := expected.width(high)).half_width > within:
        if high == MOST_PROBLEMS:
            return None
        low, high = high, min(2 * high, MOST_PROBLEMS)
    while high - low > max(1, low // 1_000):
        middle = (low + high) // 2
        tried = expected.width(middle)
        if tried.half_width <= within:
            high, found = middle, tried
        else:
            low = middle
    return found


@dataclass(frozen=True, kw_only=True)
class SimulatedWidths:
    """What `pass_at_k` gave on simulated runs."""

    half_width: FloatArray = field(repr=False)
    """[S]"""
    held: float
    """Share of the intervals that held the true coverage."""

    @property
    def mean(self) -> float:
        """Mean half-width."""
        return float(self.half_width.mean())

    @property
    def most(self) -> float:
        """Half-width that nine of ten runs stay below."""
        return float(np.quantile(self.half_width, 0.9))


def simulate_coverage(
    rates: PassRates,
    k: int,
    *,
    problems: int,
    tries: int,
    level: float = 0.95,
    population: Population = "like_these",
    simulations: int = 200,
    seed: int = 0,
) -> SimulatedWidths:
    """Simulate runs and return the widths of their intervals, and how many held the truth.

    The truth is coverage over all problems of the belief, or over the very problems of each run.
    """
    _check(k, problems, tries)
    generator = np.random.default_rng(seed)
    widths, held = np.empty(simulations), 0
    for run in range(simulations):
        own = rates.draw(generator, problems)
        passes = generator.binomial(tries, own)
        found = pass_at_k(tries, passes, k, level=level, population=population)
        widths[run] = (found.high[0] - found.low[0]) / 2
        every = PassRates(rate=own, weight=np.full(problems, 1 / problems))
        truth = float((rates if population == "like_these" else every).coverage(k))
        # A coverage of 1 is rounded to just below it.
        held += bool(found.low[0] - 1e-9 <= truth <= found.high[0] + 1e-9)
    return SimulatedWidths(half_width=widths, held=held / simulations)


class _Expected:
    """The counts that are expected of problems with `tries` samples each."""

    def __init__(
        self, rates: PassRates, k: int, tries: int, level: float, population: Population
    ) -> None:
        self._wanted = IntervalFor(level, population)
        self._k, self._tries = k, tries
        self._coverage = float(rates.coverage(k))
        self._passes, self._share = expected_passes(rates, tries)

    def width(self, problems: int) -> CoverageWidth:
        there = self._share * problems >= LEAST_PROBLEMS
        passes, share = self._passes[there], self._share[there]
        n, k = np.full(len(passes), float(self._tries)), np.array([float(self._k)])
        counts = CountedProblems(
            n=n,
            c=passes,
            r=np.full(len(n), np.inf),
            look=np.zeros(len(n)),
            weight=share / share.sum() * problems,
            row=np.zeros(problems, dtype=np.intp),
        )
        table = -np.expm1(log_miss(n[:, None], passes[:, None], k))
        found = counts.summarise(table, k, self._wanted)
        return CoverageWidth(
            k=self._k,
            problems=problems,
            tries=self._tries,
            coverage=self._coverage,
            half_width=float(found.high[0] - found.low[0]) / 2,
            level=self._wanted.level,
            population=self._wanted.population,
        )


def expected_passes(rates: PassRates, tries: int) -> tuple[FloatArray, FloatArray]:
    """Return numbers of passes [U] among `tries`, and the share [U] of problems that show each."""
    passes, step = _numbers_of_passes(tries)
    ways = gammaln(tries + 1.0) - gammaln(passes + 1) - gammaln(tries - passes + 1)
    log_chance = ways[:, None] + xlogy(passes[:, None], rates.rate)
    chance = step[:, None] * np.exp(log_chance + xlog1py(tries - passes[:, None], -rates.rate))
    total = chance.sum(axis=0)
    return passes, chance @ (rates.weight / np.where(total > 0, total, 1.0))


def _numbers_of_passes(tries: int) -> tuple[FloatArray, FloatArray]:
    """Return whole numbers from 0 to `tries`, and how many each stands for."""
    if tries <= ALL_COUNTS:
        return np.arange(tries + 1.0), np.ones(tries + 1)
    # Even steps of this angle are even steps of the binomial's standard deviation, near both ends.
    angle = np.linspace(0, np.pi / 2, int(8 * np.sqrt(tries)) + 1)
    passes = np.unique(np.round(tries * np.sin(angle) ** 2))
    ends = np.floor((passes[1:] + passes[:-1]) / 2)
    return passes, np.diff(np.concatenate([[-1.0], ends, [float(tries)]]))


def _check(k: int, problems: int, tries: int) -> None:
    if not 1 <= k <= MOST_TRIES:
        raise ValueError(f"k must be from 1 to {MOST_TRIES:,}, got {k}")
    if not k <= tries <= MOST_TRIES:
        raise ValueError(
            f"tries must be from k = {k} to {MOST_TRIES:,}, got {tries}: coverage at k needs k "
            "tries of each problem"
        )
    if not 2 <= problems <= MOST_PROBLEMS:
        raise ValueError(f"problems must be from 2 to {MOST_PROBLEMS:,}, got {problems}")


def _check_within(within: float) -> None:
    if not 0 < within < 0.5:
        raise ValueError(f"within must lie between 0 and 0.5, got {within:g}")
