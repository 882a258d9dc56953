"""How samples ended is counted, on whole files and on the first of every cell."""

import polars as pl
import pytest

from pipelines.reporting import endings as module
from pipelines.reporting.endings import endings
from pipelines.units import Cell
from tests.pipelines.reporting.committed_samples import commit, opened_run

CELL = Cell("m", "quiz")


@pytest.fixture
def run(tmp_path):
    with opened_run(tmp_path, ("p0", "p1")) as run:
        yield run


def test_endings_and_contradictions_are_counted(run):
    """Cut short, failed, and equal answers judged both ways: each is a number of samples."""
    commit(run, CELL, {"p0": ["right", "a", "a"], "p1": ["right", "a", "a"]}, finish="length")
    commit(run, CELL, {"p0": [None], "p1": [None]}, start=3, finish="error")
    row = endings(run).row(0, named=True)
    assert (row["looked"], row["truncated"], row["failed"]) == (8, 6, 2)
    assert row["contradicted"] == 0


def test_an_answer_judged_both_ways_is_seen(run, monkeypatch):
    """Of one problem "a" passed and failed, so its two samples contradict each other."""
    commit(run, CELL, {"p0": ["a", "a", "b"], "p1": ["a", "b", "b"]})
    scores = run.store.scan_scores(run.store.listed("scores", CELL)[0]).collect()
    first = pl.col("sample_id").eq(0) & pl.col("problem_id").eq("p0")
    flaky = scores.with_columns(passed=first).lazy()
    monkeypatch.setattr(type(run.store), "scan_scores", lambda *_: flaky)
    assert endings(run)["contradicted"].to_list() == [2]


def test_only_the_first_files_are_read(run, monkeypatch):
    """As many as hold enough samples, by sample id."""
    monkeypatch.setattr(module, "MOST_SAMPLES", 3)
    for start, finish in ((0, "stop"), (2, "length"), (4, "error")):
        commit(run, CELL, {"p0": ["a", "a"], "p1": ["a", "a"]}, start=start, finish=finish)
    row = endings(run).row(0, named=True)
    assert (row["looked"], row["truncated"], row["failed"]) == (4, 0, 0)


def test_a_run_without_samples_has_no_endings(run):
    """Counts alone leave nothing to look at."""
    assert endings(run).is_empty()
