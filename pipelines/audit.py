"""Whether the samples of a run are independent, looked at before anything is fitted to them.

Reads the completions of a few problems of each cell, calls `operators.repetition` and writes
audit.parquet. Knows tables and where they are; nothing of seeds or engines.
"""

from collections.abc import Iterable

import polars as pl
import pyarrow as pa

from operators.repetition import repeated, repetition
from operators.schemas import AUDIT, SAMPLES
from pipelines.run import Run, version
from pipelines.sweeps.config import digest
from pipelines.units import Cell, Unit

MOST_PROBLEMS = 16
"""Problems of a cell that are looked at."""
MOST_SAMPLES = 2_048
"""Samples of each: streams repeat at the size of a unit or a request, or not at all."""


def audit(run: Run) -> list[str]:
    """Bring audit.parquet up to date; return one line for each cell whose samples repeat."""
    inputs = digest([run.store.result_inputs("counts"), version()])
    table = run.store.read_result("audit")
    if table is None or run.store.result_inputs("audit") != inputs:
        table = pl.concat([_empty(), *(_cell(run, cell) for cell in run.cells)])
        run.store.write_result("audit", table, inputs)
    return [
        f"{row['model']} on {row['task']}: samples repeat those {row['lag']:,} before them: "
        f"{row['equal']:,} of {row['pairs']:,} pairs are equal, {row['expected']:,.0f} would be "
        "of independent samples; what is fitted to them is too sure of itself"
        for row in table.filter("repeated").iter_rows(named=True)
    ]


def _cell(run: Run, cell: Cell) -> pl.DataFrame:
    lags = repetition(_first_samples(run, cell))
    if lags.is_empty():
        return _empty()
    found = repeated(lags)
    worst = lags.sort("log_chance").head(1)
    where = {"model": pl.lit(cell.model), "task": pl.lit(cell.task)}
    return worst.with_columns(**where, repeated=pl.lit(not found.is_empty())).select(AUDIT.names)


def _first_samples(run: Run, cell: Cell) -> pl.DataFrame:
    """Return the first completions, as digests, of some problems of a cell.

    Leaves out failed samples, and those that were imported without a completion.
    """
    committed, _ = run.store.committed("samples", cell)
    asked = run.problem_ids(cell.task)
    # Evenly among those that are asked: their order is often that of their difficulty.
    chosen = dict.fromkeys(asked[at * len(asked) // MOST_PROBLEMS] for at in range(MOST_PROBLEMS))
    early = [each for each in committed if each.unit.start < MOST_SAMPLES]
    with run.store.named_damage("samples", early):
        parts = [
            run.store.read_samples(each, wanted)
            for each in early
            if (wanted := _wanted(each.unit, chosen))
        ]
    samples = pl.DataFrame(pl.from_arrow(pa.concat_tables([SAMPLES.empty_table(), *parts])))
    drawn = samples.filter(pl.col("finish_reason") != "error").drop_nulls("completion")
    return drawn.select("problem_id", "sample_id", pl.col("completion").hash())


def _wanted(unit: Unit, chosen: Iterable[str]) -> list[tuple[str, int, int]]:
    """Return which samples of a unit are looked at: of each problem, ids [start, stop)."""
    stop = min(unit.stop, MOST_SAMPLES)
    return [(problem, unit.start, stop) for problem in chosen if problem in unit.problems]


def _empty() -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(AUDIT.empty_table()))
