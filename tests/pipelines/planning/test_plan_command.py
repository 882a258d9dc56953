"""`passlaw plan` as a user meets it: answers, tables, pages, JSON, and errors in one line."""

import json

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from fitting import coverage_width, rates_of_counts
from pipelines.commands.plan import plan
from pipelines.errors import UserError
from pipelines.fit import fit_tables
from pipelines.store import Store
from tests.pipelines.simulated_run import simulate

LAW = ("--sizes", "1e8,4e8,1e9,8B", "--alpha", "0.5", "--c", "4e4", "--simulations", "10")


def answer(*arguments):
    """The JSON document of a plan."""
    done = CliRunner().invoke(plan, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def recommended(document):
    return document["rows"][document["chosen"]]


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    """A file of counts: 60 problems, 50 tries each."""
    generator = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("counts") / "counts.csv"
    passes = generator.binomial(50, generator.beta(0.6, 1.4, 60))
    pl.DataFrame({"n": np.full(60, 50), "c": passes}).write_csv(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory of four sizes on one task, fitted."""
    made = simulate(sizes=(5_200, 9_800, 18_500, 35_000, 66_000), tasks=("add-2",), problems=30,
                    seeds=1, n=300)  # fmt: skip
    folder = tmp_path_factory.mktemp("runs") / "before"
    fits, store = fit_tables(made.sweep, made.parameters, made.counts), Store.at(str(folder))
    store.create()
    facts = {name: {"parameters": size} for name, size in made.parameters.items()}
    store.write_sweep(made.sweep, {"models": facts})
    for name in ("rates", "curves", "laws"):
        store.write_result(name, getattr(fits, name))
    store.write_result("counts", made.counts)
    store.write_result("costs", made.costs)
    return folder


def test_a_width_is_reached_by_the_numbers_that_are_recommended():
    found = answer("coverage", "--k", "10", "--within", "0.03", "--mean", "0.3", "--spread", "0.3")
    best = recommended(found)
    assert found["reached"]
    assert best["half_width"] <= 0.03
    assert best["samples"] == min(row["samples"] for row in found["rows"])


def test_a_budget_is_spent_where_the_interval_is_narrowest():
    found = answer("coverage", "--k", "10", "--budget", "20000", "--mean", "0.3")
    assert all(row["samples"] <= 20_000 for row in found["rows"])
    assert recommended(found)["half_width"] == min(row["half_width"] for row in found["rows"])


def test_where_no_number_of_tries_does_more_problems_are_named():
    found = answer("coverage", "--k", "10", "--within", "0.02", "--problems", "100",
                   "--mean", "0.3")  # fmt: skip
    assert (found["reached"], found["chosen"]) == (False, None)
    assert "No number of tries" in found["answer"][0]
    assert found["rows"][-1]["half_width"] <= 0.02


def test_without_a_belief_the_plan_is_for_the_widest_interval():
    """That of a proportion of one half: 2,400 problems for 0.02."""
    best = recommended(answer("coverage", "--k", "100", "--within", "0.02"))
    assert best["problems"] == pytest.approx((1.96 / (2 * 0.02)) ** 2, rel=0.01)


def test_counts_of_a_file_are_what_is_believed(counts):
    table = pl.read_csv(counts)
    rates, _ = rates_of_counts(table["n"].to_numpy(), table["c"].to_numpy())
    expected = coverage_width(rates, 5, problems=300, tries=20)
    found = recommended(
        answer("coverage", "--k", "5", "--problems", "300", "--tries", "20", "--like", str(counts))
    )
    assert found["half_width"] == pytest.approx(expected.half_width)


def test_an_earlier_run_gives_the_belief_and_the_costs(run):
    found = answer("coverage", "--k", "5", "--within", "0.05", "--like", str(run),
                   "--model", "m35k")  # fmt: skip
    best = recommended(found)
    assert best["flops"] == pytest.approx(
        2 * 35_000 * (12 * best["problems"] + 9 * best["samples"]), rel=0.01
    )
    assert best["hours"] == pytest.approx(best["samples"] * (2e-5 + 35_000e-10) / 3_600)


def test_two_models_are_told_apart_with_the_power_that_was_asked_for():
    best = recommended(answer("compare", "--a", "0.3", "--b", "0.36", "--power", "0.9"))
    assert best["power"] >= 0.9


def test_two_models_of_an_earlier_run_are_planned_from_its_counts(run):
    found = answer("compare", "--like", str(run), "--models", "m35k,m66k")
    counts = pl.read_parquet(run / "counts.parquet")
    first = counts.filter(model="m35k").select(pl.col("c").sum() / pl.col("n").sum()).item()
    assert found["asked"]["a"] == pytest.approx(first)
    assert found["asked"]["b"] > found["asked"]["a"]


def test_a_rare_rate_is_planned_by_the_negative_binomial():
    best = recommended(answer("rate", "--rate", "1e-5", "--relative-error", "0.3"))
    assert best["relative_error"] == pytest.approx(1 / np.sqrt(12), rel=0.01)
    assert best["chance_of_r"] == pytest.approx(0.95, abs=1e-4)


def test_a_further_size_is_planned_from_an_earlier_law(run):
    found = answer("next-size", "--size", "200k", "--like", str(run), "--simulations", "10")
    assert found["asked"]["sizes"] == [5_200, 9_800, 18_500, 35_000, 66_000]
    assert found["asked"]["most"] == 300
    assert recommended(found)["half_width"] > 0


def test_costs_of_a_study_sum_over_its_models():
    found = answer("next-size", "--size", "70e9", *LAW, "--n", "100", "--problems", "20",
                   "--completion-tokens", "10")  # fmt: skip
    row = recommended(found)
    assert row["flops"] == pytest.approx(sum(2 * size * 20 * 100 * 10 for size in row["sizes"]))


@pytest.mark.parametrize(
    "arguments",
    [
        ("coverage", "--k", "10", "--within", "0.05", "--mean", "0.3"),
        ("compare", "--a", "0.3", "--b", "0.4"),
        ("rate", "--rate", "1e-3"),
        ("next-size", "--size", "70B", *LAW),
    ],
    ids=lambda arguments: arguments[0],
)
def test_each_plan_is_a_table_a_page_and_a_picture(tmp_path, arguments):
    page, png = tmp_path / "plan.html", tmp_path / "plan.png"
    done = CliRunner().invoke(
        plan, [*arguments, "--out", str(page), "--png", str(png)], catch_exceptions=False
    )
    assert done.exit_code == 0
    text = page.read_text()
    assert text.count("<svg") == 1
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert png.read_bytes().startswith(b"\x89PNG")
    told = " ".join(done.stdout.split())
    assert told.startswith(answer(*arguments)["answer"][0][:60])


def test_a_study_that_fits_no_law_says_so_and_is_still_drawn(tmp_path):
    hopeless = ("--sizes", "1e3,2e3,3e3", "--alpha", "0.1", "--c", "1e9", "--simulations", "10")
    found = answer("next-size", "--size", "70B", *hopeless, "--png", str(tmp_path / "plan.png"))
    assert "No law can be fitted" in found["answer"][0]
    assert recommended(found)["half_width"] is None


BAD = [
    (("rate", "--rate", "0"), "--rate: must be from"),
    (("rate", "--rate", "1e-3", "--relative-error", "0"), "--relative-error"),
    (("rate", "--rate", "1e-3", "--r", "9", "--cap", "5"), "--cap"),
    (("coverage", "--k", "100", "--within", "0"), "--within: must lie"),
    (("coverage", "--k", "100"), "--within: give"),
    (("coverage", "--k", "100", "--within", "0.1", "--tries", "50"), "coverage at k needs k tries"),
    (("coverage", "--k", "100", "--budget", "50"), "too few"),
    (("coverage", "--k", "9", "--within", "0.1", "--mean", "1.2"), "--mean: must lie"),
    (("coverage", "--k", "9", "--within", "0.1", "--spread", "0.2"), "--spread: needs --mean"),
    (("coverage", "--k", "9", "--within", "0.1", "--for", "these-problems"), "--problems: needed"),
    (("coverage", "--k", "9", "--within", "0.1", "--gpu", "abacus"), "--gpu: 'abacus'"),
    (("coverage", "--k", "9", "--within", "0.1", "--like", "nowhere"), "nowhere: no run"),
    (("coverage", "--k", "9", "--within", "0.1", "--utilisation", "0.2"), "--utilisation"),
    (("compare", "--a", "0.3"), "--a, --b: give"),
    (("compare", "--a", "0.3", "--b", "0.3"), "must differ"),
    (("compare", "--a", "0.3", "--b", "0.4", "--power", "1"), "--power"),
    (("compare", "--like", "nowhere"), "--models: give two"),
    (("next-size", "--size", "70B"), "--alpha, --c: give"),
    (("next-size", "--size", "big", *LAW), "--size: must be a number"),
    (("next-size", "--size", "70B", "--alpha", "1", "--c", "1", "--sizes", "1e8"), "three"),
    (("next-size", "--size", "70B", *LAW, "--r", "9", "--cap", "5"), "r must be"),
]


@pytest.mark.parametrize(("arguments", "why"), BAD, ids=lambda value: str(value)[:40])
def test_bad_input_is_an_error_in_one_line(arguments, why):
    with pytest.raises(UserError, match=why) as caught:
        CliRunner().invoke(plan, arguments, catch_exceptions=False)
    assert "\n" not in str(caught.value)


def test_a_run_without_laws_is_refused_with_the_way_out(run, tmp_path):
    store = Store.at(str(tmp_path / "bare"))
    store.create()
    sweep, made = Store.at(str(run)).read_sweep()
    store.write_sweep(sweep, made)
    with pytest.raises(UserError, match="has no counts; run `passlaw score"):
        answer("coverage", "--k", "5", "--within", "0.05", "--like", str(store.root))
    store.write_result("counts", pl.read_parquet(run / "counts.parquet"))
    with pytest.raises(UserError, match="has no laws; run `passlaw fit"):
        answer("next-size", "--size", "1M", "--like", str(store.root))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("n,c\n5,6\n", "row 1 has n = 5, c = 6"),
        ("a,b\n1,2\n", "needs rows with the columns n"),
        ("n,c\n5,\n", "must hold a number"),
        ("n,c\n5,0\n9,0\n", "No sample passed"),
    ],
)
def test_counts_that_cannot_be_are_refused_by_row(tmp_path, text, why):
    path = tmp_path / "counts.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=why):
        answer("coverage", "--k", "5", "--within", "0.05", "--like", str(path))
