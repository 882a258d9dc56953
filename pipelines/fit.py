"""Stage 3, fit: counts become pass rates, curves and laws. Tables stop here.

Turns columns into arrays, calls `fitting`, and turns its records into the tables of a run. Knows
tables and laws; not how samples were drawn or scored, nor where a run lies.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from fitting import (
    CoverageLaw,
    Emergence,
    Estimate,
    PassAtK,
    PassUntil,
    StackedLaw,
    Status,
    fit_coverage,
    fit_task_law,
    judge_emergence,
    pass_all_k,
    pass_at_k,
    pass_at_k_until,
    pass_until,
)
from fitting.laws import FloatArray
from operators.schemas import CURVES, LAWS, RATES, check
from pipelines import strict_json
from pipelines.errors import UserError
from pipelines.run import Run, version
from pipelines.sweeps.config import Sweep, digest

POINTS = 25
"""Numbers of tries at which coverage is reported, where the sweep names none."""
GRID = 60
"""Points along a fitted law."""
BEYOND_TRIES = 10
"""A coverage law is drawn this many times beyond the tries that were measured."""
BEYOND_SIZES = 1.5
"""A task law is drawn by this factor beyond the smallest and the largest model."""
PREDICTION_LEVEL = 0.95

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Fits:
    """What the fit stage hands on, each with the schema of its name in `operators.schemas`."""

    rates: pl.DataFrame
    curves: pl.DataFrame
    laws: pl.DataFrame


def fit(run: Run) -> bool:
    """Fit a run's counts and write rates, curves and laws; whether there was anything to do.

    Raises:
        UserError: there are no counts.
    """
    counts = run.store.read_result("counts")
    if counts is None or counts.is_empty():
        raise UserError(f"{run.store.root}: has no counts; run sample first")
    told = [run.sweep.fit.model_dump(mode="json"), dict(run.parameters), version()]
    inputs = digest([told, run.store.result_inputs("counts")])
    if all(run.store.result_inputs(name) == inputs for name in ("rates", "curves", "laws")):
        return False
    fits = fit_tables(run.sweep, run.parameters, counts)
    run.store.write_result("rates", fits.rates, inputs)
    run.store.write_result("curves", fits.curves, inputs)
    run.store.write_result("laws", fits.laws, inputs)
    return True


def fit_tables(sweep: Sweep, parameters: Mapping[str, int], counts: pl.DataFrame) -> Fits:
    """Estimate pass rates and coverage, fit the laws, and predict the held-out models.

    Samples that the verifier could not decide count as not passed, so every estimate and lower
    limit is what is certain of them. Where there are any, upper limits are raised to the bound
    that they leave open: the limit if all of them had passed, with n as if it had been fixed (the
    rule that stopped the sampling did not see them). Laws are fitted to the decided passes.

    Args:
        sweep: gives the tries to report, the coverage family, the level and the hold-out.
        parameters: size of each model whose size is known. The others have rates, coverage and
            its laws, and no part in what is over sizes.
        counts: the counts table; problems without a sample are left out.

    Returns:
        `rates` of every problem; `curves` of the kinds pass_at_k and pass_all_k (a fixed number of
        samples only) over tries, coverage_law (the chosen one, to 10 times the tries measured),
        pass_rate (the mean of the pass rates, of every model; its x is 1, one try), pass_until (the
        same over sizes, of the models whose size is known), task_law (a band for new models) and
        task_law_prediction (95%, for the held-out models); `laws`, among them those that were
        refused, whose status says why. An emergence verdict, from all models of a task whose size
        is known, is a row of its own. A task without such a model has no law over sizes.

    Raises:
        UserError: there are no counts.
    """
    counts = counts.filter(pl.col("n") > 0)
    if counts.is_empty():
        raise UserError(
            "there are no counts to fit: no sample has been drawn and scored yet. "
            "Run `passlaw sample` first, then `passlaw score`"
        )
    cells = list(_cells(counts, parameters))
    rates: list[Row] = []
    curves: list[Row] = []
    laws: list[Row] = []
    level = sweep.fit.level
    for cell in cells:
        measured = cell.pass_until(level)
        rates += [
            {"model": cell.model, "task": cell.task, "problem_id": problem, **row}
            for problem, row in zip(cell.problems, _points(measured.problems), strict=True)
        ]
        curves += _measured_curves(sweep, cell, measured)
        chosen = fit_coverage(cell.n, cell.c, sweep.fit.family, **cell.rule)
        parts = chosen.laws if isinstance(chosen, StackedLaw) else ()
        laws += [_law_row(cell.task, cell.model, law, chosen=False) for law in parts]
        laws.append(_law_row(cell.task, cell.model, chosen))
        tries = np.unique(np.round(np.geomspace(1, BEYOND_TRIES * cell.most, GRID)))
        curves += _law_curve("coverage_law", cell.model, cell.task, chosen, tries, level)
    for task in dict.fromkeys(cell.task for cell in cells):
        models = [cell for cell in cells if cell.task == task and cell.size is not None]
        if not models:
            continue
        law_rows, curve_rows = _task(sweep, task, models)
        laws += law_rows
        curves += curve_rows
    return Fits(
        rates=_frame(rates, RATES, "rates"),
        curves=_frame(curves, CURVES, "curves"),
        laws=_frame(laws, LAWS, "laws"),
    )


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """The counts of one model on one task, as arrays over its problems [P]."""

    model: str
    task: str
    size: int | None
    """None: unknown."""
    problems: Sequence[str]
    n: FloatArray
    c: FloatArray
    bound: FloatArray
    """Passes if every undecided sample had passed."""
    until: bool
    """Whether passes decided how many samples were drawn."""
    r: FloatArray
    """inf where the number of samples was fixed."""
    look: FloatArray

    @property
    def rule(self) -> "_Rule":
        """The stopping rule; empty for a fixed number of samples."""
        return _Rule(r=self.r, look=self.look) if self.until else _Rule()

    @property
    def most(self) -> int:
        """The largest number of tries at which coverage is measured.

        A problem that stopped on passes is solved from there on; any other one binds.
        """
        open_ended = np.where(self.c >= self.r, np.inf, self.n)
        return int(min(open_ended.min(), self.n.max()))

    @property
    def all_passed(self) -> "_Cell | None":
        """The cell if every undecided sample had passed, or None if there was none."""
        undecided = self.bound > self.c
        if not undecided.any():
            return None
        return replace(self, c=self.bound, look=np.where(undecided, 0, self.look))

    def pass_until(self, level: float) -> PassUntil:
        """Pass rates under the stopping rule, upper limits raised for undecided samples."""
        rates = pass_until(self.n, self.c, level=level, **self.rule)
        if (other := self.all_passed) is None:
            return rates
        bound = other.pass_until(level)
        return replace(
            rates,
            problems=_raised(rates.problems, bound.problems),
            mean=_raised(rates.mean, bound.mean),
        )

    def pass_at_k(self, k: FloatArray, level: float) -> PassAtK:
        """Coverage at k tries, upper limits raised for undecided samples."""
        if self.until:
            curve = pass_at_k_until(self.n, self.c, k, self.r, look=self.look, level=level)
        else:
            curve = pass_at_k(self.n, self.c, k, level=level)
        if (other := self.all_passed) is None:
            return curve
        return _raised(curve, other.pass_at_k(k, level))

    def pass_all_k(self, k: FloatArray, level: float) -> PassAtK:
        """Chance that all of k tries pass, upper limits raised for undecided samples."""
        curve = pass_all_k(self.n, self.c, k, level=level)
        if (other := self.all_passed) is None:
            return curve
        return _raised(curve, other.pass_all_k(k, level))


class _Rule(TypedDict, total=False):
    """A stopping rule, as the functions of `fitting` take it."""

    r: FloatArray
    look: FloatArray


Interval = TypeVar("Interval", Estimate, PassAtK)


def _raised(measured: Interval, bound: Interval) -> Interval:
    return replace(measured, high=np.maximum(measured.high, bound.high))


def _cells(counts: pl.DataFrame, parameters: Mapping[str, int]) -> Iterator[_Cell]:
    """Yield the cells in the order in which the table has them."""
    for key, rows in counts.partition_by("model", "task", as_dict=True).items():
        model, task = (str(part) for part in key)

        def column(name: str, missing: float, rows: pl.DataFrame = rows) -> FloatArray:
            return rows[name].cast(pl.Float64).fill_null(missing).to_numpy()

        yield _Cell(
            model=model,
            task=task,
            size=parameters.get(model),
            problems=rows["problem_id"].to_list(),
            n=column("n", 0),
            c=column("c", 0),
            bound=column("c", 0) + column("undecided", 0),
            until=rows["r"].is_not_null().any(),
            r=column("r", np.inf),
            look=column("look", 0),
        )


def _measured_curves(sweep: Sweep, cell: _Cell, rates: PassUntil) -> list[Row]:
    """Return what was measured of a cell: its mean pass rate, and its curves over tries."""
    if sweep.fit.k is not None:
        tries = [float(k) for k in sorted(set(sweep.fit.k)) if k <= cell.most]
    else:
        tries = np.unique(np.round(np.geomspace(1, cell.most, POINTS))).tolist()
    place = {"model": cell.model, "task": cell.task}
    kinds = {"pass_rate": 1.0}
    if cell.size is not None:
        kinds["pass_until"] = float(cell.size)
    rows = [
        {"kind": kind, **place, "x": x, **row}
        for kind, x in kinds.items()
        for row in _points(rates.mean)
    ]
    if not tries:
        return rows
    level = sweep.fit.level
    curves = {"pass_at_k": cell.pass_at_k(np.asarray(tries), level)}
    if not cell.until:
        curves["pass_all_k"] = cell.pass_all_k(np.asarray(tries), level)
    for kind, curve in curves.items():
        rows += [
            {"kind": kind, **place, "x": k, **row}
            for k, row in zip(tries, _points(curve), strict=True)
        ]
    return rows


def _task(sweep: Sweep, task: str, cells: Sequence[_Cell]) -> tuple[list[Row], list[Row]]:
    """Fit one task's law without the held-out models, predict them, and judge emergence.

    All of the cells have sizes.
    """
    held_out = _held_out(sweep, cells)
    seen = [cell for cell in cells if cell not in held_out]
    law = fit_task_law(**_over_models(seen))
    rows = [_law_row(task, None, law, held_out=held_out)]
    sizes = [float(cell.size or 0) for cell in cells]
    grid = np.geomspace(min(sizes) / BEYOND_SIZES, max(sizes) * BEYOND_SIZES, GRID)
    curves = _law_curve("task_law", None, task, law, grid, sweep.fit.level)
    for cell in held_out:
        size = np.asarray([float(cell.size or 0)])
        curves += _law_curve("task_law_prediction", cell.model, task, law, size, PREDICTION_LEVEL)
    rows.append(_emergence_row(task, judge_emergence(**_over_models(cells)), len(cells)))
    return rows, curves


def _held_out(sweep: Sweep, cells: Sequence[_Cell]) -> list[_Cell]:
    """Return the models of a task to hold out: none where no other model would be left."""
    if sweep.fit.hold_out == "largest":
        largest = max(cell.size or 0 for cell in cells)
        held_out = [cell for cell in cells if cell.size == largest]
    else:
        held_out = [cell for cell in cells if cell.model == sweep.fit.hold_out]
    return held_out if len(held_out) < len(cells) else []


def _over_models(cells: Sequence[_Cell]) -> dict[str, Any]:
    """Return the arguments that the laws over models take."""
    return {
        "size": [cell.size for cell in cells],
        "n": [cell.n for cell in cells],
        "c": [cell.c for cell in cells],
        "r": [cell.r for cell in cells],
        "look": [cell.look for cell in cells],
    }


def _law_curve(
    kind: str, model: str | None, task: str, law: CoverageLaw, x: FloatArray, level: float
) -> list[Row]:
    """Return a law's curve with its band; nothing where the law may not be read."""
    if not law.status.usable:
        return []
    place = {"kind": kind, "model": model, "task": task}
    band = law.predict(x, level)
    if np.isnan(band.low).any():  # no resample could be fitted, so nothing is known of the spread
        return []
    points = _points(band)
    return [{**place, "x": float(at), **row} for at, row in zip(x, points, strict=True)]


def _points(record: Estimate | PassAtK) -> Iterator[Row]:
    """Yield the points of a record as rows."""
    arrays = (np.atleast_1d(a).tolist() for a in (record.estimate, record.low, record.high))
    for estimate, low, high in zip(*arrays, strict=True):
        yield {"estimate": estimate, "low": low, "high": high, "level": record.level}


def _law_row(
    task: str,
    model: str | None,
    law: CoverageLaw,
    *,
    chosen: bool = True,
    held_out: Sequence[_Cell] = (),
) -> Row:
    free = {name: value for name, value in law.params.items() if name != "model_effect"}
    return {
        "kind": law.kind,
        "family": law.family,
        "model": model,
        "task": task,
        "parameters": strict_json.dumps(free),
        "intervals": strict_json.dumps({name: law.interval(name) for name in free}),
        "goodness": strict_json.dumps(law.goodness),
        "converged": law.status is Status.CONVERGED,
        "status": law.status.value,
        "chosen": chosen,
        "held_out": ", ".join(cell.model for cell in held_out) or None,
        "law": strict_json.dumps(law.to_dict()),
    }


def _emergence_row(task: str, verdict: Emergence, models: int) -> Row:
    measures = {"curvature": verdict.curvature, "exponent_change": verdict.exponent_change}
    values = {name: float(measure.estimate) for name, measure in measures.items()}
    bounds = {name: (float(m.low), float(m.high)) for name, m in measures.items()}
    return {
        "kind": "emergence",
        "family": "quadratic",
        "model": None,
        "task": task,
        "parameters": strict_json.dumps({**values, "p_value": verdict.p_value}),
        "intervals": strict_json.dumps(bounds),
        "goodness": strict_json.dumps({"models": models}),
        "converged": math.isfinite(verdict.p_value),
        "status": verdict.growth.value,
        "chosen": True,
        "held_out": None,
        "law": strict_json.dumps(
            {"kind": "emergence", "family": "quadratic", "growth": verdict.growth.name}
        ),
    }


def _frame(rows: Sequence[Row], schema: pa.Schema, name: str) -> pl.DataFrame:
    table = pa.Table.from_pylist(list(rows), schema=schema)
    return pl.DataFrame(check(table, schema, name))
