"""What a unit is: seeds that anyone can recompute, names that never collide, gaps that close."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.units import Cell, Unit, covered, missing, seeds, stream

CELL = Cell("m", "t")
texts = st.text(max_size=5)
bounds = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted)


@given(st.integers(0, 2**63 - 1), texts, texts, bounds)
@settings(deadline=None, max_examples=60)
def test_any_range_of_seeds_is_a_slice_of_all(run_seed, cell_key, problem, bound):
    start, stop = bound
    whole = seeds(run_seed, cell_key, problem, 0, 60)
    part = seeds(run_seed, cell_key, problem, start, stop)
    assert part.dtype == np.int64
    np.testing.assert_array_equal(part, whole[start:stop])


def test_seeds_far_out_are_as_near_as_the_first():
    far = 10**12 + 3
    np.testing.assert_array_equal(
        seeds(1, "cell", "p", far - 5, far + 5)[5:], seeds(1, "cell", "p", far, far + 5)
    )


def test_a_million_seeds_of_63_bits_are_all_different():
    """Over problems, cells and run seeds too: their streams never meet."""
    streams = [
        seeds(run, cell, problem, 0, 62_500)
        for run in (0, 1)
        for cell in ("a", "b")
        for problem in ("p", "q", "pq", "")
    ]
    together = np.concatenate(streams)
    assert len(together) == 1_000_000
    assert len(np.unique(together)) == len(together)
    assert together.min() >= 0
    # All 63 bits are used, each by about half of them.
    bits = (together[::20, None] >> np.arange(63)) & 1
    np.testing.assert_allclose(bits.mean(axis=0), 0.5, atol=0.01)


def test_a_seed_never_changes():
    """Seeds are part of what a run means: a change here would change every sample of every run."""
    golden = [8586152608078772006, 8780296139009062830, 2303162074527811807]
    assert seeds(0, "cell", "problem", 5, 8).tolist() == golden


units = st.builds(
    Unit,
    cell=st.builds(Cell, st.sampled_from("mn"), st.sampled_from("st")),
    problems=st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4, unique=True)
    .map(tuple),
    start=st.integers(0, 10),
    stop=st.integers(11, 20),
)  # fmt: skip


@given(units)
@settings(deadline=None, max_examples=50)
def test_a_unit_survives_a_round_trip(unit):
    assert Unit.from_dict(unit.to_dict()) == unit


@given(units, units)
@settings(deadline=None, max_examples=100)
def test_units_of_a_cell_share_a_name_only_if_they_are_the_same(one, other):
    other = replace(other, cell=one.cell)
    assert (one.name == other.name) == (one == other)
    moved = replace(one, problems=one.problems[::-1])
    assert (moved.name == one.name) == (len(one.problems) == 1)


def test_names_sort_by_sample_id():
    names = [
        Unit(cell=CELL, problems=("p",), start=start, stop=start + 10).name
        for start in (0, 9, 10, 99, 100, 20_000, 900_000_000)
    ]
    assert names == sorted(names)


@pytest.mark.parametrize("values", [{}, {"cell": ["m"], "problems": [], "start": 0, "stop": 1}])
def test_what_is_no_unit_is_refused(values):
    with pytest.raises((KeyError, TypeError)):
        Unit.from_dict(values)


@given(units)
@settings(deadline=None, max_examples=50)
def test_halves_make_the_whole(unit):
    first, second = unit.halves()
    assert first.problems + second.problems == unit.problems
    assert first.samples + second.samples == unit.samples
    if len(unit.problems) > 1:
        assert min(first.samples, second.samples) > 0


@st.composite
def held_units(draw):
    """Units that hold disjoint ranges of some of five problems."""
    made = []
    for problem in "abcde":
        cuts = sorted(draw(st.sets(st.integers(0, 40), max_size=6)))
        pairs = zip(cuts[::2], cuts[1::2], strict=False)
        made += [Unit(cell=CELL, problems=(problem,), start=a, stop=b) for a, b in pairs]
    return draw(st.permutations(made))


wanted_samples = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 45), min_size=1)


def samples_of(units):
    """Every sample that units hold, with repetitions."""
    return sorted(
        (problem, i) for unit in units for problem in unit.problems
        for i in range(unit.start, unit.stop)
    )  # fmt: skip


@given(held_units())
@settings(deadline=None, max_examples=80)
def test_covered_is_what_units_hold(units):
    held = covered(units)
    pieces = sorted((p, i) for p, ranges in held.items() for a, b in ranges for i in range(a, b))
    assert pieces == samples_of(units)
    for ranges in held.values():
        ends = [end for piece in ranges for end in piece]
        assert all(a < b for a, b in pairwise(ends))


@given(held_units(), st.integers(0, 40), st.integers(1, 5))
@settings(deadline=None, max_examples=80)
def test_covered_notices_a_sample_in_two_units(units, start, length):
    more = Unit(cell=CELL, problems=("z", "c"), start=start, stop=start + length)
    together = samples_of([*units, more])
    if len(set(together)) == len(together):
        assert covered([*units, more])["z"] == [(start, start + length)]
        return
    with pytest.raises(ValueError, match=r"problem c: sample \d+ is in two units"):
        covered([*units, more])


@given(held_units(), wanted_samples, st.integers(1, 30))
@settings(deadline=None, max_examples=150)
def test_missing_completes_exactly_what_is_wanted(units, wanted, unit_samples):
    """Held and missing together are all that is wanted, each sample once, in units not too big."""
    new = missing(CELL, wanted, covered(units), unit_samples)
    held = set(samples_of(units))
    lacking = {(p, i) for p, stop in wanted.items() for i in range(stop)} - held
    assert samples_of(new) == sorted(lacking)
    assert all(0 < unit.samples <= unit_samples for unit in new)
    assert len({unit.name for unit in new}) == len(new)


@given(st.integers(1, 7), st.integers(1, 40), st.integers(0, 20), st.integers(1, 30), st.data())
@settings(deadline=None, max_examples=150)
def test_interrupted_work_goes_on_in_the_units_in_which_it_would_have_been_done(
    problems, wanted, held, unit_samples, data
):
    names = [f"p{at}" for at in range(problems)]
    before = {name: [(0, min(held, wanted))] for name in names if held}
    undisturbed = missing(CELL, dict.fromkeys(names, wanted), before, unit_samples)
    done = data.draw(st.lists(st.sampled_from(undisturbed), unique=True)) if undisturbed else []
    start = [Unit(cell=CELL, problems=(n,), start=a, stop=b) for n in before for a, b in before[n]]
    again = missing(CELL, dict.fromkeys(names, wanted), covered([*start, *done]), unit_samples)
    assert again == [unit for unit in undisturbed if unit not in done]


@given(st.integers(0, 2**63 - 1), texts, texts)
def test_the_base_of_a_stream_leaves_room_for_every_sample_id_below_2_to_the_62(
    run_seed, cell_key, problem
):
    assert 0 <= stream(run_seed, cell_key, problem) < 2**62


def test_problems_cells_and_runs_have_bases_of_their_own():
    bases = {
        stream(run_seed, cell, problem)
        for run_seed in range(10)
        for cell in "abc"
        for problem in "xyz"
    }
    assert len(bases) == 90
    closest = min(b - a for a, b in pairwise(sorted(bases)))
    assert closest > 2**40  # far more than a problem has samples
