"""Which sample ids an import's samples get in a run, and in which units they are written. Pure.

Samples of a problem are numbered from 0 without a gap, as every stage expects. More samples of a
problem go on where those of earlier imports end.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from pipelines.errors import UserError
from pipelines.importing.gathering import Gathered, Tries
from pipelines.units import Cell, Unit, contiguous

UNIT_SAMPLES = 32_768
"""Most samples in one unit, as where a sweep does not say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the samples of one problem go."""

    start: int
    """The first id that is new."""
    stop: int
    base: int
    """Id of the first sample that the files number themselves, or do not number."""

    @property
    def repeated(self) -> int:
        """How many of its samples are in the run already, from an earlier import."""
        return self.start - self.base


def places(
    found: Gathered,
    held: Mapping[Cell, Mapping[str, Sequence[tuple[int, int]]]],
    *,
    skip_existing: bool,
) -> dict[Cell, dict[str, Place]]:
    """Return where the samples of every problem go.

    Args:
        found: what is imported.
        held: for each cell and problem the ranges of ids that earlier imports brought.
        skip_existing: whether samples that are there already may be left out.

    Raises:
        UserError: ids have a gap, or samples are there already.
    """
    placed: dict[Cell, dict[str, Place]] = {}
    for cell, problems in found.tries.items():
        for name, tries in problems.items():
            known = contiguous(held.get(cell, {}).get(name, ()))
            place = _place(cell, name, tries, known)
            if place.repeated and not skip_existing:
                row = min(tries.given.items())[1]
                raise UserError(
                    f"{row}: sample {place.base} of problem {name} of {cell.model} on {cell.task} "
                    f"is in the run already, which has {known:,} of it; import other samples, skip "
                    "those that are the same with --skip-existing, or number these after those "
                    "with --field sample_id="
                )
            placed.setdefault(cell, {})[name] = place
    return placed


def _place(cell: Cell, name: str, tries: Tries, known: int) -> Place:
    if not tries.given:
        return Place(base=known, start=known, stop=known + tries.numbered)
    ids = sorted(tries.given)
    expected = range(ids[0], ids[0] + len(ids))
    gap = next((at for at, number in zip(expected, ids, strict=True) if at != number), None)
    if gap is None and ids[0] > known:
        gap = known
    if gap is not None:
        row = tries.given[ids[0]]
        raise UserError(
            f"{row}: problem {name} of {cell.model} on {cell.task} has no sample {gap}, but later "
            "ones; samples that are left out would bias every rate. Import all of them, or number "
            "those that are there with --field sample_id="
        )
    stop = ids[-1] + 1
    return Place(base=ids[0], start=max(ids[0], min(known, stop)), stop=stop)


def units_of(cell: Cell, placed: Mapping[str, Place], problems: Sequence[str]) -> list[Unit]:
    """Return the units of some problems of a cell, in the order of the problems.

    Problems with the same range of ids share units; a range that is too long is cut.
    """
    ranges: dict[tuple[int, int], list[str]] = {}
    for name in problems:
        place = placed[name]
        for start in range(place.start, place.stop, UNIT_SAMPLES):
            ranges.setdefault((start, min(start + UNIT_SAMPLES, place.stop)), []).append(name)
    units = []
    for (start, stop), names in ranges.items():
        block = max(1, UNIT_SAMPLES // (stop - start))
        units += [
            Unit(cell=cell, problems=tuple(names[at : at + block]), start=start, stop=stop)
            for at in range(0, len(names), block)
        ]
    return units


def numbered(
    part: pl.DataFrame, placed: Mapping[Cell, Mapping[str, Place]], shifted: int
) -> pl.DataFrame:
    """Return a part of a spill with the ids of the run, null in no row."""
    bases = pl.DataFrame(
        [
            (cell.model, cell.task, name, place.base)
            for cell, problems in placed.items()
            for name, place in problems.items()
        ],
        schema={"model": pl.String, "task": pl.String, "problem_id": pl.String, "base": pl.Int64},
        orient="row",
    )
    key = ["model", "task", "problem_id"]
    order = pl.int_range(pl.len(), dtype=pl.Int64).over(key)
    return (
        part.join(bases, on=key, how="left", maintain_order="left")
        .with_columns(sample_id=pl.coalesce(pl.col("sample_id") - shifted, order + pl.col("base")))
        .drop("base")
    )


def tables_of(
    part: pl.DataFrame, placed: Mapping[Cell, Mapping[str, Place]]
) -> Iterator[tuple[Unit, pl.DataFrame]]:
    """Yield the units of a numbered part, each with its rows in order."""
    for key, rows in part.partition_by("model", "task", as_dict=True, maintain_order=True).items():
        cell = Cell(*(str(name) for name in key))
        names = rows["problem_id"].unique(maintain_order=True).to_list()
        for unit in units_of(cell, placed[cell], names):
            order = pl.DataFrame(
                {"problem_id": list(unit.problems), "at": range(len(unit.problems))}
            )
            within = pl.col("sample_id").is_between(unit.start, unit.stop - 1)
            yield (
                unit,
                rows.filter(within).join(order, on="problem_id").sort("at", "sample_id").drop("at"),
            )
