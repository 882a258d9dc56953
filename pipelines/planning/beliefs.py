"""What a plan believes of pass rates: like an earlier run, a mean with a spread, or the worst.

Knows options and words for them; the distributions are `fitting`'s.
"""

from dataclasses import dataclass

import numpy as np

from fitting import PassRates, beta_rates, rates_of_counts, same_rate
from fitting.estimators.counted_problems import Population
from pipelines.errors import UserError
from pipelines.planning.earlier_run import Counts

SPREAD = 0.5
"""Correlation of two tries at one problem where the user gives only a mean: above what most
benchmarks show, so that the plan asks for too many problems rather than too few."""
_FAMILY_NAMES = {
    "beta_binomial": "a beta",
    "kumaraswamy": "a Kumaraswamy distribution",
    "logit_normal": "normal log-odds",
}


@dataclass(frozen=True, kw_only=True)
class Belief:
    """A belief about how pass rates spread over problems."""

    rates: PassRates | None
    """None: nothing is known, and each interval is planned for the rates that make it widest."""
    said: str
    """The belief as a sentence."""

    def rates_for(self, k: int, population: Population) -> PassRates:
        """Return the rates to plan the interval of coverage at k with.

        Without a belief, the widest interval for problems like these comes from problems of which
        one half always passes and the other never does; that for these very problems from rates
        of 1 / (2k), where the chance of k misses varies most with the passes that are seen.
        """
        if self.rates is not None:
            return self.rates
        if population == "these":
            return same_rate(1 / (2 * k))
        return PassRates(rate=np.array([0.0, 1.0]), weight=np.array([0.5, 0.5]))


def belief_of(counts: Counts | None, mean: float | None, spread: float | None) -> Belief:
    """Return what the options --like, --mean and --spread say.

    Raises:
        UserError: numbers out of range, or counts that no distribution can be fitted to.
    """
    if counts is not None and (mean is not None or spread is not None):
        raise UserError("--mean, --spread: --like says how rates spread; leave one of them out")
    if counts is not None:
        return _measured(counts)
    if mean is None and spread is not None:
        raise UserError("--spread: needs --mean, the mean pass rate of one try")
    if mean is None:
        return Belief(
            rates=None,
            said="Nothing was said of the pass rates, so the plan is for those that make the "
            "interval widest. --mean, or --like an earlier run, asks for less.",
        )
    if not 0 < mean < 1:
        raise UserError(f"--mean: must lie between 0 and 1, got {mean:g}")
    share = SPREAD if spread is None else spread
    if not 0 <= share <= 1:
        raise UserError(f"--spread: must lie from 0 to 1, got {share:g}")
    why = " (nothing was said of it; this is more than most benchmarks show)"
    return Belief(
        rates=beta_rates(mean, share),
        said=f"Pass rates follow a beta of mean {mean:g}; two tries at one problem correlate by "
        f"{share:g}{why if spread is None else ''}.",
    )


def _measured(counts: Counts) -> Belief:
    try:
        rates, family = rates_of_counts(counts.n, counts.c)
    except ValueError as error:
        raise UserError(
            f"--like {counts.source}: its pass rates cannot be planned with. {error}"
        ) from None
    return Belief(
        rates=rates,
        said=f"Pass rates spread as {_FAMILY_NAMES[family]} fitted to {counts.source} "
        f"({len(counts.n):,} problems, {counts.n.sum():,.0f} samples): mean {rates.mean:.3g}, two "
        f"tries at one problem correlate by {rates.correlation:.2g}.",
    )
