"""Counting scored rows on disk, against a bare Polars scan-and-group of the same files.

pytest tests/benchmarks/test_count_speed.py --rows 100000000
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from operators.schemas import RECORDED, SCORES
from pipelines.store import Store
from pipelines.units import Cell, Unit

PROBLEMS = 1_000

COUNT = """
import sys, time, resource
from pathlib import Path
import polars as pl
from operators.count import count
from pipelines.store import Store
from pipelines.units import Cell
files = sorted(Path(sys.argv[1]).rglob("*.parquet"))
store = Store.at(sys.argv[1])
committed, _ = store.listed("scores", Cell("model", "task"))
began = time.perf_counter()
if sys.argv[2] == "bare":
    grouped = pl.scan_parquet(files, hive_partitioning=False).group_by("problem_id").agg(
        pl.len(), pl.col("passed").sum()
    )
    found = grouped.collect(engine="streaming")
else:
    found = count(store.scan_scores(committed))
seconds = time.perf_counter() - began
rows = found["n" if "n" in found.columns else "len"].sum()
unit = 2**20 if sys.platform == "linux" else 2**30  # macOS counts bytes, Linux kibibytes
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
print(found.height, rows, seconds, peak)
"""


@pytest.mark.benchmark
def test_counting_costs_at_most_twice_a_bare_scan(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rows = request.config.getoption("--rows")
    per_problem = rows // PROBLEMS
    store = Store.at(str(tmp_path))
    chance = np.random.default_rng(0)
    for problem in range(PROBLEMS):
        unit = Unit(
            cell=Cell("model", "task"),
            problems=(f"problem-{problem:04d}",),
            start=0,
            stop=per_problem,
        )
        answers = chance.zipf(1.5, per_problem).clip(max=200)
        table = pa.table(
            {
                "problem_id": pa.array([f"problem-{problem:04d}"]).take(
                    pa.array(np.zeros(per_problem, dtype=np.int64))
                ),
                "sample_id": np.arange(per_problem),
                "answer": pa.array([str(i) for i in range(201)]).take(pa.array(answers)),
                "passed": answers == 7,
                "score": pa.nulls(per_problem, pa.float32()),
                **{name: pa.nulls(per_problem, pa.float32()) for name in RECORDED},
                "completion_tokens": chance.integers(1, 12, per_problem, dtype=np.int64),
                "error": pa.nulls(per_problem, pa.string()),
            },
            schema=SCORES,
        )
        store.commit("scores", unit, table, {})
    took: dict[str, list[float]] = {"bare": [], "count": []}
    peaks: dict[str, float] = {}
    for _ in range(3):  # alternate, so that both meet the same machine
        for kind, seconds_of_kind in took.items():
            command = [sys.executable, "-c", COUNT, str(tmp_path), kind]
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            problems, counted, seconds, peak = answer.split()
            assert int(problems) == PROBLEMS
            assert int(counted) == per_problem * PROBLEMS
            seconds_of_kind.append(float(seconds))
            peaks[kind] = float(peak)
    ratio = min(took["count"]) / min(took["bare"])
    print(
        f"\n{rows:,} rows: count {min(took['count']):.2f} s, {peaks['count']:.2f} GiB; "
        f"bare scan-and-group {min(took['bare']):.2f} s, {peaks['bare']:.2f} GiB; "
        f"ratio {ratio:.2f} (at most 2)"
    )
    assert ratio <= 2
    assert peaks["count"] < 2
