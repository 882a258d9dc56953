"""The scheduler, driven by a list: all is drawn once, and what finishes first biases nothing."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.allocation.looks import fixed, until
from operators.schemas import SCORES
from pipelines.scheduler import ATTEMPTS, Scheduler, Tally, tally
from pipelines.units import Cell, Unit, covered

CELLS = (Cell("m1", "t"), Cell("m1", "u"), Cell("m2", "t"))
PROBLEMS = ("p0", "p1", "p2", "p3", "p4")
PASS_RATE = {"p0": 0.6, "p1": 0.2, "p2": 0.05, "p3": 0.0, "p4": 1.0}


class FakeEngine:
    """Knows of every sample whether it passes."""

    def __init__(self, seed=0, most=200):
        generator = np.random.default_rng(seed)
        self.passed = {
            (cell, problem): generator.random(most) < PASS_RATE[problem]
            for cell in CELLS
            for problem in PROBLEMS
        }

    def draw(self, unit, r):
        passed = [self.passed[unit.cell, name][unit.start : unit.stop] for name in unit.problems]
        each = unit.stop - unit.start
        columns = {
            "problem_id": np.repeat(unit.problems, each),
            "sample_id": np.tile(np.arange(unit.start, unit.stop), len(unit.problems)),
            "passed": np.concatenate(passed),
        }
        return tally(unit, pa.table(columns), r)

    def ends(self, rule, cell):
        """Samples of each problem under a rule, from the looks alone."""
        held = {}
        for problem in PROBLEMS:
            passes = np.cumsum(self.passed[cell, problem])
            for look in rule.looks:
                held[problem] = [(0, int(look))]
                if rule.r is not None and passes[look - 1] >= rule.r:
                    break
        return held


def scheduler(rule, cells=CELLS, committed=(), unit_samples=7):
    return Scheduler(
        problems=dict.fromkeys(cells, PROBLEMS),
        allocation=rule,
        unit_samples=unit_samples,
        committed=committed,
    )


def finish(work, engine, rule, choose=lambda flying: 0, stop_after=None, width=4):
    """Draw whatever is handed out, at most `width` units at a time, and return the tallies."""
    flying, tallies = [], []
    while not work.finished and len(tallies) != stop_after:
        while len(flying) < width and (unit := work.next(None)) is not None:
            flying.append(unit)
        assert flying, "nothing is in flight, and yet the work is not finished"
        done = engine.draw(flying.pop(choose(flying)), rule.r)
        work.done(done)
        tallies.append(done)
    return tallies


RULES = [fixed(20), until(2, 100, 5, 2.0), until(1, 64, 64, 1.5), until(4, 150, 10, 1.3)]
rules = pytest.mark.parametrize("rule", RULES, ids=["fixed", "until", "one look", "many looks"])


@rules
def test_everything_is_drawn_once_and_nothing_more(rule):
    engine = FakeEngine()
    work = scheduler(rule)
    tallies = finish(work, engine, rule)
    for cell in CELLS:
        held = covered(each.unit for each in tallies if each.unit.cell == cell)
        assert held == engine.ends(rule, cell)
    assert work.next(None) is None
    progress = work.progress()
    assert progress.samples == sum(each.unit.samples for each in tallies)
    assert progress.passes == sum(
        int(engine.passed[each.unit.cell, problem][each.unit.start : each.unit.stop].sum())
        for each in tallies
        for problem in each.unit.problems
    )
    assert progress.settled == progress.problems == len(CELLS) * len(PROBLEMS)
    assert (progress.units_open, progress.samples_left) == (0, 0)
    assert progress.units_done == len(tallies)


@given(st.sampled_from(RULES), st.randoms(use_true_random=False), st.integers(1, 9))
@settings(deadline=None, max_examples=20)
def test_whatever_finishes_first_the_same_samples_are_drawn(rule, random, width):
    """No decision falls before its round is complete."""
    engine = FakeEngine()
    shuffled = finish(
        scheduler(rule), engine, rule, lambda flying: random.randrange(len(flying)), width=width
    )
    plain = finish(scheduler(rule), engine, rule)
    key = lambda each: (each.unit.cell, each.unit.name)  # noqa: E731
    assert sorted(shuffled, key=key) == sorted(plain, key=key)


def test_a_round_waits_for_its_last_unit():
    rule = until(1, 100, 10, 2.0)
    work = scheduler(rule, CELLS[:1], unit_samples=10)
    units = [work.next(None) for _ in PROBLEMS]
    assert [unit.stop for unit in units] == [10] * 5
    engine = FakeEngine()
    for unit in units[:-1]:
        work.done(engine.draw(unit, 1))
        assert work.next(None) is None
        assert not work.finished
    work.done(engine.draw(units[-1], 1))
    assert work.next(None).start == 10


@given(st.sampled_from(RULES), st.integers(0, 25), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=20)
def test_interrupted_work_ends_as_undisturbed_work_does(rule, after, random):
    engine = FakeEngine()
    before = finish(
        scheduler(rule), engine, rule, lambda flying: random.randrange(len(flying)), after
    )
    resumed = scheduler(rule, committed=random.sample(before, len(before)))
    after_it = finish(resumed, engine, rule)
    for cell in CELLS:
        held = covered(each.unit for each in before + after_it if each.unit.cell == cell)
        assert held == engine.ends(rule, cell)
    assert resumed.progress().samples == sum(each.unit.samples for each in before + after_it)


def test_complete_work_is_finished_at_once():
    rule, engine = RULES[1], FakeEngine()
    work = scheduler(rule, committed=finish(scheduler(rule), engine, rule))
    assert work.finished
    assert work.next(None) is None


def test_a_higher_cap_only_appends():
    engine, low, high = FakeEngine(), until(2, 20, 5, 2.0), until(2, 100, 5, 2.0)
    before = finish(scheduler(low), engine, low)
    after = finish(scheduler(high, committed=before), engine, high)
    assert {each.unit.cell for each in after} == set(CELLS)
    assert min(each.unit.start for each in after) == 20
    for cell in CELLS:
        held = covered(each.unit for each in before + after if each.unit.cell == cell)
        assert held == engine.ends(high, cell)


def test_problems_no_longer_asked_are_left_alone():
    engine, rule = FakeEngine(), fixed(20)
    before = finish(scheduler(rule), engine, rule)
    fewer = Scheduler(
        problems={CELLS[0]: PROBLEMS[:2]}, allocation=fixed(30), unit_samples=7,
        committed=[each for each in before if each.unit.cell == CELLS[0]],
    )  # fmt: skip
    after = finish(fewer, engine, rule)
    assert {problem for each in after for problem in each.unit.problems} == set(PROBLEMS[:2])


class TestFailures:
    def poisoned(self, poison, unit_samples=50, width=3):
        """Fail every unit with the poisoned problem; return what was tried, done and given up."""
        work = scheduler(fixed(10), CELLS[:1], unit_samples=unit_samples)
        engine, tried, tallies, given_up = FakeEngine(), [], [], []
        flying = []
        while not work.finished:
            while len(flying) < width and (unit := work.next(None)) is not None:
                flying.append(unit)
            unit = flying.pop(0)
            tried.append(unit)
            if poison not in unit.problems:
                tallies.append(engine.draw(unit, None))
                work.done(tallies[-1])
                continue
            for behind in flying:  # the engine died, with what waited behind
                assert work.failed(behind, blamed=False) is None
            flying = []
            lost = work.failed(unit)
            if lost is not None:
                given_up.append(lost)
                tallies.append(Tally(unit=lost, passed=0, first_passes={}))
                work.done(tallies[-1])
        return tried, tallies, given_up

    @pytest.mark.parametrize("poison", PROBLEMS)
    def test_exactly_the_poisoned_problem_is_given_up(self, poison):
        _, tallies, given_up = self.poisoned(poison)
        assert [unit.problems for unit in given_up] == [(poison,)]
        assert covered(each.unit for each in tallies) == {name: [(0, 10)] for name in PROBLEMS}

    @pytest.mark.parametrize("poison", PROBLEMS)
    def test_tries_then_halves_then_gives_up(self, poison):
        tried, _, (lost,) = self.poisoned(poison, width=1)
        times = Counter(unit.problems for unit in tried if poison in unit.problems)
        assert set(times.values()) == {ATTEMPTS}
        assert PROBLEMS in times
        assert times[lost.problems] == ATTEMPTS
        sizes = sorted(len(problems) for problems in times)
        assert sizes in ([1, 2, 5], [1, 3, 5], [1, 2, 3, 5])

    def test_what_waited_behind_is_never_blamed(self):
        """Its own unit is not split, however often the engine before it died."""
        tried, _, _ = self.poisoned("p0", unit_samples=10)
        assert {unit.problems for unit in tried} == {(problem,) for problem in PROBLEMS}
        times = Counter(unit.problems for unit in tried)
        assert times.pop(("p0",)) == ATTEMPTS
        assert set(times.values()) == {1}

    def test_a_failure_that_passes_costs_nothing(self):
        engine, rule = FakeEngine(), fixed(10)
        work = scheduler(rule, CELLS[:1], unit_samples=50)
        unit = work.next(None)
        for _ in range(ATTEMPTS - 1):
            assert work.failed(unit) is None
            assert work.next(None) == unit
        work.done(engine.draw(unit, None))
        assert work.finished

    def test_a_round_with_a_failed_unit_is_not_complete(self):
        work = scheduler(until(1, 100, 10, 2.0), CELLS[:1], unit_samples=50)
        unit = work.next(None)
        work.failed(unit)
        assert not work.finished
        assert work.progress().units_open == 1
        assert work.next(None) == unit


class TestModels:
    def test_an_engine_is_given_units_of_its_model_only(self):
        work = scheduler(fixed(7))
        assert [work.next("m2").cell.model for _ in PROBLEMS] == ["m2"] * 5
        assert work.next("m2") is None
        assert work.next("m3") is None
        assert [work.next("m1").cell.model for _ in range(10)] == ["m1"] * 10

    def test_the_model_with_most_left_comes_first(self):
        assert scheduler(fixed(7)).choose([], []) == "m1"
        cells = (CELLS[2], Cell("m3", "t"), Cell("m3", "u"))
        assert scheduler(fixed(7), cells).choose([], []) == "m3"

    def test_then_one_that_no_other_engine_has(self):
        work = scheduler(fixed(7))
        assert work.choose([], ["m1"]) == "m2"
        assert work.choose([], ["m1", "m2"]) == "m1"
        assert work.choose([], [], besides="m1") == "m2"

    def test_no_more_engines_load_a_model_than_it_has_units_waiting(self):
        work = scheduler(fixed(7), CELLS[:1])
        assert work.choose(["m1"] * 4, ["m1"]) == "m1"
        assert work.choose(["m1"] * 5, ["m1"]) is None
        work.next("m1")
        assert work.choose(["m1"] * 4, ["m1"]) is None

    def test_nothing_is_chosen_where_nothing_waits(self):
        work = scheduler(fixed(7), CELLS[:1])
        units = [work.next("m1") for _ in PROBLEMS]
        assert work.choose([], []) is None
        assert work.unfinished("m1")
        engine = FakeEngine()
        for unit in units:
            work.done(engine.draw(unit, None))
        assert not work.unfinished("m1")
        assert not work.unfinished("m2")

    @given(st.integers(1, 4), st.randoms(use_true_random=False))
    @settings(deadline=None, max_examples=20)
    def test_each_model_is_loaded_once_where_engines_are_no_more_than_models(self, most, random):
        """Whatever finishes first: rounds of one model are waited for, not filled with another."""
        cells = [Cell(f"m{i}", "t") for i in range(4)]
        rule = until(2, 60, 15, 2.0)
        engine = FakeEngine()
        for cell in cells:
            engine.passed |= {(cell, name): engine.passed[CELLS[0], name] for name in PROBLEMS}
        work = scheduler(rule, cells, unit_samples=15)
        loaded, loads, flying = [None] * most, Counter(), []
        while not work.finished:
            for at, model in enumerate(loaded):
                if model is None or not work.unfinished(model):
                    others = {each for each in loaded if each}
                    chosen = work.choose([], others)
                    if chosen is not None and chosen not in others:
                        loaded[at] = chosen
                        loads[chosen] += 1
                if (unit := work.next(loaded[at])) is not None:
                    flying.append(unit)
            work.done(engine.draw(flying.pop(random.randrange(len(flying))), rule.r))
        assert loads == Counter({cell.model: 1 for cell in cells})


class TestBlame:
    def test_a_unit_that_failed_is_drawn_alone_from_then_on(self):
        work = scheduler(fixed(7), CELLS[:1])
        first, second = work.next("m1"), work.next("m1")
        work.failed(second, blamed=False)
        work.failed(first)
        assert (work.suspect(first), work.suspect(second)) == (True, False)
        assert work.next("m1", alone=False) == second
        assert first not in [work.next("m1", alone=False) for _ in range(5)]
        assert work.next("m1") == first

    @given(st.randoms(use_true_random=False))
    @settings(deadline=None, max_examples=20)
    def test_one_that_was_drawn_beside_a_poisoned_one_is_never_given_up(self, random):
        """The engine dies with all that it draws side by side, and all of it is blamed."""
        work, engine, given_up = scheduler(fixed(10), CELLS[:1], unit_samples=10), FakeEngine(), []
        while not work.finished:
            flying = []
            while len(flying) < 2 and (unit := work.next("m1", alone=not flying)) is not None:
                flying.append(unit)
                if work.suspect(unit):
                    break
            random.shuffle(flying)
            if any("p2" in unit.problems for unit in flying):
                for unit in flying:
                    if (lost := work.failed(unit)) is not None:
                        given_up.append(lost.problems)
                        work.done(Tally(unit=lost, passed=0, first_passes={}))
                continue
            for unit in flying:
                work.done(engine.draw(unit, None))
        assert given_up == [("p2",)]


def test_a_sample_in_two_units_is_refused():
    twice = Unit(cell=CELLS[0], problems=("p1",), start=3, stop=9)
    once = Unit(cell=CELLS[0], problems=PROBLEMS, start=0, stop=5)
    for pair in ((once, twice), (twice, once)):
        committed = [Tally(unit=unit, passed=0, first_passes={}) for unit in pair]
        with pytest.raises(ValueError, match=r"problem p1: sample \d is in two units"):
            scheduler(fixed(10), CELLS[:1], committed)


class TestTally:
    TABLE = pa.Table.from_pylist(
        [
            dict.fromkeys(SCORES.names)
            | {"problem_id": name, "sample_id": i, "passed": passed, "completion_tokens": 1}
            for name, i, passed in [
                ("a", 9, True), ("a", 3, True), ("a", 1, None), ("a", 5, True),
                ("b", 2, False), ("c", 4, True),
            ]
        ],
        schema=SCORES,
    )  # fmt: skip
    UNIT = Unit(cell=CELLS[0], problems=("a", "b", "c"), start=0, stop=10)

    @pytest.mark.parametrize(
        ("r", "first"),
        [
            (None, {}),
            (0, {}),
            (1, {"a": [3], "c": [4]}),
            (2, {"a": [3, 5], "c": [4]}),
            (9, {"a": [3, 5, 9], "c": [4]}),
        ],
    )
    def test_first_passes(self, r, first):
        told = tally(self.UNIT, self.TABLE, r)
        assert told == Tally(unit=self.UNIT, passed=4, first_passes=first)


def test_what_is_left_is_expected_from_the_rate():
    """r / rate samples for each unsettled problem, less what it has, and never beyond the cap."""
    rule, unit = until(2, 100, 10, 2.0), Unit(cell=CELLS[0], problems=PROBLEMS, start=0, stop=10)

    def left(passes):
        settled = {"p0": [0, 1]} if passes > 1 else {}
        done = Tally(unit=unit, passed=passes, first_passes=settled)
        return scheduler(rule, CELLS[:1], [done]).progress().samples_left

    assert scheduler(fixed(10), CELLS[:1]).progress().samples_left == 50
    assert left(12) == pytest.approx(max(4 * 10, 4 * (2 * 51 / 12.5 - 10)))
    assert left(2) == pytest.approx(4 * (2 * 51 / 2.5 - 10))
    assert left(0) == 5 * (100 - 10)


def test_passes_beyond_a_gap_decide_nothing_until_the_gap_is_closed():
    """A later unit may have survived an earlier one: its passes ask for no more than the round."""
    rule = until(2, 80, 10, 2.0)
    begun = Unit(cell=CELLS[0], problems=PROBLEMS[:1], start=0, stop=10)
    later = Unit(cell=CELLS[0], problems=PROBLEMS[:1], start=30, stop=40)
    work = Scheduler(
        problems={CELLS[0]: PROBLEMS[:1]},
        allocation=rule,
        unit_samples=100,
        committed=[
            Tally(unit=begun, passed=0, first_passes={}),
            Tally(unit=later, passed=2, first_passes={"p0": [33, 34]}),
        ],
    )
    unit = work.next(None)
    assert (unit.start, unit.stop) == (10, 20)
    work.done(Tally(unit=unit, passed=2, first_passes={"p0": [11, 12]}))
    assert work.finished
