"""Estimated against exact pass probabilities, where these can be computed.

Knows columns and marks; not how an exact probability is computed.
"""

import math

import altair as alt
import polars as pl

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
    Finding,
    Row,
    Section,
    by_size,
    described,
    model_colour,
)
from pipelines.store import RunTables

MOST_CELLS = 2_000
"""Most problems drawn, and most listed; above, every n-th is."""
FEW_PASSES = 5
"""Below so many passes an estimate is drawn paler."""


def section(tables: RunTables) -> Section | None:
    """Return the part on exact values, or None where there are none."""
    cells = _cells(tables)
    if cells is None or cells.is_empty():
        return None
    values = {**_exactness(tables, cells), "most": MOST_CELLS, "few": FEW_PASSES}
    held = f"{number(100 * values['share'])}% of {number(cells.height)} intervals hold it"
    description = f"Estimated against exact pass probability of each problem and model: {held}."
    return Section(
        name="exact",
        title="Estimated against exact",
        values=values,
        figures={"exact": described(_chart(tables, cells), description)},
        found=_found(cells),
    )


def _cells(tables: RunTables) -> pl.DataFrame | None:
    """Return for every problem and model its exact and estimated rate, and whether these agree."""
    if tables.exact is None:
        return None
    keys = ["model", "task", "problem_id"]
    return (
        tables.rates.join(tables.exact, on=keys)
        .join(tables.counts.select(*keys, "c"), on=keys)
        .with_columns(
            holds=pl.col("p").is_between(pl.col("low"), pl.col("high")),
            enough=pl.col("c") >= FEW_PASSES,
        )
    )


def _found(cells: pl.DataFrame) -> dict[str, list[Finding]]:
    shares = cells.group_by("task", maintain_order=True).agg(
        pl.len().alias("all"), pl.col("holds").mean(), pl.col("level").first()
    )
    return {
        row["task"]: [
            Finding(
                text=f"{number(100 * row['holds'])}% of {row['all']:,} intervals hold the exact "
                f"pass probability; {row['level'] * 100:g}% are meant to."
            )
        ]
        for row in shares.iter_rows(named=True)
    }


def _exactness(tables: RunTables, cells: pl.DataFrame) -> Row:
    """Return exact and estimated rates, and how many intervals hold the exact one."""
    enough = pl.col("enough")
    shares = [
        pl.len().alias("cells"),
        pl.col("holds").mean().alias("share"),
        enough.sum().alias("enough_cells"),
        pl.col("holds").filter(enough).mean().alias("enough_share"),
    ]
    models = cells.group_by("model").agg(shares).sort(by_size(tables), "model")
    means = cells.group_by("model", "task").agg(pl.len().alias("problems"), pl.col("p").mean())
    measured = tables.curves.filter(pl.col("kind") == "pass_until").drop("kind", "x", "level")
    rates = means.join(measured, on=["model", "task"]).sort(by_size(tables), "model", "task")
    return {
        **cells.select(shares).row(0, named=True),
        "models": list(models.iter_rows(named=True)),
        "rates": list(rates.iter_rows(named=True)),
    }


def _chart(tables: RunTables, cells: pl.DataFrame) -> alt.ConcatChart:
    """Estimated against exact pass probability, with the line where they agree."""
    cells = cells.rename({"p": "x"}).gather_every(math.ceil(cells.height / MOST_CELLS))
    colour = model_colour(tables)
    told = tooltip("exact", "problem_id")
    sheet = Sheet()
    panels = []
    for task in tasks_of(cells):
        mine = cells.filter(pl.col("task") == task)
        # Where nothing passed, the upper limits are all there is to see.
        ends = [*mine["estimate"], *mine["high"]]
        estimated = rate_axis(ends, "estimated pass rate", always_log=True)
        exact = power_axis(estimated.low, 1, "exact pass probability")
        identity = [{"x": end, "estimate": end} for end in (estimated.low, 1.0)]
        rows = chart_rows(mine.filter(pl.col("x") >= estimated.low), tables.parameters, estimated)
        rows = [{**row, "pale": 0.35 if row["c"] < FEW_PASSES else 0.8} for row in rows]
        values = [row for row in rows if not row["limit"]]
        limits = [row for row in rows if row["limit"]]
        layers = [
            sheet.chart(rows)
            .mark_rule(strokeWidth=0.7, opacity=0.35, clip=True)
            .encode(x=exact.x(), y=estimated.y("low"), y2="high:Q", color=colour),
            sheet.chart(identity)
            .mark_line(color=INK, strokeWidth=1, clip=True)
            .encode(x=exact.x(), y=estimated.y("estimate")),
            sheet.chart(values)
            .mark_point(filled=True, size=16, clip=True)
            .encode(
                x=exact.x(),
                y=estimated.y("estimate"),
                color=colour,
                opacity=alt.Opacity("pale:Q", scale=None),
                tooltip=told,
            ),
            sheet.chart(limits)
            .mark_point(shape="triangle-down", size=22, strokeWidth=0.9, opacity=0.7, clip=True)
            .encode(x=exact.x(), y=estimated.y("high"), color=colour, tooltip=told),
        ]
        panels.append((task, layers))
    return panels_of(sheet, panels)
