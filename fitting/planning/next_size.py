"""How well a task law through some sizes will predict the next: by simulation.

Each simulated study draws models around the law, problems around each model and counts under the
rule, fits `fit_task_law` and predicts one more model; its interval, and whether it held, is what
such a study would have found. Knows a belief about the law; not what tries cost.
Axes: M models, P problems, S simulations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fitting.laws import FloatArray
from fitting.results import check_level
from fitting.size.model_rates import check_sizes
from fitting.size.task_law import fit_task_law

DRAWS = 400
"""Posterior draws behind each simulated interval: its ends are off by some percent, which the mean
over simulations takes out."""
BISECTIONS = 60


@dataclass(frozen=True, kw_only=True)
class TaskBelief:
    """What is believed of a task's law before the models are measured."""

    log_c: float
    """Of PassUntil(N) = exp(-c N^-alpha)."""
    alpha: float
    scatter: float
    """Standard deviation of models around the law on the scale F = log(-log rate), >= 0."""
    hardness: float
    """Standard deviation of the problems of one model on that scale, >= 0."""

    def __post_init__(self) -> None:
        for name in ("scatter", "hardness"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name):g}")
        if not (np.isfinite(self.log_c) and np.isfinite(self.alpha)):
            raise ValueError(f"log_c and alpha must be finite, got {self.log_c}, {self.alpha}")

    def rate(self, size: FloatArray) -> FloatArray:
        """Return the law's mean pass rate of models of these sizes."""
        return np.asarray(np.exp(-np.exp(self.log_c - self.alpha * np.log(size))))


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How each problem is sampled: until r passes and at most a cap, or a fixed number."""

    most: int
    """The cap, or the fixed number."""
    r: int | None
    """None for a fixed number."""

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"samples must be at least 1, got {self.most}")
        if self.r is not None and not 2 <= self.r <= self.most:
            raise ValueError(f"r must be from 2 to the cap of {self.most}, got {self.r}")

    def draw(
        self, generator: np.random.Generator, rates: FloatArray
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return samples and passes [P] of problems with these rates [P]."""
        if self.r is None:
            return np.full(rates.shape, self.most), generator.binomial(self.most, rates)
        safe = np.maximum(rates, 1e-300)
        # A negative binomial is a Poisson of a gamma; beyond the cap its size does not matter.
        failures = generator.poisson(
            np.minimum(generator.gamma(self.r, (1 - safe) / safe), 10.0 * self.most)
        )
        stopped = failures + self.r <= self.most
        # Given that fewer than r passed by the cap, the passes are a binomial's lower tail.
        few = _binomial_below(generator, self.most, rates, self.r)
        return (
            np.where(stopped, failures + self.r, self.most),
            np.where(stopped, self.r, few),
        )


@dataclass(frozen=True, kw_only=True)
class SimulatedPredictions:
    """What simulated studies predicted of the next size; [S], NaN where no law could be fitted.

    Rates are means over the study's problems.
    """

    estimate: FloatArray = field(repr=False)
    low: FloatArray = field(repr=False)
    high: FloatArray = field(repr=False)
    truth: FloatArray = field(repr=False)
    """The rate that the new model had."""
    samples: FloatArray = field(repr=False)
    """[M] drawn of each model, on average."""

    @property
    def fitted(self) -> float:
        """Share of the studies whose law could be read."""
        return float(np.isfinite(self.estimate).mean())

    @property
    def held(self) -> float:
        """Share of the intervals, of those fitted, that held the truth; NaN where none was."""
        there = np.isfinite(self.estimate)
        inside = (self.low <= self.truth) & (self.truth <= self.high)
        return float(inside[there].mean()) if there.any() else float("nan")

    @property
    def half_width(self) -> float:
        """Median half-width of the intervals; inf where half of the studies had none."""
        half = np.where(np.isfinite(self.estimate), (self.high - self.low) / 2, np.inf)
        return float(np.median(half))

    @property
    def factor(self) -> float:
        """Median of high / low; inf where half of the studies had none."""
        there = np.isfinite(self.estimate)
        low = np.maximum(np.where(there, self.low, 1.0), 1e-300)
        return float(np.median(np.where(there, self.high / low, np.inf)))


def simulate_next_size(
    belief: TaskBelief,
    sizes: Sequence[float],
    target: float,
    *,
    problems: int,
    sampling: Sampling,
    level: float = 0.95,
    simulations: int = 100,
    seed: int = 0,
) -> SimulatedPredictions:
    """Simulate studies of models of these sizes, each with its prediction of one more model.

    Args:
        belief: the law that the simulated models follow.
        sizes: [M] parameters of the models to be measured; a size may repeat.
        target: parameters of the model to be predicted.
        problems: of the task, >= 1.
        sampling: of each problem.
        level: probability of the prediction interval.
        simulations: studies.
        seed: of the simulation.

    Raises:
        ValueError: a number out of range.
    """
    check_level(level)
    if problems < 1 or simulations < 1:
        raise ValueError(f"problems and simulations must be >= 1, got {problems}, {simulations}")
    size = check_sizes([*sizes, target])
    rows = [
        _study(belief, size, problems, sampling, level, (seed, at)) for at in range(simulations)
    ]
    estimate, low, high, truth = np.array([row for row, _ in rows]).T
    samples = np.mean([drawn for _, drawn in rows], axis=0)
    return SimulatedPredictions(estimate=estimate, low=low, high=high, truth=truth, samples=samples)


def _study(
    belief: TaskBelief,
    size: FloatArray,
    problems: int,
    sampling: Sampling,
    level: float,
    seed: tuple[int, int],
) -> tuple[tuple[float, float, float, float], FloatArray]:
    """Return estimate, low, high and truth of one study, and its samples [M].

    The last size is predicted.
    """
    # Models have a stream of their own, so that studies of other problems or tries meet the same.
    generator = np.random.default_rng((*seed, 0))
    effect = belief.scatter * generator.standard_normal(len(size))
    f = belief.log_c - belief.alpha * np.log(size) + effect
    generator = np.random.default_rng((*seed, 1))
    hardness = belief.hardness * generator.standard_normal(problems)
    rates = _rates(f, hardness)
    n, c = sampling.draw(generator, rates[:-1])
    # In a run r is looked for at the ends of rounds; here after each sample, which costs less.
    until = sampling.r is not None
    law = fit_task_law(
        size[:-1],
        list(n),
        list(c),
        r=[np.full(problems, sampling.r)] * len(n) if until else None,
        look=list(np.where(c >= (sampling.r or 0), n - 1, 0)) if until else None,
        draws=DRAWS,
        seed=int(generator.integers(2**31)),
    )
    truth, samples = float(rates[-1].mean()), n.sum(axis=1).astype(np.float64)
    if not law.status.usable:
        return (float("nan"), float("nan"), float("nan"), truth), samples
    found = law.predict(float(size[-1]), level)
    return (float(found.estimate), float(found.low), float(found.high), truth), samples


def _rates(f: FloatArray, hardness: FloatArray) -> FloatArray:
    """Return rates [M, P] of problems of this hardness, whose mean is exp(-exp(f)) in each row.

    The problems of one model spread around a common level of F that gives that mean.
    """
    wanted = np.exp(-np.exp(f))
    low, high = f - 20 - 5 * np.abs(hardness).max(), f + 20 + 5 * np.abs(hardness).max()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        mean = np.exp(-np.exp(np.minimum(middle[:, None] + hardness, 700.0))).mean(axis=1)
        low, high = np.where(mean > wanted, middle, low), np.where(mean > wanted, high, middle)
    f_of_problems = ((low + high) / 2)[:, None] + hardness
    return np.asarray(np.exp(-np.exp(np.minimum(f_of_problems, 700.0))))


def _binomial_below(
    generator: np.random.Generator, n: int, rates: FloatArray, r: int
) -> NDArray[np.int64]:
    """Draw from Binomial(n, rate) given that it is below r, by inversion over 0..r-1."""
    j = np.arange(r)
    log_odds = np.log(np.maximum(rates, 1e-300)) - np.log1p(-np.minimum(rates, 1 - 1e-16))
    steps = np.log((n - j[1:] + 1.0) / j[1:])
    log_ways = np.concatenate([[0.0], np.cumsum(steps)])
    log_chance = j * log_odds[..., None] + log_ways
    chance = np.exp(log_chance - log_chance.max(axis=-1, keepdims=True))
    below = np.cumsum(chance, axis=-1) / chance.sum(axis=-1, keepdims=True)
    uniform = generator.random(rates.shape)[..., None]
    return np.asarray(np.minimum((below < uniform).sum(axis=-1), r - 1))
