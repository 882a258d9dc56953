"""The picture of a plan: lines over a logarithmic axis, the target, and the point recommended.

Knows panels of lines; not what they mean. Vega-Lite charts in the look of the report.
"""

import json
import math
from collections.abc import Sequence

import altair as alt

from pipelines.planning.plan import Panel, Plan
from pipelines.reporting.charts import COLOURS, GREY, INK, Row, Sheet, number, panels_of, size_label


def draw(plan: Plan) -> alt.ConcatChart:
    """Return the picture of a plan, a panel beside the other."""
    sheet = Sheet()
    names = list(dict.fromkeys(line.name for panel in plan.panels for line in panel.lines))
    colour = alt.Color(
        "series:N",
        title=None,
        sort=None,
        scale=alt.Scale(
            domain=names, range=[COLOURS[at % len(COLOURS)] for at in range(len(names))]
        ),
        legend=alt.Legend(symbolOpacity=1, symbolSize=70),
    )
    panels = [(panel.title, _layers(sheet, panel, colour)) for panel in plan.panels]
    return panels_of(sheet, panels, legend_below=len(panels) > 1)


def _layers(sheet: Sheet, panel: Panel, colour: alt.Color) -> list[alt.Chart]:
    rows = _rows(panel)
    if not rows:
        return [sheet.chart([{}]).mark_text(text="nothing that can be drawn", color=GREY)]
    x, y = _x(panel, rows), _y(panel, rows)
    layers = []
    if panel.target is not None:
        rule = sheet.chart([{"y": panel.target}]).mark_rule(color=GREY, strokeDash=[4, 3])
        layers.append(rule.encode(y=y))
    for dashed in (False, True):
        mine = [row for row in rows if row["dashed"] == dashed]
        if not mine:
            continue
        chart = sheet.chart(mine)
        dash = [5, 3] if dashed else [1, 0]
        layers.append(
            chart.mark_line(strokeWidth=1.6, strokeDash=dash, clip=True).encode(
                x=x, y=y, color=colour
            )
        )
        layers.append(
            chart.mark_point(filled=True, size=22, opacity=1, clip=True).encode(
                x=x, y=y, color=colour, tooltip=_tooltip(panel)
            )
        )
    if panel.chosen is not None and all(math.isfinite(value) for value in panel.chosen):
        ring = sheet.chart([{"x": panel.chosen[0], "y": panel.chosen[1]}])
        layers.append(
            ring.mark_point(size=170, filled=False, strokeWidth=2, color=INK).encode(x=x, y=y)
        )
    return layers


def _rows(panel: Panel) -> list[Row]:
    """Return the points that can be drawn, with what each tells."""
    return [
        {
            "series": line.name,
            "dashed": line.dashed,
            "x": float(f"{x:.6g}"),
            "y": float(f"{y:.6g}"),
            "x_text": number(x),
            "y_text": number(y),
        }
        for line in panel.lines
        for x, y in line.points
        if math.isfinite(y) and x > 0 and (y > 0 or not panel.log_y)
    ]


def _tooltip(panel: Panel) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("series:N", title="line"),
        alt.Tooltip("x_text:N", title=panel.x_title),
        alt.Tooltip("y_text:N", title=panel.y_title),
    ]


def _x(panel: Panel, rows: Sequence[Row]) -> alt.X:
    domain = _domain([row["x"] for row in rows])
    scale = alt.Scale(type="log", nice=False, domain=domain)
    return alt.X("x:Q", title=panel.x_title, scale=scale, axis=_log_ticks(domain))


def _y(panel: Panel, rows: Sequence[Row]) -> alt.Y:
    if not panel.log_y:
        scale = alt.Scale(domain=[0, 1], nice=False)
        return alt.Y("y:Q", title=panel.y_title, scale=scale, axis=alt.Axis(tickCount=6))
    domain = _domain([row["y"] for row in rows] + ([panel.target] if panel.target else []), 1.15)
    scale = alt.Scale(type="log", nice=False, domain=domain)
    return alt.Y("y:Q", title=panel.y_title, scale=scale, axis=_log_ticks(domain))


def _domain(values: Sequence[float], room: float = 1.05) -> list[float]:
    return [min(values) / room, max(values) * room]


def _log_ticks(domain: Sequence[float]) -> alt.Axis:
    """Return ticks at powers of ten, or at 1, 2 and 5 where there are few of those."""
    low, high = domain
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if high / low >= 1e3 else (1, 2, 5) if high / low >= 5 else (1, 1.5, 2, 3, 4, 6)
    at = [float(f"{step * 10.0**decade:.6g}") for decade in decades for step in steps]
    ticks = [tick for tick in at if low <= tick <= high]
    labels = json.dumps([_tick(tick) for tick in ticks], ensure_ascii=False)
    return alt.Axis(values=ticks, labelExpr=f"{labels}[indexof({json.dumps(ticks)}, datum.value)]")


def _tick(value: float) -> str:
    if value >= 1e3:
        return size_label(value)
    return f"{value:g}" if value >= 1e-3 else number(value, 1)
