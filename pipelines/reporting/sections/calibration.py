"""What a model's confidence tells of its answers: discrimination, calibration, reliability.

Knows columns and marks; not how a confidence was computed or calibrated.
"""

import altair as alt
import polars as pl

from pipelines.reporting.charts import COLOURS, INK, Axis, Sheet, number, panels_of, tasks_of
from pipelines.reporting.sections.section import (
    CELL,
    Finding,
    Row,
    Section,
    described,
    interval,
    leading_model,
    plain,
)
from pipelines.store import RunTables

MEASURES = ("auroc", "ece_debiased", "brier")
ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Where the axes of a reliability diagram may end."""


def section(tables: RunTables) -> Section | None:
    """Return the part on confidence, or None where none was judged."""
    if tables.calibration.is_empty():
        return None
    cells = _cells(tables)
    model = leading_model(tables.calibration, tables)
    bins = tables.reliability.filter(pl.col("model") == model)
    figures = {}
    if not bins.is_empty():
        figures["reliability"] = described(_chart(bins), _description(str(model), bins))
    return Section(
        name="calibration",
        title="What confidence tells",
        values={"cells": cells, "model": model},
        figures=figures,
        found={
            row["task"]: [_found(row)]
            for row in reversed(cells)
            if row["model"] == model and row["auroc"] is not None
        },
    )


def _cells(tables: RunTables) -> list[Row]:
    """Return what each confidence tells, one row for each cell and column."""
    point = pl.struct("estimate", "low", "high")
    cells = tables.calibration.group_by(*CELL, "confidence", maintain_order=True).agg(
        pl.col("samples").first(),
        *(point.filter(pl.col("measure") == name).first().alias(name) for name in MEASURES),
    )
    return list(cells.iter_rows(named=True))


def _found(row: Row) -> Finding:
    name = plain(row["confidence"])
    text = (
        f"The {name} of {row['model']} tells a sample that passes from one that fails "
        f"with an AUROC of {interval(row['auroc'])}, where 0.5 is a coin."
    )
    return Finding(text=text)


def _description(model: str, bins: pl.DataFrame) -> str:
    widest = max((bins["passed"] - bins["mean_confidence"]).abs())
    return (
        f"Reliability of the confidences of {model}: share of samples that passed against the "
        f"calibrated confidence, {bins.height} bins; the largest gap is {number(widest)}."
    )


def _chart(bins: pl.DataFrame) -> alt.ConcatChart:
    """Share that passed against confidence, by bins of as many samples, with intervals."""
    names = [plain(name) for name in dict.fromkeys(bins["confidence"])]
    colour = alt.Color(
        "name:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=names, range=list(COLOURS[: len(names)])),
        legend=alt.Legend(symbolOpacity=1, symbolSize=90),
    )
    told = [
        alt.Tooltip("name:N", title="confidence in"),
        alt.Tooltip("x:Q", title="confidence"),
        alt.Tooltip("text:N", title="passed"),
        alt.Tooltip("samples:Q"),
    ]
    sheet = Sheet()
    panels = []
    for task in tasks_of(bins):
        rows = [_bin(row) for row in bins.filter(pl.col("task") == task).iter_rows(named=True)]
        known = [row for row in rows if row["low"] is not None]
        most = max(max(row["x"], row["passed"]) for row in rows)
        across, up = _axis("calibrated confidence", most), _axis("share that passed", most)
        base = {"x": across.x(), "y": up.y("passed"), "color": colour}
        layers = [
            sheet.chart([{"x": end, "passed": end} for end in (0.0, across.high)])
            .mark_line(color=INK, strokeWidth=1)
            .encode(x=across.x(), y=up.y("passed")),
            sheet.chart(known)
            .mark_rule(strokeWidth=1, opacity=0.5, clip=True)
            .encode(x=across.x(), y=up.y("low"), y2="high:Q", color=colour),
            sheet.chart(rows).mark_line(strokeWidth=1.2).encode(**base),
            sheet.chart(rows)
            .mark_point(filled=True, size=30, opacity=1)
            .encode(tooltip=told, **base),
        ]
        panels.append((task, layers))
    return panels_of(sheet, panels, legend_below=True)


def _told(row: Row) -> str:
    return interval({"estimate": row["passed"], "low": row["low"], "high": row["high"]})


def _bin(row: Row) -> Row:
    columns = ("passed", "low", "high")
    return {
        "name": plain(row["confidence"]),
        "x": round(row["mean_confidence"], 4),
        **{name: None if row[name] is None else round(row[name], 4) for name in columns},
        "samples": row["samples"],
        "text": number(row["passed"]) if row["low"] is None else _told(row),
    }


def _axis(title: str, most: float) -> Axis:
    """Return a linear axis from 0 to a round number; most confidences of a hard task are low."""
    high = next((end for end in ENDS if end >= most), 1.0)
    ticks = {round(high * at / 5, 6): f"{high * at / 5:g}" for at in range(6)}
    return Axis(title=title, low=0.0, high=high, ticks=ticks, kind="linear")
