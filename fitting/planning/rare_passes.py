"""How many samples a rare pass takes: PassUntil's r and cap against a fixed number.

All by formula: the number of samples until the r-th pass is negative binomial. Knows one pass rate;
not what samples cost. Axes: any; the rate may be an array.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, hyp2f1

from fitting.laws import FloatArray

MOST = 1e12
"""No plan draws more samples of a problem."""
LARGEST_R = 1_000_000
MANY = 30.0
CELLS = 20_000
"""Of the number of samples, over which its moments under a cap are summed."""


def relative_error_until(r: ArrayLike, rate: ArrayLike) -> FloatArray:
    """Return the standard error over the rate of (r-1)/(K-1), K the samples until the r-th pass.

    Its square is 2F1(1, 1; r; 1 - rate) - 1, which tends to 1 / (r - 2) for rare passes; for r = 2
    it grows without bound as the rate falls.

    Args:
        r: passes that stop the sampling, >= 2.
        rate: in (0, 1].

    Raises:
        ValueError: a number out of range.

    Source: Haldane, Biometrika 33 (1945), 222, and Euler's transformation of his series.
    """
    r, rate = np.asarray(r, dtype=np.float64), _rates(rate)
    if np.any(~((r >= 2) & (r <= LARGEST_R))):
        raise ValueError(f"r must be from 2 to {LARGEST_R:,}: fewer passes give no unbiased rate")
    # The series k! q^k / (r)_k falls fast for many passes, where the library's function fails.
    k = np.arange(1.0, 200.0)
    many = np.maximum(r, MANY)[..., None]
    ratios = k * (1 - rate[..., None]) / (many + k - 1)
    square = np.where(
        r >= MANY,
        np.cumprod(ratios, axis=-1).sum(axis=-1),
        hyp2f1(1.0, 1.0, np.minimum(r, MANY), 1 - rate) - 1,
    )
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))


def relative_error_with_cap(r: int, cap: int, rate: float) -> float:
    """Return the standard error over the rate of PassUntil's estimate under a cap.

    The estimate is (r-1)/(K-1) where the r-th pass comes within the cap, and c/cap where it does
    not; it is unbiased, so its variance is its mean square less the rate's.

    Args:
        r: passes that stop the sampling, from 2 to the cap.
        cap: most samples.
        rate: in (0, 1].

    Raises:
        ValueError: a number out of range.

    Source: Girshick, Mosteller and Savage, Annals of Mathematical Statistics 17 (1946), 13.
    """
    at = float(_rates(rate))
    if not 2 <= r <= cap:
        raise ValueError(f"r must be from 2 to the cap of {cap}, got {r}")
    # Cells of K: each number at first, then a thousandth of it.
    ends = np.unique(np.round(np.geomspace(r, cap, CELLS)))
    ends = np.union1d(np.arange(r - 1.0, min(r + 500.0, cap) + 1), ends)
    mass = np.diff(chance_of_passes(r, ends, at))
    middle = (ends[1:] + ends[:-1] + 1) / 2
    few = np.arange(r)
    chances = np.diff(1 - chance_of_passes(np.arange(1, r + 1), cap, at), prepend=0.0)
    square = float(mass @ ((r - 1) / (middle - 1)) ** 2 + chances @ (few / cap) ** 2)
    return float(np.sqrt(max(square / at**2 - 1, 0.0)))


def relative_error_fixed(n: ArrayLike, rate: ArrayLike) -> FloatArray:
    """Return the standard error over the rate of c/n for a fixed n: sqrt((1-rate)/(rate n))."""
    rate = _rates(rate)
    return np.sqrt((1 - rate) / (rate * np.asarray(n, dtype=np.float64)))


def passes_for(relative_error: float, rate: float) -> int:
    """Return the smallest r >= 2 whose relative standard error is at most this.

    Raises:
        ValueError: a number out of range, or one that needs more than a million passes.
    """
    if not 0 < relative_error < np.inf:
        raise ValueError(f"relative error must be > 0, got {relative_error:g}")
    if relative_error_until(LARGEST_R, rate) > relative_error:
        raise ValueError(
            f"a relative error of {relative_error:g} needs more than {LARGEST_R:,} passes"
        )
    low, high = 1, 2
    while relative_error_until(high, rate) > relative_error:
        low, high = high, min(2 * high, LARGEST_R)
    while high - low > 1:
        middle = (low + high) // 2
        enough = relative_error_until(middle, rate) <= relative_error
        low, high = (low, middle) if enough else (middle, high)
    return high


def samples_for(relative_error: float, rate: float) -> int:
    """Return the fixed n whose relative standard error is at most this, (1-rate)/(rate error^2)."""
    if not 0 < relative_error < np.inf:
        raise ValueError(f"relative error must be > 0, got {relative_error:g}")
    at = float(_rates(rate))
    return max(int(np.ceil((1 - at) / (at * relative_error**2) * (1 - 1e-12))), 1)


def chance_of_passes(r: ArrayLike, samples: ArrayLike, rate: ArrayLike) -> FloatArray:
    """Return the chance of at least r passes among so many samples; 0 where r > samples."""
    r, samples = np.asarray(r, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    below = samples < r
    inside = betainc(r, np.where(below, 1.0, samples - r + 1), _rates(rate))
    return np.where(below, 0.0, inside)


def chance_of_none(samples: ArrayLike, rate: ArrayLike) -> FloatArray:
    """Return the chance that nothing passes, (1 - rate)^samples."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(np.asarray(samples, np.float64) * np.log1p(-_rates(rate))))


def limit_if_none(samples: ArrayLike, level: float = 0.95) -> FloatArray:
    """Return the upper limit of a rate of which nothing passed, 1 - (1-level)^(1/samples).

    The rule of three: about 3 / samples at 95% (Hanley and Lippman-Hand, JAMA 249 (1983), 1743).
    """
    return np.asarray(-np.expm1(np.log1p(-level) / np.asarray(samples, dtype=np.float64)))


def cap_for(r: int, rate: float, chance: float) -> int:
    """Return the smallest cap within which r passes come with this chance.

    Raises:
        ValueError: a number out of range, or a rate so small that the cap exceeds 1e12.
    """
    if not 0 < chance < 1:
        raise ValueError(f"chance must lie between 0 and 1, got {chance:g}")
    low, high = r - 1, r
    while chance_of_passes(r, high, rate) < chance:
        if high > MOST:
            raise ValueError(f"rate {rate:g} needs a cap above {MOST:g} samples")
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = chance_of_passes(r, middle, rate) >= chance
        low, high = (low, middle) if enough else (middle, high)
    return high


def expected_samples(r: int, cap: int, rate: ArrayLike) -> FloatArray:
    """Return the mean of min(K, cap), K the samples until the r-th pass, checked at each sample.

    E[min(K, M)] = r/p P(Bin(M+1, p) >= r+1) + M P(Bin(M, p) < r).
    """
    at = _rates(rate)
    early = r / at * chance_of_passes(r + 1, cap + 1, at)
    return early + cap * (1 - chance_of_passes(r, cap, at))


def expected_samples_in_rounds(r: int, looks: ArrayLike, rate: ArrayLike) -> FloatArray:
    """Return the mean number of samples where r passes are only looked for at the ends of rounds.

    Args:
        r: passes that stop the sampling.
        looks: [L] ascending numbers of samples at the ends of rounds; the last is the cap.
        rate: in (0, 1], any shape.
    """
    at, ends = _rates(rate), np.asarray(looks, dtype=np.float64)
    going_on = 1 - chance_of_passes(r, ends[:-1], at[..., None])
    return np.asarray(ends[0] + going_on @ np.diff(ends))


def _rates(rate: ArrayLike) -> FloatArray:
    rate = np.asarray(rate, dtype=np.float64)
    if np.any(~((rate > 0) & (rate <= 1))):
        raise ValueError(f"rate must be above 0 and at most 1, got {rate}")
    return rate
