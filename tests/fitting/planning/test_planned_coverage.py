"""Planned widths against those that `pass_at_k` gives: simulated, enumerated, and of real runs."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from fitting import (
    beta_rates,
    coverage_width,
    pass_at_k,
    problems_for_coverage,
    rates_of_counts,
    same_rate,
    simulate_coverage,
    tries_for_coverage,
)
from fitting.planning.coverage import expected_passes

SETTINGS = [
    # mean, correlation, problems, tries, k
    (0.3, 0.3, 100, 100, 1),
    (0.3, 0.3, 100, 200, 100),
    (0.3, 0.5, 500, 50, 10),
    (0.02, 0.1, 200, 200, 100),
    (0.02, 0.5, 300, 1_000, 100),
    (0.7, 0.4, 100, 20, 5),
    (0.3, 0.01, 200, 100, 2),
]


@pytest.mark.parametrize("population", ["like_these", "these"])
@pytest.mark.parametrize(("mean", "correlation", "problems", "tries", "k"), SETTINGS)
def test_the_planned_width_is_the_mean_width_of_simulated_runs(
    mean, correlation, problems, tries, k, population
):
    """By `pass_at_k` itself, to within 6%, of which the simulation's own error is 1 to 2."""
    rates = beta_rates(mean, correlation)
    planned = coverage_width(rates, k, problems=problems, tries=tries, population=population)
    found = simulate_coverage(
        rates, k, problems=problems, tries=tries, population=population, simulations=150
    )
    assert planned.half_width == pytest.approx(found.mean, rel=0.06)
    assert 0.85 <= found.held <= 1
    assert found.mean <= found.most


@pytest.mark.parametrize("tries", [1, 7, 300])
def test_expected_passes_of_a_beta_are_beta_binomial(tries):
    passes, share = expected_passes(beta_rates(0.3, 0.25), tries)
    assert passes.tolist() == list(range(tries + 1))
    assert share == pytest.approx(betabinom.pmf(passes, tries, 0.9, 2.1), abs=2e-3)


@pytest.mark.parametrize("rate", [1e-4, 0.02, 0.5, 0.9995])
def test_thinned_numbers_of_passes_keep_the_moments(rate):
    """Beyond 4,000 tries not each number of passes is a point."""
    tries = 50_000
    passes, share = expected_passes(same_rate(rate), tries)
    assert len(passes) < tries / 20
    assert share.sum() == pytest.approx(1)
    mean = share @ passes
    assert mean == pytest.approx(tries * rate, rel=0.01)
    assert share @ (passes - mean) ** 2 == pytest.approx(binom.var(tries, rate), rel=0.03)


@given(
    problems=st.integers(10, 5_000),
    tries=st.integers(10, 2_000),
    correlation=st.floats(0.02, 0.9),
)
@settings(max_examples=40, deadline=None)
def test_more_problems_never_widen_an_interval(problems, tries, correlation):
    rates = beta_rates(0.2, correlation)
    fewer, more = (
        coverage_width(rates, 10, problems=each, tries=tries).half_width
        for each in (problems, 2 * problems)
    )
    assert more <= fewer


@pytest.mark.parametrize("within", [0.05, 0.02, 0.005])
def test_the_problems_found_are_the_fewest_that_get_there(within):
    rates = beta_rates(0.3, 0.4)
    found = problems_for_coverage(rates, 10, within, tries=20)
    assert found is not None
    assert found.half_width <= within
    fewer = coverage_width(rates, 10, problems=int(found.problems * 0.99), tries=20)
    assert fewer.half_width > within * 0.999


def test_the_tries_found_are_the_fewest_that_get_there():
    rates = beta_rates(0.3, 0.4)
    found = tries_for_coverage(rates, 10, 0.01, problems=200, population="these")
    assert found is not None
    assert found.half_width <= 0.01
    fewer = coverage_width(rates, 10, problems=200, tries=found.tries * 98 // 100,
                           population="these")  # fmt: skip
    assert fewer.half_width > 0.01


def test_no_number_of_tries_makes_up_for_too_few_problems():
    """With 100 problems that always or never pass, the interval is a proportion's: +- 0.1."""
    assert tries_for_coverage(beta_rates(0.5, 1.0), 10, 0.05, problems=100) is None
    limit = coverage_width(beta_rates(0.5, 1.0), 10, problems=100, tries=10).half_width
    assert limit == pytest.approx(1.96 * 0.05, rel=0.03)


@pytest.mark.parametrize(
    ("k", "problems", "tries", "why"),
    [(0, 9, 9, "k must"), (10, 9, 9, "coverage at k needs"), (1, 1, 9, "problems must")],
)
def test_numbers_out_of_range_are_refused(k, problems, tries, why):
    with pytest.raises(ValueError, match=why):
        coverage_width(same_rate(0.5), k, problems=problems, tries=tries)


@pytest.mark.parametrize("within", [0.0, -1.0, 0.5, float("nan")])
def test_a_width_that_is_none_is_refused(within):
    with pytest.raises(ValueError, match="within"):
        problems_for_coverage(same_rate(0.5), 1, within, tries=1)


@pytest.fixture(scope="module")
def pythia():
    """Passes among 10,000 tries of 128 problems, by model."""
    counts = {}
    data = Path(__file__).parents[3].parent / "shared" / "data" / "task_scaling_pythia"
    path = data / "monkeys_math_pythia_counts_n10000.csv"
    if not path.is_file():
        pytest.skip(f"{path}: not here; these counts are published with arXiv 2407.21787")
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            counts.setdefault(row["Model"], []).append(int(float(row["Num. Samples Correct"])))
    return {model: np.array(passes) for model, passes in counts.items()}


@pytest.mark.parametrize("population", ["like_these", "these"])
def test_a_plan_from_100_tries_of_a_real_run_meets_the_width_of_all_10000(pythia, population):
    """Coverage at 100 of Pythia 70M to 12B on MATH, planned from a hundredth of the samples.

    To within 20% of what came out for each model, 10% on average over a few such hundredths.
    """
    errors = {}
    for model, passes in pythia.items():
        real = pass_at_k(10_000, passes, 100, population=population)
        width = float(real.high[0] - real.low[0]) / 2
        planned = []
        for seed in range(5):
            first = np.random.default_rng(seed).hypergeometric(passes, 10_000 - passes, 100)
            rates, _ = rates_of_counts(100, first)
            found = coverage_width(rates, 100, problems=128, tries=10_000, population=population)
            planned.append(found.half_width)
        errors[model] = np.mean(planned) / width - 1
    assert np.abs(list(errors.values())).max() < 0.2, errors
    assert np.abs(list(errors.values())).mean() < 0.1, errors
