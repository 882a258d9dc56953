"""Simulated studies of a law over sizes: their counts, their intervals, and what helps."""

import numpy as np
import pytest

from fitting import (
    Sampling,
    TaskBelief,
    chance_of_none,
    chance_of_passes,
    expected_samples,
    simulate_next_size,
)

SIZES = (2_600, 5_200, 9_800, 18_500, 35_000, 66_000, 115_000)
LAW = TaskBelief(log_c=np.log(4_000.0), alpha=0.74, scatter=0.08, hardness=0.35)


def study(**changes):
    values = {
        "belief": LAW,
        "sizes": SIZES,
        "target": 200_000,
        "problems": 40,
        "sampling": Sampling(most=2_000, r=5),
        "simulations": 60,
    } | changes
    belief, sizes, target = (values.pop(name) for name in ("belief", "sizes", "target"))
    return simulate_next_size(belief, sizes, target, **values)


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 0.01, 0.3])
def test_drawn_counts_follow_the_rule(rate):
    sampling, many = Sampling(most=2_000, r=5), 40_000
    n, c = sampling.draw(np.random.default_rng(0), np.full(many, rate))
    assert ((c == 5) | (n == 2_000)).all()
    assert n.mean() == pytest.approx(float(expected_samples(5, 2_000, rate)), rel=0.02)
    assert (c == 5).mean() == pytest.approx(float(chance_of_passes(5, 2_000, rate)), abs=0.01)
    assert (c == 0).mean() == pytest.approx(float(chance_of_none(2_000, rate)), abs=0.01)


def test_intervals_hold_the_model_that_they_are_for():
    """60 studies know the share to 0.06 at the most."""
    found = study(level=0.9)
    assert 0.8 <= found.held <= 1
    assert found.fitted == 1


def test_a_further_size_helps_where_more_tries_do_not():
    mine, more = study(), study(sampling=Sampling(most=32_000, r=80))
    further = study(sizes=(*SIZES, 150_000, 160_000))
    assert more.half_width == pytest.approx(mine.half_width, rel=0.25)
    assert further.half_width < 0.9 * mine.half_width


def test_without_scatter_more_samples_narrow_the_interval():
    belief = TaskBelief(log_c=LAW.log_c, alpha=LAW.alpha, scatter=0.0, hardness=LAW.hardness)
    few = study(belief=belief, sampling=Sampling(most=100, r=None))
    many = study(belief=belief, sampling=Sampling(most=10_000, r=None))
    assert many.half_width < 0.5 * few.half_width


def test_studies_in_which_nothing_passes_have_no_interval():
    found = study(belief=TaskBelief(log_c=20.0, alpha=0.1, scatter=0.1, hardness=0.1))
    assert found.fitted == 0
    assert found.half_width == np.inf
    assert np.isnan(found.held)


def test_the_same_seed_gives_the_same_studies():
    first, second = study(simulations=3, seed=4), study(simulations=3, seed=4)
    assert np.array_equal(first.low, second.low)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: Sampling(most=0, r=None), "samples"),
        (lambda: Sampling(most=4, r=5), "r must"),
        (lambda: TaskBelief(log_c=1.0, alpha=1.0, scatter=-1.0, hardness=0.0), "scatter"),
        (lambda: study(sizes=(0, 1, 2)), "size must"),
        (lambda: study(problems=0), "problems"),
    ],
)
def test_numbers_out_of_range_are_refused(call, why):
    with pytest.raises(ValueError, match=why):
        call()
