"""The scores and texts of a run, a few problems at a time, so that no more is ever in memory.

Reads only: a damaged file is named and left where it is. Knows where samples lie; not which of
them anybody wants.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from pipelines.errors import UserError, first_line
from pipelines.run import Run
from pipelines.unit_files import Committed, Kind
from pipelines.units import Cell
from pipelines.verification import scoring_key

CHUNK = 100_000
"""Scores that are in memory at once, about; a problem that has more is read alone."""

TEXT = ["problem_id", "sample_id", "completion", "finish_reason", "seed", "reasoning"]
"""What is read of a sample that may be exported."""

Key = tuple[str, int]
"""A problem and a sample id."""


@dataclass(frozen=True, kw_only=True)
class StoredCell:
    """The samples of one cell that have current scores."""

    run: Run
    cell: Cell
    scores: Mapping[str, Sequence[Committed]]
    """For each problem the units that hold its scores, by sample id."""
    samples: Mapping[str, Sequence[Committed]]
    """For each problem the units that hold its samples, by sample id."""

    @classmethod
    def open(cls, run: Run, cell: Cell) -> "StoredCell":
        """List the files of a cell.

        Raises:
            UserError: a file is damaged, or was scored against other answers.
        """
        scores = _listed(run, "scores", cell)
        rows = run.rows(cell.task)
        for each in scores:
            if each.facts.get("scoring") != scoring_key(each.unit, rows, run.sweep.verification):
                raise UserError(
                    f"{run.store.storage.url(each.key)}: was scored against other answers; run "
                    f"`passlaw score {run.store.root}` first"
                )
        samples = _listed(run, "samples", cell)
        return cls(run=run, cell=cell, scores=_by_problem(scores), samples=_by_problem(samples))

    def count(self, problem: str) -> int:
        """Return how many samples of a problem have scores."""
        return sum(each.unit.stop - each.unit.start for each in self.scores.get(problem, ()))

    def read_scores(self, problems: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
        """Return the scores of some problems, in their order and then by sample id.

        Raises:
            UserError: a file is damaged.
        """
        units = {each.unit.name: each for name in problems for each in self.scores.get(name, ())}
        narrow = self.run.store.scan_scores(list(units.values())).select(columns)
        try:
            found = narrow.filter(pl.col("problem_id").is_in(list(problems))).collect()
        except (pl.exceptions.PolarsError, pa.ArrowInvalid, OSError) as error:
            raise self._damaged("scores", error) from None
        place = pl.DataFrame({"problem_id": problems}).with_row_index("place")
        placed = found.join(place, on="problem_id", how="left")
        return placed.sort("place", "sample_id").drop("place")

    def read_texts(self, keys: Sequence[Key]) -> dict[Key, dict[str, Any]]:
        """Return the columns TEXT of some samples; one whose file is gone is not there.

        Raises:
            UserError: a file is damaged.
        """
        wanted: dict[str, tuple[Committed, list[tuple[str, int, int]]]] = {}
        for problem, sample in sorted(keys):
            holder = self._holder(problem, sample)
            if holder is not None:
                _, ranges = wanted.setdefault(holder.unit.name, (holder, []))
                ranges.append((problem, sample, sample + 1))
        found: dict[Key, dict[str, Any]] = {}
        for holder, ranges in wanted.values():
            try:
                table = self.run.store.read_samples(holder, ranges)
            except (pa.ArrowInvalid, OSError) as error:
                raise self._damaged("samples", error) from None
            rows = table.select(TEXT).to_pylist()
            found |= {(row["problem_id"], row["sample_id"]): row for row in rows}
        return found

    def _holder(self, problem: str, sample: int) -> Committed | None:
        units = self.samples.get(problem, ())
        place = bisect_right(units, sample, key=lambda each: each.unit.start) - 1
        return units[place] if place >= 0 and sample < units[place].unit.stop else None

    def _damaged(self, kind: Kind, error: Exception) -> UserError:
        root = self.run.store.root
        return UserError(
            f"{root}: {kind} of {self.cell.model} on {self.cell.task} are damaged "
            f"({first_line(error)}); `passlaw run {root}` makes them again"
        )


def _listed(run: Run, kind: Kind, cell: Cell) -> list[Committed]:
    found, bad = run.store.listed(kind, cell)
    if bad:
        key, reason = bad[0]
        raise UserError(
            f"{run.store.storage.url(key)}: {reason}; `passlaw run {run.store.root}` makes it again"
        )
    return sorted(found, key=lambda each: each.unit.start)


def _by_problem(units: Sequence[Committed]) -> dict[str, list[Committed]]:
    found: dict[str, list[Committed]] = {}
    for each in units:
        for problem in each.unit.problems:
            found.setdefault(problem, []).append(each)
    return found


def chunks(cells: Sequence[StoredCell], problems: Sequence[str]) -> Iterator[list[str]]:
    """Yield the problems of a task in order, as many at a time as fit in memory with all cells."""
    chunk: list[str] = []
    rows = 0
    for problem in problems:
        more = sum(cell.count(problem) for cell in cells)
        if chunk and rows + more > CHUNK:
            yield chunk
            chunk, rows = [], 0
        chunk.append(problem)
        rows += more
    if chunk:
        yield chunk
