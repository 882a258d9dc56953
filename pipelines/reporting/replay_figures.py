"""The figures of a replay: what each policy saved against what it lost.

Knows the rows of `replay.parquet`, not how they came about. One panel a cell; Vega-Lite charts
that carry their data, in the look of the report.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from pipelines.reporting.charts import COLOURS, Sheet, number, panels_of

Row = dict[str, Any]

MOST_PANELS = 6
"""Most cells that are drawn; the table has all."""
FIXED = "fixed"
"""The policy that the others are judged by, drawn in grey."""
_GREY = "#8b98a5"
_LEAST_LOSS = 1.0
"""Percentage points of accuracy that the axis shows below no change, at least."""


def draw(rows: pl.DataFrame) -> dict[str, alt.ConcatChart]:
    """Return the figures `accuracy` and `width` of the first cells."""
    cells = rows.select("model", "task").unique(maintain_order=True).head(MOST_PANELS)
    shown = rows.join(cells, on=["model", "task"], maintain_order="left").with_columns(
        cell=pl.format("{} on {}", "model", "task"),
        saved=100 * pl.col("samples_saved"),
        drawn=100 * (1 - pl.col("samples_saved")),
        change=100 * pl.col("accuracy_change"),
        low=100 * pl.col("accuracy_low"),
        high=100 * pl.col("accuracy_high"),
        ratio=pl.col("width") / pl.col("width_full"),
    )
    return {"accuracy": _accuracy(shown), "width": _width(shown)}


def _accuracy(rows: pl.DataFrame) -> alt.ConcatChart:
    sheet, panels = Sheet(), []
    colour, x = _colour(rows), _saved(rows)
    for (cell,), mine in rows.group_by("cell", maintain_order=True):
        others = mine.filter(pl.col("policy") != FIXED)
        least = [-_LEAST_LOSS, _LEAST_LOSS / 2]
        y = _around([*others["change"], *least], "change of accuracy, points")
        none = sheet.chart([{"change": 0}]).mark_rule(color=_GREY, strokeDash=[4, 3])
        bars = sheet.chart(_rows(others)).mark_rule(strokeWidth=1, opacity=0.3, clip=True)
        layers = [
            none.encode(y=y.of("change")),
            bars.encode(x=x, y=y.of("low"), y2="high:Q", color=colour),
            *_curves(sheet, _rows(mine), x, y.of("change"), colour),
        ]
        panels.append((str(cell), layers))
    return panels_of(sheet, panels)


def _width(rows: pl.DataFrame) -> alt.ConcatChart:
    sheet, panels = Sheet(), []
    colour, x = _colour(rows), _saved(rows)
    for (cell,), mine in rows.group_by("cell", maintain_order=True):
        known = mine.filter(pl.col("ratio") > 0)
        panels.append((str(cell), _curves(sheet, _rows(known), x, _times(known["ratio"]), colour)))
    return panels_of(sheet, panels)


def _curves(
    sheet: Sheet, points: list[Row], x: alt.X, y: alt.Y, colour: alt.Color
) -> list[alt.Chart]:
    """Return a line for each policy through its settings, and a point for each."""
    chart = sheet.chart(points)
    line = chart.mark_line(strokeWidth=1.2, clip=True).encode(
        x=x, y=y, color=colour, order="drawn:Q"
    )
    dots = chart.mark_point(filled=True, size=36, opacity=1, clip=True).encode(
        x=x, y=y, color=colour, tooltip=_tooltip()
    )
    return [line, dots]


def _tooltip() -> list[alt.Tooltip]:
    titles = {
        "policy": "policy",
        "setting": "setting",
        "saved_text": "samples saved",
        "tokens_text": "tokens saved",
        "change_text": "accuracy, points",
        "ratio_text": "interval width, times",
    }
    return [alt.Tooltip(f"{column}:N", title=title) for column, title in titles.items()]


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """A linear vertical axis."""

    low: float
    high: float
    title: str

    def of(self, column: str) -> alt.Y:
        scale = alt.Scale(domain=[self.low, self.high], nice=False, zero=False)
        return alt.Y(f"{column}:Q", title=self.title, scale=scale, axis=alt.Axis(tickCount=6))


def _around(values: Iterable[float | None], title: str) -> _Axis:
    """Return an axis that holds all values, with a little room."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    room = 0.06 * ((max(finite) - min(finite)) or 1.0)
    return _Axis(low=min(finite) - room, high=max(finite) + room, title=title)


def _times(ratios: Iterable[float]) -> alt.Y:
    """Return a log axis for widths, which fall as one over the square root of the samples."""
    low, high = min(*ratios, 1.0) / 1.1, max(*ratios, 2.0) * 1.1
    ticks = [tick for tick in (0.5, 1, 2, 3, 5, 10, 20, 50, 100) if low <= tick <= high]
    return alt.Y(
        "ratio:Q",
        title="width of the interval, times the fixed one's",
        scale=alt.Scale(type="log", domain=[low, high], nice=False),
        axis=alt.Axis(values=ticks, format="~g"),
    )


def _saved(rows: pl.DataFrame) -> alt.X:
    """Return an axis of the share saved, on the log scale of what is left to draw."""
    least = max(min(rows["drawn"]) / 1.2, 1e-3)
    ticks = [100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.01]
    return alt.X(
        "drawn:Q",
        title="samples saved, %",
        scale=alt.Scale(type="log", domain=[least, 110], reverse=True, nice=False),
        axis=alt.Axis(values=ticks, labelExpr="format(100 - datum.value, '~g')"),
    )


def _colour(rows: pl.DataFrame) -> alt.Color:
    names = list(dict.fromkeys(rows["policy"]))
    others = [name for name in names if name != FIXED]
    colours = dict(zip(others, COLOURS * (1 + len(others) // len(COLOURS)), strict=False))
    return alt.Color(
        "policy:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=names, range=[colours.get(name, _GREY) for name in names]),
        legend=alt.Legend(symbolOpacity=1, symbolSize=70),
    )


def _rows(frame: pl.DataFrame) -> list[Row]:
    """Return rows for a chart, numbers in words too; None for a number that is not there."""
    columns = ("drawn", "change", "low", "high", "ratio")
    return [
        {
            "policy": row["policy"],
            "setting": row["setting"],
            **{name: _plain(row[name]) for name in columns},
            "saved_text": f"{number(row['saved'])} %",
            "tokens_text": f"{number(100 * row['tokens_saved'])} %",
            "change_text": number(row["change"]),
            "ratio_text": number(row["ratio"]),
        }
        for row in frame.iter_rows(named=True)
    ]


def _plain(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")
