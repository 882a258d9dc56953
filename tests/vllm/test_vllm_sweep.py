"""A sweep through the command, Ray and all: vLLM's laws are those of the embedded engine."""

import json

import numpy as np
import polars as pl
import pytest

from pipelines.store import Store
from pipelines.units import Cell
from tests.command import passlaw

SWEEP = """
name: {engine}
run: {engine}
models:
  - {{name: 3k, path: "ladder:3k", engine: {engine}, {more}}}
  - {{name: 7k, path: "ladder:7k", engine: {engine}, {more}}}
  - {{name: 14k, path: "ladder:14k", engine: {engine}, {more}}}
tasks:
  - {{name: multiply1, problems: 20}}
  - {{name: multiply2, problems: 20}}
decoding: {{max_tokens: 8}}
allocation: {{r: 5, cap: 600, first_round: 150}}
fit: {{hold_out: null}}
resources: {{unit_samples: 2048}}
tracking: {{enabled: false}}
"""
QUICK = "engine_args: {enforce_eager: true, kv_cache_memory_bytes: 134217728}"
CELL = ["model", "task", "problem_id"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same sweep by both engines."""
    folder = tmp_path_factory.mktemp("sweeps")
    for engine, more in (("vllm", QUICK), ("transformers", "device: cpu")):
        (folder / f"{engine}.yaml").write_text(SWEEP.format(engine=engine, more=more))
        done = passlaw(folder, "run", f"{engine}.yaml", timeout=3_600)
        assert done.returncode == 0, done.stderr
    return folder / "vllm", folder / "transformers"


def test_exact_probabilities_are_the_same(runs):
    ours, theirs = (pl.read_parquet(run / "exact.parquet").sort(CELL) for run in runs)
    assert ours.select(CELL).equals(theirs.select(CELL))
    assert ours.height == 3 * 40
    np.testing.assert_allclose(np.log(ours["p"]), np.log(theirs["p"]), rtol=0, atol=1e-3)


def test_intervals_contain_the_exact_probabilities(runs):
    rates = pl.read_parquet(runs[0] / "rates.parquet")
    cells = rates.join(pl.read_parquet(runs[0] / "exact.parquet"), on=CELL)
    assert cells.height == 3 * 40
    assert ((cells["low"] <= cells["p"]) & (cells["p"] <= cells["high"])).mean() >= 0.9


def test_laws_agree_within_their_intervals(runs):
    key = ["kind", "family", "model", "task", "chosen"]
    ours, theirs = (pl.read_parquet(run / "laws.parquet") for run in runs)
    both = ours.join(theirs, on=key, suffix="_theirs", nulls_equal=True)
    overlap = []
    for row in both.to_dicts():
        mine, other = json.loads(row["intervals"]), json.loads(row["intervals_theirs"])
        for name in mine.keys() & other.keys():
            ends = [*mine[name], *other[name]]
            if None not in ends:
                overlap.append(max(ends[0], ends[2]) <= min(ends[1], ends[3]))
    assert len(overlap) >= 5
    assert np.mean(overlap) >= 0.9


def test_curves_agree_within_their_intervals(runs):
    key = ["kind", "model", "task", "x"]
    ours, theirs = (pl.read_parquet(run / "curves.parquet") for run in runs)
    both = ours.join(theirs, on=key, suffix="_theirs", nulls_equal=True)
    low = pl.max_horizontal("low", "low_theirs")
    high = pl.min_horizontal("high", "high_theirs")
    assert both.height >= 10
    assert both.select((low <= high).mean()).item() >= 0.9


def test_the_engine_and_its_seeding_are_recorded(runs):
    store = Store.at(str(runs[0]))
    for model in ("3k", "7k", "14k"):
        units, _ = store.listed("samples", Cell(model, "multiply2"))
        assert units
        assert {unit.facts["seeding"] for unit in units} == {"sample"}
        assert all(unit.facts["engine"].startswith("vllm ") for unit in units)
