"""Which unit next, what to retry, what to split: a state machine without Ray, clock or files.

It holds counts, not text, and of a unit that is counted nothing but what it adds to its cell, so
its memory grows with problems and not with samples. A cell is planned in rounds: every unit of a
round is counted before the allocation decides on the next, so what finishes first can bias
nothing. All of its state comes from what is committed: a driver that died leaves none behind.
"""

from bisect import bisect
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa

from operators.allocation.looks import Allocation, Decision, IntArray, decide
from pipelines.units import Cell, Unit, contiguous, missing

ATTEMPTS = 3
"""Times that a unit is tried before it is split, or given up if it has one problem."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a committed unit holds, as far as decisions need it."""

    unit: Unit
    passed: int
    """Samples that passed."""
    first_passes: Mapping[str, Sequence[int]]
    """The first r sample ids that passed, for each problem with any."""


def tally(unit: Unit, scores: pa.Table, r: int | None) -> Tally:
    """Return what decisions need of a unit's scores; no first passes if r is None or 0."""
    narrow = scores.select(["problem_id", "sample_id", "passed"])
    passed = pl.DataFrame(pl.from_arrow(narrow)).filter("passed")
    first: dict[str, list[int]] = {}
    if r:
        ids = passed.group_by("problem_id").agg(pl.col("sample_id").bottom_k(r).sort())
        first = dict(ids.iter_rows())
    return Tally(unit=unit, passed=passed.height, first_passes=first)


@dataclass
class _CellState:
    """One cell: its problems, what is committed, and what the current round still lacks."""

    cell: Cell
    problems: tuple[str, ...]
    held: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """For each problem, the merged ranges of sample ids that are committed."""
    first_passes: dict[str, list[int]] = field(default_factory=dict)
    """For each problem with any, the first r sample ids that passed, ascending."""
    waiting: deque[Unit] = field(default_factory=deque)
    in_flight: int = 0
    finished: bool = False
    decision: Decision | None = None
    samples: int = 0
    passes: int = 0
    target: int = 0
    """Samples at the end of the current round."""


@dataclass(frozen=True, kw_only=True)
class CellProgress:
    """How far one cell is."""

    cell: Cell
    settled: int
    problems: int
    samples: int
    passes: int
    working: bool
    """Whether units of it are in flight."""
    finished: bool


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the work is."""

    cells: tuple[CellProgress, ...]
    """In the order of the sweep."""
    samples: int
    passes: int
    settled: int
    problems: int
    units_done: int
    units_open: int
    """Units planned and not done; later rounds may add to them."""
    samples_left: float
    """Expected number of samples still to draw."""


class Scheduler:
    """Hands out units until every problem of every cell is settled."""

    def __init__(
        self,
        problems: Mapping[Cell, tuple[str, ...]],
        allocation: Allocation,
        unit_samples: int,
        committed: Iterable[Tally] = (),
    ) -> None:
        self._allocation = allocation
        self._unit_samples = unit_samples
        self._cells = {
            cell: _CellState(cell=cell, problems=names) for cell, names in problems.items()
        }
        self._attempts: Counter[tuple[Cell, str]] = Counter()
        self._units_done = 0
        for tally in committed:
            self._add(tally)
        for state in self._cells.values():
            self._plan(state)

    @property
    def finished(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return all(state.finished for state in self._cells.values())

    def next(self, model: str | None = None, *, alone: bool = True) -> Unit | None:
        """Hand out a unit; None if none waits.

        Args:
            model: of which; None: of any.
            alone: whether the engine has no other unit. One that failed before is handed out only
                then, so that no unit is blamed again for what another one does.
        """
        for state in self._cells.values():
            if model not in (None, state.cell.model):
                continue
            for unit in state.waiting:
                if alone or not self.suspect(unit):
                    state.waiting.remove(unit)
                    state.in_flight += 1
                    return unit
        return None

    def suspect(self, unit: Unit) -> bool:
        """Whether a unit has failed before, and should be drawn alone."""
        return (unit.cell, unit.name) in self._attempts

    def unfinished(self, model: str) -> bool:
        """Whether a model has units waiting or in flight, after which there may be more."""
        states = self._cells.values()
        return any(not state.finished for state in states if state.cell.model == model)

    def choose(
        self, coming: Iterable[str], held: Collection[str], besides: str | None = None
    ) -> str | None:
        """Return the model that an engine with nothing to do had best load; None: it had best not.

        A model that no engine has comes before one that another has, so that each is loaded once
        where that is possible; then the one with most samples expected to be left.

        Args:
            coming: the models that engines load now, one for each engine. Each takes a unit, so
                only a model with more units waiting needs another engine.
            held: the models that engines have or load.
            besides: a model that is not to be chosen.
        """
        spoken_for = Counter(coming)
        waiting: Counter[str] = Counter()
        left: Counter[str] = Counter()
        for state in self._cells.values():
            waiting[state.cell.model] += len(state.waiting)
            left[state.cell.model] += round(self._left(state))
        wanted = [
            model
            for model, units in waiting.items()
            if units > spoken_for[model] and model != besides
        ]
        return min(wanted, key=lambda model: (model in held, -left[model]), default=None)

    def done(self, tally: Tally) -> None:
        """Record that a unit was committed; plans the next round if it was the round's last."""
        state = self._cells[tally.unit.cell]
        state.in_flight -= 1
        self._units_done += 1
        self._add(tally)
        self._plan(state)

    def failed(self, unit: Unit, *, blamed: bool = True) -> Unit | None:
        """Record that a unit was not done; it will be handed out again, or split.

        Args:
            unit: the unit.
            blamed: False if it only waited behind the one that failed.

        Returns:
            The unit, if nothing is left but to record its samples as failed; it then counts as
            in flight until `done`.
        """
        state = self._cells[unit.cell]
        key = (unit.cell, unit.name)
        if blamed:
            self._attempts[key] += 1
        if self._attempts[key] < ATTEMPTS:
            again: tuple[Unit, ...] = (unit,)
        elif len(unit.problems) > 1:
            again = unit.halves()
        else:
            return unit
        state.in_flight -= 1
        state.waiting.extendleft(reversed(again))
        return None

    def progress(self) -> Progress:
        """Return how far the work is."""
        states = self._cells.values()
        cells = tuple(
            CellProgress(
                cell=state.cell,
                settled=0 if state.decision is None else int(state.decision.settled.sum()),
                problems=len(state.problems),
                samples=state.samples,
                passes=state.passes,
                working=state.in_flight > 0,
                finished=state.finished,
            )
            for state in states
        )
        return Progress(
            cells=cells,
            samples=sum(cell.samples for cell in cells),
            passes=sum(cell.passes for cell in cells),
            settled=sum(cell.settled for cell in cells),
            problems=sum(cell.problems for cell in cells),
            units_done=self._units_done,
            units_open=sum(len(state.waiting) + state.in_flight for state in states),
            samples_left=sum(self._left(state) for state in states),
        )

    def _add(self, tally: Tally) -> None:
        unit = tally.unit
        state = self._cells[unit.cell]
        state.samples += unit.samples
        state.passes += tally.passed
        for name in unit.problems:
            _insert(state.held.setdefault(name, []), unit.start, unit.stop, name)
        for name, ids in tally.first_passes.items():
            both = sorted([*state.first_passes.get(name, ()), *ids])
            state.first_passes[name] = both[: self._allocation.r]

    def _plan(self, state: _CellState) -> None:
        """Begin the cell's next round once its current one is complete."""
        if state.waiting or state.in_flight:
            return
        held = state.held
        n = np.array([contiguous(held.get(name, ())) for name in state.problems], dtype=np.int64)
        state.decision = decide(self._allocation, n, self._nth_pass(state, n))
        wanted = {
            name: int(samples)
            for name, samples, settled in zip(
                state.problems, state.decision.wanted, state.decision.settled, strict=True
            )
            if not settled
        }
        state.waiting.extend(missing(state.cell, wanted, held, self._unit_samples))
        state.target = state.samples + sum(unit.samples for unit in state.waiting)
        state.finished = not state.waiting

    def _nth_pass(self, state: _CellState, n: IntArray) -> IntArray:
        """Return [P] the sample id of the r-th pass below n, -1 where there are fewer."""
        nth = np.full(len(n), -1, dtype=np.int64)
        r = self._allocation.r
        if r is None:
            return nth
        for at, name in enumerate(state.problems):
            first = state.first_passes.get(name, ())
            if len(first) >= r and first[r - 1] < n[at]:
                nth[at] = first[r - 1]
        return nth

    def _left(self, state: _CellState) -> float:
        """Expect r passes at the rate seen so far, with half a pass added."""
        if state.finished:
            return 0.0
        planned = float(state.target - state.samples)
        if self._allocation.r is None or state.decision is None:
            return planned
        unsettled = len(state.problems) - int(state.decision.settled.sum())
        rate = (state.passes + 0.5) / (state.samples + 1)
        expected = min(self._allocation.r / rate, float(self._allocation.looks[-1]))
        drawn = state.samples / len(state.problems)
        return max(planned, unsettled * (expected - drawn))


def _insert(ranges: list[tuple[int, int]], start: int, stop: int, problem: str) -> None:
    """Add [start, stop) to merged, ascending ranges; ValueError if they hold some of it."""
    at = bisect(ranges, (start, stop))
    if (at and ranges[at - 1][1] > start) or (at < len(ranges) and ranges[at][0] < stop):
        raise ValueError(f"problem {problem}: sample {start} is in two units")
    if at < len(ranges) and ranges[at][0] == stop:
        stop = ranges.pop(at)[1]
    if at and ranges[at - 1][1] == start:
        start = ranges.pop(at - 1)[0]
        at -= 1
    ranges.insert(at, (start, stop))
