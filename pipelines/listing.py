"""ls: which runs a folder or bucket holds, and how far each is. Reads only, and little of each.

Knows sweeps and result tables; looks into no unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.errors import UserError
from pipelines.lease import holder
from pipelines.run_directory import SWEEP
from pipelines.storage import Storage, storage_at
from pipelines.store import Store

DEPTH = 3
"""Folders below the one asked for in which runs are looked for; a grid's lie two below."""
STATES = {
    "report.html": "reported",
    "laws.parquet": "fitted",
    "counts.parquet": "scored",
    "samples": "sampled",
}
"""What there is, and how far a run is that has it; the first that is there says it."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A run, as its small files describe it."""

    run: str
    """Its folder or URL."""
    name: str | None = None
    """Of its sweep; None where that cannot be read."""
    models: int | None = None
    tasks: int | None = None
    samples: int | None = None
    """Counted so far; None before anything was scored."""
    passed: int | None = None
    state: str = "empty"
    """empty, sampled, scored, fitted, reported; or damaged, where the sweep cannot be read."""
    held_by: str | None = None
    """The process that writes to it."""
    problem: str | None = None
    """Why the sweep cannot be read."""


def runs_in(folder: str) -> list[Listed]:
    """Return the runs in a folder or under a URL, and in folders below it, by path.

    Raises:
        UserError: there is no such folder.
    """
    storage = storage_at(folder)
    if not storage.names():
        raise UserError(f"{folder}: no such folder, or nothing is in it; give one that holds runs")
    return [_listed(Store.at(storage.url(key) if key else folder)) for key in _found(storage)]


def _found(storage: Storage, folder: str = "", depth: int = DEPTH) -> Iterator[str]:
    """Yield the keys of the folders that are runs; nothing is looked for inside a run."""
    names = storage.names(folder)
    if SWEEP in names:
        yield folder
    elif depth:
        for name in names:
            if "." not in name or storage.names(f"{folder}/{name}".lstrip("/")):
                yield from _found(storage, f"{folder}/{name}".lstrip("/"), depth - 1)


def _listed(store: Store) -> Listed:
    there = set(store.storage.names())
    state = next((state for name, state in STATES.items() if name in there), "empty")
    try:
        sweep, _ = store.read_sweep()
    except UserError as error:
        return Listed(run=store.root, state="damaged", problem=str(error))
    counts = store.read_result("counts")
    return Listed(
        run=store.root,
        name=sweep.name,
        models=len(sweep.models),
        tasks=len(sweep.tasks),
        samples=None if counts is None else int(counts["n"].sum()),
        passed=None if counts is None else int(counts["c"].sum()),
        state=state,
        held_by=holder(store.storage),
    )


def show(runs: list[Listed], console: Console) -> None:
    """Print the runs as a table, and below it what is wrong with any."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    for heading in ("models", "tasks", "samples", "pass rate"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for run in runs:
        rate = f"{run.passed / run.samples:.3g}" if run.samples and run.passed is not None else "-"
        table.add_row(
            escape(run.run),
            *("-" if number is None else f"{number:,}" for number in (run.models, run.tasks)),
            "-" if run.samples is None else f"{run.samples:,}",
            rate,
            "running" if run.held_by else run.state,
        )
    console.print(table)
    for run in runs:
        if run.problem:
            console.print(run.problem, soft_wrap=True, markup=False, highlight=False)
