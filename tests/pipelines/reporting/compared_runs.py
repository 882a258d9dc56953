"""Runs of known pass rates to compare, without a sampler: only what a comparison reads."""

import numpy as np
import polars as pl

from operators.schemas import (
    AUDIT,
    CALIBRATION,
    COSTS,
    COUNTS,
    CURVES,
    LAWS,
    RATES,
    RELIABILITY,
    SELECTION,
)
from pipelines.reporting.compare_runs import ComparedRun
from pipelines.store import RunTables
from pipelines.sweeps.config import parse


def compared_run(name, rates, n=200, seed=0, sizes=True, **changes):
    """Return a run; rates: {task: {model: [a rate for each problem]}}."""
    generator = np.random.default_rng(seed)
    counts, costs = [], []
    models = list(dict.fromkeys(model for of in rates.values() for model in of))
    for task, of in rates.items():
        for model, values in of.items():
            for at, rate in enumerate(values):
                counts.append(count_row(model, task, f"p{at:03d}", n, generator.binomial(n, rate)))
            costs.append(
                {"model": model, "task": task, "parameters": 1000 if sizes else None,
                 "samples": n * len(values), "prompt_tokens": 5, "completion_tokens": n,
                 "flops": 1e6 if sizes else None, "engine_seconds": None, "usd": None,
                 "engine": "simulated", "seeding": "sample"}
            )  # fmt: skip
    sweep = parse(
        {
            "name": name,
            "models": [
                {"engine": "simulated", "name": model, "parameters": 1000, "rate": 0.1}
                for model in models
            ],
            "tasks": [{"name": task, "problems": 40} for task in rates],
            "allocation": {"n": n},
            "seed": seed,
            **changes,
        },
        source="test",
    )
    tables = RunTables(
        sweep=sweep,
        run=f"runs/{name}",
        version="1.2.3",
        parameters=dict.fromkeys(models, 1000) if sizes else {},
        counts=pl.DataFrame(counts, schema_overrides=_types(COUNTS)).select(COUNTS.names),
        costs=pl.DataFrame(costs, schema_overrides=_types(COSTS)).select(COSTS.names),
        rates=empty(RATES),
        curves=empty(CURVES),
        laws=empty(LAWS),
        selection=empty(SELECTION),
        calibration=empty(CALIBRATION),
        reliability=empty(RELIABILITY),
        audit=empty(AUDIT),
        exact=None,
    )
    return ComparedRun(label=name, tables=tables, prompts={})


def count_row(model, task, problem, n, c):
    return {
        "model": model, "task": task, "problem_id": problem, "n": n, "c": int(c), "undecided": 0,
        "distinct_answers": 2, "completion_tokens": n, "stop_reason": "fixed", "r": None,
        "cap": None, "nth_pass": None, "look": 0,
    }  # fmt: skip


def empty(schema):
    return pl.DataFrame(pl.from_arrow(schema.empty_table()))


def _types(schema):
    return dict(empty(schema).schema)
