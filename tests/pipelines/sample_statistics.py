"""Whether samples are independent, and as frequent as their probabilities say: p-values.

Knows completions as texts; not engines.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def chance_of_overlap(first: Sequence[str], second: Sequence[str]) -> float:
    """Return how likely two blocks of independent samples are to agree as much as these do.

    Blocks whose seeds overlap hold the same completions in the same order, shifted; so every shift
    is looked at, and the smallest p-value is multiplied by their number.
    """
    codes = {text: code for code, text in enumerate({*first, *second})}
    one, other = (np.array([codes[text] for text in block]) for block in (first, second))
    for block in (one, other):
        assert _agreement(block) < 0.9, "completions of a prompt hardly vary"
    agree = _agreement(np.concatenate([one, other]))
    shifts = range(32 - len(one), len(one) - 31)
    values = []
    for shift in shifts:
        left, right = one[max(0, shift) :], other[max(0, -shift) :]
        common = min(len(left), len(right))
        hits = int((left[:common] == right[:common]).sum())
        values.append(float(stats.binom.sf(hits - 1, common, agree)))
    return min(1.0, min(values) * len(values))


def _agreement(codes: NDArray[np.int64]) -> float:
    """Return how often two different samples agree."""
    counts, total = np.bincount(codes), len(codes)
    return float((counts * (counts - 1)).sum() / (total * (total - 1)))


def frequencies_p_value(
    completions: Sequence[str | None], logp: Mapping[str, float], least: float = 8.0
) -> float:
    """Return the p-value of counts against probabilities; what is rare is counted together.

    Args:
        completions: those that ended on their own; None for every other sample.
        logp: log-probability of each of them.
        least: expected count of an outcome that is counted alone.
    """
    n = len(completions)
    counts = Counter(text for text in completions if text is not None)
    alone = [text for text in counts if n * math.exp(logp[text]) >= least]
    assert len(alone) >= 3, "too few outcomes are likely enough to be counted"
    expected = [n * math.exp(logp[text]) for text in alone]
    observed = [counts[text] for text in alone]
    rest = n - sum(expected)
    if rest > 1e-3:
        expected.append(rest)
        observed.append(n - sum(observed))
    else:
        expected = list(np.array(expected) * n / sum(expected))
    return float(stats.chisquare(observed, expected).pvalue)
