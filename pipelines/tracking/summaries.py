"""Tables that MLflow's pages show: few rows, one question each. Knows the tables of a run alone."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from pipelines.store import RunTables

ROWS = 1_000
"""Most rows of a table: it is for reading; the run directory holds the rest."""

_CELL = ["model", "task"]


def summaries(tables: RunTables) -> dict[str, dict[str, Any]]:
    """Return each table that has rows, by its path, as columns and data row by row."""
    made = {f"tables/{name}.json": table(tables) for name, table in _TABLES.items()}
    return {path: _plain(frame.head(ROWS)) for path, frame in made.items() if frame.height}


def _cells(tables: RunTables) -> pl.DataFrame:
    """What was sampled, and how often it passed: one row a model and task."""
    counted = tables.counts.group_by(_CELL, maintain_order=True).agg(
        problems=pl.len(),
        problems_passed=(pl.col("c") > 0).sum(),
        samples=pl.col("n").sum(),
        passes=pl.col("c").sum(),
        undecided=pl.col("undecided").sum(),
    )
    rates = tables.curves.filter(pl.col("kind") == "pass_until")
    rate = rates.select(*_CELL, pass_rate="estimate", pass_rate_low="low", pass_rate_high="high")
    sizes = pl.DataFrame(
        {"model": list(tables.parameters), "parameters": list(tables.parameters.values())},
        schema={"model": pl.String, "parameters": pl.Int64},
    )
    joined = counted.join(sizes, on="model", how="left", maintain_order="left")
    return joined.join(rate, on=_CELL, how="left", maintain_order="left")


def _laws(tables: RunTables) -> pl.DataFrame:
    """Every chosen law: what it says, how well, and how its fit ended."""
    names = [*_CELL, "kind", "family", "parameters", "intervals", "goodness", "converged", "status"]
    return tables.laws.filter("chosen").select(*names, "held_out")


def _selection(tables: RunTables) -> pl.DataFrame:
    """What each way of choosing one answer is worth at the most tries that were judged."""
    most = pl.col("k") == pl.col("k").max().over([*_CELL, "method"])
    names = ["method", "k", "estimate", "low", "high", "coverage", "oracle_gap", "undecided"]
    return tables.selection.filter(most).select(*_CELL, *names)


def _costs(tables: RunTables) -> pl.DataFrame:
    return tables.costs


def _calibration(tables: RunTables) -> pl.DataFrame:
    return tables.calibration


_TABLES: Mapping[str, Callable[[RunTables], pl.DataFrame]] = {
    "cells": _cells,
    "laws": _laws,
    "selection": _selection,
    "costs": _costs,
    "calibration": _calibration,
}


def _plain(frame: pl.DataFrame) -> dict[str, Any]:
    return {"columns": frame.columns, "data": [_finite(row) for row in frame.iter_rows()]}


def _finite(row: Sequence[Any]) -> list[Any]:
    """Return a row with null for what JSON cannot say."""
    return [
        None if isinstance(value, float) and not math.isfinite(value) else value for value in row
    ]


def law_values(law: Mapping[str, Any]) -> dict[str, float]:
    """Return a law's parameters, their 95% limits and its goodness, by name."""
    values = json.loads(law["parameters"]) | json.loads(law["goodness"])
    for name, (low, high) in json.loads(law["intervals"]).items():
        values |= {f"{name}_low": low, f"{name}_high": high}
    return {name: value for name, value in values.items() if value is not None}
