"""Stage 2: samples -> scores -> counts.

Scores what has no scores yet, or was scored against other answers; then counts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from operators.allocation.looks import Decision, IntArray, decide
from operators.count import count, nth_pass
from operators.schemas import COSTS, COUNTS, RECORDED, SCORES
from operators.verification.verify import UNDECIDED, Verifier, engine_failed
from pipelines.errors import UserError
from pipelines.run import Run
from pipelines.scheduler import Tally, tally
from pipelines.store import ResultName
from pipelines.sweeps.config import ImportedAllocation, UntilAllocation
from pipelines.sweeps.task_sections import ImportedTask
from pipelines.unit_files import Committed, Kind, Quarantined, Reading
from pipelines.units import Cell, Unit, contiguous, covered
from pipelines.verification import (
    RECORDED_VERIFIER,
    refuse_unisolated,
    scoring_key,
    verifier_of,
)

LOST = UNDECIDED + "the verdict that was imported is lost; import the file again"
"""The error of a sample whose recorded verdict is gone: nothing here can judge it."""


@dataclass(kw_only=True)
class Refreshed:
    """The committed work of a run, every unit of it scored."""

    units: dict[Cell, list[Committed]] = field(default_factory=dict)
    """For each cell, the samples that are there, by unit, each with scores beside it."""
    scores: dict[Cell, list[Committed]] = field(default_factory=dict)
    """For each cell, their scores."""
    tallies: list[Tally] = field(default_factory=list)
    scored: int = 0
    """Samples that were scored now."""
    quarantined: list[Quarantined] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a scoring stage did."""

    scored: int
    quarantined: list[Quarantined]
    counts: pl.DataFrame
    incomplete: int
    """Problems that still lack samples."""
    failures: list[str]
    """Problems with samples that no engine could draw, with the reason; one line each."""
    not_finite: list[str]
    """Cells where an engine recorded NaN or infinite numbers, which are null; one line each."""


def score(run: Run) -> Scored:
    """Bring the scores, counts.parquet and costs.parquet up to date.

    Counts that were imported without samples are kept as they are.

    Raises:
        UserError: see `refresh`; or imported counts are lost.
    """
    held = refresh(run)
    counts, costs = _tables(run, held)
    tables: dict[ResultName, pl.DataFrame] = {"counts": counts, "costs": costs}
    for name, table in tables.items():
        content = hashlib.blake2b(table.write_csv().encode(), digest_size=8).hexdigest()
        run.store.write_result(name, table, content)
    return Scored(
        scored=held.scored,
        quarantined=held.quarantined,
        counts=counts,
        incomplete=_incomplete(run, counts),
        failures=_failures(run, counts, held.scores) + _missing_imports(run, held),
        not_finite=_not_finite(held),
    )


def _incomplete(run: Run, counts: pl.DataFrame) -> int:
    """Return how many problems lack samples; of imported ones, nothing says how many to expect."""
    if isinstance(run.sweep.allocation, ImportedAllocation):
        return 0
    asked = sum(len(run.problem_ids(cell.task)) for cell in run.cells)
    return asked - int(counts["stop_reason"].count())


def _missing_imports(run: Run, held: Refreshed) -> list[str]:
    """Say if fewer samples are there than were imported: damaged files were moved aside."""
    there = sum(each.rows for units in held.units.values() for each in units)
    missing = run.imported.samples - there
    if missing <= 0:
        return []
    files = ", ".join(dict.fromkeys(name for each in run.imported.imports for name in each.files))
    return [
        f"{run.store.root}: {missing:,} of {run.imported.samples:,} imported samples are gone; "
        f"import again, which restores them: {files}"
    ]


def _not_finite(held: Refreshed) -> list[str]:
    lines = []
    for cell, units in held.units.items():
        if count := sum(int(each.facts.get("not_finite", 0)) for each in units):
            lines.append(
                f"{cell.model} on {cell.task}: {count:,} recorded log-probabilities or confidences "
                "were NaN or infinite and are null; the samples themselves count"
            )
    return lines


def refresh(run: Run) -> Refreshed:
    """Score every committed unit that has no scores of today's answers, and tally all of them.

    Files that cannot be read are quarantined; their samples are missing afterwards.

    Raises:
        UserError: answers are programs, and this machine cannot isolate them.
    """
    refuse_unisolated(run)
    refreshed = Refreshed()
    with verifier_of(run.sweep.verification) as verifier:
        for cell in run.cells:
            while not _refresh_cell(run, cell, verifier, refreshed):
                pass
    return refreshed


def _refresh_cell(run: Run, cell: Cell, verifier: Verifier, refreshed: Refreshed) -> bool:
    """Refresh a cell; False if a file was moved aside, which may have held other units too."""
    samples, of_name = _listed(run, cell, refreshed)
    problems = run.rows(cell.task)
    keys = {
        each.unit.name: scoring_key(each.unit, problems, run.sweep.verification) for each in samples
    }
    asked = _to_read(samples, of_name, keys)
    scores: dict[str, Committed] = {}
    tallies: dict[str, Tally] = {}
    for (kind, each), table in zip(asked, Reading(run.store).units(asked), strict=True):
        unit = each.unit
        if isinstance(table, Exception):
            refreshed.quarantined.append(run.store.quarantine(each.key, str(table)))
            return False
        if kind == "scores":
            scores[unit.name], tallies[unit.name] = each, tally(unit, table, run.allocation.r)
        else:
            found = _score_unit(run, unit, table, keys[unit.name], verifier)
            scores[unit.name], tallies[unit.name] = found
            refreshed.scored += unit.samples
    refreshed.units[cell] = samples
    refreshed.scores[cell] = [scores[each.unit.name] for each in samples]
    refreshed.tallies += [tallies[each.unit.name] for each in samples]
    return True


def _to_read(
    samples: Sequence[Committed], scores: Mapping[str, Committed], keys: Mapping[str, str]
) -> list[tuple[Kind, Committed]]:
    """Return for each unit its scores, if they are of today's answers, else its samples.

    Scores too, where their footer would do, because reading them checks their pages' checksums.
    """
    asked: list[tuple[Kind, Committed]] = []
    for each in samples:
        known = scores.get(each.unit.name)
        current = known is not None and known.facts.get("scoring") == keys[each.unit.name]
        asked.append(("scores", known) if known is not None and current else ("samples", each))
    return sorted(asked, key=lambda each: each[1].key)  # file by file: each pack is read once


def _listed(
    run: Run, cell: Cell, refreshed: Refreshed
) -> tuple[list[Committed], dict[str, Committed]]:
    """Return the samples that are there, and the scores by unit; none of samples that are gone."""
    samples, lost = run.store.committed("samples", cell)
    scores, lost_scores = run.store.committed("scores", cell)
    refreshed.quarantined += lost + lost_scores
    there = {each.unit.name for each in samples}
    # Samples that are drawn again may be others.
    orphans = sorted({each.key for each in scores if each.unit.name not in there})
    for key in orphans:
        refreshed.quarantined.append(run.store.quarantine(key, "its samples are gone"))
    return samples, {each.unit.name: each for each in scores if each.key not in orphans}


def _score_unit(
    run: Run, unit: Unit, samples: pa.Table, key: str, verifier: Verifier
) -> tuple[Committed, Tally]:
    """Score a unit's samples, and return what was committed and its tally."""
    if key == RECORDED_VERIFIER:
        scores = _unjudged(samples)
    else:
        scores = verifier.verify(samples, run.problems[unit.cell.task])
    tallied = tally(unit, scores, run.allocation.r)
    facts = {"scoring": key, "passed": tallied.passed}
    facts |= {"lost": True} if key == RECORDED_VERIFIER else {}
    run.store.commit("scores", unit, scores, facts)
    where = run.store.unit_key("scores", unit)
    return Committed(unit=unit, key=where, rows=unit.samples, facts=facts), tallied


def _unjudged(samples: pa.Table) -> pa.Table:
    """Return the scores of samples whose recorded verdicts are gone: undecided, and why."""
    rows = samples.num_rows
    columns = ["problem_id", "sample_id", *RECORDED, "completion_tokens"]
    known = {name: samples[name] for name in columns}
    unknown = {name: pa.nulls(rows, SCORES.field(name).type) for name in SCORES.names}
    return pa.table(unknown | known | {"error": pa.array([LOST] * rows)}).select(SCORES.names)


def _failures(
    run: Run, counts: pl.DataFrame, scores: Mapping[Cell, Sequence[Committed]]
) -> list[str]:
    """Name the problems whose samples an engine failed to draw; reads only cells that have any."""
    lines = []
    undecided = counts.filter(pl.col("undecided") > 0)
    for cell in run.cells:
        if undecided.filter(model=cell.model, task=cell.task).is_empty():
            continue
        failed = (
            run.store.scan_scores(scores[cell])
            .filter(engine_failed(pl.col("error")))
            .group_by("problem_id")
            .agg(pl.len(), pl.col("error").first())
            .sort("problem_id")
            .collect()
        )
        lines += [
            f"{cell.model} on {cell.task}: problem {problem}: {samples:,} samples failed: {error}"
            for problem, samples, error in failed.iter_rows()
        ]
    return lines


def _tables(run: Run, held: Refreshed) -> tuple[pl.DataFrame, pl.DataFrame]:
    counts, costs = [], []
    for cell in run.cells:
        if cell in run.imported.counts_alone:
            counts.append(_imported_counts(run, cell))
            continue
        cell_counts = _count(run, cell, held.scores[cell])
        counts.append(cell_counts)
        # Where nobody recorded how long the samples are, nothing is known of their cost.
        if not cell_counts["completion_tokens"].has_nulls():
            costs.append(_cost(run, cell, cell_counts, held.units[cell]))
    columns = pl.DataFrame(pl.from_arrow(COSTS.empty_table())).schema
    return pl.concat(counts), pl.DataFrame(costs, schema=columns)


def _imported_counts(run: Run, cell: Cell) -> pl.DataFrame:
    """Return a cell's counts as they were imported; UserError where they are gone."""
    known = run.store.read_result("counts")
    counts = None if known is None else known.filter(model=cell.model, task=cell.task)
    if counts is None or counts.is_empty():
        raise UserError(
            f"{run.store.root}: counts.parquet lacks the counts of {cell.model} on {cell.task}, "
            "which were imported without samples; import their file again"
        )
    return counts


def _cost(
    run: Run, cell: Cell, counts: pl.DataFrame, units: Sequence[Committed]
) -> dict[str, int | float | str | None]:
    """Return a cell's row of COSTS."""
    facts = [each.facts for each in units]
    prompt_tokens = _sum(facts, "prompt_tokens")
    completion_tokens = int(counts["completion_tokens"].sum())
    parameters = run.parameters.get(cell.model)
    seconds = _sum(facts, "engine_seconds")
    known = parameters is not None and prompt_tokens is not None
    return {
        "model": cell.model,
        "task": cell.task,
        "parameters": parameters,
        "samples": int(counts["n"].sum()),
        "prompt_tokens": None if prompt_tokens is None else int(prompt_tokens),
        "completion_tokens": completion_tokens,
        # A forward pass costs about two operations per parameter and token.
        "flops": 2.0 * (parameters or 0) * ((prompt_tokens or 0) + completion_tokens)
        if known
        else None,
        "engine_seconds": seconds,
        "usd": _billed(facts),
        "engine": _named(facts, "engine"),
        "seeding": _named(facts, "seeding"),
    }


def _sum(facts: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Return the sum of a fact of units; None where one of them does not know it."""
    values = [fact.get(name) for fact in facts]
    return None if None in values else float(sum(value for value in values if value is not None))


def _billed(facts: Sequence[Mapping[str, Any]]) -> float | None:
    """Return what the units cost; None where no server billed any at known prices."""
    billed = [usd for fact in facts if (usd := fact.get("usage", {}).get("usd")) is not None]
    return float(sum(billed)) if billed else None


def _named(facts: Sequence[Mapping[str, Any]], fact: str) -> str | None:
    """Return the values of a fact in the units, joined by commas; None where none has it."""
    return ", ".join(sorted({str(each[fact]) for each in facts if fact in each})) or None


def _count(run: Run, cell: Cell, units: Sequence[Committed]) -> pl.DataFrame:
    """Count a cell, with how each of its problems ended; no rows for problems without samples."""
    held = covered(each.unit for each in units)
    drawn_of = {name: contiguous(held.get(name, ())) for name in run.problem_ids(cell.task)}
    problems = [name for name, drawn in drawn_of.items() if drawn]
    n = np.array([drawn_of[name] for name in problems], dtype=np.int64)
    rows = sum(each.rows for each in units)
    scores = run.store.scan_scores(units)

    def limits(below: IntArray) -> pl.DataFrame | None:
        if int(below.sum()) == rows:
            return None  # all that is there counts: the fast path
        return pl.DataFrame({"problem_id": problems, "limit": below})

    allocation = run.allocation
    nth = np.full(len(problems), -1, dtype=np.int64)
    if allocation.r is not None:
        at = dict(nth_pass(scores, allocation.r, limits(n)).iter_rows())
        nth = np.array([at.get(name, -1) for name in problems], dtype=np.int64)
    rule = run.sweep.allocation
    until = rule if isinstance(rule, UntilAllocation) else None
    decision = _all_of(n) if isinstance(rule, ImportedAllocation) else decide(allocation, n, nth)
    used = np.minimum(n, decision.wanted)
    counts = count(scores, limits(used))
    reason = np.where(decision.reached, "r_reached", "cap" if until else "fixed")
    ends = pl.DataFrame(
        {
            "problem_id": problems,
            "used": used,
            "stop_reason": reason.astype(object),
            "settled": decision.settled,
            "nth_pass": nth,
            "look": decision.look,
            "reached": decision.reached,
        },
        schema_overrides={"problem_id": pl.String, "stop_reason": pl.String},
    )
    joined = ends.join(counts, on="problem_id", how="left", maintain_order="left")
    wrong = joined.filter(pl.col("n").fill_null(0) != pl.col("used"))
    if wrong.height:
        raise UserError(
            f"{run.store.root}: {cell.model} on {cell.task}: problem {wrong['problem_id'][0]}: "
            f"{wrong['used'][0]} samples are committed but {wrong['n'][0]} were counted; "
            "the score files were changed from outside, remove RUN/scores and run score"
        )
    columns = pl.DataFrame(pl.from_arrow(COUNTS.empty_table())).schema
    return joined.with_columns(
        model=pl.lit(cell.model),
        task=pl.lit(cell.task),
        stop_reason=pl.when("settled").then("stop_reason"),
        r=pl.lit(until.r if until else None, pl.Int64),
        cap=pl.lit(until.cap if until else None, pl.Int64),
        nth_pass=pl.when("reached").then("nth_pass"),
        look=pl.lit(None, pl.Int64) if until is None else pl.col("look"),
        distinct_answers=_distinct(run, cell),
    ).select([pl.col(name).cast(kind) for name, kind in columns.items()])


def _distinct(run: Run, cell: Cell) -> pl.Expr:
    """Return how many answers were given; null where verdicts were imported without answers."""
    task = next(task for task in run.sweep.tasks if task.name == cell.task)
    known = pl.col("distinct_answers")
    recorded = isinstance(task, ImportedTask) and task.verifier == RECORDED_VERIFIER
    return pl.when(known > 0).then(known) if recorded else known


def _all_of(n: IntArray) -> Decision:
    """Return what is decided of imported problems: each has the samples that it is to have."""
    never = np.zeros(len(n), dtype=bool)
    return Decision(wanted=n, settled=~never, reached=never, look=np.zeros_like(n))
