"""Power of a comparison: closed forms, and the share of simulated runs that find the difference."""

import numpy as np
import pytest
from scipy.stats import norm

from fitting import (
    PairedRates,
    comparison_power,
    difference_on_these,
    measured_pair,
    paired_betas,
    pass_at_k,
    problems_to_compare,
    simulate_comparison,
    tries_to_compare,
)

NOTHING = PairedRates(first=np.full(4, 0.3), second=np.full(4, 0.3))


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8])
def test_joined_betas_have_the_moments_that_were_asked_for(correlation):
    pair = paired_betas(0.3, 0.4, spread=0.3, correlation=correlation)
    assert (pair.first.mean(), pair.second.mean()) == pytest.approx((0.3, 0.4), abs=1e-3)
    assert pair.first.var() / (0.3 * 0.7) == pytest.approx(0.3, rel=0.02)
    assert pair.correlation == pytest.approx(correlation, abs=0.01)


@pytest.mark.parametrize(("problems", "tries"), [(200, 10), (500, 4), (1_000, 1), (60, 200)])
def test_the_planned_power_is_the_share_of_simulated_runs_that_find_the_difference(problems, tries):
    """By `difference` itself; 1,000 runs know the share to 0.03."""
    pair = paired_betas(0.30, 0.36, spread=0.3, correlation=0.8)
    planned = comparison_power(pair, problems=problems, tries=tries)
    assert planned == pytest.approx(
        simulate_comparison(pair, problems=problems, tries=tries), abs=0.045
    )


def test_without_a_difference_the_power_is_the_size_of_the_test():
    assert comparison_power(NOTHING, problems=50, tries=20) == pytest.approx(0.05, abs=1e-6)
    assert simulate_comparison(NOTHING, problems=50, tries=20) == pytest.approx(0.05, abs=0.025)


def test_problems_follow_the_published_formula_where_they_are_many():
    """(z_0.975 + z_0.8)^2 (omega^2 + sigma^2 / n) / delta^2; Miller, arXiv 2411.00640."""
    pair = paired_betas(0.30, 0.33, spread=0.3, correlation=0.7)
    scale = (norm.ppf(0.975) + norm.ppf(0.8)) ** 2 / 0.03**2
    for tries in (1, 10):
        exact = scale * (pair.between + pair.within / tries)
        assert problems_to_compare(pair, 0.8, tries=tries) == pytest.approx(exact, rel=0.01)


def test_on_these_problems_the_power_is_that_of_the_test_for_them():
    pair = PairedRates(first=np.linspace(0.1, 0.5, 64), second=np.linspace(0.14, 0.54, 64))
    tries, generator = 60, np.random.default_rng(5)
    planned = comparison_power(pair, problems=64, tries=tries, population="these")
    found = 0
    for _ in range(600):
        first, second = (
            pass_at_k(tries, generator.binomial(tries, rates), 1, population="these")
            for rates in (pair.first, pair.second)
        )
        found += bool(difference_on_these(first, second).p_value[0] < 0.05)
    assert found / 600 == pytest.approx(planned, abs=0.06)


def test_tries_found_are_the_fewest():
    pair = paired_betas(0.30, 0.36, spread=0.3, correlation=0.8)
    tries = tries_to_compare(pair, 0.8, problems=300)
    assert tries is not None
    assert comparison_power(pair, problems=300, tries=tries) >= 0.8
    assert comparison_power(pair, problems=300, tries=tries - 1) < 0.8


def test_no_number_of_tries_makes_up_for_too_few_problems():
    pair = paired_betas(0.30, 0.33, spread=0.3, correlation=0.5)
    assert tries_to_compare(pair, 0.8, problems=50) is None
    assert tries_to_compare(pair, 0.8, problems=50, population="these") is not None


def test_counts_give_back_the_moments_of_the_rates_behind_them():
    """The chance of 10 tries is taken out of both the spread and the correlation."""
    generator = np.random.default_rng(1)
    pair = paired_betas(0.3, 0.45, spread=0.25, correlation=0.6)
    asked = generator.integers(len(pair.first), size=5_000)
    counts = [generator.binomial(10, rates[asked]) for rates in (pair.first, pair.second)]
    found = measured_pair((10, 10), (counts[0], counts[1]))
    assert (found.first, found.second) == pytest.approx((0.3, 0.45), abs=0.015)
    assert found.spread == pytest.approx(0.25, abs=0.02)
    assert found.correlation == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"first": 0.0, "second": 0.5, "spread": 0.3, "correlation": 0.5}, "first"),
        ({"first": 0.5, "second": 0.4, "spread": 1.0, "correlation": 0.5}, "spread"),
        ({"first": 0.5, "second": 0.4, "spread": 0.3, "correlation": 1.0}, "correlation"),
    ],
)
def test_rates_out_of_range_are_refused(values, why):
    numbers = dict(values)
    with pytest.raises(ValueError, match=why):
        paired_betas(numbers.pop("first"), numbers.pop("second"), **numbers)
