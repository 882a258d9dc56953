"""Success against tries: what was measured, where the data end, and what the law forecasts.

Knows columns and marks; not how coverage was estimated nor how its law was fitted.
"""

from collections.abc import Sequence

import altair as alt
import polars as pl

from pipelines.reporting.charts import (
    GREY,
    Axis,
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
    called,
    counted,
    described,
    interval,
    leading_model,
    listed,
    model_colour,
    plain,
)
from pipelines.store import RunTables

HUNDRED = 100
"""Tries of which the summary speaks, beside one and the most."""
WIDE = 0.2
"""A forecast whose interval is wider than this asks for more samples."""


def section(tables: RunTables) -> Section | None:
    """Return the part on tries, or None where no coverage was measured."""
    measured = _measured(tables)
    if measured.is_empty():
        return None
    forecasts = _forecasts(tables)
    return Section(
        name="coverage",
        title="Success against tries",
        values={"forecasts": forecasts},
        figures={"coverage": described(_chart(tables), _description(tables, measured))},
        found={task: _found(tables, task, forecasts) for task in tasks_of(measured)},
        advice=_advice(tables, forecasts),
    )


def _measured(tables: RunTables) -> pl.DataFrame:
    return tables.curves.filter(pl.col("kind") == "pass_at_k")


def _forecasts(tables: RunTables) -> list[Row]:
    """Return for each cell how far it was measured and what the law says furthest beyond.

    `forecast` is None where no law may be read; `status` then says why.
    """
    last = pl.struct("x", "estimate", "low", "high").sort_by("x").last()
    ends = _measured(tables).group_by(CELL, maintain_order=True).agg(last.alias("measured"))
    drawn = tables.curves.filter(pl.col("kind") == "coverage_law")
    beyond = drawn.group_by(CELL).agg(last.alias("forecast"))
    chosen = tables.laws.filter(pl.col("kind") == "coverage", "chosen")
    found = ends.join(beyond, on=CELL, how="left", maintain_order="left").join(
        chosen.select(*CELL, "family", "status"), on=CELL, how="left", maintain_order="left"
    )
    return list(found.iter_rows(named=True))


def _found(tables: RunTables, task: str, forecasts: Sequence[Row]) -> list[Finding]:
    """Return what the summary says of a task: the leading model's coverage, and its forecast."""
    measured = _measured(tables).filter(pl.col("task") == task)
    model = leading_model(measured, tables)
    curve = measured.filter(pl.col("model") == model).sort("x")
    forecast = next(row for row in forecasts if (row["model"], row["task"]) == (model, task))
    name = called(str(model), tables)
    found = [Finding(text=_coverage_sentence(name, tables, str(model), task, curve))]
    if forecast["measured"]["estimate"] > 0:
        found.append(Finding(text=_forecast_sentence(forecast)))
    return found


def _coverage_sentence(
    name: str, tables: RunTables, model: str, task: str, curve: pl.DataFrame
) -> str:
    if curve["estimate"].max() == 0:
        n = int(tables.counts.filter(model=model, task=task)["n"].sum())
        limit = number(curve["high"][0])
        return (
            f"{name} passed none of {number(n)} samples: on problems like these it "
            f"passes at a rate of at most {limit}."
        )
    rows = list(curve.iter_rows(named=True))
    hundred = min(rows, key=lambda row: abs(row["x"] - HUNDRED))
    shown = {row["x"]: row for row in (rows[0], hundred, rows[-1])}
    parts = [f"{interval(row)} {_tries(x)}" for x, row in shown.items()]
    end = ", the most that all problems had" if len(parts) > 1 else ""
    return f"{name} reaches a coverage of {listed(parts)}{end}."


def _tries(count: float) -> str:
    return "in one try" if count == 1 else f"within {number(count)} tries"


def _forecast_sentence(row: Row) -> str:
    forecast, end = row["forecast"], row["measured"]["x"]
    if forecast is None:
        return f"Beyond {number(end)} tries nothing is forecast. {row['status'] or ''}".rstrip()
    return (
        f"Within {number(forecast['x'])} tries, {number(forecast['x'] / end)} times beyond the "
        f"data, the {law_name(row['family'])} forecasts {interval(forecast)}."
    )


def law_name(family: str) -> str:
    """Return what a law of tries is called."""
    return "stack of laws" if family == "stack" else f"{plain(family)} law"


def _advice(tables: RunTables, forecasts: Sequence[Row]) -> list[str]:
    wide = [
        row
        for row in forecasts
        if row["forecast"] and row["forecast"]["high"] - row["forecast"]["low"] > WIDE
    ]
    if not wide:
        return []
    sizes = tables.counts.group_by("task").agg(pl.col("problem_id").n_unique())
    problems = counted(min(sizes["problem_id"]), "problem")
    verb = "is" if len(wide) == 1 else "are"
    return [
        f"{len(wide):,} of {len(forecasts):,} forecasts {verb} uncertain by more than {WIDE:g}: "
        f"more problems narrow them most (the smallest task has {problems}), more tries move the "
        "end of the data."
    ]


def _description(tables: RunTables, measured: pl.DataFrame) -> str:
    parts = []
    for task in tasks_of(measured):
        mine = measured.filter(pl.col("task") == task)
        model = leading_model(mine, tables)
        curve = mine.filter(pl.col("model") == model).sort("x")
        parts.append(
            f"on {task}, {model} goes from {number(curve['estimate'][0])} at one try to "
            f"{number(curve['estimate'][-1])} at {number(curve['x'][-1])}"
        )
    return f"Coverage against tries, one line a model: {'; '.join(parts)}."


def _chart(tables: RunTables) -> alt.ConcatChart:
    """Coverage against tries: points and bands as measured, the law through and beyond them."""
    measured = _measured(tables)
    most = measured.group_by(CELL).agg(most=pl.col("x").max())
    law = tables.curves.filter(pl.col("kind") == "coverage_law").join(most, on=CELL)
    colour = model_colour(tables)
    sheet = Sheet()
    panels = []
    for task in tasks_of(measured):
        mine, fitted = (frame.filter(pl.col("task") == task) for frame in (measured, law))
        rates = rate_axis(mine["estimate"], "at least one of k tries passes")
        tries = power_axis(1, max([*mine["x"], *fitted["x"]]), "tries per problem, k")
        base = {"x": tries.x(), "color": colour, "detail": "model:N"}
        layers = [
            *_law_layers(sheet, chart_rows(fitted, tables.parameters, rates, told=False),
                         rates, base),
            *_measured_layers(sheet, chart_rows(mine, tables.parameters, rates), rates, base),
            *_end_layers(sheet, fitted, tables, rates, base),
        ]  # fmt: skip
        panels.append((task, layers))
    return panels_of(sheet, panels)


def _measured_layers(sheet: Sheet, rows: list[Row], rates: Axis, base: Row) -> list[alt.Chart]:
    # A coverage of 0 has no place on a log axis; its band shows what is known.
    shown = rows if rates.kind == "linear" else [row for row in rows if not row["limit"]]
    return [
        sheet.chart(rows)
        .mark_area(opacity=0.13, clip=True)
        .encode(y=rates.y("low"), y2="high:Q", **base),
        sheet.chart(shown)
        .mark_point(size=9, filled=True, opacity=1, clip=True)
        .encode(y=rates.y("estimate"), tooltip=tooltip("tries"), **base),
    ]


def _law_layers(sheet: Sheet, rows: list[Row], rates: Axis, base: Row) -> list[alt.Chart]:
    """Return the law: solid where there are data, dashed in its band beyond them."""
    inside = [row for row in rows if row["x"] <= row["most"]]
    # The dashes start where the solid line ends.
    seam = {row["model"]: row for row in inside}
    beyond = [*seam.values(), *(row for row in rows if row["x"] > row["most"])]
    return [
        sheet.chart(beyond)
        .mark_area(opacity=0.07, clip=True)
        .encode(y=rates.y("low"), y2="high:Q", **base),
        sheet.chart(inside)
        .mark_line(strokeWidth=1.2, clip=True)
        .encode(y=rates.y("estimate"), **base),
        sheet.chart(beyond)
        .mark_line(strokeWidth=1.2, strokeDash=[4, 3], clip=True)
        .encode(y=rates.y("estimate"), **base),
    ]


def _end_layers(
    sheet: Sheet, fitted: pl.DataFrame, tables: RunTables, rates: Axis, base: Row
) -> list[alt.Chart]:
    """Return where the data end, if at one number of tries, and the furthest forecasts."""
    last = fitted.filter(pl.col("x") == pl.col("x").max().over("model"))
    layers = [
        sheet.chart(chart_rows(last, tables.parameters, rates))
        .mark_point(size=28, shape="diamond", filled=False, opacity=1, clip=True)
        .encode(y=rates.y("estimate"), tooltip=tooltip("tries, forecast"), **base)
    ]
    ends = fitted["most"].unique().to_list()
    if len(ends) == 1:
        rule = sheet.chart([{"x": ends[0]}])
        layers.append(
            rule.mark_rule(color=GREY, strokeWidth=1, strokeDash=[2, 2]).encode(x=base["x"])
        )
    return layers
