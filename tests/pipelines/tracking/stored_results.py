"""A run directory that holds results, made in milliseconds: nothing was sampled for it."""

from dataclasses import fields

import polars as pl
import pyarrow as pa

from operators.schemas import PROBLEMS
from pipelines.store import Store
from pipelines.sweeps.config import Tracking


def store_results(tables, path, **tracking):
    """Write result tables and a report to a run directory; return its sweep."""
    sweep = tables.sweep.model_copy(update={"run": str(path), "tracking": Tracking(**tracking)})
    store = Store.at(str(path))
    store.create()
    known = {
        model.name: {"parameters": tables.parameters.get(model.name), "fingerprint": "f"}
        for model in sweep.models
    }
    names = tables.counts["problem_id"].unique(maintain_order=True)
    rows = [{"problem_id": name, "prompt": f"{name}?", "verifier": "exact"} for name in names]
    asked = {task.name: pa.Table.from_pylist(rows, schema=PROBLEMS) for task in sweep.tasks}
    made = {"version": "1", "sweep": sweep.digest(), "models": known}
    made["tasks"] = {name: table.num_rows for name, table in asked.items()}
    for name, table in asked.items():
        store.write_problems(name, table)
    store.write_sweep(sweep, made)
    for field in fields(tables):
        table = getattr(tables, field.name)
        if isinstance(table, pl.DataFrame):
            store.write_result(field.name, table)
    store.write_report("<p>found</p>", "inputs")
    store.write_figures({"coverage.svg": b"<svg/>"})
    return sweep
