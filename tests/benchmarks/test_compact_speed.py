"""What compaction costs and what it saves: listing, counting and one problem, before and after.

In seconds of a processor, which other work on the machine lengthens least.

pytest -s tests/benchmarks/test_compact_speed.py
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from operators.schemas import SAMPLES, SCORES
from pipelines.store import Store
from pipelines.units import Cell, Unit

CELL = Cell("model", "task")
FILES, PROBLEMS, EACH = 1_000, 8, 256
"""Units of one cell, problems in a unit, and samples of each problem in a unit."""

COMPACT = """
import resource, sys, time
from pipelines.compact import compact
from pipelines.store import Store
from pipelines.units import Cell
began = time.process_time()
done = compact(Store.at(sys.argv[1]), [Cell("model", "task")], 256 * 2**20)
unit = 2**20 if sys.platform == "linux" else 2**30  # macOS counts bytes, Linux kibibytes
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
print(done.files_before, done.files_after, time.process_time() - began, peak)
"""


def table(unit: Unit, schema: pa.Schema, chance: np.random.Generator) -> pa.Table:
    rows = unit.samples
    filled = {
        "problem_id": np.repeat(unit.problems, EACH),
        "sample_id": np.tile(np.arange(unit.start, unit.stop), len(unit.problems)),
        "completion": chance.integers(100, 2_000, rows).astype(str),
        "finish_reason": np.full(rows, "stop"),
        "prompt_tokens": np.full(rows, 9),
        "completion_tokens": chance.integers(3, 6, rows),
        "sum_logprob": -chance.gamma(2, 2, rows),
        "seed": chance.integers(0, 2**63, rows),
        "answer": chance.integers(100, 2_000, rows).astype(str),
        "passed": chance.random(rows) < 0.1,
    }
    arrays = [
        pa.array(filled[field.name], field.type, safe=False)
        if field.name in filled
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def fill(store: Store) -> None:
    """A cell of FILES units: rounds of the same blocks of problems."""
    chance = np.random.default_rng(0)
    for at in range(FILES):
        block, turn = at % 20, at // 20
        problems = tuple(f"problem-{block * PROBLEMS + i}" for i in range(PROBLEMS))
        unit = Unit(cell=CELL, problems=problems, start=turn * EACH, stop=(turn + 1) * EACH)
        facts = {"engine_seconds": 1.0, "prompt_tokens": 72}
        store.commit("samples", unit, table(unit, SAMPLES, chance), facts)
        scored = {"scoring": "0123456789abcdef", "passed": 200}
        store.commit("scores", unit, table(unit, SCORES, chance), scored)


def timed(store: Store) -> dict[str, float]:
    """The least seconds of three turns of each, and the bytes of the files."""
    found: dict[str, float] = {}
    for _ in range(3):
        began = time.process_time()
        committed, _ = store.listed("scores", CELL)
        listed = time.process_time()
        store.scan_scores(committed).group_by("problem_id").len().collect()
        counted = time.process_time()
        assert store.read_problem(CELL, "problem-7").num_rows == FILES // 20 * EACH
        ended = time.process_time()
        turn = {"list": listed - began, "count": counted - listed, "problem": ended - counted}
        found = {name: min(value, found.get(name, value)) for name, value in turn.items()}
    sizes = [path.stat().st_size for path in Path(store.root).rglob("*.parquet")]
    return found | {"files": len(sizes), "MB": sum(sizes) / 1e6}


@pytest.mark.benchmark
def test_a_compacted_run_is_listed_and_counted_faster(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    fill(store)
    before = timed(store)
    command = [sys.executable, "-c", COMPACT, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    files, left, seconds, peak = map(float, answer.split())
    after = timed(store)
    rows = FILES * PROBLEMS * EACH
    print(f"\n{rows:,} samples and their scores; compacted in {seconds:.1f} s, peak {peak:.2f} GiB")
    for name, found in (("files", before), ("packs", after)):
        print(
            f"{name}: {found['files']:,.0f} of {found['MB']:.1f} MB; listing {found['list']:.3f} s,"
            f" counting {found['count']:.3f} s, one problem {found['problem']:.3f} s"
        )
    assert (files, left) == (2 * FILES, after["files"])
    assert after["list"] < before["list"] / 2
