"""The report of ten million samples: seconds, megabytes, and how much of them its texts take.

pytest -s --override-ini addopts=--import-mode=importlib \
    tests/benchmarks/test_report_speed.py --rows 10000000
"""

import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from operators.schemas import COSTS, COUNTS, SAMPLES, SCORES
from pipelines.audit import audit
from pipelines.choose import choose
from pipelines.fit import fit
from pipelines.reporting.report import report
from pipelines.run import Run
from pipelines.units import Cell, Unit
from tests.pipelines.reporting.committed_samples import opened_run

MODELS, PROBLEMS, BLOCK = 5, 200, 250
"""A unit is BLOCK samples of each problem."""
TEXT = "Let us see what follows from this. " * 40


@pytest.mark.benchmark
def test_the_report_of_many_samples_is_small_and_soon_there(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    wanted = min(request.config.getoption("--rows"), 10_000_000)
    n = max(wanted // (MODELS * PROBLEMS * BLOCK), 1) * BLOCK
    names = tuple(f"p{at:03d}" for at in range(PROBLEMS))
    models = tuple(f"m{at}" for at in range(MODELS))
    with opened_run(tmp_path, names, models, n=n) as run:
        counts = pl.concat(_cell(run, Cell(model, "quiz"), names, n, at)
                           for at, model in enumerate(models))  # fmt: skip
        run.store.write_result("counts", counts.select(COUNTS.names), "made")
        run.store.write_result("costs", _costs(counts), "made")
        fit(run), audit(run), choose(run)
        started = time.perf_counter()
        assert report(run)
        seconds = time.perf_counter() - started
    size = (tmp_path / "run/report.html").stat().st_size
    print(f"\n{counts['n'].sum():,} samples: {seconds:.1f} s, {size / 2**20:.2f} MiB")
    assert size < 5 * 2**20


def _cell(run: Run, cell: Cell, names: tuple[str, ...], n: int, strength: int) -> pl.DataFrame:
    """Commit a cell's samples and scores, unit by unit; return its counts."""
    generator = np.random.default_rng(strength)
    rates = np.exp(generator.normal(strength - 8, 1.5, len(names))).clip(0, 1)
    passes = np.zeros(len(names), dtype=np.int64)
    for start in range(0, n, BLOCK):
        unit = Unit(cell=cell, problems=names, start=start, stop=start + BLOCK)
        passed = generator.random((len(names), BLOCK)) < rates[:, None]
        passes += passed.sum(axis=1)
        rows = _rows(names, start, passed.ravel(), generator)
        run.store.commit("scores", unit, _as(rows, SCORES), {"scoring": "", "passed": 0})
        run.store.commit("samples", unit, _as(rows, SAMPLES), {})
    return pl.DataFrame({"problem_id": names, "c": passes}).with_columns(
        model=pl.lit(cell.model), task=pl.lit(cell.task), n=n, undecided=0, distinct_answers=9,
        completion_tokens=400 * n, stop_reason=pl.lit("fixed"), r=None, cap=None, nth_pass=None,
        look=0,
    )  # fmt: skip


def _rows(
    names: tuple[str, ...], start: int, passed: np.ndarray, generator: np.random.Generator
) -> pl.DataFrame:
    """Return a unit's samples with their scores, of nine wrong answers and a right one."""
    wrong = pl.Series(generator.integers(0, 9, len(passed))).cast(pl.String)
    return pl.DataFrame(
        {
            "problem_id": np.repeat(names, BLOCK),
            "sample_id": np.tile(np.arange(start, start + BLOCK), len(names)),
            "passed": passed,
            "answer": pl.select(pl.when(pl.Series(passed)).then(pl.lit("right")).otherwise(wrong))
            .to_series(),
        }
    ).with_columns(
        completion=pl.concat_str(pl.lit(TEXT), "answer"), finish_reason=pl.lit("stop"),
        prompt_tokens=9, completion_tokens=400,
    )  # fmt: skip


def _as(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    missing = [name for name in schema.names if name not in rows.columns]
    full = rows.with_columns(pl.lit(None).alias(name) for name in missing)
    return full.select(schema.names).to_arrow().cast(schema)


def _costs(counts: pl.DataFrame) -> pl.DataFrame:
    cells = counts.group_by("model", "task", maintain_order=True).agg(
        samples=pl.col("n").sum(), completion_tokens=pl.col("completion_tokens").sum()
    )
    return cells.with_columns(
        parameters=None, prompt_tokens=None, flops=None, engine_seconds=None, usd=1.0,
        engine=pl.lit("none"), seeding=pl.lit("sample"),
    ).select(COSTS.names)  # fmt: skip
