"""Data sets that runs were made from: problems, samples, or counts where no samples are kept.

Named by where the run is and by a digest of what they hold; knows their schemas, not their rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from operators.schemas import COUNTS, PROBLEMS, SAMPLES
from pipelines.run import Run
from pipelines.sweeps.config import digest
from pipelines.tracking.record import Input

_TYPES = {pa.string(): "string", pa.bool_(): "boolean", pa.int32(): "integer", pa.int64(): "long"}
_TYPES |= {pa.float32(): "float", pa.float64(): "double"}
"""MLflow's words for the types of our columns."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run is, and what of it the result tables do not tell."""

    url: str
    """Absolute path, or URL."""
    problems: Mapping[str, str]
    """Of each task: a digest of its problems."""
    sampled: bool
    """Whether samples are there; a run of counts alone has none."""


def place_of(run: Run) -> Place:
    """Return where a run is and what it holds."""
    storage = run.store.storage
    return Place(
        url=storage.absolute,
        problems={task: digest(table.to_pylist()) for task, table in run.problems.items()},
        sampled=bool(storage.names("samples")),
    )


def problems(place: Place, task: str, counts: pl.DataFrame) -> list[Input]:
    """Return a task's problems, if the run has them."""
    if task not in place.problems:
        return []
    return [
        Input(
            name=f"{task} problems",
            context="problems",
            source=f"{place.url}/problems/{task}.parquet",
            digest=place.problems[task],
            columns=_columns(PROBLEMS),
            profile={"problems": counts["problem_id"].n_unique()},
        )
    ]


def samples(place: Place, name: str, folder: str, counts: pl.DataFrame) -> Input:
    """Return the samples below a folder of the run, or the counts where there are no samples.

    Their digest is that of n and c, problem by problem: it changes when samples are added or judged
    otherwise, and not when files are packed.
    """
    return Input(
        name=name,
        context="samples" if place.sampled else "counts",
        source=f"{place.url}/{folder if place.sampled else 'counts.parquet'}",
        digest=digest(counts.sort(counts.columns).rows()),
        columns=_columns(SAMPLES if place.sampled else COUNTS),
        profile={"problems": counts.height, "samples": int(counts["n"].sum())},
    )


def _columns(schema: pa.Schema) -> list[tuple[str, str, bool]]:
    return [(field.name, _TYPES[field.type], not field.nullable) for field in schema]
