"""Ten million samples through the whole pipeline: throughput by decile, memory of the driver.

pytest -s --override-ini addopts=--import-mode=importlib \
    tests/benchmarks/test_many_samples_speed.py --rows 10000000
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROBLEMS, SAMPLES = 250, 10_000
SWEEP = """
name: many
engine: simulated
models: [{models}]
tasks: [{{source: file, name: quiz, path: quiz.jsonl}}]
allocation: {{r: 50, cap: {samples}, first_round: 1000}}
resources: {{engines: 1}}
tracking: {{enabled: false}}
"""
"""No problem reaches 50 passes, so every one goes through all rounds to the cap."""

OBSERVED = """
import json, sys, threading, time
import psutil
from pipelines import cli, progress
from pipelines.sweeps.config import OBJECT_STORE_BYTES

me, began, rows = psutil.Process(), time.perf_counter(), []
seen = {"samples": 0}
update = progress.Display.update

def watched(self, progress, note="", *, force=False):
    seen["samples"] = progress.samples
    update(self, progress, note, force=force)

progress.Display.update = watched

def stored():
    import ray
    if not ray.is_initialized():
        return 0
    free = ray.available_resources().get("object_store_memory", OBJECT_STORE_BYTES)
    return OBJECT_STORE_BYTES - free

def observe():
    while True:
        try:
            used = stored()
        except Exception:  # Ray starts or stops at this very moment
            used = 0
        rows.append([time.perf_counter() - began, seen["samples"], me.memory_info().rss, used])
        time.sleep(0.5)

threading.Thread(target=observe, daemon=True).start()
try:
    cli.main()
finally:
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - began}), file=sys.stdout)
"""


@pytest.mark.benchmark
def test_memory_is_constant_and_the_rate_steady(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    wanted = min(request.config.getoption("--rows"), 10_000_000)
    models = max(1, wanted // (PROBLEMS * SAMPLES))
    quiz = [{"problem_id": f"p{i}", "prompt": f"q{i}", "answer": str(i)} for i in range(PROBLEMS)]
    (tmp_path / "quiz.jsonl").write_text("\n".join(map(json.dumps, quiz)))
    sections = ", ".join(
        f"{{name: m{i}, parameters: {10**i}, rate: 0.001, spread: 0.3}}"
        for i in range(3, 3 + models)
    )
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(models=sections, samples=SAMPLES))
    done = subprocess.run(
        [sys.executable, "-c", OBSERVED, "run", "sweep.yaml"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    observed = json.loads(done.stdout.splitlines()[-1])
    seconds, samples, memory, stored = np.array(observed["rows"]).T
    total = int(samples.max())
    assert total == models * PROBLEMS * SAMPLES
    moved = np.flatnonzero(np.diff(samples, prepend=-1))
    ends = np.interp(np.linspace(samples[moved[1]], total, 11), samples[moved], seconds[moved])
    rates = (total - samples[moved[1]]) / 10 / np.diff(ends)
    print(f"\n{total:,} samples in {observed['seconds']:.0f} s, report included")
    print("samples/s by decile: " + " ".join(f"{rate:,.0f}" for rate in rates))
    at = np.searchsorted(samples, np.linspace(0, total, 11)[1:]).clip(max=len(samples) - 1)
    print("driver MiB at their ends: " + " ".join(f"{memory[i] / 2**20:,.0f}" for i in at))
    print(f"driver at most {memory.max() / 2**20:,.0f} MiB, fits and report included")
    print("object store MiB, most in each decile: " + " ".join(
        f"{stored[a : b + 1].max() / 2**20:,.0f}" for a, b in zip([0, *at[:-1]], at, strict=True)
    ))  # fmt: skip
    assert memory.max() < 2**30
    assert np.median(rates[-3:]) > 0.7 * np.median(rates[1:4])
