"""Stage 3, fit, second part: what choosing one of many answers is worth, and what confidence tells.

Reads the narrow scores of a run, calls `operators`, and writes selection.parquet,
calibration.parquet and reliability.parquet. Knows tables; not how samples were drawn, nor how any
method chooses.
"""

from typing import NamedTuple

import polars as pl
import pyarrow as pa

from operators.confidence.calibration import (
    discrimination,
    judge_calibration,
    reliability_diagram,
)
from operators.confidence.columns import with_confidence
from operators.confidence.recalibration import recalibrate
from operators.schemas import CALIBRATION, RELIABILITY, SELECTION
from operators.selection.table import selection_table
from pipelines.run import Run, version
from pipelines.store import ResultName
from pipelines.sweeps.config import digest
from pipelines.unit_files import Kind
from pipelines.units import Cell

MOST_TRIES = 32
"""Choosing is judged among at most so many samples of a problem: all have these, whatever rule
stopped the sampling, and votes change little beyond."""
SUBSETS = 100
"""Drawn from each problem where a method is simulated."""
TOO_SLOW = ("rpc",)
"""Fits a mixture to every subset, which takes minutes for a sweep; `selection_table` has it."""
DRAWS = 200
"""Resamples of problems for the intervals of calibration."""
_CONTRADICTED = (
    (pl.col("passed").min() != pl.col("passed").max())
    .over("problem_id", "answer")
    .fill_null(value=False)
) & pl.col("answer").is_not_null()
CONFIDENCES = ("vote_share", "mean_logprob", "self_certainty")
"""Columns whose confidence is judged."""
_KINDS: tuple[Kind, Kind] = ("samples", "scores")
_WRITES: tuple[ResultName, ...] = ("selection", "calibration", "reliability")


def choose(run: Run) -> bool:
    """Write what choosing is worth in each cell of a run; whether there was anything to do.

    Takes the first samples of each problem, as many as every problem has. A cell has no rows
    where some problem has fewer than two, or where samples that passed were imported without an
    answer: there is nothing to choose among.
    """
    inputs = digest([run.store.result_inputs("counts"), run.sweep.fit.level, version()])
    if all(run.store.result_inputs(name) == inputs for name in _WRITES):
        return False
    selections, calibrations, reliabilities = [], [], []
    for cell in run.cells:
        scores = _first_samples(run, cell)
        if scores.is_empty() or _has_unknown_answers(scores):
            continue
        names = {"model": pl.lit(cell.model), "task": pl.lit(cell.task)}
        chosen = _selection(scores, run.sweep.fit.level)
        selections.append(chosen.with_columns(**names))
        told = _confidence(scores, run.sweep.fit.level)
        calibrations.append(told.calibration.with_columns(**names))
        reliabilities.append(told.reliability.with_columns(**names))
    run.store.write_result("selection", _stacked(SELECTION, selections), inputs)
    run.store.write_result("calibration", _stacked(CALIBRATION, calibrations), inputs)
    run.store.write_result("reliability", _stacked(RELIABILITY, reliabilities), inputs)
    return True


def _has_unknown_answers(scores: pl.DataFrame) -> bool:
    return not scores.filter("passed", pl.col("answer").is_null()).is_empty()


def _selection(scores: pl.DataFrame, level: float) -> pl.DataFrame:
    """Return what choosing is worth; its tokens are null where samples came without theirs."""
    untold = scores["completion_tokens"].null_count() > 0
    if untold:  # no method that divides by tokens is to see a number that stands for none
        scores = scores.with_columns(
            pl.col("completion_tokens").fill_null(0), sum_logprob=pl.lit(None, pl.Float32)
        )
    chosen = selection_table(scores, leave_out=TOO_SLOW, subsets=SUBSETS, level=level)
    if untold:
        return chosen.with_columns(completion_tokens=pl.lit(None, pl.Float64))
    return chosen


def _stacked(schema: pa.Schema, tables: list[pl.DataFrame]) -> pl.DataFrame:
    empty = pl.DataFrame(pl.from_arrow(schema.empty_table()))
    return pl.concat([empty, *(table.select(empty.columns) for table in tables)])


def _first_samples(run: Run, cell: Cell) -> pl.DataFrame:
    """Return the scores of the first samples of a cell, the same number of each problem.

    With a column `completion`, a digest of the text: equal texts are one path to perplexity
    consistency. A program that passed once and failed once, as when it ran near its time limit, is
    undecided.
    """
    store = run.store
    samples, scored = (
        [each for each in store.committed(kind, cell)[0] if each.unit.start < MOST_TRIES]
        for kind in _KINDS
    )
    names = {each.unit.name for each in scored}
    samples = [each for each in samples if each.unit.name in names]
    early = pl.col("problem_id").is_in(run.problem_ids(cell.task)), pl.col("sample_id") < MOST_TRIES
    key = ["problem_id", "sample_id"]
    text = pl.col("completion").hash().cast(pl.String)
    texts = store.scan_completions(samples).filter(*early).select(*key, text)
    narrow = store.scan_scores(scored)
    joined = narrow.filter(*early).join(texts, on=key, how="left", maintain_order="left")
    judged = joined.with_columns(passed=pl.when(~_CONTRADICTED).then("passed")).sort(key)
    with store.named_damage("scores", scored), store.named_damage("samples", samples):
        scores = judged.collect()
    fewest = min(scores["problem_id"].value_counts()["count"], default=0)
    return scores.filter(pl.col("sample_id") < fewest) if fewest > 1 else scores.clear()


class _Told(NamedTuple):
    """What the confidences of a cell tell, without its name."""

    calibration: pl.DataFrame
    reliability: pl.DataFrame


def _confidence(scores: pl.DataFrame, level: float) -> _Told:
    """Return how well each confidence tells passes, and how well calibrated it can be made."""
    scores = with_confidence(scores, leave_one_out=True).drop_nulls("answer")
    rows, bins = [], []
    for column in CONFIDENCES:
        known = scores.filter(pl.col(column).is_finite(), pl.col("passed").is_not_null())
        if known["passed"].n_unique() < 2 or known["problem_id"].n_unique() < 10:
            continue
        told = discrimination(known, [column], level=level, draws=DRAWS)
        rows.append(
            told.select(
                confidence="column",
                measure=pl.lit("auroc"),
                estimate="auroc",
                low="low",
                high="high",
                level="level",
                samples="samples",
            )
        )
        made = recalibrate(known, column).table
        judged = judge_calibration(made, "calibrated", level=level, draws=DRAWS)
        kept = judged.filter(pl.col("measure").is_in(["ece_debiased", "brier"]))
        rows.append(
            kept.select(
                pl.lit(column).alias("confidence"),
                "measure",
                "estimate",
                "low",
                "high",
                "level",
                "samples",
            )
        )
        bins.append(_bins(made, level).with_columns(confidence=pl.lit(column)))
    return _Told(calibration=_unnamed(CALIBRATION, rows), reliability=_unnamed(RELIABILITY, bins))


def _bins(made: pl.DataFrame, level: float) -> pl.DataFrame:
    """Return the reliability diagram of calibrated confidences, bins of as many samples each."""
    bins = reliability_diagram(made, "calibrated", level=level)
    return bins.rename({"confidence": "mean_confidence"}).with_columns(
        pl.col("low", "high").fill_nan(None)
    )


def _unnamed(schema: pa.Schema, tables: list[pl.DataFrame]) -> pl.DataFrame:
    empty = pl.DataFrame(pl.from_arrow(schema.empty_table())).drop("model", "task")
    return pl.concat([empty, *(table.select(empty.columns) for table in tables)])
