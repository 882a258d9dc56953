import re
from dataclasses import replace
from html import unescape

import altair as alt
import polars as pl
import pytest

from pipelines.reporting.charts import number, size_label
from pipelines.reporting.completions import Completion, Reading
from pipelines.reporting.report import Beside, figure_files, render
from pipelines.reporting.sections import exact, growth, problems
from tests.pipelines.simulated_run import simulate, tabled

TASKS = ("add-2", "add-3")


@pytest.fixture(scope="module")
def made():
    return simulate(sizes=(2_600, 5_200, 9_800, 18_500), tasks=TASKS, problems=10, seeds=2)


@pytest.fixture(scope="module")
def tables(made):
    return tabled(made)


@pytest.fixture(scope="module")
def small():
    """A run that is drawn in no time, for tests that change it."""
    return simulate(sizes=(2_600, 9_800), tasks=TASKS, problems=4, seeds=1, n=20)


@pytest.fixture(scope="module")
def small_tables(small):
    return tabled(small)


@pytest.fixture(scope="module")
def report(tables):
    return render(tables)


def words(html):
    """Return what a reader sees: no scripts, styles or tags, one space between words."""
    shown = re.sub(r"<(script|style).*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", shown).split())


def test_the_page_needs_no_network(report):
    """Nothing is loaded from anywhere: no source, link, import or style outside the page."""
    outside = r"""\ssrc\s*=|href\s*=\s*['"]?(?!['"]?#)|@import|url\(['"]?(?!#)|<link|<iframe|<img"""
    markup = re.sub(r"<script.*?</script>", "", report.html, flags=re.DOTALL)
    assert re.findall(outside, markup) == []
    assert re.findall(r"<script[^>]*src", report.html) == []


def test_every_figure_is_drawn_and_told(report):
    """Each chart is in the page once, as an image with a description and a table of its points."""
    assert report.html.count('class="chart"') == len(report.figures) == 6
    for name, chart in report.figures.items():
        figure = re.search(rf'<figure id="figure-{name}">.*?</figure>', report.html, re.DOTALL)
        label = re.search(r'aria-label="([^"]*)"', figure[0])
        assert unescape(label[1]) == chart.description
        assert "<summary>The numbers of this figure" in figure[0]
        assert "<figcaption" in figure[0]


def test_the_summary_has_the_key_numbers(tables, report):
    """The first paragraph counts models, tasks and samples, and each task has its verdicts."""
    text = words(report.html)
    samples = f"{tables.counts['n'].sum():,}"
    assert (
        f"5 models of 2.6k to 18.5k parameters tried 20 problems of 2 tasks, {samples} times"
        in text
    )
    for task in TASKS:
        law = tables.laws.filter(kind="task", task=task)
        for model in law["held_out"].item().split(", "):
            assert re.search(rf"{task} .*(held|missed) Without having seen {model}", text)
    for sentence in tables.laws.filter(kind="emergence")["status"]:
        assert sentence in text


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(0.5, "held"), (0.01, "missed, measured below"), (0.99, "missed, measured above")],
)
def test_the_verdict_compares_measured_with_predicted(tables, measured, verdict):
    """A prediction holds where its interval contains what was measured."""
    kinds = pl.col("kind").replace_strict(
        {"task_law_prediction": 0.5, "pass_until": measured}, default=pl.col("estimate")
    )
    low, high = (
        pl.when(kind="task_law_prediction").then(end).otherwise(column).alias(column)
        for column, end in (("low", 0.4), ("high", 0.6))
    )
    curves = tables.curves.with_columns(kinds.alias("estimate"), low, high)
    told = growth.section(replace(tables, curves=curves)).values["verdicts"]
    assert {test["verdict"] for row in told for test in row["tests"]} == {verdict}
    assert {test["held"] for row in told for test in row["tests"]} == {verdict == "held"}


def test_how_often_intervals_hold_is_counted(tables, report):
    """The share of intervals that contain the exact value, in all and where enough passed."""
    keys = ["model", "task", "problem_id"]
    cells = tables.rates.join(tables.exact, on=keys).join(tables.counts, on=keys)
    holds = cells.filter(pl.col("p").is_between("low", "high"))
    assert f"{number(100 * holds.height / cells.height)}% of {cells.height} intervals contain" in (
        words(report.html)
    )
    enough = cells.filter(pl.col("c") >= 5)
    assert f"of {enough.height}" in words(report.html)


def test_without_exact_values_their_part_is_left_out(small_tables):
    """Where no exact probability is known the report has no such figure and no such section."""
    report = render(replace(small_tables, exact=None))
    expected = {"coverage", "pass_until", "cost", "selection", "reliability"}
    assert set(report.figures) == expected
    assert "Estimated against exact" not in report.html


def test_undecided_samples_get_a_section_only_if_there_are_any(small_tables, report):
    """What the verifier could not decide is listed with the bound that it leaves open."""
    assert "What could not be decided" not in report.html
    counts = small_tables.counts.with_columns(undecided=pl.lit(3, pl.Int64))
    assert "What could not be decided" in render(replace(small_tables, counts=counts)).html


def test_text_from_data_is_escaped(small_tables):
    """Names and paths cannot become markup, nor end a script."""
    nasty = "</script><script>alert(1)</script>&"
    task = pl.col("task").replace("add-2", nasty)
    names = ("counts", "rates", "curves", "laws", "costs", "exact", "selection", "calibration")
    frames = {name: getattr(small_tables, name).with_columns(task) for name in names}
    tables = replace(small_tables, run=nasty, **frames)
    told = {"sample_id": 0, "passed": False, "answer": nasty, "alike": 1, "of": 1}
    completion = Completion(model="m", text=nasty, **told)
    reading = Reading(prompt=nasty, answer=nasty, completions=[completion])
    read = {(each.task, each.problem_id): reading for each in problems.wanted(tables)}
    html = render(tables, Beside(readings=read)).html
    assert html.count("&lt;script&gt;alert(1)") > 4 * len(read)
    assert "<script>alert(1)" not in html


def test_refusals_are_told(small):
    """A run in which nothing passed has a report that says so."""
    never = replace(small, counts=small.counts.with_columns(c=pl.lit(0, pl.Int64)))
    text = words(render(tabled(never)).html)
    assert "No sample passed" in text
    assert "passed none of" in text
    assert "The law of size predicted no held-out model" in text


def test_one_model_one_task(small):
    """The smallest run has a report too."""
    here = {"model": "m2.6k", "task": "add-2"}
    frames = {name: getattr(small, name).filter(**here) for name in ("counts", "exact", "costs")}
    report = render(tabled(replace(small, parameters={"m2.6k": 2_600}, **frames)))
    assert "1 model of 2.6k parameters tried 4 problems of 1 task," in words(report.html)


def test_figures_are_exported_as_png_and_svg(report):
    """Each figure twice, without a browser."""
    files = figure_files(report)
    assert files.keys() == {f"{name}.{kind}" for name in report.figures for kind in ("png", "svg")}
    for name, content in files.items():
        start = content[:8]
        assert start == b"\x89PNG\r\n\x1a\n" if name.endswith(".png") else start[:4] == b"<svg"


def test_figures_are_valid_vega_lite(report):
    """Every chart passes altair's schema, and no mark's data is missing."""
    for chart in report.figures.values():
        spec = chart.to_dict()
        named = set(re.findall(r"'name': '(data-\d+)'", str(spec)))
        assert named <= set(spec["datasets"])


def test_large_runs_are_thinned(small_tables, monkeypatch):
    """A figure of problems never holds more of them than can be seen, and says so."""
    monkeypatch.setattr(exact, "MOST_CELLS", 8)
    assert small_tables.exact.height == 16
    report = render(small_tables)
    drawn = report.figures["exact"].datasets
    problems = {(row["model"], row["problem_id"]) for rows in drawn.values() for row in rows
                if "problem_id" in row}  # fmt: skip
    assert 0 < len(problems) <= 8
    assert "Of 16 points an even selection is drawn" in words(report.html)


def test_altair_is_left_as_it_was(small_tables):
    """Drawing changes no global setting of altair."""
    before = alt.theme.active, alt.data_transformers.active
    render(small_tables)
    assert (alt.theme.active, alt.data_transformers.active) == before


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12_345_678, "12,345,678"),
        (0.000123, "1.2\u00d710⁻⁴"),
        (-0.00004, "\u22124.0\u00d710⁻⁵"),
        (2.08e12, "2.1\u00d710¹²"),
        (0.9179, "0.918"),
        (0.99996, "0.99996"),
        (0.0302, "0.0302"),
        (54_321.7, "54,322"),
        (1.0, "1"),
        (0.0, "0"),
        (None, "\u2013"),
        (float("nan"), "\u2013"),
    ],
)
def test_numbers_look_as_in_print(value, text):
    """Thousands are separated, powers of ten written out, rates near 1 are not 1."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("size", "text"), [(2_600, "2.6k"), (7e9, "7B"), (135e6, "135M"), (90, "90")]
)
def test_sizes_are_short(size, text):
    """Sizes are named as people name models."""
    assert size_label(size) == text


def test_choosing_is_told_for_the_largest_model(tables, report):
    """The section names the model, every method with its number, and coverage above them all."""
    text = words(report.html)
    largest = max(tables.parameters, key=lambda name: tables.parameters[name])
    assert f"Every method, by {largest}" in text
    shown = tables.selection.filter(method="majority", model=largest, k=8)
    for row in shown.iter_rows(named=True):
        assert f"{row['task']} majority 8 {number(row['estimate'])} (" in text
    drawn = report.figures["selection"].to_dict(validate=False)["datasets"]
    for rows in drawn.values():
        coverage = {row["x"]: row["estimate"] for row in rows if row["method"].startswith("cov")}
        assert all(row["estimate"] <= coverage[row["x"]] + 1e-6 for row in rows)


def test_without_choices_there_is_no_such_section(small_tables):
    """A run whose problems have one sample each says nothing of choosing."""
    bare = replace(
        small_tables,
        selection=small_tables.selection.clear(),
        calibration=small_tables.calibration[:0],
    )
    found = render(bare)
    assert "selection" not in found.figures
    assert "Choosing one answer" not in found.html
