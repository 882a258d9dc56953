"""Success against model size: PassUntil's law, its prediction of held-out models, and emergence.

Knows columns and marks; not how a law was fitted nor how emergence is judged.
"""

import json
import math
from collections.abc import Mapping, Sequence

import altair as alt
import polars as pl

from pipelines.reporting.charts import (
    COLOURS,
    GREY,
    INK,
    Axis,
    Sheet,
    chart_rows,
    double_log_axis,
    number,
    panels_of,
    size_axis,
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
    laws,
    points,
)
from pipelines.store import RunTables

ENOUGH_SIZES = 4
"""Sizes with which a law can be fitted and one more be held out."""
_SERIES = {
    "measured, used in the fit": (COLOURS[0], "circle"),
    "measured, held out": (COLOURS[1], "circle"),
    "predicted for the held-out": ("#f0a35e", "square"),
    "exact": (INK, "stroke"),
}
_MEASURED, _HELD_OUT, _PREDICTED, _EXACT = _SERIES


def section(tables: RunTables) -> Section | None:
    """Return the part on sizes, or None where fewer than two sizes are known."""
    sizes = {tables.parameters.get(model) for model in tables.counts["model"].unique()} - {None}
    if len(sizes) < 2:
        return None
    verdicts = _verdicts(tables)
    advice = [
        f"Only {len(sizes)} model sizes were measured; with {ENOUGH_SIZES} or more the law of "
        "size can be fitted and tested on a model that it has not seen."
    ]
    return Section(
        name="growth",
        title="Success against model size",
        values={
            "verdicts": verdicts,
            "task_laws": laws(tables, "task"),
            "emergence": laws(tables, "emergence"),
            "exact": tables.exact is not None,
        },
        figures={"pass_until": described(_chart(tables), _description(tables, verdicts))},
        found={verdict["task"]: _found(verdict) for verdict in verdicts},
        advice=advice if len(sizes) < ENOUGH_SIZES else (),
    )


def _verdicts(tables: RunTables) -> list[Row]:
    """Return for each task how its prediction of the held-out models and its growth came out."""
    measured = points(tables.curves, "pass_until")
    predicted = points(tables.curves, "task_law_prediction")
    fitted = {row["task"]: row for row in laws(tables, "task")}
    growth = {row["task"]: row["status"] for row in laws(tables, "emergence")}
    verdicts = []
    for task in dict.fromkeys(tables.counts["task"]):
        law = fitted.get(task)
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
                "growth": growth.get(task),
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


def _found(verdict: Row) -> list[Finding]:
    found = [_prediction(verdict)]
    if verdict["growth"]:
        found.append(Finding(text=f"Growth with size: {_first_lower(verdict['growth'])}"))
    return found


def _prediction(verdict: Row) -> Finding:
    if not verdict["tested"]:
        law = verdict["law"]
        why = f" {law['status']}" if law and not law["converged"] else ""
        return Finding(text=f"The law of size predicted no held-out model.{why}")
    if len(verdict["tests"]) > 1:
        text = (
            f"The law of size, fitted without the held-out models, predicted {verdict['held']} of "
            f"{verdict['tested']} of them within its interval."
        )
        return Finding(text=text, good=verdict["held"] == verdict["tested"])
    test = verdict["tests"][0]
    text = (
        f"Without having seen {test['model']}, the law of size predicts that it passes at a rate "
        f"of {interval(test['guess'])}; measured is {number(test['truth']['estimate'])}."
    )
    return Finding(text=text, good=test["held"])


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _description(tables: RunTables, verdicts: Sequence[Row]) -> str:
    rates = tables.curves.filter(pl.col("kind") == "pass_until").sort("x")
    parts = []
    for verdict in verdicts:
        mine = rates.filter(pl.col("task") == verdict["task"])
        if not mine.is_empty():
            parts.append(
                f"on {verdict['task']}, from {number(mine['estimate'][0])} ({mine['model'][0]}) "
                f"to {number(mine['estimate'][-1])} ({mine['model'][-1]})"
            )
    return f"Mean pass rate against model size: {'; '.join(parts)}."


def _chart(tables: RunTables) -> alt.ConcatChart:
    """Pass rate against size, on the scale on which PassUntil's law is a straight line."""
    kinds = ("pass_until", "task_law", "task_law_prediction")
    measured, law, predicted = (tables.curves.filter(pl.col("kind") == kind) for kind in kinds)
    sizes = [*measured["x"], *law["x"]]
    x = size_axis(min(sizes) / 1.25, max(sizes) * 1.25)
    exact = _exact_means(tables)
    fitted = _task_laws(tables.laws)
    sheet = Sheet()
    panels = []
    for task in tasks_of(measured):
        mine, line, guess, known = (
            frame.filter(pl.col("task") == task) for frame in (measured, law, predicted, exact)
        )
        axis = double_log_axis(
            measured=[*_ends(mine), *guess["estimate"], *guess["high"]],
            fitted=line["estimate"],
            title="pass rate (mean over problems)",
        )
        # A law that was refused predicted nothing, so no model stands apart.
        held_out = () if guess.is_empty() else fitted.get(task, {}).get("held_out", ())
        drawn = [
            {**row, "series": _HELD_OUT if row["model"] in held_out else _MEASURED}
            for row in chart_rows(mine, tables.parameters, axis)
        ]
        # Models of one size have one prediction.
        guesses = _series(guess.unique("x", maintain_order=True), tables, axis, _PREDICTED)
        shown = _shown(predicted=bool(guesses), exact=not exact.is_empty())
        seen = fitted.get(task, {}).get("x_high", math.inf)
        layers = [
            *_law_layers(sheet, chart_rows(line, tables.parameters, axis, told=False), seen, x,
                         axis),
            *_point_layers(sheet, drawn, guesses, _series(known, tables, axis, _EXACT), x, axis,
                           shown),
        ]  # fmt: skip
        panels.append((task, layers))
    return panels_of(sheet, panels, legend_below=True)


def _ends(measured: pl.DataFrame) -> list[float]:
    """Return the rates that the axis is to show; around its limits where no model passed."""
    limits = measured["high"].to_list()
    if max(measured["estimate"]) == 0:
        return [*limits, max(limits) / 100, min(10 * max(limits), 0.9)]
    return [*measured["estimate"], *limits]


def _series(frame: pl.DataFrame, tables: RunTables, axis: Axis, name: str) -> list[Row]:
    return [{**row, "series": name} for row in chart_rows(frame, tables.parameters, axis)]


def _law_layers(sheet: Sheet, line: list[Row], seen: float, x: Axis, axis: Axis) -> list[alt.Chart]:
    """Return the law in its band: solid up to the largest size that it saw, then dashed."""
    inside = [row for row in line if row["x"] <= seen]
    beyond = [*inside[-1:], *(row for row in line if row["x"] > seen)]
    place = {"x": x.x(), "y": axis.y("estimate")}
    return [
        sheet.chart(line)
        .mark_area(color="#8b98a5", opacity=0.28, clip=True)
        .encode(x=x.x(), y=axis.y("low"), y2="high:Q"),
        sheet.chart(inside).mark_line(color=GREY, strokeWidth=1.3, clip=True).encode(**place),
        sheet.chart(beyond)
        .mark_line(color=GREY, strokeWidth=1.3, strokeDash=[4, 3], clip=True)
        .encode(**place),
    ]


def _point_layers(
    sheet: Sheet,
    drawn: list[Row],
    guesses: list[Row],
    known: list[Row],
    x: Axis,
    axis: Axis,
    shown: list[str],
) -> list[alt.Chart]:
    """Return what was predicted, measured and computed exactly, in this order."""
    colour, shape = _colour(shown), _shape(shown)
    limits = [row for row in drawn if row["limit"]]
    values = [row for row in drawn if not row["limit"]]
    span = {"x": x.x(), "y": axis.y("low"), "y2": "high:Q", "color": colour}
    told = tooltip("parameters")
    point = {"x": x.x(), "y": axis.y("estimate"), "color": colour, "shape": shape, "tooltip": told}
    return [
        sheet.chart(guesses).mark_rule(strokeWidth=9, opacity=0.5, clip=True).encode(**span),
        sheet.chart(guesses).mark_point(filled=True, size=70, opacity=1, clip=True).encode(**point),
        sheet.chart(drawn).mark_rule(strokeWidth=1.4, clip=True).encode(**span),
        sheet.chart(values).mark_point(filled=True, size=42, opacity=1, clip=True).encode(**point),
        sheet.chart(limits)
        .mark_point(shape="triangle-down", size=55, filled=False, strokeWidth=1.5, clip=True)
        .encode(x=x.x(), y=axis.y("high"), color=colour, tooltip=told),
        sheet.chart(known)
        .mark_point(strokeWidth=1.6, size=160, opacity=1, clip=True)
        .encode(**point),
    ]


def _shown(*, predicted: bool, exact: bool) -> list[str]:
    hidden = {_HELD_OUT: predicted, _PREDICTED: predicted, _EXACT: exact}
    return [name for name in _SERIES if hidden.get(name, True)]


def _colour(shown: list[str]) -> alt.Color:
    scale = alt.Scale(domain=shown, range=[_SERIES[name][0] for name in shown])
    legend = alt.Legend(symbolOpacity=1, symbolSize=90)
    return alt.Color("series:N", title=None, scale=scale, sort=None, legend=legend)


def _shape(shown: list[str]) -> alt.Shape:
    scale = alt.Scale(domain=shown, range=[_SERIES[name][1] for name in shown])
    return alt.Shape("series:N", title=None, scale=scale, sort=None)


def _exact_means(tables: RunTables) -> pl.DataFrame:
    """Return the exact mean pass probability of the problems that were sampled."""
    columns = ["model", "task", "x", "estimate", "low", "high"]
    if tables.exact is None:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.Float64)).cast(
            {"model": pl.String, "task": pl.String}
        )
    sampled = tables.counts.filter(
        pl.col("n") > 0, pl.col("model").is_in(list(tables.parameters))
    ).join(tables.exact, on=[*CELL, "problem_id"], how="left")
    # A mean over some of the problems only is not comparable with the measured one.
    means = (
        sampled.group_by(CELL, maintain_order=True)
        .agg(estimate=pl.col("p").mean(), missing=pl.col("p").null_count())
        .filter(pl.col("missing") == 0)
    )
    size = pl.col("model").replace_strict(dict(tables.parameters), return_dtype=pl.Float64)
    return means.with_columns(x=size, low="estimate", high="estimate").select(columns)


def _task_laws(table: pl.DataFrame) -> Mapping[str, Row]:
    """Return for each task the models that its law did not see, and the largest size it saw."""
    rows = table.filter(pl.col("kind") == "task").select("task", "held_out", "law")
    return {
        row["task"]: {
            "held_out": (row["held_out"] or "").split(", "),
            "x_high": json.loads(row["law"])["domain"]["size"][1],
        }
        for row in rows.iter_rows(named=True)
    }
