"""The figures of a comparison: coverage overlaid, differences with intervals, problem by problem.

Knows contestants and pairings, scales and marks; not how they were compared, nor pages.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from fitting import PassAtK
from pipelines.reporting.charts import (
    COLOURS,
    GREY,
    Axis,
    Sheet,
    number,
    panels_of,
    power_axis,
    rate_axis,
)
from pipelines.reporting.compare_pairs import Pairing, ProblemChange
from pipelines.reporting.compare_runs import InCommon

Row = dict[str, Any]

MOST_DRAWN = 12
"""Most differences drawn in one panel, the surest first; the table has all."""
MOST_POINTS = 1_500
"""Most problems drawn in one panel: the surest changes, then an even selection."""
_BETTER, _WORSE, _OPEN = "more", "less", "chance explains it"
_OUTCOMES = {_BETTER: ("#1f5f99", "triangle-up"), _WORSE: ("#c2410c", "triangle-down"),
             _OPEN: ("#8b98a5", "circle")}  # fmt: skip


def coverage_figure(tasks: Sequence[InCommon]) -> alt.ConcatChart:
    """Return coverage against tries on the problems in common, one line a contestant."""
    sheet, panels = Sheet(), []
    names = list(dict.fromkeys(one.label for each in tasks for one in each.contestants))
    colour, shape = _by_label(names)
    told = _tooltip({"label": "model", "tries": "", "text": "coverage"})
    for each in tasks:
        curves = {one.label: one.curve() for one in each.contestants}
        estimates = [value for curve in curves.values() for value in curve.estimate.tolist()]
        rates = rate_axis(estimates, "at least one of k tries passes")
        tries = power_axis(1, max(one.most for one in each.contestants), "tries per problem, k")
        chart = sheet.chart(
            [row for label, curve in curves.items() for row in _curve_rows(label, curve, rates)]
        )
        place = {"x": tries.x(), "color": colour, "detail": "label:N"}
        layers = [
            chart.mark_area(opacity=0.13, clip=True).encode(y=rates.y("low"), y2="high:Q", **place),
            chart.mark_line(strokeWidth=1.3, clip=True).encode(y=rates.y("y"), **place),
            chart.mark_point(filled=True, size=26, opacity=1).encode(
                y=rates.y("y"), shape=shape, tooltip=told, **place
            ),
        ]
        panels.append((each.task, layers))
    figure = panels_of(sheet, panels, legend_below=True)
    figure.description = (
        f"Coverage against tries of {', '.join(names)} on the problems that all of them tried"
    )
    return figure


def differences_figure(pairings: Sequence[Pairing]) -> alt.ConcatChart:
    """Return each difference with its interval, a panel for each task and number of tries."""
    sheet, panels = Sheet(), []
    told = _tooltip({"pair": "compared", "text": "difference", "p": "corrected p", "outcome": ""})
    for task, k in dict.fromkeys((pairing.task, pairing.k) for pairing in pairings):
        mine = [each for each in pairings if (each.task, each.k) == (task, k)]
        shown = sorted(mine, key=lambda each: each.p_value)[:MOST_DRAWN]
        ends = [end for each in shown for end in (each.low, each.high)]
        axis = _linear(min(*ends, 0.0), max(*ends, 0.0), "difference of coverage")
        y = alt.Y("pair:N", title=None, sort=None, axis=alt.Axis(labelLimit=120))
        chart = sheet.chart([_pairing_row(each) for each in shown])
        layers = [
            sheet.chart([{"x": 0}]).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=axis.x()),
            chart.mark_rule(strokeWidth=1.6).encode(
                x=axis.x(), x2="high:Q", y=y, color=_OUTCOME_COLOUR
            ),
            chart.transform_calculate(x="datum.gap")
            .mark_point(filled=True, size=70, opacity=1)
            .encode(x=axis.x(), y=y, color=_OUTCOME_COLOUR, shape=_OUTCOME_SHAPE, tooltip=told),
        ]
        panels.append((f"{task}, {number(k)} {'try' if k == 1 else 'tries'}", layers))
    figure = panels_of(sheet, panels, legend_below=True)
    figure.description = "Differences of coverage between models, with their intervals"
    return figure


def problems_figure(
    changes: Sequence[tuple[Pairing, Sequence[ProblemChange]]],
) -> alt.ConcatChart:
    """Return every problem's pass rate by one contestant against that by another."""
    sheet, panels = Sheet(), []
    told = _tooltip({"problem": "", "first": "first", "second": "second", "outcome": ""})
    for pairing, problems in changes:
        step = max(len(problems) // MOST_POINTS, 1)
        shown = [each for at, each in enumerate(problems) if each.changed or at % step == 0]
        rates = [rate for each in shown for rate in (each.first[0], each.second[0])]
        across, up = (
            rate_axis(rates, f"pass rate, {_short(one.label)}")
            for one in (pairing.first, pairing.second)
        )
        chart = sheet.chart([_problem_row(each, up) for each in shown[:MOST_POINTS]])
        layers = [
            sheet.chart([{"x": end, "y": end} for end in (up.low, up.high)])
            .mark_line(color=GREY, strokeDash=[4, 3])
            .encode(x=across.x(), y=up.y("y")),
            chart.mark_point(filled=True, size=40, opacity=0.75).encode(
                x=across.x(), y=up.y("y"), color=_OUTCOME_COLOUR, shape=_OUTCOME_SHAPE,
                tooltip=told,
            ),
        ]  # fmt: skip
        panels.append((pairing.task, layers))
    figure = panels_of(sheet, panels, legend_below=True)
    figure.description = "Pass rate of each problem by one model against that by another"
    return figure


_OUTCOME_COLOUR = alt.Color(
    "outcome:N",
    title=None,
    scale=alt.Scale(domain=list(_OUTCOMES), range=[colour for colour, _ in _OUTCOMES.values()]),
)
_OUTCOME_SHAPE = alt.Shape(
    "outcome:N",
    title=None,
    scale=alt.Scale(domain=list(_OUTCOMES), range=[shape for _, shape in _OUTCOMES.values()]),
)


def _by_label(names: Sequence[str]) -> tuple[alt.Color, alt.Shape]:
    """Return a colour and a shape for each name, in a legend of their own."""
    shapes = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
    times = range(len(names))
    colours = [COLOURS[at % len(COLOURS)] for at in times]
    marks = [shapes[at % len(shapes)] for at in times]
    legend = alt.Legend(columns=3, labelLimit=240, symbolOpacity=1)
    return (
        alt.Color("label:N", title=None, legend=legend, sort=None,
                  scale=alt.Scale(domain=list(names), range=colours)),
        alt.Shape("label:N", title=None, legend=legend, sort=None,
                  scale=alt.Scale(domain=list(names), range=marks)),
    )  # fmt: skip


def _linear(low: float, high: float, title: str) -> Axis:
    """Return a linear axis with five ticks or so at round numbers."""
    span = (high - low) or 1.0
    step = next(each for each in _steps() if span / each <= 6)
    first = int(low // step)
    last = -int(-high // step)
    ticks = {at * step: f"{at * step:.10g}".replace("-", "\u2212")
             for at in range(first, last + 1)}  # fmt: skip
    return Axis(title=title, low=first * step, high=last * step, ticks=ticks, kind="linear")


def _steps() -> list[float]:
    return [base * 10.0**power for power in range(-9, 2) for base in (1, 2, 5)]


def _curve_rows(label: str, curve: PassAtK, rates: Axis) -> list[Row]:
    parts = (part.tolist() for part in (curve.k, curve.estimate, curve.low, curve.high))
    return [
        {
            "label": label,
            "x": k,
            "y": rates.place(estimate, inside=True),
            "low": rates.place(low, inside=True),
            "high": rates.place(high, inside=True),
            "tries": number(k),
            "text": _told((estimate, low, high)),
        }
        for k, estimate, low, high in zip(*parts, strict=True)
    ]


def _pairing_row(pairing: Pairing) -> Row:
    return {
        "pair": f"{pairing.second.label} over {pairing.first.label}",
        "gap": pairing.gap,
        "x": pairing.low,
        "high": pairing.high,
        "text": _told((pairing.gap, pairing.low, pairing.high)),
        "p": number(pairing.corrected),
        "outcome": _outcome(pairing.winner is not None, pairing.gap),
    }


def _problem_row(change: ProblemChange, rates: Axis) -> Row:
    return {
        "problem": change.problem_id,
        "x": rates.place(change.first[0], inside=True),
        "y": rates.place(change.second[0], inside=True),
        "first": _told(change.first),
        "second": _told(change.second),
        "outcome": _outcome(change.changed, change.gap),
    }


def _outcome(sure: bool, gap: float) -> str:
    if not sure:
        return _OPEN
    return _BETTER if gap > 0 else _WORSE


def _tooltip(titles: dict[str, str]) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:N", title=title or name) for name, title in titles.items()]


def _short(label: str) -> str:
    return label if len(label) <= 36 else f"{label[:17]}…{label[-18:]}"


def _told(interval: tuple[float, float, float]) -> str:
    estimate, low, high = (number(value) for value in interval)
    return f"{estimate} ({low} to {high})"
