"""Samples that repeat each other are named before anything is fitted to them."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest

from operators.schemas import RECORDED, SAMPLES
from pipelines.audit import audit
from pipelines.errors import UserError
from pipelines.run import opened
from pipelines.sweeps.config import parse
from pipelines.units import Cell, Unit

CELL = Cell("m", "quiz")
BLOCK = 200


@pytest.fixture
def run(tmp_path):
    rows = [{"problem_id": f"p{i}", "prompt": f"{i}", "answer": "1"} for i in range(3)]
    (tmp_path / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = {"engine": "simulated", "name": "m", "parameters": 9, "rate": 0.2}
    values = {
        "name": "s",
        "run": str(tmp_path / "run"),
        "models": [model],
        "tasks": [{"name": "quiz", "path": str(tmp_path / "quiz.jsonl")}],
        "allocation": {"n": 4 * BLOCK},
    }
    with opened(parse(values, source="test")) as made:
        yield made


def commit(run, blocks, reason="stop"):
    """Commit blocks of completions, the same for every problem, as units one after another."""
    for at, block in enumerate(blocks):
        start = at * BLOCK
        unit = Unit(cell=CELL, problems=("p0", "p1", "p2"), start=start, stop=start + BLOCK)
        rows = 3 * BLOCK
        columns = {
            "problem_id": np.repeat(unit.problems, BLOCK),
            "sample_id": np.tile(np.arange(start, start + BLOCK), 3),
            "completion": [str(value) for value in block] * 3,
            "finish_reason": [reason] * rows,
            "prompt_tokens": np.ones(rows, dtype=np.int32),
            "completion_tokens": np.ones(rows, dtype=np.int32),
            **{name: pa.nulls(rows, pa.float32()) for name in RECORDED},
            "seed": pa.nulls(rows, pa.int64()),
            "error": pa.nulls(rows, pa.string()),
            "reasoning": pa.nulls(rows, pa.string()),
        }
        run.store.commit("samples", unit, pa.table(columns, schema=SAMPLES), {})


def drawn(seed, size=BLOCK):
    return np.random.default_rng(seed).geometric(0.2, size)


def test_blocks_drawn_with_neighbouring_seeds_are_named_with_their_distance(run):
    stream = drawn(0, BLOCK + 4)
    commit(run, [stream[at : at + BLOCK] for at in range(4)])
    (line,) = audit(run)
    assert line.startswith("m on quiz: samples repeat those 199 before them: ")
    table = run.store.read_result("audit")
    assert table.select("model", "task", "repeated").row(0) == ("m", "quiz", True)
    assert table["log_chance"][0] < math.log(1e-6)


def test_independent_blocks_are_not(run):
    commit(run, [drawn(seed) for seed in range(4)])
    assert audit(run) == []
    assert run.store.read_result("audit")["repeated"].to_list() == [False]


def test_failed_samples_are_no_repetition(run):
    commit(run, [drawn(0), drawn(1)])
    commit(run, [drawn(0), drawn(1), [""] * BLOCK, [""] * BLOCK], reason="error")
    assert audit(run) == []


def test_a_run_without_samples_has_an_empty_table(run):
    assert audit(run) == []
    assert run.store.read_result("audit").is_empty()


def test_a_file_that_is_damaged_inside_is_named_and_moved_aside(run):
    commit(run, [drawn(0), drawn(1)])
    (first, _), _ = run.store.committed("samples", CELL)
    path = run.store.storage.root / first.key
    content = bytearray(path.read_bytes())
    content[100:600] = bytes(500)  # of the pages; the footer is whole
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path.name}: damaged \(.*; moved to .*quarantine"):
        audit(run)
    assert not path.exists()
