"""What a replay says: a table for the terminal, and a page.

Knows the rows of `replay.parquet`, not how they came about.
"""

from typing import Any

import numpy as np
import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.reporting.charts import number
from pipelines.reporting.page import render
from pipelines.reporting.replay_figures import FIXED, MOST_PANELS, draw
from pipelines.run import Run, version

Row = dict[str, Any]

LEVEL = 0.95
"""Probability of the intervals."""


def show(rows: pl.DataFrame, console: Console) -> None:
    """Print what each policy saved and lost, a table a cell."""
    columns = {
        "samples": "samples",
        "samples_saved": "saved",
        "tokens_saved": "tokens",
        "accuracy": "accuracy",
        "accuracy_change": "change",
        "width_ratio": "width",
        "exhausted": "ran out",
    }
    if not (rows["exhausted"] > 0).any():
        del columns["exhausted"]
    for cell in _cells(rows):
        table = Table(
            title=escape(cell["name"]), title_justify="left", box=SIMPLE_HEAD, pad_edge=False
        )
        table.add_column("policy")
        for heading in columns.values():
            table.add_column(heading, justify="right", no_wrap=True)
        for row in cell["rows"]:
            named = escape(f"{row['policy']} {row['setting']}")
            table.add_row(named, *(row[name] for name in columns))
        console.print(table)
    console.print(_LEGEND, highlight=False)


_LEGEND = (
    "saved, tokens: samples and tokens that were not drawn, of those of the same number of every "
    f"problem. change: of accuracy, in points, with its {100 * LEVEL:g}% interval. width: of the "
    "interval of the mean pass rate, times that of the fixed number. ran out: problems whose "
    "stored samples ended before the policy did."
)


def page(run: Run, rows: pl.DataFrame) -> str:
    """Return the page of a replay."""
    cells = _cells(rows)
    caps = sorted(set(rows["cap"]))
    spread = f"{caps[0]:,}" if len(caps) == 1 else f"{caps[0]:,} to {caps[-1]:,}"
    values = {
        "name": run.sweep.name,
        "run": run.store.root,
        "version": version(),
        "caps": f"{spread} samples",
        "orders": rows["orders"][0] if rows["orders"][0] > 1 else 0,
        "level": f"{100 * LEVEL:g}%",
        "hidden": max(len(cells) - MOST_PANELS, 0),
        "cells": cells,
    }
    return render("replay.html.jinja", draw(rows), values)


def _cells(rows: pl.DataFrame) -> list[Row]:
    """Return each cell with the rows of its table in words."""
    return [
        {
            "name": f"{model} on {task}",
            "problems": mine["problems"][0],
            "fewest": mine["fewest"][0],
            "most": mine["most"][0],
            "ran_out": bool((mine["exhausted"] > 0).any()),
            "rows": [_told(row) for row in mine.iter_rows(named=True)],
        }
        for (model, task), mine in rows.group_by("model", "task", maintain_order=True)
    ]


def _told(row: Row) -> dict[str, str]:
    reference = row["policy"] == FIXED and row["samples"] == row["cap"]
    half = 100 * (row["accuracy_high"] - row["accuracy_low"]) / 2
    change = f"{_points(row['accuracy_change'])} \u00b1 {_decimals(half)}"
    return {
        "policy": row["policy"],
        "setting": row["setting"],
        "samples": number(row["samples"]),
        "samples_saved": _percent(row["samples_saved"]),
        "tokens_saved": _percent(row["tokens_saved"]),
        "rounds": number(row["rounds"]),
        "accuracy": _percent(row["accuracy"]),
        "accuracy_change": "reference" if reference else change,
        "coverage_change": _points(row["coverage_change"]),
        "pass_rate_change": _points(row["pass_rate_change"]),
        "width_ratio": number(row["width"] / row["width_full"]),
        "exhausted": _percent(row["exhausted"]) if row["exhausted"] else "",
    }


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if np.isfinite(share) else number(share)


def _points(share: float) -> str:
    """Return a change of a share in percentage points, with its sign."""
    text = _decimals(100 * share)
    return f"+{text}" if share > 0 and text.strip("0.") else text


def _decimals(value: float) -> str:
    if not np.isfinite(value):
        return number(value)
    # Adding 0 turns what rounds to -0 into 0.
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\u2212")
