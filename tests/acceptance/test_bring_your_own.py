"""Somebody has another tool's samples: three commands to a coverage forecast and a report."""

import json

import numpy as np
import polars as pl
import pytest

from pipelines.cli import passlaw

PROBLEMS, TRIES, MORE = 200, 50, 500


@pytest.fixture(scope="module")
def truth():
    """Pass rates of each problem: few easy ones, many hard ones, and some that never pass."""
    generator = np.random.default_rng(11)
    rates = generator.beta(0.4, 2.0, PROBLEMS)
    rates[generator.random(PROBLEMS) < 0.1] = 0.0
    return rates


@pytest.fixture(scope="module")
def run(tmp_path_factory, truth):
    """A run that was imported, fitted and reported on, in a folder that had one JSONL in it."""
    folder = tmp_path_factory.mktemp("desk")
    generator = np.random.default_rng(12)
    with (folder / "generations.jsonl").open("w") as file:
        for _ in range(TRIES):  # a pass over all problems after the other, as samplers write them
            for problem, rate in enumerate(truth):
                row = {
                    "question_id": f"q{problem}",
                    "question": f"Question {problem}?",
                    "response": f"The answer is {generator.integers(1000)}.",
                    "metrics": {"is_right": bool(generator.random() < rate)},
                    "model_name": "my-model",
                }
                file.write(json.dumps(row) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in (
            "import generations.jsonl --run runs/mine --field passed=metrics.is_right",
            "fit runs/mine",
            "report runs/mine -o tracking.enabled=false",
        ):
            assert passlaw.main(words.split(), standalone_mode=False) == 0
    return folder / "runs" / "mine"


def test_the_forecast_at_ten_times_the_tries_holds_the_truth(run, truth):
    """What 10 times as many tries would solve, of problems like these, is within the interval."""
    law = pl.read_parquet(run / "curves.parquet").filter(kind="coverage_law")
    (forecast,) = law.filter(x=law["x"].max()).to_dicts()
    assert forecast["x"] == MORE
    coverage = float(np.mean(1 - (1 - truth) ** MORE))
    assert forecast["low"] <= coverage <= forecast["high"]
    assert forecast["high"] - forecast["low"] < 0.25


def test_what_was_measured_is_what_the_file_says(run):
    counts = pl.read_parquet(run / "counts.parquet")
    rows = pl.read_ndjson(run.parents[1] / "generations.jsonl")
    passed = rows.select("question_id", pl.col("metrics").struct.field("is_right"))
    wanted = passed.group_by(problem_id="question_id").agg(n=pl.len(), c=pl.col("is_right").sum())
    assert sorted(counts.select("problem_id", "n", "c").rows()) == sorted(wanted.rows())


def test_there_is_a_report_that_needs_nothing_else(run):
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "my-model" in html
    assert html.rstrip().startswith("<!DOCTYPE html>")
    assert 'src="http' not in html
