import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fitting import (
    Growth,
    Status,
    coverage_law_from_dict,
    fit_coverage,
    fit_task_law,
    pass_all_k,
    pass_at_k,
    pass_at_k_until,
    pass_until,
)
from operators.schemas import CURVES, LAWS, RATES
from pipelines.errors import UserError
from pipelines.fit import fit_tables
from tests.pipelines.simulated_run import simulate

TASKS = ("add-2", "add-3")
SIZES = (2_600, 5_200, 9_800, 18_500)


def run(made, counts=None):
    return fit_tables(made.sweep, made.parameters, made.counts if counts is None else counts)


@pytest.fixture(scope="module")
def until():
    return simulate(sizes=SIZES, tasks=TASKS, problems=12, seeds=2)


@pytest.fixture(scope="module")
def fits(until):
    return run(until)


@pytest.fixture(scope="module")
def fixed():
    return simulate(sizes=SIZES, tasks=TASKS, problems=12, seeds=1, n=200)


def cell(frame, model, task, **values):
    return frame.filter(
        *(pl.col(name) == value for name, value in {"model": model, "task": task, **values}.items())
    )


def columns(frame, *names):
    return (frame[name].to_numpy() for name in names)


def test_tables_have_their_schemas(fits):
    """The tables are what the contract says that other tools read."""
    for frame, schema in ((fits.rates, RATES), (fits.curves, CURVES), (fits.laws, LAWS)):
        assert frame.to_arrow().cast(schema).schema == schema
    assert set(fits.curves["kind"]) == {
        "pass_at_k",
        "coverage_law",
        "pass_rate",
        "pass_until",
        "task_law",
        "task_law_prediction",
    }
    assert set(fits.laws["kind"]) == {"coverage", "task", "emergence"}


def test_rates_are_those_of_pass_until(until, fits):
    """Each problem's rate is unbiased for the rule that stopped its sampling."""
    counts = cell(until.counts, "m2.6k", "add-3")
    n, c, r, look = columns(counts, "n", "c", "r", "look")
    expected = pass_until(n, c, r, look=look)
    rates = cell(fits.rates, "m2.6k", "add-3")
    assert rates["problem_id"].to_list() == counts["problem_id"].to_list()
    np.testing.assert_array_equal(rates["estimate"], expected.problems.estimate)
    np.testing.assert_array_equal(rates["high"], expected.problems.high)
    (mean,) = cell(fits.curves, "m2.6k", "add-3", kind="pass_until").iter_rows(named=True)
    assert (mean["x"], mean["estimate"]) == (2_600, expected.mean.estimate)


def test_coverage_is_unbiased_under_the_stopping_rule(until, fits):
    """Curves over tries come from the estimator for sampling that stopped on passes."""
    n, c, r, look = columns(cell(until.counts, "m5.2k", "add-2"), "n", "c", "r", "look")
    curve = cell(fits.curves, "m5.2k", "add-2", kind="pass_at_k")
    assert curve["x"].min() == 1
    assert curve["x"].max() == n.max()
    expected = pass_at_k_until(n, c, curve["x"], r, look=look)
    np.testing.assert_array_equal(curve["estimate"], expected.estimate)
    np.testing.assert_array_equal(curve["low"], expected.low)


def test_curves_of_a_fixed_number_of_samples(fixed):
    """With n fixed, coverage and pass^k are the ordinary ones, up to k = n."""
    fits = run(fixed)
    n, c = columns(cell(fixed.counts, "m5.2k", "add-2"), "n", "c")
    for kind, estimator in (("pass_at_k", pass_at_k), ("pass_all_k", pass_all_k)):
        curve = cell(fits.curves, "m5.2k", "add-2", kind=kind)
        assert curve["x"].max() == 200
        np.testing.assert_array_equal(curve["estimate"], estimator(n, c, curve["x"]).estimate)


def test_tries_are_those_of_the_sweep():
    """fit.k decides where coverage is reported; what was not measured is left out."""
    made = simulate(sizes=SIZES[:1], tasks=TASKS[:1], problems=5, seeds=1, k=[1, 10, 10**7])
    fits = run(made)
    assert fits.curves.filter(pl.col("kind") == "pass_at_k")["x"].to_list() == [1, 10]


def test_undecided_samples_leave_the_upper_limit_open(fixed):
    """Estimates and lower limits count them as not passed; upper limits as if all had passed."""
    decided, all_passed = fixed.counts, fixed.counts.with_columns(c=pl.col("c") + 5)
    open_counts = fixed.counts.with_columns(undecided=pl.lit(5, pl.Int64))
    certain, bound, fits = (run(fixed, counts) for counts in (decided, all_passed, open_counts))
    for table in ("rates", "curves"):
        kept = pl.col("kind").str.contains("^pass") if table == "curves" else pl.lit(True)
        low, high, both = (getattr(f, table).filter(kept) for f in (certain, bound, fits))
        assert both["estimate"].equals(low["estimate"])
        assert both["low"].equals(low["low"])
        np.testing.assert_allclose(both["high"], np.maximum(low["high"], high["high"]))


def test_undecided_samples_widen_only_their_own_problems(until, fits):
    """Under a stopping rule too, a problem without undecided samples keeps its interval."""
    first = pl.col("problem_id") == "p000"
    undecided = pl.when(first & (pl.col("c") < pl.col("n"))).then(1).otherwise(0).cast(pl.Int64)
    wider = run(until, until.counts.with_columns(undecided=undecided))
    grown = wider.rates["high"] > fits.rates["high"]
    assert grown.any()
    assert set(wider.rates.filter(grown)["problem_id"]) == {"p000"}
    assert wider.rates["low"].equals(fits.rates["low"])


def test_auto_is_the_stack_of_fit_coverage_with_its_laws_beside_it(until, fits):
    for model in ("m2.6k", "m9.8k-s0"):
        n, c, r, look = columns(cell(until.counts, model, "add-3"), "n", "c", "r", "look")
        laws = cell(fits.laws, model, "add-3")
        chosen = laws.filter("chosen").row(0, named=True)
        expected = fit_coverage(n, c, r=r, look=look)
        assert chosen["family"] == expected.family == "stack"
        assert json.loads(chosen["parameters"]) == expected.params
        assert laws.filter(~pl.col("chosen"))["family"].to_list() == list(expected.params)
        first = laws.row(0, named=True)
        assert json.loads(first["intervals"])["a"] == list(expected.laws[0].interval("a"))
        assert chosen["converged"] == (expected.status is Status.CONVERGED)


def test_the_sweep_may_name_the_family(fixed):
    fit = fixed.sweep.fit.model_copy(update={"family": "beta_binomial"})
    made = replace(fixed, sweep=fixed.sweep.model_copy(update={"fit": fit}))
    laws = run(made).laws.filter(pl.col("kind") == "coverage")
    assert set(laws["family"]) == {"beta_binomial"}
    assert laws["chosen"].all()


def test_a_law_is_drawn_beyond_what_was_measured(fits):
    """The chosen coverage law runs to ten times the tries measured, as a law reads them back."""
    law = cell(fits.laws, "m2.6k", "add-2").filter("chosen").row(0, named=True)
    curve = cell(fits.curves, "m2.6k", "add-2", kind="coverage_law")
    most = cell(fits.curves, "m2.6k", "add-2", kind="pass_at_k")["x"].max()
    assert curve["x"].max() == 10 * most
    again = coverage_law_from_dict(json.loads(law["law"])).predict(curve["x"].to_numpy(), 0.95)
    np.testing.assert_array_equal(curve["estimate"], again.estimate)
    np.testing.assert_array_equal(curve["high"], again.high)


def test_the_task_law_does_not_see_what_it_predicts(until, fits):
    """All models of the largest size are held out, predicted, and named."""
    seen = [m for m in until.parameters if until.parameters[m] < max(SIZES)]
    held_out = [m for m in until.parameters if m not in seen]
    per_model = [list(columns(cell(until.counts, m, "add-3"), "n", "c", "r", "look")) for m in seen]
    n, c, r, look = zip(*per_model, strict=True)
    expected = fit_task_law([until.parameters[m] for m in seen], n, c, r=r, look=look)
    (row,) = fits.laws.filter(kind="task", task="add-3").iter_rows(named=True)
    assert row["held_out"] == ", ".join(held_out)
    assert json.loads(row["parameters"])["alpha"] == expected.params["alpha"]
    predicted = fits.curves.filter(kind="task_law_prediction", task="add-3")
    assert predicted["model"].to_list() == held_out
    truth = expected.predict(float(max(SIZES)), 0.95)
    assert set(predicted.select("x", "estimate", "low", "high", "level").rows()) == {
        (float(max(SIZES)), float(truth.estimate), float(truth.low), float(truth.high), 0.95)
    }


@pytest.mark.parametrize(("hold_out", "named"), [(None, None), ("m5.2k", "m5.2k")])
def test_hold_out_is_configurable(fixed, hold_out, named):
    """Nothing, or one named model, may be held out instead."""
    fit = fixed.sweep.fit.model_copy(update={"hold_out": hold_out})
    fits = run(replace(fixed, sweep=fixed.sweep.model_copy(update={"fit": fit})))
    assert set(fits.laws.filter(kind="task")["held_out"]) == {named}
    predictions = fits.curves.filter(kind="task_law_prediction")["model"]
    assert set(predictions) == ({named} if named else set())


def test_emergence_is_a_row_with_its_sentence(fits):
    """The verdict on growth stands among the laws, with curvature, change of exponent and p."""
    for row in fits.laws.filter(kind="emergence").iter_rows(named=True):
        assert (row["family"], row["model"], row["held_out"]) == ("quadratic", None, None)
        assert row["status"] == Growth[json.loads(row["law"])["growth"]].value
        parameters = json.loads(row["parameters"])
        assert set(parameters) == {"curvature", "exponent_change", "p_value"}
        low, high = json.loads(row["intervals"])["curvature"]
        assert low < parameters["curvature"] < high


def test_refusals_are_rows(fixed):
    """A law that cannot be fitted says why, in JSON without NaN, and has no curve."""
    never = fixed.counts.with_columns(c=pl.lit(0, pl.Int64))
    fits = run(fixed, never)
    assert not fits.laws["converged"].any()
    assert set(fits.laws.filter(pl.col("kind") != "emergence")["status"]) == {
        Status.NO_PASSES.value
    }
    assert set(fits.curves["kind"]) == {"pass_at_k", "pass_all_k", "pass_rate", "pass_until"}
    for column in ("parameters", "intervals", "goodness", "law"):
        for text in fits.laws[column]:
            json.loads(text, parse_constant=pytest.fail)
    (task_law,) = fits.laws.filter(kind="task", task="add-2")["parameters"]
    assert json.loads(task_law) == {"log_c": None, "alpha": None}


def test_one_model_alone(fixed):
    """With one size nothing is held out, and the laws over sizes are refused."""
    fits = run(fixed, fixed.counts.filter(model="m2.6k"))
    (law,) = fits.laws.filter(kind="task", task="add-2").iter_rows(named=True)
    assert law["status"] == Status.TOO_FEW_MODELS.value
    assert law["held_out"] is None
    (verdict,) = fits.laws.filter(kind="emergence", task="add-2")["law"]
    assert json.loads(verdict)["growth"] == "UNDETERMINED"


@pytest.mark.parametrize("empty", [pl.col("n") < 0, pl.col("n") == 0])
def test_no_counts_is_an_error_that_says_what_to_do(fixed, empty):
    """Without a sample there is nothing to fit: sample first."""
    counts = fixed.counts.with_columns(n=pl.lit(0, pl.Int64)).filter(empty)
    with pytest.raises(UserError, match="passlaw sample"):
        run(fixed, counts)


def test_a_model_of_unknown_size_has_no_part_in_what_is_over_sizes(fixed):
    """Its rates and coverage are as ever; laws over sizes are those of the other models."""
    parameters = {m: s for m, s in fixed.parameters.items() if m != "m5.2k"}
    fits = fit_tables(fixed.sweep, parameters, fixed.counts)
    whole = run(fixed)
    others = run(fixed, fixed.counts.filter(pl.col("model") != "m5.2k"))
    assert fits.rates.equals(whole.rates)
    for kind in ("pass_at_k", "coverage_law", "pass_rate"):
        assert fits.curves.filter(kind=kind).equals(whole.curves.filter(kind=kind))
    for kind in ("pass_until", "task_law", "task_law_prediction"):
        assert fits.curves.filter(kind=kind).equals(others.curves.filter(kind=kind))
    assert fits.laws.filter(kind="emergence").equals(others.laws.filter(kind="emergence"))


def test_without_any_size_there_is_coverage_and_no_law_over_sizes(fixed):
    """Nothing stands in for a size that nobody gave."""
    fits = fit_tables(fixed.sweep, {}, fixed.counts)
    assert set(fits.laws["kind"]) == {"coverage"}
    assert set(fits.curves["kind"]) == {"pass_at_k", "pass_all_k", "coverage_law", "pass_rate"}


def test_the_mean_rate_is_that_over_sizes_at_one_try(fits):
    """Kind pass_rate says of every model what pass_until says of those with a size."""
    columns = ["model", "task", "estimate", "low", "high", "level"]
    rates, sized = (fits.curves.filter(kind=kind) for kind in ("pass_rate", "pass_until"))
    assert rates.select(columns).equals(sized.select(columns))
    assert set(rates["x"]) == {1.0}


def test_problems_without_samples_are_left_out(fixed):
    """A problem that was never sampled takes no part in any estimate."""
    first = pl.col("problem_id") == "p000"
    zero = [
        pl.when(first).then(0).otherwise(name).cast(pl.Int64).alias(name) for name in ("n", "c")
    ]
    fits = run(fixed, fixed.counts.with_columns(zero))
    without = run(fixed, fixed.counts.filter(~first))
    assert fits.rates.equals(without.rates)
    assert fits.curves.equals(without.curves)
