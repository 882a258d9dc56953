"""What success costs: coverage against compute and price, and which model is worth it.

Knows columns and marks, and asks `fitting` for the frontier; not how costs were counted.
"""

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl

from fitting import Curve, Estimate, frontier
from pipelines.reporting.charts import (
    INK,
    Sheet,
    chart_rows,
    number,
    panels_of,
    power_axis,
    rate_axis,
    tasks_of,
    tooltip,
)
from pipelines.reporting.sections.section import (
    CELL,
    Finding,
    Row,
    Section,
    described,
    interval,
    model_colour,
)
from pipelines.store import RunTables

TARGETS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
"""Coverages of which the cheapest way is told."""
HALF = 0.5
"""The target of which the summary speaks, where it is reached; else the highest one."""
UNITS = {"flops": "FLOPs", "usd": "USD"}
_COUNTED = ("samples", "prompt_tokens", "completion_tokens", "flops", "engine_seconds", "usd")


def section(tables: RunTables) -> Section | None:
    """Return the part on costs, or None where nothing was spent or known of it."""
    if tables.costs.is_empty():
        return None
    priced = {unit: _curves(tables, unit) for unit in UNITS}
    priced = {unit: curves for unit, curves in priced.items() if not curves.is_empty()}
    figures, cheapest = {}, []
    for unit, curves in priced.items():
        best = {task: _best(curves.filter(pl.col("task") == task)) for task in tasks_of(curves)}
        rows = _cheapest(curves, best, unit)
        cheapest += rows
        name = "cost" if unit == "flops" else "price"
        figures[name] = described(_chart(tables, curves, best, unit), _description(rows, unit))
    return Section(
        name="frontier",
        title="What it cost",
        values={"costs": _costs(tables), "cheapest": cheapest, "units": UNITS},
        figures=figures,
        found=_found(tables, cheapest),
    )


def _curves(tables: RunTables, unit: str) -> pl.DataFrame:
    """Return coverage over tries with what these cost a problem, where a try has a cost."""
    each = tables.costs.filter(pl.col("samples") > 0).select(
        *CELL, each=pl.col(unit).cast(pl.Float64) / pl.col("samples")
    )
    return (
        tables.curves.filter(pl.col("kind") == "pass_at_k")
        .join(each, on=CELL, maintain_order="left")
        .filter(pl.col("each") > 0)
        .with_columns(tries=pl.col("x"), x=pl.col("x") * pl.col("each"))
    )


def _best(curves: pl.DataFrame) -> pl.DataFrame:
    """Return a task's options that no other beats at their cost, cheapest first."""
    names = list(dict.fromkeys(curves["model"]))
    found = frontier([_curve(curves.filter(pl.col("model") == name), name) for name in names])
    options = found.undominated
    return pl.DataFrame(
        {
            "model": list(options.name),
            "tries": options.k,
            "x": options.cost,
            "estimate": options.value.estimate,
            "low": options.value.low,
            "high": options.value.high,
        }
    ).filter(pl.col("estimate") > 0)


def _curve(points: pl.DataFrame, name: str) -> Curve:
    columns = (points[column].to_numpy() for column in ("estimate", "low", "high"))
    estimate, low, high = columns
    return Curve(
        name=name,
        k=points["tries"].to_numpy(),
        cost=points["x"].to_numpy(),
        value=Estimate(
            estimate=np.clip(estimate, 0, 1), low=low, high=high, level=float(points["level"][0])
        ),
    )


def _cheapest(curves: pl.DataFrame, best: dict[str, pl.DataFrame], unit: str) -> list[Row]:
    """Return for each task and target the cheapest measured way, beside the dearest model's."""
    rows = []
    for task, options in best.items():
        mine = curves.filter(pl.col("task") == task)
        dearest = mine.filter(pl.col("each") == pl.col("each").max())
        for target in TARGETS:
            there = options.filter(pl.col("estimate") >= target)
            if there.is_empty():
                continue
            other = dearest.filter(pl.col("estimate") >= target).sort("tries").head(1)
            rows.append(
                {
                    **there.row(0, named=True),
                    "task": task,
                    "target": target,
                    "unit": unit,
                    "other": None if other.is_empty() else other.row(0, named=True),
                }
            )
    return rows


def _found(tables: RunTables, cheapest: Sequence[Row]) -> dict[str, list[Finding]]:
    """Return for each task how half of the problems, and the highest target, cost least."""
    if tables.counts["model"].n_unique() < 2:
        return {}
    told: dict[str, dict[float, Row]] = {}
    for row in cheapest:  # USD come after FLOPs, and are what people pay
        told.setdefault(row["task"], {})[row["target"]] = row
    return {
        task: [Finding(text=_cheapest_sentence(rows[target]))]
        for task, rows in told.items()
        for target in [HALF if HALF in rows else max(rows)]
    }


def _cheapest_sentence(row: Row) -> str:
    tries = "1 try" if row["tries"] == 1 else f"{number(row['tries'])} tries"
    text = (
        f"The cheapest way measured to a coverage of {row['target']:g} is {row['model']} with "
        f"{tries}, {interval(row)}, at {number(row['x'])} {UNITS[row['unit']]} a problem"
    )
    other = row["other"]
    if other is None:
        return f"{text}; the model whose tries cost most does not reach it."
    if other["model"] == row["model"]:
        return f"{text}: no cheaper model does better."
    return f"{text}; {other['model']} takes {number(other['x'])}."


def _description(rows: Sequence[Row], unit: str) -> str:
    parts = [
        f"on {row['task']} {row['target']:g} by {row['model']} for {number(row['x'])}"
        for row in rows
    ]
    told = f", cheapest: {'; '.join(parts)}" if parts else ""
    return f"Coverage against {UNITS[unit]} a problem, with the frontier{told}."


def _costs(tables: RunTables) -> Row:
    """Return what each cell cost, with the sums for each task and in all."""
    # A sum of nulls is null: it is not known.
    sums = [
        pl.when(pl.col(column).count() > 0).then(pl.col(column).sum()).alias(column)
        for column in _COUNTED
    ]
    costs = tables.costs
    return {
        "cells": list(costs.iter_rows(named=True)),
        "tasks": list(costs.group_by("task", maintain_order=True).agg(sums).iter_rows(named=True)),
        "total": costs.select(sums).row(0, named=True),
        "billed": costs["usd"].count() > 0,
    }


def _chart(
    tables: RunTables, curves: pl.DataFrame, best: dict[str, pl.DataFrame], unit: str
) -> alt.ConcatChart:
    """Coverage against the cost of its tries, with the frontier behind."""
    colour = model_colour(tables)
    sheet = Sheet()
    panels = []
    for task in tasks_of(curves):
        mine = curves.filter(pl.col("task") == task)
        rates = rate_axis(mine["estimate"], "at least one of k tries passes")
        cost = power_axis(min(mine["x"]), max(mine["x"]), f"{UNITS[unit]} per problem, k tries")
        rows = [
            {**row, "k": number(row["tries"])} for row in chart_rows(mine, tables.parameters, rates)
        ]
        first = [row for row in rows if row["tries"] == 1]
        edge = chart_rows(best[task], tables.parameters, rates)
        base = {"x": cost.x(), "y": rates.y("estimate"), "color": colour, "detail": "model:N"}
        layers = [
            sheet.chart(edge)
            .mark_line(color=INK, strokeWidth=6, opacity=0.25, interpolate="step-after", clip=True)
            .encode(x=cost.x(), y=rates.y("estimate")),
            sheet.chart(rows).mark_line(strokeWidth=1.4, clip=True).encode(**base),
            sheet.chart(rows)
            .mark_point(filled=True, size=7, opacity=1, clip=True)
            .encode(tooltip=tooltip(UNITS[unit], "k"), **base),
            sheet.chart(first)
            .mark_point(filled=True, size=40, opacity=1, clip=True)
            .encode(**base),
        ]
        panels.append((task, layers))
    return panels_of(sheet, panels)
