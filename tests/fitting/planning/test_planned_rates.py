"""Beliefs about pass rates: moments in closed form, and counts of known rates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln

from fitting import PassRates, beta_rates, log_normal_rates, rates_of_counts, same_rate

MEANS = st.floats(1e-3, 0.999)
CORRELATIONS = st.floats(0.001, 0.95)


@given(mean=MEANS, correlation=CORRELATIONS)
@settings(max_examples=60, deadline=None)
def test_a_beta_has_the_mean_and_the_correlation_that_were_asked_for(mean, correlation):
    rates = beta_rates(mean, correlation)
    assert rates.mean == pytest.approx(mean, rel=0.01)
    assert rates.correlation == pytest.approx(correlation, rel=0.02)


@given(mean=st.floats(0.01, 0.9), correlation=st.floats(0.02, 0.8), k=st.integers(1, 10_000))
@settings(max_examples=60, deadline=None)
def test_coverage_of_a_beta_is_that_of_the_beta_binomial(mean, correlation, k):
    a, b = mean * (1 / correlation - 1), (1 - mean) * (1 / correlation - 1)
    exact = -np.expm1(betaln(a, b + k) - betaln(a, b))
    assert beta_rates(mean, correlation).coverage(k) == pytest.approx(exact, abs=2e-3)


def test_the_ends_of_the_spread_are_one_rate_and_always_or_never():
    assert beta_rates(0.3, 0.0).rate.tolist() == [0.3]
    ends = beta_rates(0.3, 1.0)
    assert dict(zip(ends.rate, ends.weight, strict=True)) == pytest.approx({0.0: 0.7, 1.0: 0.3})


def test_log_normal_rates_have_their_mean_and_are_cut_off():
    assert log_normal_rates(0.02, 0.5).mean == pytest.approx(0.02, rel=0.01)
    assert log_normal_rates(0.5, 2.0).rate.max() == 0.999


@pytest.mark.parametrize("family", ["beta", "kumaraswamy", "logit_normal"])
def test_counts_lead_back_to_the_coverage_of_the_rates_behind_them(family):
    """Whichever family they come from, and within what 2,000 problems can say."""
    generator = np.random.default_rng(3)
    uniform, tries = generator.random(2_000), 200
    rates = {
        "beta": generator.beta(0.5, 2.0, 2_000),
        "kumaraswamy": (1 - uniform ** (1 / 2.0)) ** (1 / 0.6),
        "logit_normal": 1 / (1 + np.exp(-generator.normal(-2, 1.5, 2_000))),
    }[family]
    found, _ = rates_of_counts(tries, generator.binomial(tries, rates))
    for k in (1, 10, 100):
        truth = (1 - (1 - rates) ** k).mean()
        assert found.coverage(k) == pytest.approx(truth, abs=0.015)


@pytest.mark.parametrize(
    ("c", "why"), [([0, 0, 0, 0], "No sample passed"), ([9, 9, 9, 9], "Every sample passed")]
)
def test_counts_that_say_nothing_of_the_spread_are_refused(c, why):
    with pytest.raises(ValueError, match=why):
        rates_of_counts(9, c)


@pytest.mark.parametrize(
    ("rate", "weight", "why"),
    [
        ([0.1, 1.2], [0.5, 0.5], "in .0, 1."),
        ([0.1, 0.2], [0.5, 0.4], "sum to 1"),
        ([0.1], [0.5, 0.5], "shapes"),
    ],
)
def test_a_distribution_that_is_none_is_refused(rate, weight, why):
    with pytest.raises(ValueError, match=why):
        PassRates(rate=np.array(rate), weight=np.array(weight))


def test_drawn_rates_follow_the_weights():
    rates = PassRates(rate=np.array([0.1, 0.9]), weight=np.array([0.25, 0.75]))
    drawn = rates.draw(np.random.default_rng(0), 20_000)
    assert (drawn == 0.9).mean() == pytest.approx(0.75, abs=0.015)
    assert same_rate(0.4).coverage(2) == pytest.approx(1 - 0.6**2)
