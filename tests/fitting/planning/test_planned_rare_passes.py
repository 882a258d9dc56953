"""PassUntil planned: published values, enumeration, and simulation of the negative binomial."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, nbinom

from fitting import (
    cap_for,
    chance_of_none,
    chance_of_passes,
    expected_samples,
    expected_samples_in_rounds,
    limit_if_none,
    pass_until,
    passes_for,
    relative_error_fixed,
    relative_error_until,
    relative_error_with_cap,
    samples_for,
)

KNOWN = [  # standard error of (r-1)/(K-1) over the rate, summed term by term elsewhere
    (2, 0.1, 1.2484), (5, 0.1, 0.5248), (10, 0.1, 0.3308), (2, 1e-3, 2.432), (5, 1e-3, 0.5768),
    (10, 1e-3, 0.3533), (3, 1e-5, 0.9999), (5, 1e-5, 0.5773), (10, 1e-5, 0.3536),
]  # fmt: skip


@pytest.mark.parametrize(("r", "rate", "expected"), KNOWN)
def test_the_relative_error_is_the_summed_one(r, rate, expected):
    assert relative_error_until(r, rate) == pytest.approx(expected, rel=3e-4)


@pytest.mark.parametrize("r", [30, 60, 1_000, 100_000])
def test_for_many_passes_the_error_is_that_of_rare_ones(r):
    """1 / sqrt(r - 2) where passes are rare."""
    assert relative_error_until(r, 1e-7) == pytest.approx((r - 2) ** -0.5, rel=1e-6)


@pytest.mark.parametrize(("r", "cap", "rate"), [(2, 9, 0.2), (3, 30, 0.1), (5, 40, 0.5)])
def test_under_a_cap_the_error_is_the_enumerated_one(outcomes, r, cap, rate):
    """Every way in which sampling can end, with the estimate that `pass_until` gives it."""
    look, n, c, chance = outcomes(rate, r, range(1, cap + 1))
    estimate = pass_until(n, c, r, look=look).problems.estimate
    assert chance @ estimate == pytest.approx(rate)
    exact = np.sqrt(chance @ (estimate - rate) ** 2) / rate
    assert relative_error_with_cap(r, cap, rate) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(("r", "rate"), [(5, 1e-5), (14, 0.01)])
def test_a_cap_that_is_never_met_changes_nothing(r, rate):
    cap = cap_for(r, rate, 1 - 1e-9)
    assert relative_error_with_cap(r, cap, rate) == pytest.approx(
        float(relative_error_until(r, rate)), rel=1e-3
    )


@pytest.mark.parametrize(("r", "looks", "rate"), [(2, (4, 8, 12), 0.2), (3, (5, 20), 0.4)])
def test_expected_samples_are_the_enumerated_ones(outcomes, r, looks, rate):
    _, n, _, chance = outcomes(rate, r, looks)
    assert expected_samples_in_rounds(r, looks, rate) == pytest.approx(chance @ n)
    _, n, _, chance = outcomes(rate, r, range(1, looks[-1] + 1))
    assert expected_samples(r, looks[-1], rate) == pytest.approx(chance @ n)


@given(r=st.integers(2, 40), log_rate=st.floats(-6, -0.1), chance=st.floats(0.05, 0.99))
@settings(max_examples=60, deadline=None)
def test_the_cap_is_the_quantile_of_the_negative_binomial(r, log_rate, chance):
    rate = 10**log_rate
    cap = cap_for(r, rate, chance)
    assert nbinom.cdf(cap - r, r, rate) >= chance - 1e-9
    assert cap == r or nbinom.cdf(cap - 1 - r, r, rate) < chance + 1e-9


@given(error=st.floats(0.02, 2.0), log_rate=st.floats(-6, -0.1))
@settings(max_examples=60, deadline=None)
def test_r_and_n_are_the_smallest_that_are_exact_enough(error, log_rate):
    rate = 10**log_rate
    r, n = passes_for(error, rate), samples_for(error, rate)
    assert relative_error_until(r, rate) <= error
    assert r == 2 or relative_error_until(r - 1, rate) > error
    assert relative_error_fixed(n, rate) <= error * (1 + 1e-9)
    assert n == 1 or relative_error_fixed(n - 1, rate) > error


def test_chances_are_binomial_tails():
    assert chance_of_passes(3, 100, 0.02) == pytest.approx(binom.sf(2, 100, 0.02))
    assert chance_of_none(1_000, 1e-3) == pytest.approx(0.999**1_000)
    assert chance_of_passes(5, 4, 0.9) == 0


def test_the_limit_where_nothing_passed_is_the_rule_of_three():
    assert limit_if_none(10_000) == pytest.approx(3e-4, rel=0.002)
    assert chance_of_none(10_000, limit_if_none(10_000)) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: passes_for(0.3, 0.0), "rate must"),
        (lambda: passes_for(0.0, 0.1), "relative error"),
        (lambda: relative_error_until(1, 0.1), "r must"),
        (lambda: relative_error_with_cap(5, 4, 0.1), "r must"),
        (lambda: cap_for(5, 0.1, 1.0), "chance must"),
        (lambda: passes_for(1e-4, 1e-3), "million|1,000,000"),
        (lambda: cap_for(5, 1e-14, 0.9), "cap above"),
    ],
)
def test_numbers_out_of_range_are_refused(call, why):
    with pytest.raises(ValueError, match=why):
        call()
