"""What the parts of a report say: sentences and numbers that the tables of a run bear out."""

import re
from dataclasses import replace

import polars as pl
import pytest

from operators.schemas import AUDIT
from pipelines.reporting.charts import NONE, number
from pipelines.reporting.endings import ENDINGS
from pipelines.reporting.report import render
from pipelines.reporting.sections import (
    calibration,
    coverage,
    frontier,
    growth,
    problems,
    quality,
    reproduce,
    selection,
    summary,
)
from pipelines.reporting.sections.section import interval, listed, rate
from pipelines.sweeps.config import parse
from tests.pipelines.simulated_run import simulate, tabled

NO_ENDINGS = pl.DataFrame(schema=ENDINGS)


@pytest.fixture(scope="module")
def made():
    return simulate(sizes=(2_600, 9_800), tasks=("add-2", "add-3"), problems=8, seeds=1, n=64)


@pytest.fixture(scope="module")
def tables(made):
    return tabled(made)


def with_counts(tables, **columns):
    return replace(tables, counts=tables.counts.with_columns(**columns))


def imported(tables):
    """The tables of a run of imported counts: no samples, no sizes, nothing spent."""
    names = list(dict.fromkeys(tables.counts["model"]))
    sweep = {
        "name": "theirs",
        "models": [{"engine": "imported", "name": name} for name in names],
        "tasks": [{"source": "imported", "name": name} for name in ("add-2", "add-3")],
        "allocation": {"kind": "imported"},
    }
    empty = ("costs", "selection", "calibration", "reliability", "audit")
    over_sizes = ("task", "emergence")
    return replace(
        tables,
        sweep=parse(sweep, source="test"),
        parameters={},
        exact=None,
        laws=tables.laws.filter(~pl.col("kind").is_in(over_sizes)),
        curves=tables.curves.filter(pl.col("kind").is_in(["pass_at_k", "coverage_law"])),
        **{name: getattr(tables, name).clear() for name in empty},
    )


def told(section, task="add-2"):
    return " ".join(finding.text for finding in section.found[task])


# Success against tries.


def test_coverage_is_told_at_one_a_hundred_and_the_most_tries(tables):
    """With intervals, of the largest model; 64 tries were measured, so a hundred is left out."""
    curve = tables.curves.filter(kind="pass_at_k", model="m9.8k", task="add-3").sort("x")
    text = told(coverage.section(tables), "add-3")
    first, last = (curve.row(at, named=True) for at in (0, -1))
    assert f"m9.8k, the largest model, reaches a coverage of {interval(first)} in one try" in text
    assert f"{interval(last)} within 64 tries, the most that all problems had" in text


def test_the_forecast_names_its_law_and_how_far_it_reaches(tables):
    """Ten times beyond the data, by the family that was chosen."""
    law = tables.laws.filter(kind="coverage", model="m9.8k", task="add-3", chosen=True)
    drawn = tables.curves.filter(kind="coverage_law", model="m9.8k", task="add-3").sort("x")
    family = "stack of laws" if law["family"].item() == "stack" else law["family"].item()
    assert (
        f"Within 640 tries, 10 times beyond the data, the {family} forecasts "
        f"{interval(drawn.row(-1, named=True))}." in told(coverage.section(tables), "add-3")
    )


def test_a_law_that_was_refused_forecasts_nothing(tables):
    """The reason stands in its place."""
    bare = replace(tables, curves=tables.curves.filter(pl.col("kind") != "coverage_law"))
    law = tables.laws.filter(kind="coverage", model="m9.8k", task="add-3", chosen=True)
    text = told(coverage.section(bare), "add-3")
    assert f"Beyond 64 tries nothing is forecast. {law['status'].item()}" in text


def test_nothing_passed_is_told_with_the_limit_that_it_leaves(made):
    """0 is never said to be the pass rate."""
    never = tabled(replace(made, counts=made.counts.with_columns(c=pl.lit(0, pl.Int64))))
    high = never.curves.filter(kind="pass_at_k", model="m9.8k", task="add-2", x=1)["high"].item()
    text = told(coverage.section(never))
    assert f"passed none of 512 samples: on problems like these it passes at a rate of at most "\
        f"{number(high)}." in text  # fmt: skip
    assert "forecast" not in text


# Success against size.


def test_without_two_sizes_nothing_is_said_of_growth(tables):
    """One size makes no law, and unknown sizes make none."""
    assert growth.section(replace(tables, parameters={})) is None
    assert growth.section(replace(tables, parameters={"m2.6k": 2_600})) is None


# Choosing.


def test_choosing_is_told_against_one_sample_and_the_oracle(tables):
    """Majority and coverage are those of the table, at the most tries of the largest model."""
    row = tables.selection.filter(model="m9.8k", task="add-2", method="majority", k=8)
    text = told(selection.section(tables))
    assert f"majority is right on {interval(row.row(0, named=True))} of the problems" in text
    assert f"an oracle would be on {rate(row['coverage'].item())}" in text


# Confidence.


def test_bins_without_an_interval_are_drawn_without_one(tables):
    """A bin with samples of one problem has no limits; its point stays."""
    bins = tables.reliability.with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, float))
    chart = calibration.section(replace(tables, reliability=bins)).figures["reliability"]
    rows = [row for rows in chart.datasets.values() for row in rows if "samples" in row]
    assert len(rows) == 2 * 2
    assert {row["low"] for row in rows} == {None}
    assert {row["text"] for row in rows} == {"0.250", "0.750"}


# Costs.


def test_the_cheapest_way_is_found_by_hand(tables):
    """Of all measured options that reach half, the one of least cost; the dearest model beside."""
    each = tables.costs.select("model", "task", each=pl.col("flops") / pl.col("samples"))
    options = (
        tables.curves.filter(pl.col("kind") == "pass_at_k", pl.col("estimate") >= 0.5)
        .join(each, on=["model", "task"])
        .with_columns(cost=pl.col("x") * pl.col("each"))
        .filter(task="add-2")
        .sort("cost")
    )
    best = options.row(0, named=True)
    dear = options.filter(model="m9.8k").row(0, named=True)
    text = told(frontier.section(tables))
    assert f"to a coverage of 0.5 is {best['model']} with {number(best['x'])} " in text
    assert f"at {number(best['cost'])} FLOPs a problem" in text
    assert best["model"] == "m9.8k" or f"m9.8k takes {number(dear['cost'])}." in text


def test_prices_are_drawn_where_something_was_billed(tables):
    """USD have a figure and a frontier of their own, and are what the summary speaks of."""
    billed = replace(tables, costs=tables.costs.with_columns(usd=pl.lit(2.5)))
    part = frontier.section(billed)
    assert set(part.figures) == {"cost", "price"}
    assert "USD a problem" in told(part)


def test_unknown_costs_are_left_out_of_the_frontier(tables):
    """A model without FLOPs has no place on it; what was spent stays null, never 0."""
    costs = tables.costs.with_columns(
        flops=pl.when(pl.col("model") != "m9.8k").then("flops"),
        engine_seconds=pl.lit(None, pl.Float64),
    )
    part = frontier.section(replace(tables, costs=costs))
    assert {row["model"] for row in part.values["cheapest"]} == {"m2.6k"}
    assert part.values["costs"]["total"]["engine_seconds"] is None


# Problems.


def counted_rates(rates):
    """Tables' rates and counts of one task, from {problem: {model: (low, estimate, high)}}."""
    rows = [
        {"model": model, "task": "t", "problem_id": problem, "low": low, "estimate": estimate,
         "high": high, "n": 100, "c": round(100 * estimate), "undecided": 0, "level": 0.95}
        for problem, models in rates.items()
        for model, (low, estimate, high) in models.items()
    ]  # fmt: skip
    return pl.DataFrame(rows)


def test_a_weaker_model_that_does_better_comes_before_mere_differences(tables):
    """p1 is passed by `small` alone; p2 differs in the usual order; p3 is like p2 but less."""
    low, high = (0.1, 0.15, 0.2), (0.9, 0.95, 0.99)
    frame = counted_rates({
        "p0": {"small": high, "large": high},
        "p1": {"small": high, "large": low},
        "p2": {"small": low, "large": high},
        "p3": {"small": low, "large": (0.5, 0.6, 0.7)},
        "p4": {"small": high, "large": high},
        "p5": {"small": low, "large": high},
    })  # fmt: skip
    shown = problems.section(replace(tables, rates=frame, counts=frame), {}).values["tasks"]["t"]
    assert [row["problem_id"] for row in shown] == ["p1", "p2", "p5", "p3"]
    assert shown[0]["why"] == "small, worse over all, passes it more often than large"
    assert shown[1]["why"] == "large and small differ by at least 0.700"


def test_the_hardest_are_those_that_nobody_solved_in_most_tries(tables):
    """Never solved before rarely solved; of those, more tries first. Easy ones are not shown."""
    never, rare, easy = (0.0, 0.0, 0.03), (0.01, 0.02, 0.06), (0.7, 0.8, 0.9)
    frame = counted_rates(
        {"a": {"m": rare}, "b": {"m": never}, "c": {"m": never}, "d": {"m": easy}}
    )
    frame = frame.with_columns(n=pl.when(problem_id="c").then(900).otherwise("n"))
    shown = problems.section(replace(tables, rates=frame, counts=frame), {}).values["tasks"]["t"]
    assert [row["problem_id"] for row in shown] == ["c", "b", "a"]
    assert shown[0]["why"] == "never solved in 900 tries"


def test_a_model_that_did_not_try_a_problem_is_no_difference(tables):
    """Missing is not 0."""
    high, sure = (0.9, 0.95, 0.99), (0.85, 0.9, 0.95)
    frame = counted_rates({"a": {"small": sure, "large": high}, "b": {"large": high}})
    assert problems.section(replace(tables, rates=frame, counts=frame), {}) is None


def test_completions_are_asked_of_the_strongest_model_that_has_them(tables):
    """The passing one of the best model that passed, the failing one of the best that failed."""
    frame = counted_rates({
        "a": {"small": (0.01, 0.02, 0.05), "large": (0.0, 0.0, 0.03)},
        "b": {"small": (0.4, 0.5, 0.6), "large": (0.95, 1.0, 1.0)},
    })  # fmt: skip
    wanted = {each.problem_id: each for each in problems.wanted(
        replace(tables, rates=frame, counts=frame))}  # fmt: skip
    assert (wanted["a"].passing, wanted["a"].failing) == ("small", "large")
    assert (wanted["b"].passing, wanted["b"].failing) == ("large", "small")


# The data.


def texts(part):
    return " ".join(each.text for each in part.values["warnings"])


def test_sound_data_raise_no_warning(tables):
    """Enough problems, all decided and finished: there is nothing to say."""
    many = pl.concat([tables.counts.with_columns(problem_id=pl.format("{}-{}", "problem_id", at))
                      for at in range(5)])  # fmt: skip
    assert texts(quality.section(replace(tables, counts=many), NO_ENDINGS)) == ""


def test_repeats_are_grave_and_say_where(tables):
    """They make numbers wrong, so they stand at the top of the page."""
    row = {"model": "m9.8k", "task": "add-2", "lag": 32, "pairs": 900, "equal": 850,
           "expected": 12.0, "log_chance": -99.0, "repeated": True}  # fmt: skip
    part = quality.section(replace(tables, audit=pl.DataFrame([row]).select(AUDIT.names)),
                           NO_ENDINGS)  # fmt: skip
    grave = [each.text for each in part.values["warnings"] if each.grave]
    assert len(grave) == 1
    assert "m9.8k on add-2 (850 of 900 pairs of samples 32 apart are equal, 12" in grave[0]


def test_unfinished_problems_are_counted_and_the_way_out_named(tables):
    """A null stop reason is sampling that has not ended."""
    reason = pl.when(pl.col("problem_id") != "p003").then("stop_reason")
    part = quality.section(with_counts(tables, stop_reason=reason), NO_ENDINGS)
    assert "has not ended for 4 of 32 pairs of model and problem" in texts(part)
    assert f"Finish the sampling: passlaw run {tables.run}" in part.advice


def test_truncated_samples_are_warned_of_where_they_are_many(tables):
    """A share of a hundredth or less is no warning; the counts are in the table in any case."""
    cell = {"model": "m9.8k", "task": "add-2", "looked": 1000, "failed": 0, "contradicted": 0}
    for truncated, warned in ((10, False), (300, True)):
        endings = pl.DataFrame([cell | {"truncated": truncated}]).select(list(ENDINGS))
        part = quality.section(tables, endings)
        assert ("ended at the length limit" in texts(part)) == warned
        assert part.values["endings"][0]["truncated"] == truncated


def test_seeds_that_no_sample_has_of_its_own_are_told(tables):
    """Such samples cannot be drawn again one by one."""
    costs = tables.costs.with_columns(seeding=pl.lit("none, unit"))
    said = texts(quality.section(replace(tables, costs=costs), NO_ENDINGS))
    assert "each unit of work has one seed" in said
    assert "took no seed" in said


# The top of the page, and doing it again.


def test_counts_alone_have_a_report(tables):
    """No samples, sizes, costs or choices: the page says so, and forecasts all the same."""
    page = render(imported(tables))
    text = re.sub(r"<[^>]+>", " ", page.html)
    assert set(page.figures) == {"coverage"}
    assert "Nothing is said of choosing among answers" in text
    assert "The number of parameters of m2.6k and m9.8k is unknown" in text
    assert "times beyond the data" in text


def test_without_sizes_the_strongest_model_stands_for_all(tables):
    """It is called what it is."""
    assert "m9.8k, the strongest of 2 models, reaches" in told(coverage.section(imported(tables)))


def test_advice_and_warnings_come_from_the_parts(tables):
    """What is said once is shown once, and the summary has a line for every task."""
    parts = [quality.section(tables, NO_ENDINGS), coverage.section(tables)]
    values = summary.section(tables, parts).values
    assert [row["task"] for row in values["tasks"]] == ["add-2", "add-3"]
    assert any("Ask more problems" in text for text in values["advice"])
    assert len(values["warnings"]) == len(parts[0].values["warnings"])


def test_the_run_is_named_by_what_sampling_recorded(tables):
    """Versions of then and now, the hash, and the fingerprint of each model."""
    recorded = {"version": "0.9", "sweep": "abc123", "models": {"m2.6k": {"fingerprint": "f00d"}}}
    values = reproduce.section(tables, recorded).values
    assert {"abc123", "0.9", "1.2.3"} <= {text for _, text in values["versions"]}
    assert [row["fingerprint"] for row in values["models"]] == ["f00d", None]


def test_imports_are_told_as_the_commands_that_made_them(tables):
    """Each file list with its options, a name with a blank in quotes; then the later stages."""
    imports = [{"files": ["a.jsonl", "b c.jsonl"], "options": ["--format", "samples"]}]
    commands = reproduce.section(imported(tables), {"imported": {"imports": imports}}).values
    assert commands["commands"] == [
        f"passlaw import a.jsonl 'b c.jsonl' --format samples --run {tables.run}-again",
        f"passlaw fit {tables.run}-again",
        f"passlaw report {tables.run}-again",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.500"), (1.0, "1"), (0.99999999, "above 0.9999"), (None, NONE), (0.0, "0")],
)
def test_a_rate_just_below_one_is_no_row_of_nines(value, text):
    """Nor is it 1."""
    assert rate(value) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [((), ""), (("a",), "a"), (("a", "b", "c"), "a, b and c"),
     (tuple("abcdefgh"), "a, b, c, d, e and 3 more")],
)  # fmt: skip
def test_lists_read_as_sentences(names, text):
    """Of many names the first are told, and how many more there are."""
    assert listed(names) == text
