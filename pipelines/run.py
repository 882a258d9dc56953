"""A run made concrete: its models found, its problems read, its directory opened and leased.

Refuses a directory that another sweep made, because mixing two would give a silent wrong number;
what still means the same is reused.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import Any

import polars as pl
import pyarrow as pa

from operators.allocation import looks
from operators.allocation.looks import Allocation
from operators.schemas import PROBLEMS, check
from pipelines import models, tasks
from pipelines.errors import UserError
from pipelines.imported import Imported
from pipelines.lease import Lease
from pipelines.store import ResultName, RunTables, Store
from pipelines.sweeps.config import (
    Decoding,
    FixedAllocation,
    ImportedAllocation,
    Sweep,
    decoding_of,
    digest,
)
from pipelines.sweeps.engine_sections import Model
from pipelines.units import Cell

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every stage works on."""

    sweep: Sweep
    store: Store
    parameters: Mapping[str, int]
    """Size of each model whose size is known."""
    fingerprints: Mapping[str, str]
    problems: Mapping[str, pa.Table]
    """For each task, schema PROBLEMS: those asked now, then those that were asked before."""
    asked: Mapping[str, int]
    """For each task, how many of its problems are asked now."""
    token: str
    """Of the lease under which this process may write."""
    models: tuple[Model, ...] = ()
    """The models with their paths resolved; empty where no engine is needed."""
    imported: Imported = dataclasses.field(default_factory=Imported)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every model on every task, in the sweep's order; of an imported run, those it has."""
        every = (
            Cell(model.name, task.name) for model in self.sweep.models for task in self.sweep.tasks
        )
        there = self.imported.cells
        return tuple(cell for cell in every if not there or cell in there)

    @property
    def allocation(self) -> Allocation:
        """The rule that says how many samples each problem gets."""
        return allocation_of(self.sweep)

    def problem_ids(self, task: str) -> tuple[str, ...]:
        """Return the problems that are asked of a task, in their order."""
        return tuple(self.problems[task]["problem_id"][: self.asked[task]].to_pylist())

    def rows(self, task: str) -> dict[str, dict[str, Any]]:
        """Return every known problem of a task by its id."""
        return {row["problem_id"]: row for row in self.problems[task].to_pylist()}

    def decoding(self, task: str) -> Decoding:
        """Return how the completions of a task are drawn, with the task's own stop strings."""
        return decoding_of(self.sweep, task)

    def cell_key(self, cell: Cell) -> str:
        """Return what a cell's samples are drawn from: model, task and decoding, never n."""
        decoding = self.decoding(cell.task).model_dump(mode="json")
        return digest([self.fingerprints[cell.model], cell.task, decoding], size=16)


def allocation_of(sweep: Sweep) -> Allocation:
    """Return a sweep's allocation as the rule that decides."""
    rule = sweep.allocation
    if isinstance(rule, FixedAllocation):
        return looks.fixed(rule.n)
    if isinstance(rule, ImportedAllocation):
        return looks.fixed(0)  # whatever is there, nothing more is wanted
    return looks.until(rule.r, rule.cap, rule.first_round, rule.growth)


@contextmanager
def opened(sweep: Sweep, *, for_sampling: bool = True) -> Iterator[Run]:
    """Open a sweep's run directory, with its problems as their files are now.

    That of an imported run is only reopened: nothing can be drawn in it.

    Args:
        sweep: what to do.
        for_sampling: makes the directory if it is not there, and looks for the models; without
            it, a run that was sampled before is opened where its models need not be.

    Raises:
        UserError: a model or a problem file is missing or damaged; the directory cannot be
            written, is in use, or was made by another sweep.
    """
    store = Store.at(sweep.run_path)
    if isinstance(sweep.allocation, ImportedAllocation):
        _log.warning("%s: was imported, so no samples can be drawn; going on with them", store.root)
        with reopened(sweep) as run:
            yield run
        return
    if for_sampling:
        sources = {model.name: models.find(model) for model in sweep.models}
        known: dict[str, dict[str, Any]] = {
            name: {"parameters": source.parameters, "fingerprint": source.fingerprint}
            for name, source in sources.items()
        }
    else:
        sources = {}
        known = _recorded_models(store, sweep)
    asked = {task.name: tasks.problems(task) for task in sweep.tasks}
    if for_sampling:
        models.check_stored(sweep, asked, int(allocation_of(sweep).looks[0]))
    store.create()
    with Lease(store.storage) as lease:
        store = store.under(lease.token)
        store.clean()
        made: dict[str, Any] = {
            "version": version(),
            "sweep": sweep.digest(),
            "models": known,
            "tasks": {name: table.num_rows for name, table in asked.items()},
        }
        problems = asked
        if store.has_sweep:
            before, recorded = store.read_sweep()
            _refuse_another(store, before, sweep)
            _refuse_other_models(store, recorded, made)
            # Models that this sweep leaves out keep what is known of them.
            made["models"] = recorded.get("models", {}) | made["models"]
            problems = {
                name: _with_earlier(store, name, table)
                if name in recorded.get("tasks", {})
                else table
                for name, table in asked.items()
            }
            made["tasks"] = recorded.get("tasks", {}) | made["tasks"]
        for name, table in problems.items():
            store.write_problems(name, table)
        store.write_sweep(sweep, made)
        yield Run(
            sweep=sweep,
            store=store,
            parameters=_sizes(known),
            fingerprints={name: found["fingerprint"] for name, found in known.items()},
            problems=problems,
            asked=made["tasks"],
            token=lease.token,
            models=tuple(source.model for source in sources.values()),
        )


@contextmanager
def reopened(sweep: Sweep, *, write: bool = True) -> Iterator[Run]:
    """Open a run directory that was sampled before; needs no model and no problem file.

    Raises:
        UserError: there is no such run, another sweep made it, or (if `write`) it is in use.
    """
    store = Store.at(sweep.run_path)
    before, recorded = store.read_sweep()
    _refuse_another(store, before, sweep)
    _recorded_models(store, sweep)
    for task in sweep.tasks:
        if task.name not in recorded.get("tasks", {}):
            raise UserError(f"{store.root}: task {task.name} was never sampled; run sample first")
    imported = Imported.from_dict(recorded.get("imported", {}))
    if unfinished := imported.unfinished:
        raise UserError(
            f"{store.root}: the import of {', '.join(unfinished.files)} was interrupted; run the "
            "same `passlaw import` again, which goes on where it stopped"
        )
    if not write:
        yield recorded_run(store, sweep, recorded, token=None)
        return
    store.create()
    with Lease(store.storage) as lease:
        yield recorded_run(store, sweep, recorded, token=lease.token)


def recorded_run(store: Store, sweep: Sweep, recorded: Mapping[str, Any], token: str | None) -> Run:
    """Return a run of which everything is in its directory; a token of its lease lets it write."""
    known = {model.name: recorded["models"][model.name] for model in sweep.models}
    return Run(
        sweep=sweep,
        store=store if token is None else store.under(token),
        parameters=_sizes(known),
        fingerprints={name: found["fingerprint"] for name, found in known.items()},
        problems={task.name: store.read_problems(task.name) for task in sweep.tasks},
        asked=recorded["tasks"],
        token=token or "",
        imported=Imported.from_dict(recorded.get("imported", {})),
    )


def _sizes(known: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    sizes = {name: found["parameters"] for name, found in known.items()}
    return {name: size for name, size in sizes.items() if size is not None}


def _recorded_models(store: Store, sweep: Sweep) -> dict[str, dict[str, Any]]:
    """Return what sampling recorded of a sweep's models."""
    known = store.read_sweep()[1].get("models", {})
    for model in sweep.models:
        if model.name not in known:
            raise UserError(f"{store.root}: model {model.name} was never sampled; run sample first")
    return {model.name: known[model.name] for model in sweep.models}


def results(run: Run) -> RunTables:
    """Return every result table of a run, for those who report on them.

    Raises:
        UserError: a table is missing; names the stage that writes it.
    """
    tables = {}
    for name, stage in _STAGE_OF.items():
        table = run.store.read_result(name)
        if table is None:
            raise UserError(
                f"{run.store.root}: has no {name}.parquet that can be read; run "
                f"`passlaw {stage} {run.store.root}` first"
            )
        tables[name] = table
    return RunTables(
        sweep=run.sweep,
        run=run.store.root,
        version=version(),
        parameters=run.parameters,
        exact=run.store.read_result("exact"),
        **tables,
    )


_STAGE_OF: Mapping[ResultName, str] = {
    "counts": "score",
    "costs": "score",
    "audit": "fit",
    "rates": "fit",
    "curves": "fit",
    "laws": "fit",
    "selection": "fit",
    "calibration": "fit",
    "reliability": "fit",
}


def version() -> str:
    """Return the version of passlaw that is installed."""
    try:
        return installed_version("passlaw")
    except PackageNotFoundError:
        return "unknown"


def _with_earlier(store: Store, task: str, asked: pa.Table) -> pa.Table:
    """Append the problems that were asked before and are not now; their samples are there.

    Raises:
        UserError: a problem's prompt or messages have changed, so its samples answer another
            question.
    """
    try:
        earlier = pl.DataFrame(pl.from_arrow(store.read_problems(task)))
    except UserError:
        # Lost or damaged. They only guard against changed prompts; sampling can go on.
        store.quarantine_problems(task)
        return asked
    now = pl.DataFrame(pl.from_arrow(asked))
    both = now.join(earlier, on="problem_id", suffix="_before")
    for asks in ("prompt", "messages"):
        changed = both.filter(pl.col(asks).ne_missing(pl.col(f"{asks}_before")))
        for row in changed.head(1).to_dicts():
            field = f"the {asks} of task {task}, problem {row['problem_id']}"
            _refuse(store, field, row[f"{asks}_before"], row[asks])
    dropped = earlier.join(now, on="problem_id", how="anti", maintain_order="left")
    return check(pl.concat([now, dropped]).to_arrow(), PROBLEMS, task)


def _refuse_another(store: Store, before: Sweep, sweep: Sweep) -> None:
    """Raise UserError where a change makes old samples mean something else."""
    for field in ("name", "seed", "decoding"):
        old = before.model_dump(mode="json")[field]
        new = sweep.model_dump(mode="json")[field]
        if isinstance(old, dict):
            changed = [f"{field}.{key}" for key in new if old.get(key) != new[key]]
            if changed:
                key = changed[0].partition(".")[2]
                _refuse(store, changed[0], old.get(key), new[key])
        elif old != new:
            _refuse(store, field, old, new)
    both = {task.name for task in before.tasks} & {task.name for task in sweep.tasks}
    for task in sorted(both):
        old_stop, new_stop = (decoding_of(made, task).stop for made in (before, sweep))
        if old_stop != new_stop:
            _refuse(store, f"stop of task {task}", list(old_stop), list(new_stop))


def _refuse_other_models(
    store: Store, recorded: Mapping[str, Any], made: Mapping[str, Any]
) -> None:
    for name, now in made["models"].items():
        then = recorded.get("models", {}).get(name)
        if then is not None and then["fingerprint"] != now["fingerprint"]:
            _refuse(store, f"the files of model {name}", then["fingerprint"], now["fingerprint"])


def _refuse(store: Store, field: str, old: object, new: object) -> None:
    raise UserError(
        f"{store.root}: was made by another sweep: {field} was {old!r}, is now {new!r}; give "
        "another run directory with -o run=PATH, or change it back"
    )
