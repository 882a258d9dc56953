"""The figures of a report: the tables of a run in, Vega-Lite charts out.

Knows columns, scales and marks; nothing of pages, files or how a law was fitted. Every chart
carries its data, one panel a task, and is readable in print.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from pipelines.reporting.charts import (
    GREY,
    INK,
    Sheet,
    chart_rows,
    double_log_axis,
    number,
    panels_of,
    power_axis,
    rate_axis,
    size_axis,
    size_colour,
    tasks_of,
    tooltip,
    tries_axis,
)
from pipelines.store import RunTables

Row = dict[str, Any]

MOST_CELLS = 5_000
"""Most problems drawn in one figure; above, every n-th is."""
FEW_PASSES = 5
"""Below so many passes an estimate is drawn paler."""

_SERIES = {
    "measured, used in the fit": ("#1f5f99", "circle"),
    "measured, held out": ("#c2410c", "circle"),
    "predicted for the held-out": ("#f0a35e", "square"),
    "exact": (INK, "stroke"),
}
_MEASURED, _HELD_OUT, _PREDICTED, _EXACT = _SERIES
_ORACLE = "coverage: an oracle chooses"
_METHOD_COLOURS = ("#1f5f99", "#c2410c", "#1a7f37", "#8250df", "#b08800")


def draw(tables: RunTables) -> dict[str, alt.ConcatChart]:
    """Return the figures that these tables allow, by name, in the order of reading."""
    charts = {
        "coverage": _coverage(tables),
        "pass_until": _pass_until(tables),
        "exact": _exact(tables),
        "cost": _cost(tables),
        "selection": _selection(tables),
    }
    return {name: chart for name, chart in charts.items() if chart is not None}


# The four figures.


def _coverage(tables: RunTables) -> alt.ConcatChart | None:
    """Coverage against tries: points and bands as measured, the law through and beyond them."""
    curves = tables.curves
    measured = curves.filter(pl.col("kind") == "pass_at_k")
    if measured.is_empty():
        return None
    law = curves.filter(pl.col("kind") == "coverage_law")
    most = measured.group_by("model", "task").agg(most=pl.col("x").max())
    law = law.join(most, on=["model", "task"])
    size = size_colour(tables.parameters)
    sheet = Sheet()
    panels = []
    for task in tasks_of(measured):
        mine, fitted = (frame.filter(pl.col("task") == task) for frame in (measured, law))
        rates = rate_axis(mine["estimate"], "at least one of k tries passes")
        tries = power_axis(1, max([*mine["x"], *fitted["x"]]), "tries per problem, k")
        rows = chart_rows(mine, tables.parameters, rates)
        law_rows = chart_rows(fitted, tables.parameters, rates, told=False)
        # A coverage of 0 has no place on a log axis; its band shows what is known.
        shown = rows if rates.kind == "linear" else [row for row in rows if not row["limit"]]
        inside = [row for row in law_rows if row["x"] <= row["most"]]
        # The dashes start where the solid line ends.
        seam = {row["model"]: row for row in inside}
        beyond = [*seam.values(), *(row for row in law_rows if row["x"] > row["most"])]
        base = {"x": tries.x(), "color": size, "detail": "model:N"}
        layers = [
            sheet.chart(rows)
            .mark_area(opacity=0.13, clip=True)
            .encode(y=rates.y("low"), y2="high:Q", **base),
            sheet.chart(inside)
            .mark_line(strokeWidth=1.2, clip=True)
            .encode(y=rates.y("estimate"), **base),
            sheet.chart(beyond)
            .mark_line(strokeWidth=1.2, strokeDash=[4, 3], clip=True)
            .encode(y=rates.y("estimate"), **base),
            sheet.chart(shown)
            .mark_point(size=9, filled=True, opacity=1, clip=True)
            .encode(y=rates.y("estimate"), tooltip=tooltip("tries"), **base),
        ]
        panels.append((task, layers))
    return panels_of(sheet, panels)


def _pass_until(tables: RunTables) -> alt.ConcatChart | None:
    """Pass rate against size, on the scale on which PassUntil's law is a straight line."""
    curves = tables.curves
    kinds = ("pass_until", "task_law", "task_law_prediction")
    measured, law, predicted = (curves.filter(pl.col("kind") == kind) for kind in kinds)
    if measured.is_empty():
        return None
    sizes = [*measured["x"], *law["x"]]
    x = size_axis(min(sizes) / 1.25, max(sizes) * 1.25)
    exact = _exact_means(tables)
    fitted = {row["task"]: row for row in _task_laws(tables.laws)}
    sheet = Sheet()
    panels = []
    for task in tasks_of(measured):
        mine, line_of, guess = (
            frame.filter(pl.col("task") == task) for frame in (measured, law, predicted)
        )
        axis = double_log_axis(
            measured=[*mine["estimate"], *mine["high"], *guess["estimate"], *guess["high"]],
            fitted=line_of["estimate"],
            title="pass rate (mean over problems)",
        )
        # A law that was refused predicted nothing, so no model stands apart.
        held_out = () if guess.is_empty() else fitted.get(task, {}).get("held_out", ())
        points = [
            {**row, "series": _HELD_OUT if row["model"] in held_out else _MEASURED}
            for row in chart_rows(mine, tables.parameters, axis)
        ]
        guesses = [
            {**row, "series": _PREDICTED}
            for row in chart_rows(
                # Models of one size have one prediction.
                guess.unique("x", maintain_order=True),
                tables.parameters,
                axis,
            )
        ]
        known = [
            {**row, "series": _EXACT}
            for row in chart_rows(exact.filter(pl.col("task") == task), tables.parameters, axis)
        ]
        line = chart_rows(line_of, tables.parameters, axis, told=False)
        seen = fitted.get(task, {}).get("x_high", math.inf)
        inside = [row for row in line if row["x"] <= seen]
        beyond = [*inside[-1:], *(row for row in line if row["x"] > seen)]
        series = _series_colour(bool(guesses), not exact.is_empty())
        shape = _series_shape(bool(guesses), not exact.is_empty())
        limits = [row for row in points if row["limit"]]
        values = [row for row in points if not row["limit"]]
        estimate = axis.y("estimate")
        layers = [
            sheet.chart(line)
            .mark_area(color="#8b98a5", opacity=0.28, clip=True)
            .encode(x=x.x(), y=axis.y("low"), y2="high:Q"),
            sheet.chart(inside)
            .mark_line(color=GREY, strokeWidth=1.3, clip=True)
            .encode(x=x.x(), y=estimate),
            sheet.chart(beyond)
            .mark_line(color=GREY, strokeWidth=1.3, strokeDash=[4, 3], clip=True)
            .encode(x=x.x(), y=estimate),
            sheet.chart(guesses)
            .mark_rule(strokeWidth=9, opacity=0.5, clip=True)
            .encode(x=x.x(), y=axis.y("low"), y2="high:Q", color=series),
            sheet.chart(guesses)
            .mark_point(filled=True, size=70, opacity=1, clip=True)
            .encode(x=x.x(), y=estimate, color=series, shape=shape, tooltip=tooltip("parameters")),
            sheet.chart(points)
            .mark_rule(strokeWidth=1.4, clip=True)
            .encode(x=x.x(), y=axis.y("low"), y2="high:Q", color=series),
            sheet.chart(values)
            .mark_point(filled=True, size=42, opacity=1, clip=True)
            .encode(x=x.x(), y=estimate, color=series, shape=shape, tooltip=tooltip("parameters")),
            sheet.chart(limits)
            .mark_point(shape="triangle-down", size=55, filled=False, strokeWidth=1.5, clip=True)
            .encode(x=x.x(), y=axis.y("high"), color=series, tooltip=tooltip("parameters")),
            sheet.chart(known)
            .mark_point(strokeWidth=1.6, size=160, opacity=1, clip=True)
            .encode(x=x.x(), y=estimate, color=series, shape=shape, tooltip=tooltip("parameters")),
        ]
        panels.append((task, layers))
    return panels_of(sheet, panels, legend_below=True)


def _exact(tables: RunTables) -> alt.ConcatChart | None:
    """Estimated against exact pass probability of every problem, with the line where they agree."""
    if tables.exact is None:
        return None
    keys = ["model", "task", "problem_id"]
    cells = (
        tables.rates.join(tables.exact, on=keys)
        .join(tables.counts.select(*keys, "c"), on=keys)
        .rename({"p": "x"})
    )
    if cells.is_empty():
        return None
    cells = cells.gather_every(math.ceil(cells.height / MOST_CELLS))
    size = size_colour(tables.parameters)
    sheet = Sheet()
    panels = []
    for task in tasks_of(cells):
        mine = cells.filter(pl.col("task") == task)
        estimated = rate_axis(mine["estimate"], "estimated pass rate", always_log=True)
        exact = power_axis(estimated.low, 1, "exact pass probability")
        identity = [{"x": end, "estimate": end} for end in (estimated.low, 1.0)]
        rows = chart_rows(mine.filter(pl.col("x") >= estimated.low), tables.parameters, estimated)
        rows = [{**row, "pale": 0.35 if row["c"] < FEW_PASSES else 0.8} for row in rows]
        values = [row for row in rows if not row["limit"]]
        limits = [row for row in rows if row["limit"]]
        layers = [
            sheet.chart(rows)
            .mark_rule(strokeWidth=0.7, opacity=0.35, clip=True)
            .encode(x=exact.x(), y=estimated.y("low"), y2="high:Q", color=size),
            sheet.chart(identity)
            .mark_line(color=INK, strokeWidth=1, clip=True)
            .encode(x=exact.x(), y=estimated.y("estimate")),
            sheet.chart(values)
            .mark_point(filled=True, size=16, clip=True)
            .encode(
                x=exact.x(),
                y=estimated.y("estimate"),
                color=size,
                opacity=alt.Opacity("pale:Q", scale=None),
                tooltip=tooltip("exact", "problem_id"),
            ),
            sheet.chart(limits)
            .mark_point(shape="triangle-down", size=22, strokeWidth=0.9, opacity=0.7, clip=True)
            .encode(
                x=exact.x(),
                y=estimated.y("high"),
                color=size,
                tooltip=tooltip("exact", "problem_id"),
            ),
        ]
        panels.append((task, layers))
    return panels_of(sheet, panels)


def _cost(tables: RunTables) -> alt.ConcatChart | None:
    """Coverage against the compute that its tries cost."""
    each = tables.costs.filter(pl.col("samples") > 0).select(
        "model", "task", each=pl.col("flops") / pl.col("samples")
    )
    curves = (
        tables.curves.filter(pl.col("kind") == "pass_at_k")
        .join(each, on=["model", "task"])
        .filter(pl.col("each") > 0)
        .with_columns(tries=pl.col("x"), x=pl.col("x") * pl.col("each"))
    )
    if curves.is_empty():
        return None
    size = size_colour(tables.parameters)
    sheet = Sheet()
    panels = []
    for task in tasks_of(curves):
        mine = curves.filter(pl.col("task") == task)
        rates = rate_axis(mine["estimate"], "at least one of k tries passes")
        flops = power_axis(min(mine["x"]), max(mine["x"]), "FLOPs per problem, k tries")
        rows = chart_rows(mine, tables.parameters, rates)
        first = [row for row in rows if row["tries"] == 1]
        base = {"x": flops.x(), "y": rates.y("estimate"), "color": size, "detail": "model:N"}
        layers = [
            sheet.chart(rows).mark_line(strokeWidth=1.4, clip=True).encode(**base),
            sheet.chart(first)
            .mark_point(filled=True, size=40, opacity=1, clip=True)
            .encode(tooltip=tooltip("FLOPs"), **base),
        ]
        panels.append((task, layers))
    return panels_of(sheet, panels)


def _selection(tables: RunTables) -> alt.ConcatChart | None:
    """Accuracy of the chosen answer against tries, for the largest model, under its coverage."""
    chosen = largest_model(tables.selection, tables.parameters)
    if chosen.is_empty():
        return None
    methods = _best_methods(chosen)
    oracle = chosen.unique(["task", "k"], maintain_order=True).with_columns(
        method=pl.lit(_ORACLE), estimate="coverage"
    )
    drawn = pl.concat([oracle, chosen.filter(pl.col("method").is_in(methods))])
    domain = [_ORACLE, *methods]
    colour = alt.Color(
        "method:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=domain, range=[INK, *_METHOD_COLOURS[: len(methods)]]),
        legend=alt.Legend(symbolOpacity=1, symbolSize=90, columns=3),
    )
    sheet = Sheet()
    panels = []
    for task in tasks_of(drawn):
        mine = drawn.filter(pl.col("task") == task).with_columns(x="k")
        # Methods that choose ever worse leave the axis rather than stretch it over decades.
        least = min(mine.filter(method="majority", k=1)["estimate"]) / 10
        rates = rate_axis(mine["estimate"].clip(least), "the chosen answer is right")
        tries = tries_axis(max(mine["k"]))
        rows = [
            {
                "method": row["method"],
                "x": row["k"],
                "estimate": float(f"{rates.place(row['estimate'], inside=True):.6g}"),
                "text": number(row["estimate"]),
            }
            for row in mine.iter_rows(named=True)
        ]
        base = {"x": tries.x(), "y": rates.y("estimate"), "color": colour}
        told = [alt.Tooltip("method:N"), alt.Tooltip("x:Q", title="k"), alt.Tooltip("text:N")]
        layers = [
            sheet.chart(rows).mark_line(strokeWidth=1.4, clip=True).encode(**base),
            sheet.chart(rows)
            .mark_point(filled=True, size=26, opacity=1, clip=True)
            .encode(tooltip=told, **base),
        ]
        panels.append((task, layers))
    return panels_of(sheet, panels, legend_below=True)


def largest_model(selection: pl.DataFrame, parameters: Mapping[str, int]) -> pl.DataFrame:
    """Return the rows of the largest model; of several of that size, the first."""
    names = list(dict.fromkeys(selection["model"]))
    if not names:
        return selection
    largest = max(names, key=lambda name: parameters.get(name, 0))
    return selection.filter(pl.col("model") == largest)


def _best_methods(chosen: pl.DataFrame) -> list[str]:
    """Return majority, and of the others those that are best at the most tries, over tasks."""
    most = chosen.filter(pl.col("k") == pl.col("k").max().over("task"))
    means = most.group_by("method", maintain_order=True).agg(pl.col("estimate").mean())
    others = means.filter(pl.col("method") != "majority").sort("estimate", descending=True)
    # A method under several names, such as best-of-k by a column and its alias, is drawn once.
    others = others.unique("estimate", keep="first", maintain_order=True)
    return ["majority", *others["method"].head(len(_METHOD_COLOURS) - 1)]


def _shown(predicted: bool, exact: bool) -> list[str]:
    hidden = {_HELD_OUT: predicted, _PREDICTED: predicted, _EXACT: exact}
    return [name for name in _SERIES if hidden.get(name, True)]


def _series_colour(predicted: bool, exact: bool) -> alt.Color:
    shown = _shown(predicted, exact)
    scale = alt.Scale(domain=shown, range=[_SERIES[name][0] for name in shown])
    legend = alt.Legend(symbolOpacity=1, symbolSize=90)
    return alt.Color("series:N", title=None, scale=scale, sort=None, legend=legend)


def _series_shape(predicted: bool, exact: bool) -> alt.Shape:
    shown = _shown(predicted, exact)
    scale = alt.Scale(domain=shown, range=[_SERIES[name][1] for name in shown])
    return alt.Shape("series:N", title=None, scale=scale, sort=None)


def _exact_means(tables: RunTables) -> pl.DataFrame:
    """Return the exact mean pass probability of the problems that were sampled."""
    keys = ["model", "task"]
    columns = ["model", "task", "x", "estimate", "low", "high"]
    if tables.exact is None:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.Float64)).cast(
            {"model": pl.String, "task": pl.String}
        )
    sampled = tables.counts.filter(pl.col("n") > 0).join(
        tables.exact, on=[*keys, "problem_id"], how="left"
    )
    # A mean over some of the problems only is not comparable with the measured one.
    means = (
        sampled.group_by(keys, maintain_order=True)
        .agg(estimate=pl.col("p").mean(), missing=pl.col("p").null_count())
        .filter(pl.col("missing") == 0)
    )
    size = pl.col("model").replace_strict(dict(tables.parameters), return_dtype=pl.Float64)
    return means.with_columns(x=size, low="estimate", high="estimate").select(columns)


def _task_laws(laws: pl.DataFrame) -> list[Row]:
    rows = laws.filter(pl.col("kind") == "task").select("task", "held_out", "law")
    return [
        {
            "task": row["task"],
            "held_out": (row["held_out"] or "").split(", "),
            "x_high": json.loads(row["law"])["domain"]["size"][1],
        }
        for row in rows.iter_rows(named=True)
    ]
