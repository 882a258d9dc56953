"""Stage 4, report: the tables of a run become one page that a stranger can read.

Knows what to say and in which order; the charts come from `figures`. The page opens from disk with
no network: the libraries that draw the charts are inside it, once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from pipelines.reporting.charts import NONE, number, size_label
from pipelines.reporting.figures import FEW_PASSES, MOST_CELLS, draw, largest_model
from pipelines.reporting.page import render as render_page
from pipelines.run import Run, results
from pipelines.store import ResultName, RunTables
from pipelines.sweeps.config import UntilAllocation, digest

Row = dict[str, Any]

_INPUTS: tuple[ResultName, ...] = ("counts", "costs", "exact", "audit", "laws", "calibration")


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page, and its figures by name."""

    html: str
    figures: Mapping[str, alt.ConcatChart]


def report(run: Run) -> bool:
    """Write report.html and the figures; whether there was anything to do."""
    tables = results(run)
    told = [tables.sweep.model_dump(mode="json"), tables.version, dict(tables.parameters)]
    inputs = digest([told, *(run.store.result_inputs(name) for name in _INPUTS)])
    if run.store.report_inputs() == inputs:
        return False
    page = render(tables)
    run.store.write_figures(figure_files(page))
    run.store.write_report(page.html, inputs)
    return True


def render(tables: RunTables) -> Report:
    """Return the report of a run; what the tables do not hold is left out of it."""
    figures = draw(tables)
    html = render_page(
        "report.html.jinja",
        figures,
        {
            "sweep": tables.sweep,
            "run": tables.run,
            "version": tables.version,
            "facts": _facts(tables),
            "repeated": list(tables.audit.filter("repeated").iter_rows(named=True)),
            "verdicts": _verdicts(tables),
            "exact": _exactness(tables),
            "costs": _costs(tables),
            "task_laws": _laws(tables, "task"),
            "emergence": _laws(tables, "emergence"),
            "coverage_laws": _laws(tables, "coverage"),
            "selection": _selection(tables),
            "confidences": _confidences(tables),
            "open": _open(tables),
            "stops": _stops(tables),
            "level": f"{tables.sweep.fit.level * 100:g}%",
            "few": FEW_PASSES,
            "most_cells": MOST_CELLS,
            "dash": NONE,
        },
        filters={"interval": _interval},
    )
    return Report(html=html, figures=figures)


def figure_files(report: Report) -> dict[str, bytes]:
    """Return each figure by file name, as PNG (twice the screen's resolution) and as SVG."""
    files = {}
    for name, chart in report.figures.items():
        spec = chart.to_dict(validate=False)
        files[f"{name}.png"] = vl_convert.vegalite_to_png(spec, scale=2)
        files[f"{name}.svg"] = vl_convert.vegalite_to_svg(spec).encode()
    return files


def _interval(value: Row | Sequence[float | None] | None) -> str:
    """Return "0.52 (0.49 to 0.55)" of a curve's point, or "0.49 to 0.55" of a pair."""
    if value is None:
        return NONE
    if isinstance(value, dict):
        low, high = number(value["low"]), number(value["high"])
        return f"{number(value['estimate'])} ({low} to {high})"
    return " to ".join(number(end) for end in value)


# What the page says: each function returns the plain values of one part.


def _facts(tables: RunTables) -> Row:
    """Return the numbers of the first paragraph."""
    counts = tables.counts
    sizes = [tables.parameters[model] for model in counts["model"].unique()]
    allocation = tables.sweep.allocation
    samples, passes = int(counts["n"].sum()), int(counts["c"].sum())
    return {
        "models": counts["model"].n_unique(),
        "smallest": size_label(min(sizes)),
        "largest": size_label(max(sizes)),
        "tasks": counts["task"].n_unique(),
        "problems": counts.select("task", "problem_id").n_unique(),
        "samples": samples,
        "passes": passes,
        "share": passes / samples if samples else None,
        "until": allocation if isinstance(allocation, UntilAllocation) else None,
        "fixed": None if isinstance(allocation, UntilAllocation) else allocation,
        "flops": float(tables.costs["flops"].sum()),
    }


def _verdicts(tables: RunTables) -> list[Row]:
    """Return for each task how its prediction of the held-out models and its growth came out."""
    measured = _points(tables.curves, "pass_until")
    predicted = _points(tables.curves, "task_law_prediction")
    laws = {row["task"]: row for row in _laws(tables, "task")}
    growth = {row["task"]: row["status"] for row in _laws(tables, "emergence")}
    verdicts = []
    for task in dict.fromkeys(tables.counts["task"]):
        law = laws.get(task)
        tests = []
        for model in law["held_out"] if law else ():
            guess, truth = predicted.get((model, task)), measured.get((model, task))
            tests.append({"model": model, "guess": guess, "truth": truth, **_verdict(guess, truth)})
        verdicts.append(
            {
                "task": task,
                "tests": tests,
                "held": sum(test["held"] is True for test in tests),
                "tested": sum(test["held"] is not None for test in tests),
                "law": law,
                "growth": growth.get(task, NONE),
            }
        )
    return verdicts


def _verdict(guess: Row | None, truth: Row | None) -> Row:
    if guess is None or truth is None:
        return {"held": None, "verdict": ""}
    if truth["estimate"] < guess["low"]:
        return {"held": False, "verdict": "missed, measured below"}
    if truth["estimate"] > guess["high"]:
        return {"held": False, "verdict": "missed, measured above"}
    return {"held": True, "verdict": "held"}


def _points(curves: pl.DataFrame, kind: str) -> dict[tuple[str, str], Row]:
    rows = curves.filter(pl.col("kind") == kind).iter_rows(named=True)
    return {(row["model"], row["task"]): row for row in rows}


def _exactness(tables: RunTables) -> Row | None:
    """Return exact and estimated rates, and how many intervals hold the exact one."""
    if tables.exact is None:
        return None
    keys = ["model", "task", "problem_id"]
    cells = (
        tables.rates.join(tables.exact, on=keys)
        .join(tables.counts.select(*keys, "c"), on=keys)
        .with_columns(
            holds=pl.col("p").is_between(pl.col("low"), pl.col("high")),
            enough=pl.col("c") >= FEW_PASSES,
        )
    )
    if cells.is_empty():
        return None
    enough = pl.col("enough")
    shares = [
        pl.len().alias("cells"),
        pl.col("holds").mean().alias("share"),
        enough.sum().alias("enough_cells"),
        pl.col("holds").filter(enough).mean().alias("enough_share"),
    ]
    models = cells.group_by("model").agg(shares).sort(*_by_size(tables), "model")
    means = cells.group_by("model", "task").agg(pl.len().alias("problems"), pl.col("p").mean())
    measured = tables.curves.filter(pl.col("kind") == "pass_until").drop("kind", "x", "level")
    rates = means.join(measured, on=["model", "task"]).sort(*_by_size(tables), "model", "task")
    return {
        **cells.select(shares).row(0, named=True),
        "models": list(models.iter_rows(named=True)),
        "rates": list(rates.iter_rows(named=True)),
        "problems": list(cells.head(MOST_CELLS).iter_rows(named=True)),
    }


def _by_size(tables: RunTables) -> tuple[pl.Expr]:
    return (pl.col("model").replace_strict(dict(tables.parameters), default=0),)


def _costs(tables: RunTables) -> Row:
    """Return what each cell cost, with the sums for each task and in all."""
    columns = ("samples", "prompt_tokens", "completion_tokens", "flops", "engine_seconds")
    # A sum of nulls is null: nothing was billed.
    billed = pl.when(pl.col("usd").count() > 0).then(pl.col("usd").sum())
    sums = [*(pl.col(column).sum() for column in columns), billed.alias("usd")]
    costs = tables.costs
    return {
        "cells": list(costs.iter_rows(named=True)),
        "tasks": list(costs.group_by("task", maintain_order=True).agg(sums).iter_rows(named=True)),
        "total": costs.select(sums).row(0, named=True),
        "billed": costs["usd"].count() > 0,
    }


def _laws(tables: RunTables, kind: str) -> list[Row]:
    """Return laws of a kind with their JSON columns read."""
    return [
        {
            **row,
            "parameters": json.loads(row["parameters"]),
            "intervals": json.loads(row["intervals"]),
            "goodness": json.loads(row["goodness"]),
            "held_out": row["held_out"].split(", ") if row["held_out"] else [],
        }
        for row in tables.laws.filter(pl.col("kind") == kind).iter_rows(named=True)
    ]


def _selection(tables: RunTables) -> Row | None:
    """Return what each method is worth at the most tries, by the largest model and by all."""
    at_most = tables.selection.filter(pl.col("k") == pl.col("k").max().over("model", "task"))
    if at_most.is_empty():
        return None
    largest = largest_model(at_most, tables.parameters)
    majority = pl.col("method") == "majority"
    cells = at_most.group_by("model", "task", maintain_order=True).agg(
        pl.col("k", "coverage").first(),
        single=(pl.col("estimate") - pl.col("generation_verification_gap")).first(),
        majority=pl.col("estimate").filter(majority).first(),
        best=pl.col("estimate").max(),
        method=pl.col("method").sort_by("estimate", descending=True).first(),
    )
    return {
        "model": largest["model"][0],
        "tries": max(largest["k"]),
        "methods": list(largest.iter_rows(named=True)),
        "cells": list(cells.iter_rows(named=True)),
    }


def _confidences(tables: RunTables) -> list[Row]:
    """Return what each confidence tells, one row for each cell and column."""
    keys = ["model", "task", "confidence"]
    measures = ("auroc", "ece_debiased", "brier")
    point = pl.struct("estimate", "low", "high")
    cells = tables.calibration.group_by(keys, maintain_order=True).agg(
        pl.col("samples").first(),
        *(point.filter(pl.col("measure") == name).first().alias(name) for name in measures),
    )
    return list(cells.iter_rows(named=True))


def _open(tables: RunTables) -> list[Row]:
    """Return the cells with undecided samples, and how far these leave their pass rates open."""
    rates = tables.curves.filter(pl.col("kind") == "pass_until")
    cells = (
        tables.counts.group_by("model", "task", maintain_order=True)
        .agg(pl.col("undecided").sum(), pl.col("n").sum())
        .filter(pl.col("undecided") > 0)
        .join(rates, on=["model", "task"], how="left", maintain_order="left")
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
    )
    return list(cells.iter_rows(named=True))
