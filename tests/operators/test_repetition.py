"""Repeated streams are found at their distance; independent samples are left in peace."""

import math
from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.repetition import FALSE_ALARM, repeated, repetition


def samples(*streams):
    """One problem for each stream of completions."""
    frames = [
        pl.DataFrame({"completion": [str(value) for value in stream]})
        .with_row_index("sample_id")
        .with_columns(problem_id=pl.lit(f"p{at}"))
        for at, stream in enumerate(streams)
    ]
    return pl.concat(frames)


def drawn(rng, size, skew=1.0, kinds=50):
    """Independent samples of an answer distribution with a few common values."""
    weights = np.arange(1, kinds + 1) ** -skew
    return rng.choice(kinds, size, p=weights / weights.sum())


def test_pairs_and_equal_pairs_are_counted_at_each_lag():
    found = repetition(samples("abab", "aaaa"))
    assert found.select("lag", "pairs", "equal").rows() == [(1, 6, 3), (2, 4, 4)]
    # a third of the pairs of abab are equal, and all of aaaa
    assert found["expected"].to_list() == pytest.approx([3 / 3 + 3, 2 / 3 + 2])


def test_expected_is_the_mean_over_all_orders():
    values, lag = "aabcb", 2
    counts = [
        sum(order[i] == order[i + lag] for i in range(len(order) - lag))
        for order in permutations(values)
    ]
    found = repetition(samples(values)).filter(lag=lag)
    assert found["expected"].item() == pytest.approx(np.mean(counts))


def test_the_chance_bounds_that_of_all_orders():
    """Every order of eight samples, at every lag: none is called rarer than it is."""
    values = "aaabbcde"
    found = [repetition(samples(order)) for order in set(permutations(values))]
    table = pl.concat(found)
    for _, at in table.group_by("lag"):
        chance = [(at["equal"] >= m).mean() for m in at["equal"]]
        assert np.all(np.exp(at["log_chance"].to_numpy()) >= np.array(chance) - 1e-12)


def test_independent_samples_are_left_in_peace():
    rng = np.random.default_rng(0)
    for skew in (0.0, 1.0, 3.0):
        streams = [drawn(rng, 512, skew) for _ in range(8)]
        assert repeated(repetition(samples(*streams))).is_empty()


@pytest.mark.parametrize("shift", [0, 1, 5])
def test_a_block_drawn_again_is_found_at_its_distance(shift):
    """Chunk after chunk with neighbouring base seeds: child i of one is child i - 1 of the next."""
    rng = np.random.default_rng(1)
    streams = []
    for _ in range(4):
        stream = drawn(rng, 512)
        stream[256:512] = np.roll(stream[:256], -shift)
        streams.append(stream)
    found = repeated(repetition(samples(*streams)))
    assert found["lag"][0] == 256 - shift


def test_one_completion_copied_through_each_request_is_found_among_neighbours():
    rng = np.random.default_rng(2)
    found = repeated(repetition(samples(np.repeat(drawn(rng, 64), 8))))
    assert found["lag"][0] == 1


def test_two_runs_of_one_seed_are_found_though_one_answer_dominates():
    rng = np.random.default_rng(3)
    streams = [np.tile(rng.random(512) < 0.95, 2) for _ in range(4)]
    assert repeated(repetition(samples(*streams)))["lag"][0] == 512


def test_greedy_samples_are_all_equal_and_not_called_repeated():
    assert repeated(repetition(samples("a" * 200, "b" * 200))).is_empty()


def test_too_few_samples_tell_nothing():
    assert repetition(samples("a", "b")).is_empty()
    assert repeated(repetition(samples("a"))).is_empty()


@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_rows_does_not_matter_but_sample_ids_do(stream, random):
    frame = samples(stream)
    at = list(range(frame.height))
    random.shuffle(at)
    assert repetition(frame[at]).equals(repetition(frame))


def test_the_false_alarm_rate_is_over_all_lags():
    table = pl.DataFrame({"lag": [1, 2], "log_chance": [math.log(FALSE_ALARM) - 0.5, -40.0]})
    assert repeated(table)["lag"].to_list() == [2]
