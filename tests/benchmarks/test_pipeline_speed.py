"""The pipeline's steady rate against its engine alone in a bare loop, on the same units.

pytest -s tests/benchmarks/test_pipeline_speed.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

SWEEP = """
name: speed
models: [{name: model, path: "ladder:29k"}]
tasks: [{name: multiply3, problems: 64}]
decoding: {max_tokens: 8}
allocation: {n: 16384}
resources: {engines: 2, unit_samples: 32768}
tracking: {enabled: false}
"""
"""A million samples."""

BARE = """
import json, sys, time
import numpy as np
from pipelines import engines, models, tasks
from pipelines.config import load
from pipelines.engines.protocol import Request
from pipelines.units import Cell, missing, seeds
from pathlib import Path
sweep = load(Path(sys.argv[1]))
problems = {row["problem_id"]: row for row in tasks.problems(sweep.tasks[0]).to_pylist()}
engine = engines.load(models.find(sweep.models[0]).model)
units = missing(Cell("model", "multiply3"), dict.fromkeys(problems, 16384), {}, 32768)
def draw(unit):
    ids = np.arange(unit.start, unit.stop)
    return engine.generate([
        Request(problem_id=name, prompt=problems[name]["prompt"], sample_ids=ids,
                seeds=seeds(0, "key", name, unit.start, unit.stop))
        for name in unit.problems
    ], sweep.decoding).num_rows
draw(units[0])
began = time.perf_counter()
rows = sum(draw(unit) for unit in units)
print(json.dumps({"rows": rows, "seconds": time.perf_counter() - began}))
"""


def bare_rate(sweep: Path, processes: int, threads: int) -> float:
    """Samples per second of engines alone, side by side, loading not counted."""
    command = [sys.executable, "-c", BARE, str(sweep)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    found = [json.loads(process.communicate()[0]) for process in running]
    return float(sum(each["rows"] / each["seconds"] for each in found))


def pipeline_rate(sweep: Path, run: Path) -> float:
    """Samples per second between the first commit and the last, scores included."""
    command = [sys.executable, "-m", "pipelines", "sample", str(sweep), "-o", f"run={run}"]
    subprocess.run(command, capture_output=True, text=True, check=True)
    scores = sorted((path.stat().st_mtime, path) for path in run.glob("scores/**/*.parquet"))
    rows = sum(pq.read_metadata(path).num_rows for _, path in scores[1:])
    return rows / (scores[-1][0] - scores[0][0])


@pytest.mark.benchmark
def test_pipeline_keeps_nine_tenths_of_its_engine(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    ratios = []
    print()
    for turn in range(3):  # side by side, so that both meet the same machine
        alone = max(bare_rate(sweep, 1, threads=2), bare_rate(sweep, 2, threads=1))
        piped = pipeline_rate(sweep, tmp_path / f"run-{turn}")
        ratios.append(piped / alone)
        print(
            f"pipeline {piped:,.0f} samples/s; bare engines (the better of one on 2 threads "
            f"and two on 1 each) {alone:,.0f}; ratio {piped / alone:.2f} (at least 0.90)"
        )
    assert sorted(ratios)[1] >= 0.90
