"""Stage 1: problems -> samples, scored as they come.

Lists what is there, has the rest drawn, and stops when every problem is settled. Interrupt it at
any moment and start it again: the same samples will be there, each once.
"""

import json
import signal
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

import polars as pl

from operators.schemas import EXACT
from pipelines.errors import UserError
from pipelines.progress import Display
from pipelines.replicas import Broken, Done, Exact, Failed
from pipelines.run import Run
from pipelines.scheduler import Scheduler, Tally
from pipelines.score import refresh
from pipelines.sweeps.config import ImportedAllocation, digest
from pipelines.unit_files import Quarantined
from pipelines.units import Cell
from pipelines.workers import Plan

if TYPE_CHECKING:
    from pipelines.actors import Pool


@dataclass(kw_only=True)
class Sampled:
    """What a sampling stage did."""

    drawn: int = 0
    """Samples drawn by this invocation."""
    given_up: int = 0
    """Units whose samples were recorded as failed, after every retry."""
    quarantined: list[Quarantined] = field(default_factory=list)
    restarts: int = 0
    """Actors that died and were replaced."""
    interrupted: bool = False


class Interruption:
    """Counts how often the user asked to stop."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Count a signal; the second one gives up at once."""
        self.asked += 1
        if self.asked > 1:
            raise KeyboardInterrupt


@contextmanager
def interruptions() -> Iterator[Interruption]:
    """Turn Ctrl-C and SIGTERM into a count, so that a unit in flight can be finished."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption) for number in _SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def sample(run: Run, display: Display) -> Sampled:
    """Draw what is missing of a run.

    Raises:
        UserError: a model does not load, or another process took the run over.
    """
    outcome = Sampled()
    if isinstance(run.sweep.allocation, ImportedAllocation):
        return outcome  # nothing can be drawn
    # Once more after the end: a file may have been lost to quarantine, or left by a process that
    # was killed, between the listing and the last commit.
    while True:
        held = refresh(run)
        outcome.quarantined += held.quarantined
        scheduler = _scheduler(run, held.tallies)
        exact = _ExactTable(run)
        if scheduler.finished and not exact.unknown:
            return outcome
        _draw(run, scheduler, exact, display, outcome)
        if outcome.interrupted:
            return outcome


def _scheduler(run: Run, tallies: list[Tally]) -> Scheduler:
    return Scheduler(
        problems={cell: run.problem_ids(cell.task) for cell in run.cells},
        allocation=run.allocation,
        unit_samples=run.sweep.resources.unit_samples,
        committed=tallies,
    )


def _draw(
    run: Run, scheduler: Scheduler, exact: "_ExactTable", display: Display, outcome: Sampled
) -> None:
    """Keep the engines busy until the scheduler has no more for them."""
    # Ray takes a second to import; a run that is complete never gets here.
    from pipelines.actors import Pool

    before = scheduler.progress().samples
    broken: list[str] = []
    with (
        interruptions() as interruption,
        Pool(Plan.of(run), run.sweep.resources) as pool,
        display,
    ):
        display.update(scheduler.progress(), "starting", force=True)
        while pool.busy or not (scheduler.finished and not exact.unknown):
            stopping = bool(interruption.asked or broken)
            if stopping and not pool.busy:
                break
            if not stopping:
                _hand_out(scheduler, exact, pool)
            for event in pool.wait(timeout=0.5):
                match event:
                    case Done(tally=tally):
                        scheduler.done(tally)
                    case Failed(unit=unit, reason=reason, blamed=blamed):
                        if scheduler.failed(unit, blamed=blamed) is not None:
                            outcome.given_up += 1
                            pool.record_failure(unit, reason)
                    case Exact(cell=cell, p=p, lost=lost):
                        exact.record(cell, p, lost=lost)
                    case Broken(reason=reason):
                        broken.append(reason)
            note = "finishing units in flight (Ctrl-C again to drop them)"
            display.update(scheduler.progress(), note if stopping else pool.note)
        display.update(
            scheduler.progress(), "done" if scheduler.finished else "stopped", force=True
        )
        outcome.restarts += pool.restarts
        outcome.interrupted = interruption.asked > 0 and not scheduler.finished
    if broken:
        raise UserError(broken[0])
    outcome.drawn += scheduler.progress().samples - before


def _hand_out(scheduler: Scheduler, exact: "_ExactTable", pool: "Pool") -> None:
    """Give engines units of the models that they have; those without any, another model."""
    for opening in pool.openings():
        unit = scheduler.next(opening.model, alone=opening.alone)
        if unit is not None:
            suspect = scheduler.suspect(unit)
            if not suspect and exact.ask(unit.cell):
                pool.submit(opening.engine, unit.cell)
            pool.submit(opening.engine, unit, alone=suspect)
        elif (cell := exact.next(opening.model)) is not None:
            pool.submit(opening.engine, cell)
    for idle in pool.idle():
        needed = idle.model is not None and scheduler.unfinished(idle.model)
        if needed and not idle.rested:
            continue
        model = scheduler.choose(idle.coming, idle.held, besides=idle.model)
        if model is None and not needed:
            model = exact.model(idle.held)
        if model is not None and model != idle.model:
            pool.prepare(idle.engine, model)


class _ExactTable:
    """exact.parquet, and which cells it still has to hear about."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._keys = {_name(cell): self._key(cell) for cell in run.cells}
        known = json.loads(run.store.result_inputs("exact") or "{}")
        self._known: dict[str, str] = {
            name: key for name, key in known.items() if self._keys.get(name, key) == key
        }
        table = run.store.read_result("exact")
        empty = pl.DataFrame(pl.from_arrow(EXACT.empty_table()))
        self._table = table if table is not None else empty
        self._asked: set[Cell] = set()
        self._lost: Counter[Cell] = Counter()

    @property
    def unknown(self) -> bool:
        """Whether any cell is still to be computed."""
        return not self._keys.keys() <= self._known.keys()

    def ask(self, cell: Cell) -> bool:
        """Whether a cell is to be computed now; asks for each once."""
        if cell in self._asked or _name(cell) in self._known:
            return False
        self._asked.add(cell)
        return True

    def next(self, model: str) -> Cell | None:
        """Return a cell of a model that no unit asked for."""
        cells = (cell for cell in self._run.cells if cell.model == model)
        return next((cell for cell in cells if self.ask(cell)), None)

    def model(self, held: Collection[str]) -> str | None:
        """Return a model that has such a cell and that no engine has or loads."""
        return next(
            (
                cell.model
                for cell in self._run.cells
                if cell.model not in held
                and cell not in self._asked
                and _name(cell) not in self._known
            ),
            None,
        )

    def record(self, cell: Cell, p: object, *, lost: bool) -> None:
        """Write what was computed; None means that this cell has no exact probabilities."""
        self._lost[cell] += lost
        if lost and self._lost[cell] < 3:
            self._asked.discard(cell)
            return
        other = (pl.col("model") != cell.model) | (pl.col("task") != cell.task)
        self._table = self._table.filter(other)
        if p is not None:
            names = self._run.problem_ids(cell.task)
            where = {"model": pl.lit(cell.model), "task": pl.lit(cell.task)}
            new = pl.DataFrame({"problem_id": names, "p": p}).with_columns(**where)
            new = new.filter(pl.col("p").is_not_nan())  # a prompt that the model cannot read
            self._table = pl.concat([self._table, new.select(self._table.columns)])
        self._known[_name(cell)] = self._keys[_name(cell)]
        self._run.store.write_result("exact", self._table, json.dumps(self._known))

    def _key(self, cell: Cell) -> str:
        asked = self._run.problems[cell.task][: self._run.asked[cell.task]]
        rows = asked.select(_ANSWERS).to_pylist()
        known = [{name: value for name, value in row.items() if value is not None} for row in rows]
        return digest([self._run.cell_key(cell), known])


def _name(cell: Cell) -> str:
    return f"{cell.model}/{cell.task}"


_ANSWERS = ["problem_id", "answer", "verifier", "verifier_options"]
