"""Whether the data deserve trust: what was repeated, left undecided, cut short or never finished.

Knows counts and what was looked at; not how samples are audited or judged.
"""

from dataclasses import dataclass

import polars as pl

from pipelines.reporting.charts import number
from pipelines.reporting.sections.section import CELL, Row, Section, counted, listed
from pipelines.store import RunTables

FEW_PROBLEMS = 30
"""Below so many problems an interval over problems rests on too few of them."""


@dataclass(frozen=True, kw_only=True)
class Caution:
    """One thing that the reader should know before trusting a number."""

    text: str
    grave: bool = False
    """Whether numbers on the page are wrong because of it, not only less certain."""
    way_out: str | None = None


def section(tables: RunTables, endings: pl.DataFrame) -> Section:
    """Return the part on the data; `endings` are those of `pipelines.reporting.endings`."""
    warnings = [
        *_repeated(tables),
        *_unfinished(tables),
        *_undecided(tables),
        *_ended(endings),
        *_seeds(tables),
        *_few(tables),
        *_absent(tables),
    ]
    return Section(
        name="quality",
        title="How good the data are",
        values={
            "warnings": warnings,
            "open": _open(tables),
            "stops": _stops(tables),
            "endings": list(endings.iter_rows(named=True)),
            "until": tables.counts["r"].is_not_null().any(),
        },
        advice=[warning.way_out for warning in warnings if warning.way_out],
    )


def _repeated(tables: RunTables) -> list[Caution]:
    cells = list(tables.audit.filter("repeated").iter_rows(named=True))
    if not cells:
        return []
    told = [
        f"{row['model']} on {row['task']} ({number(row['equal'])} of {number(row['pairs'])} pairs "
        f"of samples {number(row['lag'])} apart are equal, {number(row['expected'])} were to be "
        "expected)"
        for row in cells
    ]
    text = (
        "These samples repeat each other, as independent ones would not; where they do, intervals "
        f"are too narrow and coverage at many tries is too low: {listed(told)}."
    )
    way_out = (
        "Find out why samples repeat (an engine or server that ignores or reuses seeds) and draw "
        "them again before trusting an interval."
    )
    return [Caution(text=text, grave=True, way_out=way_out)]


def _unfinished(tables: RunTables) -> list[Caution]:
    if tables.sweep.allocation.kind == "imported":
        return []
    open_problems = tables.counts.filter(pl.col("stop_reason").is_null())
    if open_problems.is_empty():
        return []
    cells = open_problems.select(CELL).unique(maintain_order=True).iter_rows()
    where = listed(f"{model} on {task}" for model, task in cells)
    return [
        Caution(
            text=f"Sampling has not ended for {number(open_problems.height)} of "
            f"{counted(tables.counts.height, 'pair')} of model and problem: {where}.",
            way_out=f"Finish the sampling: passlaw run {tables.run}",
        )
    ]


def _undecided(tables: RunTables) -> list[Caution]:
    undecided, samples = int(tables.counts["undecided"].sum()), int(tables.counts["n"].sum())
    if not undecided:
        return []
    return [
        Caution(
            text=f"The verifier could not decide {number(undecided)} of {number(samples)} samples "
            f"({number(100 * undecided / samples)}%). They count as not passed; upper limits are "
            "raised to what they leave open.",
            way_out="Read why samples are undecided (the column error of the scores): a verifier "
            "that fits the answers makes upper limits lower.",
        )
    ]


def _ended(endings: pl.DataFrame) -> list[Caution]:
    """Return warnings on samples that were cut short, failed, or judged both ways."""
    warnings = []
    for column, share, says, way_out in (
        ("truncated", 0.01, "ended at the length limit and could not finish their answer",
         "Raise decoding.max_tokens, in a new run: what was cut short may have been right."),
        ("failed", 0.0, "failed in the engine and count as undecided", None),
        ("contradicted", 0.0, "have an answer that was judged both passed and failed for the same "
         "problem, so the verifier does not always agree with itself",
         "Give the verifier more time or memory (verification in the sweep): equal answers were "
         "judged differently."),
    ):  # fmt: skip
        cells = endings.filter(pl.col(column) > share * pl.col("looked"))
        if cells.is_empty():
            continue
        count, looked = int(cells[column].sum()), int(cells["looked"].sum())
        where = listed(f"{row['model']} on {row['task']}" for row in cells.iter_rows(named=True))
        text = f"{number(count)} of {number(looked)} samples looked at {says}: {where}."
        warnings.append(Caution(text=text, way_out=way_out))
    return warnings


def _seeds(tables: RunTables) -> list[Caution]:
    told = {
        "unit": "each unit of work has one seed, not each sample",
        "none": "the engine took no seed, so the same samples cannot be drawn again",
    }
    warnings = []
    for kind, says in told.items():
        cells = tables.costs.filter(pl.col("seeding").str.split(", ").list.contains(kind))
        if not cells.is_empty():
            models = listed(dict.fromkeys(cells["model"]))
            warnings.append(Caution(text=f"Of {models}, {says}."))
    return warnings


def _few(tables: RunTables) -> list[Caution]:
    tasks = tables.counts.group_by("task", maintain_order=True).agg(
        pl.col("problem_id").n_unique().alias("problems")
    )
    small = tasks.filter(pl.col("problems") < FEW_PROBLEMS)
    if small.is_empty():
        return []
    told = listed(
        f"{row['task']} ({counted(row['problems'], 'problem')})"
        for row in small.iter_rows(named=True)
    )
    return [
        Caution(
            text=f"Few problems: {told}. Intervals are for problems like these, and rest on few.",
            way_out="Ask more problems: with few, the choice of problems is most of the chance.",
        )
    ]


def _absent(tables: RunTables) -> list[Caution]:
    """Return what a run of counts alone, or without sizes, cannot tell."""
    warnings = []
    if tables.selection.is_empty():
        warnings.append(
            Caution(
                text="Nothing is said of choosing among answers: the run has no samples with "
                "answers, or some problem has fewer than two."
            )
        )
    unknown = [name for name in dict.fromkeys(tables.counts["model"])
               if name not in tables.parameters]  # fmt: skip
    if unknown:
        text = f"The number of parameters of {listed(unknown)} is unknown: laws of size and FLOPs "
        warnings.append(Caution(text=text + "leave such models out."))
    return warnings


def _open(tables: RunTables) -> list[Row]:
    """Return the cells with undecided samples, and how far these leave their pass rates open."""
    rates = tables.rates.group_by(CELL).agg(pl.col("estimate").mean())
    limits = tables.curves.filter(pl.col("kind") == "pass_at_k", pl.col("x") == 1)
    cells = (
        tables.counts.group_by(CELL, maintain_order=True)
        .agg(pl.col("undecided").sum(), pl.col("n").sum())
        .filter(pl.col("undecided") > 0)
        .join(rates, on=CELL, how="left", maintain_order="left")
        .join(limits.select(*CELL, "high"), on=CELL, how="left", maintain_order="left")
    )
    return list(cells.iter_rows(named=True))


def _stops(tables: RunTables) -> list[Row]:
    """Return for each task why the sampling of its problems ended."""
    reason = pl.col("stop_reason")
    cells = tables.counts.group_by("task", maintain_order=True).agg(
        pl.len().alias("all"),
        *((reason == name).sum().alias(name) for name in ("fixed", "r_reached", "cap")),
        reason.is_null().sum().alias("unfinished"),
        (pl.col("c") == 0).sum().alias("no_pass"),
        pl.col("n").min().alias("least"),
        pl.col("n").max().alias("most"),
    )
    return list(cells.iter_rows(named=True))
