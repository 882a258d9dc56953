"""The problems worth a look: the hardest, and those on which models disagree, with texts to read.

Knows counts and rates of problems; the completions to read come from `pipelines.reporting`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from pipelines.reporting.charts import number
from pipelines.reporting.completions import Reading, Wanted
from pipelines.reporting.sections.section import CELL, Finding, Row, Section, counted
from pipelines.store import RunTables

HARDEST, UNEVEN = 6, 6
"""Problems of a task that are shown, at most, of each kind."""
MOST_SHOWN = 120
"""Problems that are shown in all; of many tasks, each shows fewer."""


def section(tables: RunTables, readings: Mapping[tuple[str, str], Reading]) -> Section | None:
    """Return the part on problems, or None where there is no problem worth a look."""
    shown = _shown(tables)
    if not shown:
        return None
    tasks = list(dict.fromkeys(problem["task"] for problem in shown))
    for problem in shown:
        problem["reading"] = readings.get((problem["task"], problem["problem_id"]))
    return Section(
        name="problems",
        title="Problems to look at",
        values={
            "tasks": {
                task: [problem for problem in shown if problem["task"] == task] for task in tasks
            },
            "readings": bool(readings),
        },
        found=_found(tables),
    )


def wanted(tables: RunTables) -> list[Wanted]:
    """Return the problems that the part shows, with the models whose completions tell most."""
    return [
        Wanted(
            task=problem["task"],
            problem_id=problem["problem_id"],
            passing=next((row["model"] for row in problem["models"] if row["c"] > 0), None),
            failing=next((row["model"] for row in problem["models"] if row["failed"] > 0), None),
        )
        for problem in _shown(tables)
    ]


def _found(tables: RunTables) -> dict[str, list[Finding]]:
    problems = tables.counts.group_by("task", "problem_id", maintain_order=True).agg(
        pl.col("n", "c").sum()
    )
    tasks = problems.filter(pl.col("n") > 0).group_by("task", maintain_order=True).agg(
        never=(pl.col("c") == 0).sum(), always=(pl.col("c") == pl.col("n")).sum(),
        all=pl.len(), least=pl.col("n").filter(pl.col("c") == 0).min(),
    )  # fmt: skip
    found = {}
    for row in tasks.iter_rows(named=True):
        if row["never"]:
            text = (
                f"{number(row['never'])} of {counted(row['all'], 'problem')} "
                f"{'was' if row['never'] == 1 else 'were'} never solved, by any model, in "
                f"{number(row['least'])} tries or more each."
            )
            found[row["task"]] = [Finding(text=text)]
        elif row["always"] == row["all"]:
            found[row["task"]] = [Finding(text="Every sample of every problem passed.")]
    return found


def _shown(tables: RunTables) -> list[Row]:
    """Return the problems to show, task by task, each with its rates by model, best model first."""
    rates = tables.rates.join(
        tables.counts.select(
            *CELL, "problem_id", "n", "c", failed=pl.col("n") - pl.col("c") - pl.col("undecided")
        ),
        on=[*CELL, "problem_id"],
        maintain_order="left",
    )
    tasks = rates.partition_by("task", maintain_order=True)
    each = max(1, MOST_SHOWN // max(len(tasks), 1) // 2)
    shown = []
    for task in tasks:
        hardest = _hardest(task)[: min(HARDEST, each)]
        uneven = [row for row in _uneven(task) if row["problem_id"] not in
                  {other["problem_id"] for other in hardest}][: min(UNEVEN, each)]  # fmt: skip
        shown += [{**row, "models": _models(task, row["problem_id"])} for row in hardest + uneven]
    return shown


def _models(task: pl.DataFrame, problem_id: str) -> list[Row]:
    """Return the rates of one problem; the model that passes most on the task comes first."""
    strength = task.with_columns(strength=pl.col("estimate").mean().over("model"))
    mine = strength.filter(pl.col("problem_id") == problem_id)
    return list(mine.sort("strength", descending=True).iter_rows(named=True))


def _hardest(task: pl.DataFrame) -> list[Row]:
    """Return a task's problems from the hardest on: never solved, in most tries; then rarely."""
    problems = task.group_by("task", "problem_id", maintain_order=True).agg(
        pl.col("n", "c").sum(), best=pl.col("estimate").max()
    )
    kept = problems.filter(pl.col("best") < 0.5).sort(
        "best", "n", "problem_id", descending=[False, True, False]
    )
    return [
        {
            "task": row["task"],
            "problem_id": row["problem_id"],
            "why": _rarity(row),
        }
        for row in kept.head(HARDEST).iter_rows(named=True)
    ]


def _rarity(row: Row) -> str:
    if row["c"] == 0:
        return f"never solved in {number(row['n'])} tries"
    return f"solved at a rate of {number(row['best'])} at best"


def _uneven(task: pl.DataFrame) -> list[Row]:
    """Return the problems on which models differ against their order, or most, with certainty."""
    order = task.group_by("model").agg(pl.col("estimate").mean()).sort("estimate", "model")
    models = order["model"].to_list()
    if len(models) < 2:
        return []
    ids = list(dict.fromkeys(task["problem_id"]))
    low, high = (_grid(task, column, ids, models) for column in ("low", "high"))
    name = task["task"][0]
    found = [
        *_inversions(low, high, models),
        *_spreads(low, high, models),
    ]
    rows: list[Row] = []
    seen: set[int] = set()
    for at, why in found:
        if at not in seen and len(rows) < HARDEST + UNEVEN:
            seen.add(at)
            rows.append({"task": name, "problem_id": ids[at], "why": why})
    return rows


def _grid(task: pl.DataFrame, column: str, ids: Sequence[str], models: Sequence[str]) -> np.ndarray:
    """Return [P, M] limits of rates, weakest model first; NaN where a model did not try."""
    wide = task.pivot("model", index="problem_id", values=column)
    wide = pl.DataFrame({"problem_id": ids}).join(wide, on="problem_id", how="left",
                                                  maintain_order="left")  # fmt: skip
    return wide.select(
        pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in models
    ).to_numpy()


def _inversions(low: np.ndarray, high: np.ndarray, models: Sequence[str]) -> list[tuple[int, str]]:
    """Return the problems that a weaker model passes more often than a stronger one."""
    certain = np.nan_to_num(low, nan=-1.0)
    weaker = np.maximum.accumulate(certain, axis=1)[:, :-1]
    gaps = np.nan_to_num(weaker - high[:, 1:], nan=-1.0)  # [P, M - 1]
    found = []
    for at in np.argsort(-gaps.max(axis=1)):
        strong = int(gaps[at].argmax())
        if gaps[at, strong] <= 0:
            break
        weak = int(certain[at, : strong + 1].argmax())
        found.append((int(at), _inverted(models[weak], models[strong + 1])))
    return found


def _inverted(weak: str, strong: str) -> str:
    return f"{weak}, worse over all, passes it more often than {strong}"


def _spreads(low: np.ndarray, high: np.ndarray, models: Sequence[str]) -> list[tuple[int, str]]:
    """Return the problems on which the rates of two models certainly lie furthest apart."""
    best, worst = np.nan_to_num(low, nan=-1.0), np.nan_to_num(high, nan=2.0)
    gaps = best.max(axis=1) - worst.min(axis=1)
    return [
        (int(at), f"{models[int(best[at].argmax())]} and {models[int(worst[at].argmin())]} differ "
         f"by at least {number(float(gaps[at]))}")
        for at in np.argsort(-gaps)
        if gaps[at] > 0
    ]  # fmt: skip
