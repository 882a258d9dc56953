"""What all charts share: numbers as print has them, axes, colours, panels.

Knows scales and marks; not what a figure shows.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

Row = dict[str, Any]

SMALLEST = 1e-9
"""No axis of pass rates goes below this."""
NONE = "\u2013"
"""Stands for a number that is not there."""
_MINUS, _TIMES = "\u2212", "\u00d7"
_FONT = "Liberation Sans, Helvetica, Arial, sans-serif"
_DIGITS = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
"""For tick labels: has superscript digits, which most fonts lack."""
INK, GREY = "#1b1f24", "#59636e"
COLOURS = (
    "#1f5f99", "#c2410c", "#1a7f37", "#7c3aed", "#ca8a04", "#be185d", "#0e9aa7", "#1b1f24",
    "#84a59d",
)  # fmt: skip
"""For what has no order, each next to the others in light and dark pages."""


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as print has it: 12,345 · 0.0123 · 1.2x10^-4; a dash for none."""
    if value is None or not math.isfinite(value):
        return NONE
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if value == round(value) and size < 1e6:
        return f"{value:,.0f}".replace("-", _MINUS)
    if size < 1e-3 or size >= 1e6:
        mantissa, _, exponent = f"{value:.{max(digits - 2, 0)}e}".partition("e")
        return f"{mantissa}{_TIMES}10{_superscript(int(exponent))}".replace("-", _MINUS)
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace("-", _MINUS)
    # A rate just below 1 is not 1: it takes the digits that say so.
    while 0.99 < value < 1 and float(f"{value:.{digits}g}") == 1 and digits < 9:
        digits += 1
    places = max(digits - 1 - math.floor(math.log10(size)), 0)
    return f"{value:.{places}f}".replace("-", _MINUS)


def size_label(parameters: float) -> str:
    """Return a model's size in short: 2.6k, 115k, 7B."""
    for unit, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if parameters >= scale:
            return f"{parameters / scale:.3g}{unit}"
    return f"{parameters:g}"


def _superscript(value: int) -> str:
    return str(value).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis whose ticks are labelled one by one."""

    title: str
    low: float
    high: float
    ticks: Mapping[float, str]
    kind: str = "log"
    """log, linear, or double_log: the value is log(-log rate), drawn downwards."""

    def x(self) -> alt.X:
        """Return the axis for the column x."""
        return alt.X("x:Q", title=self.title, scale=self._scale(), axis=self._axis())

    def y(self, column: str) -> alt.Y:
        """Return the axis for a column, drawn upwards."""
        return alt.Y(f"{column}:Q", title=self.title, scale=self._scale(), axis=self._axis())

    def place(self, rate: float, *, inside: bool) -> float:
        """Return where a rate lies; if asked, moved onto the axis where it lies outside."""
        value = _double_log(rate) if self.kind == "double_log" else rate
        if inside:
            return min(max(value, self.low), self.high)
        return max(value, self.low * 1e-6) if self.kind == "log" else value

    def _scale(self) -> alt.Scale:
        return alt.Scale(
            type="log" if self.kind == "log" else "linear",
            domain=[self.low, self.high],
            reverse=self.kind == "double_log",
            nice=False,
            zero=False,
        )

    def _axis(self) -> alt.Axis:
        values = list(self.ticks)
        labels = json.dumps(list(self.ticks.values()), ensure_ascii=False)
        return alt.Axis(
            values=values, labelExpr=f"{labels}[indexof({json.dumps(values)}, datum.value)]"
        )


def power_axis(low: float, high: float, title: str) -> Axis:
    """Return a log axis with ticks at powers of ten."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    step = max(math.ceil((last - first) / 6), 1)
    ticks = {10.0**e: _power_label(e) for e in range(first, last + 1, step)}
    return Axis(title=title, low=10.0**first, high=10.0**last, ticks=ticks)


def tries_axis(most: int) -> Axis:
    """Return a log axis of few tries, with ticks at powers of two."""
    powers = [2**exponent for exponent in range(max(most, 2).bit_length())]
    step = math.ceil(len(powers) / 7)
    ticks = {float(power): str(power) for power in powers[::step]}
    return Axis(title="tries per problem, k", low=1.0, high=float(max(most, 2)), ticks=ticks)


def _power_label(exponent: int) -> str:
    if -3 <= exponent <= 0:
        return f"{10.0**exponent:g}"
    return f"{10**exponent:,}" if 0 < exponent <= 3 else f"10{_superscript(exponent)}"


def rate_axis(rates: Iterable[float], title: str, *, always_log: bool = False) -> Axis:
    """Return an axis for rates: log where they span decades, else linear from 0 to 1."""
    least = max(min((rate for rate in rates if rate > 0), default=1.0), SMALLEST)
    if always_log or least < 0.02:
        return power_axis(least, 1, title)
    ticks = {value: f"{value:g}" for value in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
    return Axis(title=title, low=0.0, high=1.0, ticks=ticks, kind="linear")


def _double_log(rate: float) -> float:
    """F = log(-log rate), finite for every rate in [0, 1]."""
    rate = min(max(rate, 1e-300), 1 - 1e-12)
    return math.log(-math.log(rate))


def double_log_axis(measured: Iterable[float], fitted: Iterable[float], title: str) -> Axis:
    """Return an axis around what was measured, and the law no further than ten times below."""
    inside = [rate for rate in measured if SMALLEST < rate < 1 - 1e-6]
    least = min(inside, default=SMALLEST) / 10
    ends = [_double_log(rate) for rate in (*inside, *(max(rate, least) for rate in fitted))]
    low, high = min(ends, default=-1.0), max(ends, default=1.0)
    pad = 0.07 * max(high - low, 0.5)
    low, high = low - pad, high + pad
    powers = [10.0**exponent for exponent in range(-9, -1)]
    rates = [*powers, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999, 0.9999]
    between = [3 * power for power in powers] + [0.2, 0.4, 0.6, 0.8]
    shown = [rate for rate in rates if low <= _double_log(rate) <= high]
    if len(shown) < 4:
        shown = [rate for rate in sorted(rates + between) if low <= _double_log(rate) <= high]
    ticks = {
        _double_log(rate): f"{rate:g}"
        if rate >= 0.001
        else number(rate, 1).removeprefix(f"1{_TIMES}")
        for rate in shown
    }
    return Axis(title=title, low=low, high=high, ticks=ticks, kind="double_log")


def size_axis(low: float, high: float) -> Axis:
    """Return a log axis of model sizes, with ticks at 1, 2, 5 or fewer a decade."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        sizes = [step * 10.0**decade for decade in decades for step in steps]
        ticks = {size: size_label(size) for size in sizes if low <= size <= high}
        if len(ticks) <= 6:
            break
    return Axis(title="parameters of the model, N", low=low, high=high, ticks=ticks)


def size_colour(parameters: Mapping[str, int]) -> alt.Color:
    """Return a colour for each size; models of one size share it."""
    sizes = sorted(set(parameters.values()))
    # The yellow end of viridis is too pale on white.
    scheme = alt.SchemeParams(name="viridis", extent=[0.0, 0.88])
    return alt.Color(
        "size:O",
        title="parameters",
        sort=None,
        scale=alt.Scale(domain=_size_names(sizes), scheme=scheme),
        legend=alt.Legend(columns=1 if len(sizes) <= 14 else 2, symbolOpacity=1, symbolSize=70),
    )


def _size_names(sizes: Sequence[int]) -> list[str]:
    """Return labels of ascending sizes; those that look alike are spelled out."""
    short = [size_label(size) for size in sizes]
    return [
        f"{size:,}" if short.count(label) > 1 else label
        for size, label in zip(sizes, short, strict=True)
    ]


def tooltip(x: str, *more: str) -> list[alt.Tooltip]:
    """Return what a point tells: its model, further columns, x under a name, and the rate."""
    return [
        alt.Tooltip("model:N"),
        *(alt.Tooltip(f"{column}:N") for column in more),
        alt.Tooltip("x_text:N", title=x),
        alt.Tooltip("text:N", title="rate"),
    ]


def chart_rows(
    frame: pl.DataFrame, parameters: Mapping[str, int], axis: Axis, *, told: bool = True
) -> list[Row]:
    """Return rows for a chart: rates placed on the axis, sizes named.

    Measurements are told in words too, and moved onto the axis where they lie outside; curves
    run on and are clipped. Values are rounded, because every digit is in the page.
    """
    sizes = sorted(set(parameters.values()))
    names = dict(zip(sizes, _size_names(sizes), strict=True))
    kept = ["model", "x", "problem_id", "most", "tries", "c"]
    frame = frame.select("estimate", "low", "high", *(c for c in kept if c in frame.columns))
    rows = []
    for row in frame.iter_rows(named=True):
        rate = {name: row[name] for name in ("estimate", "low", "high")}
        placed = {name: axis.place(value, inside=told) for name, value in rate.items()}
        rows.append(
            {
                **row,
                **{name: float(f"{value:.6g}") for name, value in placed.items()},
                "x": float(f"{row['x']:.6g}"),
                "size": names.get(parameters.get(row["model"] or "", 0), ""),
                "limit": rate["estimate"] <= 0,
            }
        )
        if told:
            estimate, low, high = (number(value) for value in rate.values())
            rows[-1] |= {"x_text": number(row["x"]), "text": f"{estimate} ({low} to {high})"}
    return rows


def tasks_of(frame: pl.DataFrame) -> list[str]:
    """Return the tasks of a table, in its order."""
    return list(dict.fromkeys(frame["task"]))


class Sheet:
    """The data of one figure, kept apart from its layers because altair copies those often."""

    def __init__(self) -> None:
        self.data: dict[str, list[Row]] = {}

    def chart(self, rows: list[Row]) -> alt.Chart:
        """Return a chart of these rows; the same list is stored once."""
        for name, stored in self.data.items():
            if stored is rows:
                return alt.Chart(alt.NamedData(name=name))
        name = f"data-{len(self.data)}"
        self.data[name] = rows
        return alt.Chart(alt.NamedData(name=name))


def panels_of(
    sheet: Sheet, panels: Sequence[tuple[str, Sequence[alt.Chart]]], *, legend_below: bool = False
) -> alt.ConcatChart:
    """Set one panel a task side by side, at most three in a row, four in a square."""
    across = 2 if len(panels) == 4 else min(len(panels), 3)
    width = {1: 520, 2: 360, 3: 245}[across]
    chart: alt.ConcatChart = alt.concat(
        *(
            alt.layer(*layers, title=task).properties(width=width, height=min(width, 270))
            for task, layers in panels
        ),
        columns=across,
        spacing=18,
    ).resolve_scale(color="shared", shape="shared")
    axis = alt.AxisConfig(
        labelFont=_DIGITS,
        labelFontSize=10,
        titleFontSize=12,
        titleFontWeight="normal",
        labelColor=INK,
        titleColor=INK,
        gridColor="#eaeef2",
        domainColor="#8c959f",
        tickColor="#8c959f",
        labelOverlap="greedy",
        titlePadding=7,
    )
    legend = alt.LegendConfig(
        labelFontSize=11,
        titleFontSize=11,
        titleFontWeight="normal",
        labelColor=INK,
        titleColor=INK,
        labelLimit=260,
        orient="bottom" if legend_below else "right",
        direction="horizontal" if legend_below else "vertical",
        symbolStrokeWidth=2,
    )
    title = alt.TitleConfig(fontSize=13, fontWeight="bold", color=INK, anchor="middle", offset=8)
    chart.config = alt.Config(
        font=_FONT,
        background="white",
        padding=6,
        view=alt.ViewConfig(stroke="#d0d7de"),
        axis=axis,
        legend=legend,
        title=title,
    )
    chart.datasets = sheet.data
    return chart
