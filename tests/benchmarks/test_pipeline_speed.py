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
tasks: [{name: multiply3, problems: 150}]
decoding: {max_tokens: 8}
allocation: {n: 8192}
resources: {unit_samples: 32768}
tracking: {enabled: false}
"""
"""1.2 million samples."""

SIMULATED = """
name: speed
models: [{name: model, engine: simulated, parameters: 1, rate: 0.1, samples_per_second: 1000}]
tasks: [{name: multiply3, problems: 50}]
allocation: {n: 1000}
resources: {unit_samples: 2000}
tracking: {enabled: false}
"""
"""A sample each millisecond, 50,000 of them: what is lost beside it is the pipeline's."""

BARE = """
import json, sys, time
import numpy as np
from pipelines import engines, models, tasks
from pipelines.sweeps.config import load
from pipelines.engines.protocol import Request
from pipelines.units import Cell, missing, seeds
from pathlib import Path
sweep = load(Path(sys.argv[1]))
problems = {row["problem_id"]: row for row in tasks.problems(sweep.tasks[0]).to_pylist()}
engine = engines.load(models.find(sweep.models[0]).model)
wanted = dict.fromkeys(problems, sweep.allocation.n)
units = missing(Cell("model", "multiply3"), wanted, {}, sweep.resources.unit_samples)
def draw(unit):
    ids = np.arange(unit.start, unit.stop)
    return engine.generate([
        Request(task="t", stream=0, problem_id=name, prompt=problems[name]["prompt"],
                sample_ids=ids, answer=problems[name]["answer"],
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


def pipeline_rate(sweep: Path, run: Path, engines: int) -> float:
    """Samples per second between commits while every engine works, scores included."""
    overrides = ["-o", f"run={run}", "-o", f"resources.engines={engines}"]
    command = [sys.executable, "-m", "pipelines", "sample", str(sweep), *overrides]
    subprocess.run(command, capture_output=True, text=True, check=True)
    scores = sorted((path.stat().st_mtime, path) for path in run.glob("scores/**/*.parquet"))
    # Without the start, and without the end, where one engine has no more to do.
    steady = scores[2:-4]
    rows = sum(pq.read_metadata(path).num_rows for _, path in steady[1:])
    return rows / (steady[-1][0] - steady[0][0])


@pytest.mark.benchmark
def test_pipeline_keeps_nine_tenths_of_its_engine(tmp_path: Path) -> None:
    """One engine of one thread; on two cores, the other is for scoring and writing.

    Two engines against two bare ones are shown as well: there nothing is left over, so that
    scoring and writing take their share of the cores.
    """
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SWEEP)
    ratios: dict[int, list[float]] = {1: [], 2: []}
    print()
    for turn in range(3):  # side by side, so that both meet the same machine
        for engines, found in ratios.items():
            alone = bare_rate(sweep, engines, threads=1)
            piped = pipeline_rate(sweep, tmp_path / f"run-{turn}-{engines}", engines)
            found.append(piped / alone)
            print(
                f"engines {engines}: pipeline {piped:,.0f} samples/s, bare {alone:,.0f}, "
                f"ratio {piped / alone:.2f}"
            )
    assert sorted(ratios[1])[1] >= 0.90


@pytest.mark.benchmark
def test_pipeline_keeps_up_with_a_sample_each_millisecond(tmp_path: Path) -> None:
    """One engine, which waits more than it computes, so that only the loop around it counts."""
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(SIMULATED)
    alone = bare_rate(sweep, 1, threads=1)
    piped = pipeline_rate(sweep, tmp_path / "run", 1)
    print(
        f"\nsimulated at 1 ms: pipeline {piped:,.1f} samples/s, bare {alone:,.1f}, "
        f"ratio {piped / alone:.3f}"
    )
    assert piped / alone >= 0.95
