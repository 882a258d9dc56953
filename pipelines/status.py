"""status: what of a run is done, at a glance. Reads only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.lease import holder
from pipelines.run import Run
from pipelines.scheduler import Scheduler, Tally, tally
from pipelines.store import Store
from pipelines.sweeps.config import ImportedAllocation
from pipelines.unit_files import Committed, Reading
from pipelines.units import Cell, covered


@dataclass(frozen=True, kw_only=True)
class CellStatus:
    """How far a cell is."""

    cell: Cell
    problems: int
    settled: int
    samples: int
    scored: int
    passes: int
    unreadable: tuple[str, ...]
    """Files that cannot be trusted; the next run moves them to quarantine and redoes them."""


def cell_status(run: Run, cell: Cell) -> CellStatus:
    """Return how far a cell is, from its files' footers (and passes, where they decide).

    Of imported samples or counts, what is there is all that there is to have.
    """
    if cell in run.imported.counts_alone:
        return _counted(run, cell)
    samples, bad = run.store.listed("samples", cell)
    scores, bad_scores = run.store.listed("scores", cell)
    tallies = []
    damaged: dict[str, str] = {}
    reading = Reading(run.store)
    for item in sorted(scores, key=lambda each: each.key):  # file by file: a pack is read once
        try:
            tallies.append(_tally(run, item, reading))
        except (OSError, pa.ArrowInvalid) as error:
            damaged[item.key] = str(error)
    problems = run.problem_ids(cell.task)
    if isinstance(run.sweep.allocation, ImportedAllocation):
        problems = tuple(covered(item.unit for item in samples))
        settled = len(problems)
    else:
        unit_samples = run.sweep.resources.unit_samples
        known = Scheduler({cell: problems}, run.allocation, unit_samples, tallies)
        settled = known.progress().settled
    return CellStatus(
        cell=cell,
        problems=len(problems),
        settled=settled,
        samples=sum(item.rows for item in samples),
        scored=sum(item.rows for item in scores),
        passes=sum(int(item.facts.get("passed", 0)) for item in scores),
        unreadable=tuple(
            f"{run.store.storage.url(key)}: {reason}"
            for key, reason in (*bad, *bad_scores, *damaged.items())
        ),
    )


def _counted(run: Run, cell: Cell) -> CellStatus:
    """Return what was imported of a cell of counts alone."""
    known = run.store.read_result("counts")
    rows = None if known is None else known.filter(model=cell.model, task=cell.task)
    n, c, problems = (0, 0, 0) if rows is None else (rows["n"].sum(), rows["c"].sum(), rows.height)
    return CellStatus(
        cell=cell,
        problems=problems,
        settled=problems,
        samples=int(n),
        scored=int(n),
        passes=int(c),
        unreadable=(),
    )


def _tally(run: Run, scores: Committed, reading: Reading) -> Tally:
    """Return what a score file says; reads it only where passes decide."""
    r = run.allocation.r
    if r is None:
        passed = int(scores.facts.get("passed", 0))
        return Tally(unit=scores.unit, passed=passed, first_passes={})
    return tally(scores.unit, reading.unit("scores", scores), r)


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How far a run is."""

    name: str
    run: str
    cells: tuple[CellStatus, ...]
    notes: tuple[str, ...]
    """Who writes to it, what is wrong with it, and what is not there yet; one line each."""


def examine(run: Run) -> RunStatus:
    """Return how far a run is."""
    cells = tuple(cell_status(run, cell) for cell in run.cells)
    return RunStatus(
        name=run.sweep.name,
        run=run.store.root,
        cells=cells,
        notes=tuple(_notes(run.store, cells)),
    )


def document(status: RunStatus) -> dict[str, Any]:
    """Return a status as plain values."""
    cells = [
        {**asdict(each), "model": each.cell.model, "task": each.cell.task} for each in status.cells
    ]
    for cell in cells:
        del cell["cell"]
    return {"name": status.name, "run": status.run, "cells": cells, "notes": list(status.notes)}


def show(status: RunStatus, console: Console) -> None:
    """Print how far a run is."""
    cells = status.cells
    table = Table(title=escape(f"{status.name} in {status.run}"), title_justify="left")
    for heading in ("model", "task"):
        table.add_column(heading)
    for heading in ("settled", "samples", "passes", "pass rate"):
        table.add_column(heading, justify="right")
    for cell in cells:
        rate = f"{cell.passes / cell.scored:.3g}" if cell.scored else "-"
        table.add_row(
            cell.cell.model,
            cell.cell.task,
            f"{cell.settled}/{cell.problems}",
            f"{cell.samples:,}",
            f"{cell.passes:,}",
            rate,
        )
    settled, problems = sum(c.settled for c in cells), sum(c.problems for c in cells)
    table.add_section()
    table.add_row(
        "all", "", f"{settled}/{problems}", f"{sum(c.samples for c in cells):,}",
        f"{sum(c.passes for c in cells):,}", "",
    )  # fmt: skip
    console.print(table)
    for line in status.notes:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _notes(store: Store, cells: Sequence[CellStatus]) -> list[str]:
    notes = []
    who = holder(store.storage)
    if who is not None:
        notes.append(f"running: {who}")
    unscored = sum(cell.samples - cell.scored for cell in cells)
    if unscored:
        notes.append(f"unscored samples: {unscored:,}; the next run or score does them")
    notes += [f"unreadable, will be redone: {line}" for cell in cells for line in cell.unreadable]
    quarantined = store.quarantined()
    if quarantined:
        where = store.storage.url("quarantine")
        notes.append(f"in quarantine: {len(quarantined)} files under {where}")
    for name, verb in (("counts", "score"), ("laws", "fit")):
        if store.read_result(name) is None:  # type: ignore[arg-type] # both are result names
            notes.append(f"no {name}.parquet yet; `passlaw {verb} {store.root}` makes it")
    if store.has_report:
        notes.append(f"report: {store.report_url}")
    else:
        notes.append(f"no report yet; `passlaw report {store.root}` makes it")
    return notes
