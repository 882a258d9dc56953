"""What an import makes of a run's sweep, problems and counts, together with what is there.

Knows the run's tables; not its samples, nor when anything is written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import polars as pl

from operators.schemas import COUNTS, PROBLEMS
from pipelines import models
from pipelines.errors import UserError
from pipelines.imported import Import, Imported
from pipelines.importing import values
from pipelines.importing.gathering import Gathered, plain
from pipelines.importing.placing import Place
from pipelines.importing.records import Count
from pipelines.run import version
from pipelines.store import Store
from pipelines.sweeps.config import ImportedAllocation, Sweep, parse
from pipelines.units import Cell


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be imported, and where to."""

    run: str
    key: str
    """A hash of the files and of how they are read."""
    files: tuple[str, ...]
    format: str
    options: tuple[str, ...]
    """Of the command, beside files and run."""
    verifier: str
    verifier_options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, int]
    """Sizes of models, by their names in the run."""
    skip_existing: bool = False


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the run has, before the import."""

    sweep: Sweep | None
    recorded: Mapping[str, Any]
    imported: Imported

    @classmethod
    def of(cls, store: Store) -> Self:
        """Read it; UserError where the run was not imported."""
        if not store.has_sweep:
            return cls(sweep=None, recorded={}, imported=Imported())
        sweep, recorded = store.read_sweep()
        if not isinstance(sweep.allocation, ImportedAllocation):
            raise UserError(
                f"{store.root}: its samples were drawn, not imported; give another run directory "
                "with --run"
            )
        return cls(
            sweep=sweep,
            recorded=recorded,
            imported=Imported.from_dict(recorded.get("imported", {})),
        )


def new_counts(store: Store, held: Held, found: Gathered) -> pl.DataFrame | None:
    """Return counts.parquet with the counts that are imported; None where none are new.

    Raises:
        UserError: a cell has samples, or other counts of a problem.
    """
    if not found.counts:
        return None
    known = store.read_result("counts")
    columns = pl.DataFrame(pl.from_arrow(COUNTS.empty_table())).schema
    before = pl.DataFrame(schema=columns) if known is None else known
    rows = []
    for cell, problems in found.counts.items():
        mine = before.filter(model=cell.model, task=cell.task)
        if cell in found.tries or (not mine.is_empty() and cell not in held.imported.counts_alone):
            raise UserError(
                f"{store.root}: {cell.model} on {cell.task} has samples, which are counted; import "
                "its counts as another task (--task), or into another run"
            )
        there = {row["problem_id"]: row for row in mine.to_dicts()}
        for name, each in problems.items():
            row = _count_row(cell, name, each)
            if name in there and there[name] != row:
                raise UserError(
                    f"{each.where}: problem {name} of {cell.model} on {cell.task} has other counts "
                    f"in the run: n = {there[name]['n']}, c = {there[name]['c']}; import into "
                    "another run"
                )
            if name not in there:
                rows.append(row)
    return pl.concat([before, pl.DataFrame(rows, schema=columns)]) if rows else None


def _count_row(cell: Cell, name: str, each: Count) -> dict[str, Any]:
    """Return a row of COUNTS."""
    reached = each.r is not None and each.c >= each.r
    return {
        "model": cell.model,
        "task": cell.task,
        "problem_id": name,
        "n": each.n,
        "c": each.c,
        "undecided": each.undecided,
        "distinct_answers": None,
        "completion_tokens": None,
        "stop_reason": "fixed" if each.r is None else "r_reached" if reached else "cap",
        "r": each.r,
        "cap": each.cap,
        "nth_pass": each.nth_pass,
        "look": each.look,
    }


def problems_of(store: Store, order: Order, held: Held, found: Gathered, task: str) -> pl.DataFrame:
    """Return a task's problems, those of the run first; UserError where the two differ."""
    columns = pl.DataFrame(pl.from_arrow(PROBLEMS.empty_table())).schema
    options = json.dumps(dict(order.verifier_options)) if order.verifier_options else None
    verifier = {"verifier": order.verifier, "verifier_options": options, "meta": None}
    rows = {
        name: {"problem_id": name, **plain(asked), **verifier}
        for name, asked in found.asked[task].items()
    }
    before = _problems_before(store, order, held, task)
    for name in [name for name in rows if name in before]:
        for fact, new in rows[name].items():
            old = before[name][fact]
            if new is None or old is None:
                rows[name][fact] = old if new is None else new
            elif old != new:
                raise UserError(
                    f"{found.first_row[task, name]}: field {fact}: problem {name} of task {task} "
                    f"has {str(new)[:60]!r}, and {str(old)[:60]!r} in {store.root}; import into "
                    "another run, or as another task (--task)"
                )
    return pl.DataFrame(list((before | rows).values()), schema=columns)


def _problems_before(
    store: Store, order: Order, held: Held, task: str
) -> dict[str, dict[str, Any]]:
    """Return a task's problems of earlier imports, by name; UserError where they are lost."""
    if task not in held.recorded.get("tasks", {}):
        return {}
    try:
        return {row["problem_id"]: row for row in store.read_problems(task).to_pylist()}
    except UserError:
        if any(each.key != order.key for each in held.imported.imports):
            raise
        store.quarantine_problems(task)  # this import, which was interrupted, has all of them
        return {}


def sweep_of(order: Order, held: Held, found: Gathered) -> Sweep:
    """Return the run's sweep with the models and tasks of the import."""
    sizes: dict[str, int | None] = {}
    verifiers: dict[str, str] = {}
    if held.sweep is not None:
        for model in held.sweep.models:
            sizes[model.name] = model.model_dump().get("parameters")
        for task in held.sweep.tasks:
            verifiers[task.name] = str(task.model_dump().get("verifier"))
    for cell in found.cells:
        sizes[cell.model] = order.parameters.get(cell.model, sizes.get(cell.model))
        verifiers[cell.task] = order.verifier
    before = {} if held.sweep is None else held.sweep.model_dump(mode="json")
    plain_sweep = {
        "name": values.name(order.run.rstrip("/").rpartition("/")[2] or "imported"),
        **before,
        "run": order.run,
        "models": [
            {"engine": "imported", "name": name, "parameters": size}
            for name, size in (sizes | {k: v for k, v in order.parameters.items()
                                        if k in sizes}).items()
        ],
        "tasks": [
            {"source": "imported", "name": name, "verifier": verifier}
            for name, verifier in verifiers.items()
        ],
        "allocation": {"kind": "imported"},
    }  # fmt: skip
    return parse(plain_sweep, source=order.run)


def record_of(
    order: Order, held: Held, found: Gathered, placed: Mapping[Cell, Mapping[str, Place]]
) -> Imported:
    """Return what is recorded of the import, which is not done unless it was before."""
    known = held.imported.find(order.key)
    new = sum(place.stop - place.start for each in placed.values() for place in each.values())
    one = known or Import(
        key=order.key,
        files=order.files,
        format=order.format,
        options=order.options,
        done=False,
        samples=new,
    )
    alone = dict.fromkeys([*held.imported.counts_alone, *found.counts])
    cells = dict.fromkeys([*held.imported.cells, *found.cells])
    return replace(held.imported.having(one), cells=tuple(cells), counts_alone=tuple(alone))


def made_of(
    order: Order,
    held: Held,
    sweep: Sweep,
    record: Imported,
    problems: Mapping[str, pl.DataFrame],
) -> dict[str, Any]:
    """Return what sweep.yaml says beside the sweep, as runs that were sampled have it."""
    sources = {model.name: models.find(model) for model in sweep.models}
    tasks = {task: table.height for task, table in problems.items()}
    return {
        "version": version(),
        "sweep": sweep.digest(),
        "models": {
            name: {"parameters": source.parameters, "fingerprint": source.fingerprint}
            for name, source in sources.items()
        },
        "tasks": dict(held.recorded.get("tasks", {})) | tasks,
        "imported": record.to_dict(),
    }
