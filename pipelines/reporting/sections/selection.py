"""Choosing one answer of many: what each method is worth, under the oracle that coverage is.

Knows columns and marks; not how any method chooses.
"""

import altair as alt
import polars as pl

from pipelines.reporting.charts import (
    COLOURS,
    INK,
    Sheet,
    number,
    panels_of,
    rate_axis,
    tasks_of,
    tries_axis,
)
from pipelines.reporting.sections.section import (
    CELL,
    Finding,
    Row,
    Section,
    described,
    interval,
    leading_model,
    plain,
    rate,
)
from pipelines.store import RunTables

_ORACLE = "coverage: an oracle chooses"
_METHOD_COLOURS = COLOURS[:5]


def section(tables: RunTables) -> Section | None:
    """Return the part on choosing, or None where no problem has several samples."""
    if tables.selection.is_empty():
        return None
    model = leading_model(tables.selection, tables)
    chosen = tables.selection.filter(pl.col("model") == model)
    most = _at_most(chosen)
    found = {task: _found(most.filter(pl.col("task") == task)) for task in tasks_of(most)}
    said = " ".join(finding.text for findings in found.values() for finding in findings)
    return Section(
        name="selection",
        title="Choosing one answer",
        values={
            "model": model,
            "methods": list(most.iter_rows(named=True)),
            "cells": _cells(tables),
        },
        figures={"selection": described(_chart(chosen), f"Accuracy of the chosen answer. {said}")},
        found=found,
    )


def _at_most(selection: pl.DataFrame) -> pl.DataFrame:
    """Return the rows at the most tries of each cell."""
    return selection.filter(pl.col("k") == pl.col("k").max().over(CELL))


def _found(methods: pl.DataFrame) -> list[Finding]:
    """Return what choosing is worth to the leading model on one task."""
    first = methods.row(0, named=True)
    if first["k"] < 2:
        return []
    majority = methods.filter(pl.col("method") == "majority").row(0, named=True)
    best = methods.sort("estimate", descending=True).row(0, named=True)
    single = first["estimate"] - first["generation_verification_gap"]
    oracle = first["coverage"]
    text = (
        f"Choosing among {number(first['k'])} samples of {first['model']}, majority is right on "
        f"{interval(majority)} of the problems, where one sample is on {rate(single)} and an "
        f"oracle would be on {rate(oracle)}"
    )
    if best["estimate"] > majority["estimate"]:
        text += f"; the best method, {plain(best['method'])}, on {interval(best)}"
    if oracle > single:
        text += f": {max(100 * (best['estimate'] - single) / (oracle - single), 0):.0f}% of the way"
    return [Finding(text=f"{text}.")]


def _cells(tables: RunTables) -> list[Row]:
    """Return what choosing is worth at the most tries, by model and task."""
    majority = pl.col("method") == "majority"
    cells = (
        _at_most(tables.selection)
        .group_by(CELL, maintain_order=True)
        .agg(
            pl.col("k", "coverage").first(),
            single=(pl.col("estimate") - pl.col("generation_verification_gap")).first(),
            majority=pl.col("estimate").filter(majority).first(),
            best=pl.col("estimate").max(),
            method=pl.col("method").sort_by("estimate", descending=True).first(),
        )
    )
    return list(cells.iter_rows(named=True))


def _chart(chosen: pl.DataFrame) -> alt.ConcatChart:
    """Accuracy of the chosen answer against tries, of one model, under its coverage."""
    methods = _best_methods(chosen)
    oracle = chosen.unique(["task", "k"], maintain_order=True).with_columns(
        method=pl.lit(_ORACLE), estimate="coverage"
    )
    drawn = pl.concat([oracle, chosen.filter(pl.col("method").is_in(methods))])
    colour = alt.Color(
        "method:N",
        title=None,
        sort=None,
        scale=alt.Scale(
            domain=[_ORACLE, *map(plain, methods)], range=[INK, *_METHOD_COLOURS[: len(methods)]]
        ),
        legend=alt.Legend(symbolOpacity=1, symbolSize=90, columns=3),
    )
    sheet = Sheet()
    panels = []
    for task in tasks_of(drawn):
        mine = drawn.filter(pl.col("task") == task)
        # Methods that choose ever worse leave the axis rather than stretch it over decades.
        least = min(mine.filter(method="majority", k=1)["estimate"]) / 10
        rates = rate_axis(mine["estimate"].clip(least), "the chosen answer is right")
        rows = [
            {
                "method": plain(row["method"]),
                "x": row["k"],
                "estimate": float(f"{rates.place(row['estimate'], inside=True):.6g}"),
                "text": number(row["estimate"]),
            }
            for row in mine.iter_rows(named=True)
        ]
        tries = tries_axis(max(mine["k"]))
        base = {"x": tries.x(), "y": rates.y("estimate"), "color": colour}
        told = [
            alt.Tooltip("method:N"),
            alt.Tooltip("x:Q", title="k"),
            alt.Tooltip("text:N", title="right"),
        ]
        layers = [
            sheet.chart(rows).mark_line(strokeWidth=1.4, clip=True).encode(**base),
            sheet.chart(rows)
            .mark_point(filled=True, size=26, opacity=1, clip=True)
            .encode(tooltip=told, **base),
        ]
        panels.append((task, layers))
    return panels_of(sheet, panels, legend_below=True)


def _best_methods(chosen: pl.DataFrame) -> list[str]:
    """Return majority, and of the others those that are best at the most tries, over tasks."""
    most = chosen.filter(pl.col("k") == pl.col("k").max().over("task"))
    means = most.group_by("method", maintain_order=True).agg(pl.col("estimate").mean())
    others = means.filter(pl.col("method") != "majority").sort("estimate", descending=True)
    # A method under several names, such as best-of-k by a column and its alias, is drawn once.
    others = others.unique("estimate", keep="first", maintain_order=True)
    return ["majority", *others["method"].head(len(_METHOD_COLOURS) - 1)]
