"""What an import holds, at a glance: for people in lines, for programs as plain values."""

import statistics
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from pipelines.importing.gathering import Gathered
from pipelines.importing.spill import Spill
from pipelines.units import Cell

_ROWS = 3
"""Samples that are shown."""
_CELLS = 30
"""Models on tasks that have a line each."""
_SHOWN = ("problem_id", "sample_id", "passed", "answer", "completion")


def summary(
    found: Gathered, spill: Spill, *, called: str, verifier: str, parameters: Mapping[str, int]
) -> dict[str, Any]:
    """Return what an import holds.

    Args:
        found: its rows.
        spill: its samples.
        called: the format of the files, in words.
        verifier: that judges the samples, or "recorded".
        parameters: sizes of models, by their names in the run.

    Returns:
        Plain values: format, verifier, models, tasks, cells, skipped_rows and the first rows. A
        cell has the number of problems, the samples of a problem (min, median, max), passed,
        undecided and pass_rate, the share of samples that passed; null before a verifier judged.
    """
    judged = verifier == "recorded"
    models = dict.fromkeys(cell.model for cell in found.cells)
    tasks = dict.fromkeys(cell.task for cell in found.cells)
    return {
        "format": called,
        "verifier": verifier,
        "models": [
            {"name": name, "called": found.names[name], "parameters": parameters.get(name)}
            for name in models
        ],
        "tasks": [
            {"name": name, "called": found.tasks[name], "problems": len(found.asked[name])}
            for name in tasks
        ],
        "cells": [_cell(found, cell, judged=judged) for cell in found.cells],
        "skipped_rows": found.bad_rows,
        "rows": [] if found.counts else _first_rows(spill),
    }


def _cell(found: Gathered, cell: Cell, *, judged: bool) -> dict[str, Any]:
    if cell in found.counts:
        counts = found.counts[cell].values()
        n = [each.n for each in counts]
        passed, undecided = sum(each.c for each in counts), sum(each.undecided for each in counts)
        judged = True
    else:
        tries = found.tries[cell].values()
        n = [each.samples for each in tries]
        passed, undecided = (
            sum(each.passed for each in tries),
            sum(each.undecided for each in tries),
        )
    total = sum(n)
    return {
        "model": cell.model,
        "task": cell.task,
        "kind": "counts" if cell in found.counts else "samples",
        "problems": len(n),
        "samples": total,
        "samples_of_a_problem": {
            "min": min(n), "median": statistics.median(n), "max": max(n),
        },
        "passed": passed if judged else None,
        "undecided": undecided if judged else None,
        "pass_rate": passed / total if judged and total else None,
    }  # fmt: skip


def _first_rows(spill: Spill) -> list[dict[str, Any]]:
    return spill.head(_ROWS).select(_SHOWN).to_dicts()


def show(told: Mapping[str, Any], console: Console) -> None:
    """Print a summary: a line for each model on each task, then the first samples."""
    sizes = {model["name"]: model["parameters"] for model in told["models"]}
    lines = [_cell_line(cell, sizes[cell["model"]]) for cell in told["cells"][:_CELLS]]
    if len(told["cells"]) > _CELLS:
        lines.append(f"... and {len(told['cells']) - _CELLS:,} more models and tasks")
    judged = told["verifier"] == "recorded"
    lines += [f"first: {_sample_line(row, judged=judged)}" for row in told["rows"]]
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _cell_line(cell: Mapping[str, Any], size: int | None) -> str:
    """Return what there is of a model on a task."""
    known = "size unknown" if size is None else f"{size:,} parameters"
    n = cell["samples_of_a_problem"]
    each = f"{n['min']:,}"
    if n["min"] != n["max"]:
        each += f" to {n['max']:,} (median {n['median']:,g})"
    line = (
        f"{cell['model']} ({known}) on {cell['task']}: {cell['problems']:,} problems, {each} "
        f"{cell['kind'] if cell['kind'] == 'samples' else 'counted samples'} of each, "
        f"{cell['samples']:,} in all; "
    )
    if cell["pass_rate"] is None:
        return line + "to be judged"
    undecided = f", {cell['undecided']:,} undecided" if cell["undecided"] else ""
    return line + f"{cell['passed']:,} passed ({cell['pass_rate']:.3g}){undecided}"


def _sample_line(row: Mapping[str, Any], *, judged: bool) -> str:
    """Return a sample in a line."""
    verdict = {True: "passed", False: "failed", None: "undecided"}[row["passed"]]
    number = "" if row["sample_id"] is None else f", sample {row['sample_id']}"
    answer = "" if row["answer"] is None else f", answer {_short(row['answer'], 30)!r}"
    text = "no completion" if row["completion"] is None else _short(row["completion"], 60)
    told = f"{verdict}{answer}" if judged else f"to be judged{answer}"
    return f"problem {row['problem_id']}{number}: {told}: {text}"


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
