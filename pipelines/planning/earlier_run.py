"""What an earlier run, or a file of counts, tells a plan: pass rates, laws and costs.

Knows run directories and files of counts; not what is planned from them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from fitting import FittedLaw
from fitting.laws import FloatArray
from pipelines.errors import UserError, first_line
from pipelines.store import Store
from pipelines.sweeps.config import UntilAllocation


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The counts of one model on one task."""

    source: str
    """What people call it."""
    n: FloatArray
    """[P] samples."""
    c: FloatArray
    """[P] samples that passed."""
    fixed: bool
    """Whether the number of samples was the same for all, whatever passed."""


@dataclass(frozen=True, kw_only=True)
class MeasuredCosts:
    """What a sample of an earlier run cost."""

    run: str
    parameters: float | None
    prompt_tokens: float
    """Of a problem's prompt, as often as it was read."""
    completion_tokens: float
    """Of a sample, on average."""
    seconds: float | None
    """Of a sample, on average."""


@dataclass(frozen=True, kw_only=True)
class MeasuredLaw:
    """A task law of an earlier run, and how it was measured."""

    run: str
    law: FittedLaw
    held_out: str | None
    sizes: tuple[float, ...]
    """Of the models of known size."""
    problems: int
    hardness: float
    """Standard deviation of the problems' F within a model."""
    most: int
    """Samples of a problem: their number, or the cap."""
    r: int | None


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """A run directory or a file of counts."""

    name: str
    store: Store | None
    """None for a file."""
    table: pl.DataFrame
    """model, task, problem_id, n, c; of a run also how the sampling stopped."""

    @classmethod
    def open(cls, name: str) -> "EarlierRun":
        """Open a run directory, or a CSV or Parquet file with the columns n and c.

        Raises:
            UserError: it is not there, cannot be read, or has no counts.
        """
        if "://" in name or Path(name).is_dir():
            store = Store.at(name)
            store.read_sweep()
            counts = store.read_result("counts")
            if counts is None or counts.filter(pl.col("n") > 0).is_empty():
                raise UserError(f"--like {name}: has no counts; run `passlaw score {name}` first")
            return cls(name=name, store=store, table=counts.filter(pl.col("n") > 0))
        return cls(name=name, store=None, table=_read(Path(name)))

    def cell(self, model: str | None, task: str | None) -> tuple[str, str]:
        """Return the model and task that are meant; UserError where that is not clear."""
        return self._one("model", model), self._one("task", task)

    def _one(self, column: str, given: str | None) -> str:
        there = self.table[column].unique(maintain_order=True).to_list()
        if given is None and len(there) == 1:
            return str(there[0])
        if given is None:
            raise UserError(f"--like {self.name}: has several {column}s; give --{column}, one of "
                            + ", ".join(there))  # fmt: skip
        if given not in there:
            raise UserError(f"--{column} {given}: {self.name} has no such {column}; it has "
                            + ", ".join(there))  # fmt: skip
        return given

    def counts(self, model: str, task: str) -> Counts:
        """Return the counts of a cell, by problem id."""
        rows = self.table.filter(model=model, task=task).sort("problem_id")
        if rows.is_empty():
            raise UserError(f"--like {self.name}: {model} was never asked {task}")
        until = "r" in rows.columns and rows["r"].is_not_null().any()
        return Counts(
            source=self.name if self.store is None else f"{model} on {task} in {self.name}",
            n=rows["n"].cast(pl.Float64).to_numpy(),
            c=rows["c"].cast(pl.Float64).to_numpy(),
            fixed=not until,
        )

    def pair(self, models: Sequence[str], task: str) -> tuple[Counts, Counts]:
        """Return the counts of two models on the problems that both were asked."""
        first, second = (self.table.filter(model=self._one("model", name), task=task)
                         for name in models)  # fmt: skip
        shared = first.join(second, on="problem_id", how="semi")["problem_id"]
        if shared.is_empty():
            raise UserError(f"--models: {' and '.join(models)} share no problem of {task}")
        both = EarlierRun(
            name=self.name,
            store=self.store,
            table=self.table.filter(pl.col("problem_id").is_in(shared.implode())),
        )
        return both.counts(models[0], task), both.counts(models[1], task)

    def costs(self, model: str, task: str) -> MeasuredCosts | None:
        """Return what a sample of a cell cost; None where the run does not say."""
        table = None if self.store is None else self.store.read_result("costs")
        if table is None:
            return None
        rows = table.filter(model=model, task=task).to_dicts()
        if not rows or not rows[0]["samples"] or not rows[0]["completion_tokens"]:
            return None
        row, problems = rows[0], self.table.filter(model=model, task=task).height
        seconds = row["engine_seconds"]
        return MeasuredCosts(
            run=self.name,
            parameters=None if row["parameters"] is None else float(row["parameters"]),
            prompt_tokens=row["prompt_tokens"] / problems,
            completion_tokens=row["completion_tokens"] / row["samples"],
            seconds=None if not seconds else seconds / row["samples"],
        )

    def task_law(self, task: str | None) -> MeasuredLaw:
        """Return the law over sizes of a task.

        Raises:
            UserError: a file of counts, no laws, or none that may be read.
        """
        laws = None if self.store is None else self.store.read_result("laws")
        if laws is None or self.store is None:
            raise UserError(
                f"--like {self.name}: has no laws; run `passlaw fit {self.name}` first, or give "
                "--sizes, --alpha, --c and --scatter"
            )
        name = self._one("task", task)
        rows = laws.filter(kind="task", task=name).to_dicts()
        law = FittedLaw.from_dict(json.loads(rows[0]["law"])) if rows else None
        if law is None or not law.status.usable:
            why = "" if law is None else f" {law.status.value}"
            raise UserError(
                f"--like {self.name}: has no law of {name} over sizes that may be read.{why} Give "
                "--sizes, --alpha, --c and --scatter"
            )
        sweep, recorded = self.store.read_sweep()
        known = {
            model: facts.get("parameters") for model, facts in recorded.get("models", {}).items()
        }
        rows_of = self.table.filter(pl.col("task") == name)
        models = rows_of["model"].unique(maintain_order=True).to_list()
        sizes = tuple(sorted(float(known[m]) for m in models if known.get(m) is not None))
        until = sweep.allocation if isinstance(sweep.allocation, UntilAllocation) else None
        return MeasuredLaw(
            run=self.name,
            law=law,
            held_out=rows[0]["held_out"],
            sizes=sizes,
            problems=rows_of["problem_id"].n_unique(),
            hardness=self._hardness(name),
            most=int(rows_of["n"].max()) if until is None else until.cap,  # type: ignore[arg-type] # a column of whole numbers
            r=None if until is None else until.r,
        )

    def _hardness(self, task: str) -> float:
        """Return the spread of the problems' F within a model, of rates that are measured."""
        assert self.store is not None
        rates = self.store.read_result("rates")
        if rates is None:
            raise UserError(f"--like {self.name}: has no rates; run `passlaw fit {self.name}`")
        inside = rates.filter(
            (pl.col("task") == task) & pl.col("estimate").is_between(0, 1, closed="none")
        )
        f = np.log(-np.log(inside["estimate"].to_numpy()))
        centred = inside.with_columns(f=pl.Series(f)).select(
            pl.col("f") - pl.col("f").mean().over("model")
        )
        spread = centred["f"].std()
        return float(spread) if isinstance(spread, float) else 0.0


def _read(path: Path) -> pl.DataFrame:
    """Return a file of counts as model, task, problem_id, n, c."""
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"--like {path}: no run directory, and no .csv or .parquet file of counts")
    try:
        table = pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"--like {path}: cannot be read ({first_line(error)})") from None
    missing = {"n", "c"} - set(table.columns)
    if missing or table.is_empty():
        raise UserError(
            f"--like {path}: needs rows with the columns n (samples) and c (passes) of a problem; "
            f"it has {table.height} rows of {', '.join(table.columns)}"
        )
    named: pl.DataFrame = table.with_row_index("row").with_columns(
        pl.col("row").cast(pl.String).alias("problem_id")
        if "problem_id" not in table.columns
        else pl.col("problem_id").cast(pl.String),
        *(
            pl.lit(column).alias(column)
            for column in ("model", "task")
            if column not in table.columns
        ),
    )
    for column in ("n", "c"):
        if not named[column].dtype.is_numeric() or named[column].null_count():
            raise UserError(f"--like {path}: column {column} must hold a number in each row")
    bad = named.filter((pl.col("n") < 1) | (pl.col("c") < 0) | (pl.col("c") > pl.col("n")))
    if not bad.is_empty():
        row = bad.row(0, named=True)
        raise UserError(
            f"--like {path}: row {row['row'] + 1} has n = {row['n']}, c = {row['c']}; there must "
            "be 0 <= c <= n and n >= 1"
        )
    return named.select("model", "task", "problem_id", "n", "c")
