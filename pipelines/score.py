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

from operators.allocation.looks import IntArray, decide
from operators.count import count, nth_pass
from operators.schemas import COSTS, COUNTS
from operators.verification.verify import Verifier, engine_failed
from pipelines.config import FixedAllocation
from pipelines.errors import UserError
from pipelines.run import Run
from pipelines.scheduler import Tally, tally
from pipelines.store import Committed, Quarantined, ResultName
from pipelines.units import Cell, contiguous, covered
from pipelines.verification import refuse_unisolated, scoring_key, verifier_of


@dataclass(kw_only=True)
class Refreshed:
    """The committed work of a run, every unit of it scored."""

    units: dict[Cell, list[Committed]] = field(default_factory=dict)
    """For each cell, the samples that are there, each unit with scores beside it."""
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


def score(run: Run) -> Scored:
    """Bring the scores, counts.parquet and costs.parquet up to date."""
    held = refresh(run)
    counts, costs = _tables(run, held.units)
    tables: dict[ResultName, pl.DataFrame] = {"counts": counts, "costs": costs}
    for name, table in tables.items():
        content = hashlib.blake2b(table.write_csv().encode(), digest_size=8).hexdigest()
        run.store.write_result(name, table, content)
    asked = sum(len(run.problem_ids(cell.task)) for cell in run.cells)
    return Scored(
        scored=held.scored,
        quarantined=held.quarantined,
        counts=counts,
        incomplete=asked - counts["stop_reason"].count(),
        failures=_failures(run, counts, held.units),
    )


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
            _refresh_cell(run, cell, verifier, refreshed)
    return refreshed


def _refresh_cell(run: Run, cell: Cell, verifier: Verifier, refreshed: Refreshed) -> None:
    samples, lost = run.store.committed("samples", cell)
    scores, lost_scores = run.store.committed("scores", cell)
    refreshed.quarantined += lost + lost_scores
    of_name = {committed.unit.name: committed for committed in scores}
    problems = run.rows(cell.task)
    units = refreshed.units[cell] = []
    for committed in samples:
        known = of_name.get(committed.unit.name)
        tallied = None
        key = scoring_key(committed.unit, problems, run.sweep.verification)
        if known is not None and known.facts.get("scoring") == key:
            tallied = _tally(run, known, refreshed)
        if tallied is None:
            tallied = _score_unit(run, committed, key, verifier, refreshed)
        if tallied is not None:
            refreshed.tallies.append(tallied)
            units.append(committed)


def _tally(run: Run, scores: Committed, refreshed: Refreshed) -> Tally | None:
    """Return what a score file says; None if it was damaged, and quarantined.

    Reads the file even where its footer would do, because this checks its pages' checksums.
    """
    try:
        table = run.store.read_unit("scores", scores.unit)
        return tally(scores.unit, table, run.allocation.r)
    except (OSError, pa.ArrowInvalid) as error:
        refreshed.quarantined.append(run.store.quarantine(scores.path, str(error)))
        return None


def _score_unit(
    run: Run, samples: Committed, key: str, verifier: Verifier, refreshed: Refreshed
) -> Tally | None:
    """Score a unit's samples; None if their file was damaged, and quarantined."""
    unit = samples.unit
    try:
        table = run.store.read_unit("samples", unit)
    except (OSError, pa.ArrowInvalid) as error:
        refreshed.quarantined.append(run.store.quarantine(samples.path, str(error)))
        return None
    scores = verifier.verify(table, run.problems[unit.cell.task])
    tallied = tally(unit, scores, run.allocation.r)
    facts = {"scoring": key, "passed": tallied.passed}
    run.store.commit("scores", unit, scores, facts)
    refreshed.scored += unit.samples
    return tallied


def _failures(
    run: Run, counts: pl.DataFrame, units: Mapping[Cell, Sequence[Committed]]
) -> list[str]:
    """Name the problems whose samples an engine failed to draw; reads only cells that have any."""
    lines = []
    undecided = counts.filter(pl.col("undecided") > 0)
    for cell in run.cells:
        if undecided.filter(model=cell.model, task=cell.task).is_empty():
            continue
        failed = (
            _scan(run, units[cell])
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


def _scan(run: Run, units: Sequence[Committed]) -> pl.LazyFrame:
    """Return the scores of these samples."""
    return run.store.scan_scores([run.store.unit_path("scores", each.unit) for each in units])


def _tables(
    run: Run, units: Mapping[Cell, Sequence[Committed]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    counts, costs = [], []
    for cell in run.cells:
        cell_counts = _count(run, cell, units[cell])
        counts.append(cell_counts)
        facts = [each.facts for each in units[cell]]
        prompt_tokens = sum(int(fact["prompt_tokens"]) for fact in facts)
        completion_tokens = int(cell_counts["completion_tokens"].sum())
        parameters = run.parameters[cell.model]
        costs.append(
            {
                "model": cell.model,
                "task": cell.task,
                "parameters": parameters,
                "samples": int(cell_counts["n"].sum()),
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                # A forward pass costs about two operations per parameter and token.
                "flops": 2.0 * parameters * (prompt_tokens + completion_tokens),
                "engine_seconds": sum(float(fact["engine_seconds"]) for fact in facts),
                "usd": _billed(facts),
            }
        )
    columns = pl.DataFrame(pl.from_arrow(COSTS.empty_table())).schema
    return pl.concat(counts), pl.DataFrame(costs, schema=columns)


def _billed(facts: Sequence[Mapping[str, Any]]) -> float | None:
    """Return what the units cost; None where no server billed any at known prices."""
    billed = [usage["usd"] for fact in facts if (usage := fact.get("usage", {})).get("usd")]
    return sum(billed) if billed else None


def _count(run: Run, cell: Cell, units: Sequence[Committed]) -> pl.DataFrame:
    """Count a cell, with how each of its problems ended; no rows for problems without samples."""
    held = covered(each.unit for each in units)
    drawn_of = {name: contiguous(held.get(name, ())) for name in run.problem_ids(cell.task)}
    problems = [name for name, drawn in drawn_of.items() if drawn]
    n = np.array([drawn_of[name] for name in problems], dtype=np.int64)
    rows = sum(each.rows for each in units)
    scores = _scan(run, units)

    def limits(below: IntArray) -> pl.DataFrame | None:
        if int(below.sum()) == rows:
            return None  # all that is there counts: the fast path
        return pl.DataFrame({"problem_id": problems, "limit": below})

    allocation = run.allocation
    nth = np.full(len(problems), -1, dtype=np.int64)
    if allocation.r is not None:
        at = dict(nth_pass(scores, allocation.r, limits(n)).iter_rows())
        nth = np.array([at.get(name, -1) for name in problems], dtype=np.int64)
    decision = decide(allocation, n, nth)
    used = np.minimum(n, decision.wanted)
    counts = count(scores, limits(used))
    rule = run.sweep.allocation
    until = None if isinstance(rule, FixedAllocation) else rule
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
    ).select([pl.col(name).cast(kind) for name, kind in columns.items()])
