"""choose: what choosing is worth is read off the first samples of every problem, once."""

import json
from math import comb

import polars as pl
import pyarrow as pa
import pytest

from operators.schemas import SAMPLES, SCORES
from pipelines.choose import MOST_TRIES, choose
from pipelines.run import opened
from pipelines.sweeps.config import parse
from pipelines.units import Cell, Unit

CELL = Cell("m", "quiz")
PROBLEMS = tuple(f"p{number:02d}" for number in range(12))


@pytest.fixture
def run(tmp_path):
    rows = [{"problem_id": name, "prompt": name, "answer": "right"} for name in PROBLEMS]
    (tmp_path / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sweep = parse(
        {
            "name": "s",
            "run": str(tmp_path / "run"),
            "models": [{"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.5}],
            "tasks": [{"name": "quiz", "path": str(tmp_path / "quiz.jsonl")}],
            "allocation": {"n": 40},
        },
        source="test",
    )
    with opened(sweep) as run:
        yield run


def commit(run, problems, start, stop, right, passed=True):
    """Commit scores: of each problem the sample ids for which `right` holds are right."""
    rows = [
        {
            "problem_id": name,
            "sample_id": sample,
            "answer": "right" if right(sample) else "wrong",
            "passed": right(sample) and passed,
            "sum_logprob": -1.0 - right(sample),
            "completion_tokens": 2,
        }
        for name in problems
        for sample in range(start, stop)
    ]
    frame = pl.DataFrame(rows)
    frame = frame.with_columns(
        pl.lit(None).alias(name) for name in SCORES.names if name not in frame.columns
    )
    unit = Unit(cell=CELL, problems=problems, start=start, stop=stop)
    table = frame.select(SCORES.names).to_arrow().cast(SCORES)
    assert run.store.commit("scores", unit, table, {"scoring": "", "passed": 0})
    told = {"finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 2}
    samples = [
        {"problem_id": row["problem_id"], "sample_id": row["sample_id"], **told}
        | {"completion": f"it is {row['answer']}"}
        for row in rows
    ]
    drawn = pa.Table.from_pylist(samples, schema=SAMPLES)
    assert run.store.commit("samples", unit, drawn, {})


def test_majority_is_that_of_the_first_samples(run):
    """Every third sample of 40 is wrong; beyond the first 32 nothing is looked at."""
    commit(run, PROBLEMS, 0, 40, lambda sample: sample % 3 > 0 or sample >= MOST_TRIES)
    assert choose(run)
    table = run.store.read_result("selection")
    majority = table.filter(method="majority")
    assert majority["k"].to_list() == [1, 2, 4, 8, 16, 32]
    assert set(majority["exact"]) == {True}
    right, wrong = 21, 11
    pairs = comb(right, 2) + right * wrong / 2
    assert majority["estimate"][:2].to_list() == pytest.approx([right / 32, pairs / comb(32, 2)])
    assert majority["coverage"][1] == pytest.approx(1 - comb(wrong, 2) / comb(32, 2))
    assert majority["estimate"][-1] == 1


def test_equal_texts_are_one_path(run):
    """Two distinct texts: perplexity consistency goes by their probabilities, not by their number.

    Right answers are two in three, but their text is less probable than that of the wrong ones.
    """
    commit(run, PROBLEMS, 0, 32, lambda sample: sample % 3 > 0)
    choose(run)
    chosen = run.store.read_result("selection").filter(k=32)
    worth = dict(chosen.select("method", "estimate").iter_rows())
    assert worth["majority"] == 1
    assert worth["perplexity_consistency"] == worth["likelihood"] == 0
    assert "rpc" not in worth


def test_an_answer_that_both_passed_and_failed_is_undecided(run):
    """A flaky program stops nothing, and counts neither as right nor as wrong."""
    commit(run, PROBLEMS, 0, 16, lambda sample: True)
    commit(run, PROBLEMS, 16, 32, lambda sample: True, passed=False)
    choose(run)
    majority = run.store.read_result("selection").filter(method="majority")
    assert set(majority["undecided"]) == {1.0}
    assert set(majority["estimate"]) == {0.0}


def test_only_what_every_problem_has_counts(run):
    """A problem with five samples leaves five of each."""
    commit(run, PROBLEMS[:6], 0, 40, lambda sample: sample % 2 == 0)
    commit(run, PROBLEMS[6:], 0, 5, lambda sample: sample % 2 == 0)
    assert choose(run)
    assert max(run.store.read_result("selection")["k"]) == 5
    assert run.store.read_result("selection")["samples"].unique().to_list() == [60]


def test_confidence_that_tells_the_wrong_thing_is_seen(run):
    """Passes were made the less likely ones, so their log-probability orders them backwards."""
    commit(run, PROBLEMS, 0, 40, lambda sample: sample % 2 == 0)
    choose(run)
    auroc = run.store.read_result("calibration").filter(measure="auroc")
    assert dict(auroc.select("confidence", "estimate").iter_rows())["mean_logprob"] == 0


def test_reliability_is_counted_in_bins_of_the_calibrated_confidence(run):
    """Half of the samples passed, so shares by bin add up to half; limits hold the shares."""
    commit(run, PROBLEMS, 0, 40, lambda sample: sample % 2 == 0)
    choose(run)
    bins = run.store.read_result("reliability").filter(confidence="mean_logprob")
    assert bins["samples"].sum() == len(PROBLEMS) * MOST_TRIES
    assert (bins["passed"] * bins["samples"]).sum() == bins["samples"].sum() / 2
    assert bins.filter(pl.col("passed").is_between("low", "high")).height == bins.height


def test_without_samples_there_are_no_rows_and_nothing_is_done_twice(run):
    """An empty run gives empty tables; a second call finds them."""
    assert choose(run)
    assert run.store.read_result("selection").is_empty()
    assert run.store.read_result("calibration").is_empty()
    assert not choose(run)
