"""Samples that an earlier import brought: are those of a later one the same?"""

from collections.abc import Mapping, Sequence

import polars as pl
import pyarrow as pa

from operators.schemas import SAMPLES
from pipelines.errors import UserError
from pipelines.importing.placing import Place
from pipelines.store import Store
from pipelines.unit_files import Committed
from pipelines.units import Cell

_KEY = ["problem_id", "sample_id"]


def refuse_other_samples(
    store: Store,
    held: Mapping[Cell, Sequence[Committed]],
    placed: Mapping[Cell, Mapping[str, Place]],
    part: pl.DataFrame,
) -> None:
    """See that samples which are in a run are the same in a later import.

    Args:
        store: the run.
        held: the units of earlier imports, by cell.
        placed: where the samples go.
        part: of the import, numbered.

    Raises:
        UserError: a completion or a recorded verdict differs.
    """
    for key, rows in part.partition_by("model", "task", as_dict=True).items():
        cell = Cell(*(str(name) for name in key))
        repeated = {name: place for name, place in placed[cell].items() if place.repeated}
        starts = pl.DataFrame(
            {
                "problem_id": list(repeated),
                "start": [place.start for place in repeated.values()],
            },
            schema={"problem_id": pl.String, "start": pl.Int64},
        )
        again = rows.join(starts, on="problem_id").filter(pl.col("sample_id") < pl.col("start"))
        if again.is_empty():
            continue
        known = _known(store, held.get(cell, ()), set(again["problem_id"]))
        both = again.select(*_KEY, "completion", "passed").join(known, on=_KEY, suffix="_before")
        differs = pl.col("completion").ne_missing(pl.col("completion_before"))
        other = both.filter(differs | _judged_otherwise())
        if not other.is_empty():
            problem, sample = other.select(_KEY).row(0)
            raise UserError(
                f"sample {sample} of problem {problem} of {cell.model} on {cell.task}: is another "
                f"one in {store.root}; import into another run, or number these after those with "
                "--field sample_id="
            )


def _judged_otherwise() -> pl.Expr:
    """Return where both have a verdict, and the two differ."""
    return (pl.col("passed") != pl.col("passed_before")).fill_null(value=False)


def _known(store: Store, units: Sequence[Committed], problems: set[str]) -> pl.DataFrame:
    """Return the samples of some problems, with their verdicts."""
    tables = [
        store.read_samples(each, [(name, each.unit.start, each.unit.stop) for name in wanted])
        for each in units
        if (wanted := [name for name in each.unit.problems if name in problems])
    ]
    samples = pl.DataFrame(pl.from_arrow(pa.concat_tables([SAMPLES.empty_table(), *tables])))
    names = {each.unit.name for each in units}
    cells = {each.unit.cell for each in units}
    scores = [each for cell in cells for each in store.committed("scores", cell)[0]]
    verdicts = store.scan_scores([each for each in scores if each.unit.name in names])
    mine = verdicts.filter(pl.col("problem_id").is_in(list(problems))).select(*_KEY, "passed")
    return samples.select(*_KEY, "completion").join(mine.collect(), on=_KEY, how="left")
