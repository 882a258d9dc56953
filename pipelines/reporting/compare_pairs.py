"""Whether models differ on the problems that all of them tried, and by how much.

Pure: counts in, records out. Knows models of runs by their labels; not where runs lie, nor pages.
Samples that could not be decided count as not passed.
Axes: P problems, K numbers of tries.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from fitting import (
    Comparison,
    Estimate,
    PassAtK,
    PassUntil,
    difference,
    difference_on_these,
    pass_at_k,
    pass_at_k_until,
    pass_until,
)
from fitting.estimators.counted_problems import Population
from fitting.laws import FloatArray

LEVEL = 0.95
"""Probability of the intervals; also says which corrected p-values are small: below 1 - LEVEL."""
_CURVE_POINTS = 16
_FEW_TRIES = 10


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One model of one run on one task."""

    label: str
    """What it is called on the page; no two have the same."""
    run: str
    model: str
    counts: pl.DataFrame
    """Schema COUNTS, the problems that all contestants tried, in one order."""

    @property
    def most(self) -> int:
        """Most tries at which coverage is measured; a problem that stopped on passes is solved."""
        stopped = pl.col("r").is_not_null() & (pl.col("c") >= pl.col("r"))
        binding = self.counts.filter(~stopped)["n"].min()
        most = self.counts["n"].max()
        assert isinstance(most, int)
        return min(most, binding) if isinstance(binding, int) else most

    def coverage(self, k: ArrayLike, population: Population = "like_these") -> PassAtK:
        """Return pass@k of these problems, unbiased for the rule that stopped the sampling."""
        n, c, r, look = self._arrays()
        if np.isinf(r).all():
            return pass_at_k(n, c, k, level=LEVEL, population=population)
        return pass_at_k_until(n, c, k, r, look=look, level=LEVEL, population=population)

    def rates(self) -> PassUntil:
        """Return the pass rate of each problem, with its interval."""
        n, c, r, look = self._arrays()
        if np.isinf(r).all():
            return pass_until(n, c, level=LEVEL)
        return pass_until(n, c, r, look=look, level=LEVEL)

    def curve(self) -> PassAtK:
        """Return coverage at few numbers of tries, evenly spread on a log scale."""
        return self.coverage(np.unique(np.round(np.geomspace(1, self.most, _CURVE_POINTS))))

    def _arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        missing = {"n": 0.0, "c": 0.0, "r": np.inf, "look": 0.0}
        n, c, r, look = (
            self.counts[name].cast(pl.Float64).fill_null(value).to_numpy()
            for name, value in missing.items()
        )
        return n, c, r, look


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Two contestants, compared at one number of tries."""

    task: str
    first: Contestant
    second: Contestant
    k: int
    estimates: tuple[float, float]
    """Coverage at k of the first and of the second."""
    gap: float
    """Of the second over the first, with its interval."""
    low: float
    high: float
    p_value: float
    """Two-sided, of this comparison alone."""
    corrected: float
    """The p-value, corrected for all comparisons that were made together (Holm)."""
    population: Population
    """What the interval is for: these problems alone, where there is just one."""

    @property
    def winner(self) -> Contestant | None:
        """Who is better beyond chance; None: nobody can be said to be."""
        if self.corrected > 1 - LEVEL:
            return None
        return self.second if self.gap > 0 else self.first


@dataclass(frozen=True, kw_only=True)
class ProblemChange:
    """One problem, as two contestants passed it."""

    problem_id: str
    first: tuple[float, float, float]
    """Pass rate, and its interval's ends."""
    second: tuple[float, float, float]
    gap: float
    low: float
    high: float
    corrected: float
    """P-value, corrected for all problems of the task (Holm)."""

    @property
    def changed(self) -> bool:
        """Whether it is passed more or less often, beyond chance."""
        return self.corrected <= 1 - LEVEL


def compare(tasks: dict[str, list[Contestant]]) -> list[Pairing]:
    """Compare the contestants of each task in pairs, at 1 try, 10 and the most that all have.

    Models of one name in two runs are compared with each other; where two runs have none, each of
    one with each of the other. The p-values are corrected for all of these comparisons together.
    """
    found: list[Pairing] = []
    for task, contestants in tasks.items():
        tries = _tries(min(each.most for each in contestants))
        found += [
            _compared(task, first, second, k)
            for first, second in _pairs(contestants)
            for k in tries
        ]
    corrected = holm([pairing.p_value for pairing in found])
    return [
        replace(pairing, corrected=float(p)) for pairing, p in zip(found, corrected, strict=True)
    ]


def problem_changes(first: Contestant, second: Contestant) -> list[ProblemChange]:
    """Compare two contestants problem by problem; the surest changes come first."""
    one, two = first.rates().problems, second.rates().problems
    found = difference_on_these(two, one)
    gap, p_values = found.difference, found.p_value
    corrected = holm(p_values)
    order = np.lexsort((-np.abs(gap.estimate), p_values))
    ids = first.counts["problem_id"]
    return [
        ProblemChange(
            problem_id=ids[at],
            first=_at(one, at),
            second=_at(two, at),
            gap=float(gap.estimate[at]),
            low=float(gap.low[at]),
            high=float(gap.high[at]),
            corrected=float(corrected[at]),
        )
        for at in order.tolist()
    ]


def holm(p_values: ArrayLike) -> FloatArray:
    """Return p-values [K] corrected for there being K of them, in their order.

    The chance of any false claim stays below the level that the corrected values are held against,
    however the comparisons hang together.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979), 65.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return corrected


def _pairs(contestants: Sequence[Contestant]) -> list[tuple[Contestant, Contestant]]:
    """Return who is compared with whom, the earlier run first."""
    runs = list(dict.fromkeys(each.run for each in contestants))
    of = {run: [each for each in contestants if each.run == run] for run in runs}
    found = []
    for one, two in combinations(runs, 2):
        every = [(first, second) for first in of[one] for second in of[two]]
        namesakes = [pair for pair in every if pair[0].model == pair[1].model]
        found += namesakes or every
    return found


def _tries(most: int) -> list[int]:
    return sorted({1, min(_FEW_TRIES, most), most})


def _compared(task: str, first: Contestant, second: Contestant, k: int) -> Pairing:
    population: Population = "like_these" if first.counts.height > 1 else "these"
    one, two = (each.coverage([k], population) for each in (first, second))
    found: Comparison = (
        difference(two.problems, one.problems, level=LEVEL)
        if population == "like_these"
        else difference_on_these(two, one)
    )
    return Pairing(
        task=task,
        first=first,
        second=second,
        k=k,
        estimates=(float(one.estimate[0]), float(two.estimate[0])),
        gap=float(found.difference.estimate[0]),
        low=float(found.difference.low[0]),
        high=float(found.difference.high[0]),
        p_value=float(found.p_value[0]),
        corrected=float(found.p_value[0]),
        population=population,
    )


def _at(estimate: Estimate, at: int) -> tuple[float, float, float]:
    return float(estimate.estimate[at]), float(estimate.low[at]), float(estimate.high[at])
