"""What an export of many samples takes: time and memory, texts being read only where chosen.

pytest -s --override-ini addopts=--import-mode=importlib tests/benchmarks/test_export_speed.py
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.command import ENVIRONMENT, passlaw

PROBLEMS, EACH = 1_000, 2_000

EXPORT = """
import resource, sys, time
from pathlib import Path
from pipelines import run as runs
from pipelines.commands.terminal import sweep_of
from pipelines.exporting.export import export
from pipelines.exporting.request import asked
began = time.process_time()
with runs.reopened(sweep_of("runs/many"), write=False) as run:
    card = export(run, asked(sys.argv[1]), Path(sys.argv[1] + ".jsonl"))
unit = 2**20 if sys.platform == "linux" else 2**30  # macOS counts bytes, Linux kibibytes
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit * 1024
print(card["rows"], time.process_time() - began, peak)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two million simulated samples."""
    made = tmp_path_factory.mktemp("export")
    rows = [{"problem_id": f"p{i}", "prompt": f"{i}+1=", "answer": str(i + 1)}
            for i in range(PROBLEMS)]  # fmt: skip
    (made / "problems.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sweep = {
        "name": "many",
        "models": [{"engine": "simulated", "name": "one", "parameters": 1_000, "rate": 0.4}],
        "tasks": [{"source": "file", "name": "sums", "path": "problems.jsonl"}],
        "allocation": {"n": EACH},
        "tracking": {"enabled": False},
    }
    (made / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    done = passlaw(made, "sample", "sweep.yaml")
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.benchmark
@pytest.mark.parametrize("kind", ["sft", "preferences", "rejection"])
def test_memory_does_not_grow_with_the_samples(folder: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXPORT, kind], cwd=folder, env=ENVIRONMENT, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    rows, seconds, peak = map(float, done.stdout.split())
    print(f"\n{kind}: {rows:,.0f} rows of {PROBLEMS * EACH:,} samples, {seconds:.1f} s of a "
          f"processor, {peak:.0f} MiB")  # fmt: skip
    assert peak < 600
