"""A run directory whose samples and scores a test commits itself, with no engine."""

import json
from contextlib import contextmanager

import polars as pl
import pyarrow as pa

from operators.schemas import SAMPLES, SCORES
from pipelines.run import opened
from pipelines.sweeps.config import parse
from pipelines.units import Unit


@contextmanager
def opened_run(folder, problems, models=("m",), n=40):
    """Open a run of one task `quiz`, whose problem p asks "p?" and is answered by "right"."""
    rows = [{"problem_id": name, "prompt": f"{name}?", "answer": "right"} for name in problems]
    (folder / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sweep = {
        "name": "s",
        "run": str(folder / "run"),
        "models": [
            {"engine": "simulated", "name": name, "parameters": 10**at, "rate": 0.5}
            for at, name in enumerate(models)
        ],
        "tasks": [{"name": "quiz", "path": str(folder / "quiz.jsonl")}],
        "allocation": {"n": n},
    }
    with opened(parse(sweep, source="test")) as run:
        yield run


def commit(run, cell, answers, start=0, text="it is {}", finish="stop"):
    """Commit a unit: for each problem its answers, of which "right" passes and None is undecided.

    Without an answer a sample is "".
    """
    size = len(next(iter(answers.values())))
    unit = Unit(cell=cell, problems=tuple(answers), start=start, stop=start + size)
    rows = [
        {"problem_id": name, "sample_id": start + at, "answer": answer or None,
         "passed": None if answer is None else answer == "right", "completion_tokens": 2}
        for name, given in answers.items()
        for at, answer in enumerate(given)
    ]  # fmt: skip
    assert run.store.commit("scores", unit, _table(rows, SCORES), {"scoring": "", "passed": 0})
    drawn = [
        {"problem_id": row["problem_id"], "sample_id": row["sample_id"],
         "completion": text.format(row["answer"]), "finish_reason": finish,
         "prompt_tokens": 1, "completion_tokens": 2}
        for row in rows
    ]  # fmt: skip
    assert run.store.commit("samples", unit, _table(drawn, SAMPLES), {})


def _table(rows, schema):
    return pa.Table.from_pylist(pl.DataFrame(rows).to_dicts(), schema=schema)
