"""Comparing runs: who is found better, by how much, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fitting import difference, pass_at_k
from operators.schemas import PROBLEMS
from pipelines.errors import UserError
from pipelines.reporting import compare_page
from pipelines.reporting.compare_pairs import Contestant, compare, holm, problem_changes
from pipelines.reporting.compare_runs import costs, differing_keys, in_common, labels, one_seed
from pipelines.run import version
from pipelines.store import Store
from tests.command import passlaw
from tests.pipelines.reporting.compared_runs import compared_run, count_row

EASY = np.linspace(0.2, 0.6, 30)


@pytest.fixture(scope="module")
def runs():
    return [
        compared_run("cool", {"sums": {"m": EASY}, "only-cool": {"m": EASY}}, seed=1),
        compared_run("warm", {"sums": {"m": EASY + 0.2}}, seed=2),
    ]


@pytest.fixture(scope="module")
def found(runs):
    return compare_page.compared(runs)


def contestant(run, passes, n=50, model="m"):
    rows = [count_row(model, "t", f"p{at}", n, c) for at, c in enumerate(passes)]
    return Contestant(label=f"{model}, {run}", run=run, model=model, counts=pl.DataFrame(rows))


def test_the_better_run_is_named(found):
    """Every problem passes 0.2 more often: the second run wins at one try."""
    one = next(pairing for pairing in found.pairings if pairing.k == 1)
    assert (one.winner.run, one.low < 0.2 < one.high) == ("warm", True)


def test_the_difference_is_the_paired_one(found):
    """The gap and its interval are those of fitting's paired comparison of the same counts."""
    one = next(pairing for pairing in found.pairings if pairing.k == 10)
    values = [
        pass_at_k(each.counts["n"].to_numpy(), each.counts["c"].to_numpy(), [10]).problems
        for each in (one.second, one.first)
    ]
    truth = difference(*values).difference
    assert [one.gap, one.low, one.high] == pytest.approx(
        [truth.estimate[0], truth.low[0], truth.high[0]]
    )


def test_equal_rates_are_seldom_told_apart():
    """Of 200 pairs of runs with the same rates, corrected within each page, few have a winner."""
    generator = np.random.default_rng(3)
    false = 0
    for _ in range(200):
        one, two = (contestant(run, generator.binomial(50, EASY)) for run in "ab")
        false += any(each.winner for each in compare({"t": [one, two]}))
    assert false <= 19  # 5% of 200 are 10; more than 19 have a chance of 0.2%


def test_namesakes_meet_their_own():
    """Models of one name in both runs are compared with each other only."""
    four = [contestant(run, [5, 6], model=model) for run in "ab" for model in ("m", "n")]
    pairs = {(each.first.model, each.second.model) for each in compare({"t": four})}
    assert pairs == {("m", "m"), ("n", "n")}


def test_strangers_meet_all_others():
    """Where no name is in both runs, each model of one meets each of the other."""
    three = [contestant("a", [5, 6], model=name) for name in ("m", "n")]
    three.append(contestant("b", [5, 7], model="o"))
    pairs = {(each.first.model, each.second.model) for each in compare({"t": three})}
    assert pairs == {("m", "o"), ("n", "o")}


def test_one_problem_is_compared_by_its_tries():
    """With one problem in common the interval is for that problem."""
    (one, *_) = compare({"t": [contestant("a", [5]), contestant("b", [45])]})
    assert (one.population, one.gap, one.winner.run) == ("these", pytest.approx(0.8), "b")


def test_a_run_that_stopped_on_passes_keeps_its_rule():
    """Stopped at the second pass, 2 of n overstate the rate: the unbiased one is 1 in n - 1."""
    rows = [
        count_row("m", "t", f"p{at}", n, 2)
        | {"stop_reason": "r_reached", "r": 2, "cap": 100, "nth_pass": n - 1, "look": n - 1}
        for at, n in enumerate((10, 20, 40))
    ]
    stopped = Contestant(label="m", run="a", model="m", counts=pl.DataFrame(rows))
    assert stopped.rates().problems.estimate == pytest.approx([1 / 9, 1 / 19, 1 / 39])
    assert stopped.most == 40


def test_tries_go_no_further_than_all_samples():
    """Coverage is compared at numbers of tries that every contestant has."""
    few = contestant("a", [3, 4], n=25)
    assert {each.k for each in compare({"t": [few, contestant("b", [5, 6])]})} == {1, 10, 25}


@given(arrays(float, st.integers(1, 30), elements=st.floats(0, 1)))
def test_a_correction_only_raises(p_values):
    """No p-value falls, none exceeds 1, and their order stays."""
    corrected = holm(p_values)
    assert (corrected >= p_values).all()
    assert (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p_values, kind="stable")]) >= 0).all()


def test_holm_of_a_published_example():
    """Four p-values by hand: times 4, 3, 2, 1 in ascending order, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_changed_problem_comes_first():
    """One problem of forty that went from 10% to 90% is listed first, and as the only change."""
    before = [25] * 40
    after = [25] * 39 + [45]
    changes = problem_changes(contestant("a", before), contestant("b", after))
    assert (changes[0].problem_id, sum(each.changed for each in changes)) == ("p39", 1)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_turning_a_comparison_around_turns_its_sign(seed):
    """First against second is the negative of second against first."""
    generator = np.random.default_rng(seed)
    one, two = (contestant(run, generator.binomial(50, 0.4, 8)) for run in "ab")
    there, back = (compare({"t": list(pair)})[0] for pair in ((one, two), (two, one)))
    assert [there.gap, there.low, there.high] == pytest.approx([-back.gap, -back.high, -back.low])


class TestWhatRunsHaveInCommon:
    def test_only_shared_tasks(self, found):
        assert [each.task for each in found.tasks] == ["sums"]

    def test_problems_that_one_did_not_try_are_left_out(self, runs):
        fewer = runs[1].tables.counts.filter(pl.col("problem_id") != "p000")
        one = replace(runs[1], tables=replace(runs[1].tables, counts=fewer))
        (task,) = in_common([runs[0], one])
        assert (task.problems, task.left_out) == (29, 1)

    def test_another_prompt_is_counted(self, runs):
        asked = [{"sums": {"p000": "1+1", "p001": text}} for text in ("1+2", "what is 1+2")]
        told = [replace(run, prompts=prompts) for run, prompts in zip(runs, asked, strict=True)]
        assert in_common(told)[0].reworded == 1

    def test_runs_of_one_name_are_called_by_their_folders(self, runs):
        twins = [replace(run.tables, run=f"/d/{at}/") for at, run in enumerate((runs[0], runs[0]))]
        assert labels(twins) == ["0", "1"]

    def test_models_are_called_by_what_tells_them_apart(self):
        """By the run where all are of one name, by both where names meet, else by the model."""
        many = [compared_run(run, {"t": dict.fromkeys(models, EASY)})
                for run, models in (("a", "mn"), ("b", "mo"))]  # fmt: skip
        (task,) = in_common(many)
        assert [each.label for each in task.contestants] == ["m, a", "n", "m, b", "o"]

    def test_one_seed_is_told(self, runs):
        assert one_seed([runs[0], replace(runs[0], label="again")])
        assert not one_seed(runs)

    def test_only_keys_that_differ_are_listed(self, runs):
        keys = differing_keys(runs)
        assert keys["tasks"] == ["sums, only-cool", "sums"]
        assert set(keys) == {"name", "seed", "tasks"}

    def test_a_key_within_a_model_is_found_by_its_name(self, runs):
        values = runs[1].tables.sweep.model_dump(mode="json")
        values["models"][0]["rate"] = 0.5
        sweep = type(runs[1].tables.sweep).model_validate(values)
        other = replace(runs[1], tables=replace(runs[1].tables, sweep=sweep))
        assert differing_keys([runs[1], other]) == {"models.m.rate": ["0.1", "0.5"]}

    def test_unknown_costs_stay_unknown(self):
        run = compared_run("imported", {"t": {"m": EASY}}, sizes=False)
        (row,) = costs([run])
        assert (row["flops"], row["engine_seconds"], row["samples"]) == (None, None, 6000)


class TestRefusals:
    def test_no_task_in_common(self):
        one, two = (compared_run(name, {task: {"m": EASY}}) for name, task in ("ax", "by"))
        with pytest.raises(UserError, match="no task in common: a has x; b has y"):
            in_common([one, two])

    def test_no_problem_in_common(self, runs):
        other = runs[1].tables.counts.with_columns(pl.col("problem_id") + "!")
        with pytest.raises(UserError, match="no problem of task sums was tried in all"):
            in_common([runs[0], replace(runs[1], tables=replace(runs[1].tables, counts=other))])

    def test_one_run(self, runs):
        with pytest.raises(UserError, match="needs two runs"):
            in_common(runs[:1])

    def test_a_run_with_itself(self, runs):
        with pytest.raises(UserError, match="runs/cool: is named twice"):
            in_common([runs[0], runs[0]])


def test_the_page_says_who_is_better(found):
    """The first sentences name the task, both rates and the verdict."""
    html = compare_page.page(found, version())
    rates = found.pairings[0].estimates
    assert f"passes at a rate of {rates[1]:.3f} by warm and of {rates[0]:.3f} by cool" in html
    assert "warm is better by more than chance explains" in html


def test_names_from_outside_are_escaped(runs):
    """A run's name cannot put markup into the page."""
    nasty = [replace(run, label=f"<img src=x>{run.label}") for run in runs]
    assert "<img" not in compare_page.page(compare_page.compared(nasty), version())


def test_counts_alone_make_a_page():
    """Without sizes, operations or laws, the page tells what there is."""
    pair = [compared_run(name, {"t": {"m": EASY}}, sizes=False, seed=at)
            for at, name in enumerate("ab")]  # fmt: skip
    html = compare_page.page(compare_page.compared(pair), version())
    assert "The laws" not in html
    assert "Differences" in html


def test_a_document_is_strict_json(found):
    """What --json prints has no NaN, and tells the corrected p-value of every comparison."""
    told = json.loads(json.dumps(compare_page.document(found), allow_nan=False))
    assert [each["corrected_p_value"] for each in told["comparisons"]] == [
        each.corrected for each in found.pairings
    ]


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    for run in runs:
        stored(run.tables, folder / run.label)
    return folder


class TestTheCommand:
    def test_it_writes_a_page_and_prints_one_document(self, folder):
        done = passlaw(folder, "compare", "cool", "warm", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["comparisons"][0]["better"] == "warm"
        assert "<h1>cool against warm</h1>" in (folder / "comparison.html").read_text()

    def test_a_missing_run_is_refused_in_one_line(self, folder):
        done = passlaw(folder, "compare", "cool", "nowhere")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "nowhere: no such run directory" in done.stderr


def stored(tables, path):
    """Write a run's tables as its stages would have."""
    store = Store.at(str(path))
    store.create()
    known = {model.name: {"parameters": 1000, "fingerprint": "f"} for model in tables.sweep.models}
    tasks = {task.name: 1 for task in tables.sweep.tasks}
    store.write_sweep(tables.sweep, {"models": known, "tasks": tasks})
    for task in tasks:
        row = {"problem_id": "p000", "prompt": "1+1=", "answer": "2", "verifier": "exact"}
        store.write_problems(task, pa.Table.from_pylist([row], schema=PROBLEMS))
    names = ("counts", "costs", "audit", "rates", "curves", "laws", "selection", "calibration",
             "reliability")  # fmt: skip
    for name in names:
        store.write_result(name, getattr(tables, name))
