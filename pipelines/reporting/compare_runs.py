"""What two or more runs have in common, and in what they differ: sweeps, problems, costs, laws.

Knows the tables of runs; not how models are compared, nor how a page tells it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from pipelines.errors import UserError
from pipelines.reporting.compare_pairs import Contestant
from pipelines.store import RunTables
from pipelines.sweeps.config import ImportedAllocation

Row = dict[str, Any]

_NAMED_LISTS = ("models", "tasks")
_UNTOLD = ("run", "resources")
"""Keys of a sweep that change nothing of what is measured."""
_COSTS = ("samples", "prompt_tokens", "completion_tokens", "flops", "engine_seconds", "usd")


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """A run with the name that it has on the page."""

    label: str
    tables: RunTables
    prompts: Mapping[str, Mapping[str, str]]
    """For each task, the prompt of each problem."""


@dataclass(frozen=True, kw_only=True)
class InCommon:
    """One task that two runs or more have."""

    task: str
    contestants: list[Contestant]
    problems: int
    """Problems that all contestants tried."""
    left_out: int
    """Problems that some tried and others did not."""
    reworded: int
    """Problems in common whose prompt is not the same in all runs."""
    undecided: int
    """Samples of problems in common that could not be decided; they count as not passed."""


def labels(runs: Sequence[RunTables]) -> list[str]:
    """Return a short name for each run: its sweep's, its folder's, or where it lies."""
    names = [run.sweep.name for run in runs]
    folders = [PurePosixPath(run.run.rstrip("/")).name for run in runs]
    for found in (names, folders):
        if len(set(found)) == len(found):
            return found
    return [run.run for run in runs]


def in_common(runs: Sequence[ComparedRun]) -> list[InCommon]:
    """Return the tasks that runs have in common, with their models on the problems in common.

    Raises:
        UserError: there are fewer than two runs, one is given twice, or none shares a problem
            with another.
    """
    if len(runs) < 2:
        raise UserError("compare: needs two runs or more; name another RUN")
    places = [run.tables.run.rstrip("/") for run in runs]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise UserError(f"{twice}: is named twice; a run cannot be compared with itself")
    tasks = {run.label: _tasks(run) for run in runs}
    shared = [
        task
        for task in dict.fromkeys(task for names in tasks.values() for task in names)
        if sum(task in names for names in tasks.values()) > 1
    ]
    if not shared:
        told = "; ".join(f"{label} has {', '.join(names)}" for label, names in tasks.items())
        raise UserError(f"compare: these runs have no task in common: {told}")
    found = [_task([run for run in runs if task in tasks[run.label]], task) for task in shared]
    if not any(each.problems for each in found):
        raise UserError(
            f"compare: no problem of task {', '.join(shared)} was tried in all runs; problems are "
            "matched by their problem_id"
        )
    return found


def _tasks(run: ComparedRun) -> list[str]:
    return run.tables.counts.filter(pl.col("n") > 0)["task"].unique(maintain_order=True).to_list()


def _task(runs: Sequence[ComparedRun], task: str) -> InCommon:
    tried = {
        (run.label, str(model)): cell
        for run in runs
        for (model,), cell in run.tables.counts.filter(pl.col("task") == task, pl.col("n") > 0)
        .group_by("model", maintain_order=True)
    }  # fmt: skip
    each = [set(cell["problem_id"]) for cell in tried.values()]
    common, some = set.intersection(*each), set.union(*each)
    models = [model for _, model in tried]
    contestants = [
        Contestant(
            label=_label(model, run, models),
            run=run,
            model=model,
            counts=cell.filter(pl.col("problem_id").is_in(sorted(common))).sort("problem_id"),
        )
        for (run, model), cell in tried.items()
    ]
    prompts = [run.prompts.get(task, {}) for run in runs]
    return InCommon(
        task=task,
        contestants=contestants if common else [],
        problems=len(common),
        left_out=len(some) - len(common),
        reworded=sum(len({found.get(name) for found in prompts}) > 1 for name in common),
        undecided=sum(int(one.counts["undecided"].sum()) for one in contestants),
    )


def _label(model: str, run: str, models: Sequence[str]) -> str:
    """Return what a model of a run is called among all models of a task, as short as can be."""
    if len(set(models)) == 1:
        return run
    return f"{model}, {run}" if models.count(model) > 1 else model


def one_seed(runs: Sequence[ComparedRun]) -> bool:
    """Whether two runs may hold the same draws: their seed is one, and they were not imported."""
    drawn = [run.tables.sweep for run in runs
             if not isinstance(run.tables.sweep.allocation, ImportedAllocation)]  # fmt: skip
    return len({sweep.seed for sweep in drawn}) < len(drawn)


def differing_keys(runs: Sequence[ComparedRun]) -> dict[str, list[str | None]]:
    """Return the keys of the sweeps that differ, each with its value in every run.

    Models and tasks are matched by name, and only those that all runs have are looked into. A
    value that a run does not have is None.
    """
    sweeps = [run.tables.sweep.model_dump(mode="json") for run in runs]
    flat = [_flat({key: value for key, value in sweep.items() if key not in _UNTOLD})
            for sweep in sweeps]  # fmt: skip
    for part in _NAMED_LISTS:
        named = [{entry["name"]: entry for entry in sweep[part]} for sweep in sweeps]
        for values, entries in zip(flat, named, strict=True):
            values[part] = ", ".join(entries)
            values.update(
                {
                    f"{part}.{name}.{key}": value
                    for name in set.intersection(*map(set, named))
                    for key, value in _flat(entries[name]).items()
                }
            )
    keys = sorted({key for values in flat for key in values})
    found = {key: [values.get(key) for values in flat] for key in keys}
    return {key: values for key, values in found.items() if len(set(values)) > 1}


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values by their dotted keys, as short JSON; null is left out."""
    found: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            found |= _flat(item, f"{prefix}{key}.")
        elif item is not None and key not in _NAMED_LISTS:
            found[f"{prefix}{key}"] = item if isinstance(item, str) else json.dumps(item)
    return found


def costs(runs: Sequence[ComparedRun]) -> list[Row]:
    """Return what each run spent on each task, and in all; a sum of what is unknown is None."""
    sums = [pl.when(pl.col(name).count() == pl.len()).then(pl.col(name).sum()).alias(name)
            for name in _COSTS]  # fmt: skip
    rows: list[Row] = []
    for run in runs:
        table = run.tables.costs
        by_task = table.group_by("task", maintain_order=True).agg(sums)
        rows += [{"run": run.label, **row} for row in by_task.iter_rows(named=True)]
        if by_task.height > 1:
            total = table.select(sums).row(0, named=True)
            rows.append({"run": run.label, "task": None, **total})
    return rows


def laws(runs: Sequence[ComparedRun], tasks: Sequence[str]) -> list[Row]:
    """Return the law that each run chose for a task or model, those of one thing side by side."""
    rows = [
        {
            "run": run.label,
            "kind": row["kind"],
            "family": row["family"],
            "task": row["task"],
            "model": row["model"],
            "parameters": json.loads(row["parameters"]),
            "intervals": json.loads(row["intervals"]),
            "status": row["status"],
        }
        for run in runs
        for row in run.tables.laws.filter(
            pl.col("chosen"), pl.col("task").is_in(list(tasks))
        ).iter_rows(named=True)
    ]
    order = {kind: at for at, kind in enumerate(("task", "emergence", "coverage"))}
    return sorted(
        rows, key=lambda row: (order.get(row["kind"], 9), row["task"], row["model"] or "")
    )
