"""The pipeline's steady rate with vLLM against vLLM's own `LLM.generate`, side by side.

In the environment of `make test-vllm`:
    .venv-vllm/bin/python -m pytest -s --override-ini addopts=--import-mode=importlib -W default \
        tests/benchmarks/test_vllm_speed.py
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

PROBLEMS, N, UNIT = 20, 2_048, 2_560
SWEEP = f"""
name: speed
models:
  - name: model
    engine: vllm
    path: "ladder:29k"
    engine_args: {{enforce_eager: true, kv_cache_memory_bytes: 268435456}}
tasks: [{{name: multiply3, problems: {PROBLEMS}}}]
decoding: {{max_tokens: 8}}
allocation: {{n: {N}}}
resources: {{unit_samples: {UNIT}}}
tracking: {{enabled: false}}
"""

BARE = """
import json, sys, time
from pathlib import Path
from pipelines import models, tasks
from pipelines.sweeps.config import load

def main():
    from vllm import LLM, SamplingParams
    sweep = load(Path(sys.argv[1]))
    model = models.find(sweep.models[0]).model
    llm = LLM(model=model.path, dtype="float32", enable_chunked_prefill=False, **model.engine_args)
    problems = tasks.problems(sweep.tasks[0]).to_pylist()
    def draw(n):
        params = [
            SamplingParams(n=n, temperature=1.0, max_tokens=8, logprobs=0, seed=i * 10**9)
            for i in range(len(problems))
        ]
        answers = llm.generate([row["prompt"] for row in problems], params, use_tqdm=False)
        return sum(len(answer.outputs) for answer in answers)
    draw(16)
    began = time.perf_counter()
    rows = draw(int(sys.argv[2]))
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - began}))

if __name__ == "__main__":
    main()
"""


def bare_rate(sweep: Path, script: Path) -> float:
    """Samples per second of vLLM alone, given everything at once; starting it is not counted."""
    command = [sys.executable, str(script), str(sweep), str(N // 2)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"')))
    return float(found["rows"] / found["seconds"])


def pipeline_rate(sweep: Path, run: Path) -> float:
    """Samples per second between commits, without the first and the last units."""
    command = [sys.executable, "-m", "pipelines", "sample", str(sweep), "-o", f"run={run}"]
    subprocess.run(command, capture_output=True, text=True, check=True)
    scores = sorted((path.stat().st_mtime, path) for path in run.glob("scores/**/*.parquet"))
    steady = scores[2:-2]
    rows = sum(pq.read_metadata(path).num_rows for _, path in steady[1:])
    return rows / (steady[-1][0] - steady[0][0])


@pytest.mark.benchmark
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_pipeline_keeps_the_rate_of_vllm(tmp_path: Path) -> None:
    """Median of three, in turn, so that both meet the same machine."""
    sweep, script = tmp_path / "sweep.yaml", tmp_path / "bare.py"
    sweep.write_text(SWEEP)
    script.write_text(BARE)
    ratios = []
    print()
    for turn in range(3):
        alone = bare_rate(sweep, script)
        piped = pipeline_rate(sweep, tmp_path / f"run-{turn}")
        ratios.append(piped / alone)
        print(f"pipeline {piped:,.0f} samples/s, vLLM {alone:,.0f}, ratio {piped / alone:.2f}")
    assert sorted(ratios)[len(ratios) // 2] >= 0.95
