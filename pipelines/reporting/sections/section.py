"""What every part of a report is made of, and how the tables of a run are read for it.

Knows the columns of result tables and how people name numbers; not what any part says.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import polars as pl

from pipelines.reporting.charts import COLOURS, NONE, number, size_colour
from pipelines.store import RunTables

Row = dict[str, Any]
CELL = ("model", "task")
ALMOST = 0.9999
"""Rates above it are not told apart."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence of the summary."""

    text: str
    good: bool | None = None
    """Whether a prediction held; None: the sentence is no verdict."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of a report."""

    name: str
    """Of its template, parts/NAME.jinja, and of its place in the page."""
    title: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """What its template reads."""
    figures: Mapping[str, alt.ConcatChart] = field(default_factory=dict)
    found: Mapping[str, Sequence[Finding]] = field(default_factory=dict)
    """For each task, what the summary says of it."""
    advice: Sequence[str] = ()
    """What to do next, most useful first."""


def described(chart: alt.ConcatChart, description: str) -> alt.ConcatChart:
    """Return a chart with a sentence for those who do not see it."""
    chart.description = description
    return chart


def rate(value: float | None) -> str:
    """Return a rate as print has it; one that is 1 but for a trace is above 0.9999."""
    if value is not None and ALMOST < value < 1:
        return f"above {ALMOST:g}"
    return number(value)


def interval(value: Row | Sequence[float | None] | None) -> str:
    """Return "0.52 (0.49 to 0.55)" of a curve's point, or "0.49 to 0.55" of a pair."""
    if value is None:
        return NONE
    if isinstance(value, dict):
        return f"{rate(value['estimate'])} ({rate(value['low'])} to {rate(value['high'])})"
    return " to ".join(rate(end) for end in value)


def parameter(law: Row, name: str) -> str:
    """Return "1.2 (0.9 to 1.5)" of a parameter of a law; no interval where none is known."""
    value, ends = law["parameters"][name], law["intervals"][name]
    if value is None or ends[0] is None:
        return number(value)
    return f"{number(value)} ({number(ends[0])} to {number(ends[1])})"


def counted(count: int, noun: str) -> str:
    """Return "1 model" or "1,200 models"."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def listed(names: Iterable[str], most: int = 6) -> str:
    """Return "a, b and c"; of many names, the first and how many more."""
    names = list(names)
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1:,} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def plain(name: str) -> str:
    """Return the name of a method, a law or a column as words."""
    return name.replace("_", " ")


def points(curves: pl.DataFrame, kind: str) -> dict[tuple[str, str], Row]:
    """Return the point of each model and task, of a kind that has one."""
    rows = curves.filter(pl.col("kind") == kind).iter_rows(named=True)
    return {(row["model"], row["task"]): row for row in rows}


def laws(tables: RunTables, kind: str) -> list[Row]:
    """Return laws of a kind with their JSON columns read."""
    return [
        {
            **row,
            "parameters": json.loads(row["parameters"]),
            "intervals": json.loads(row["intervals"]),
            "goodness": json.loads(row["goodness"]),
            "held_out": row["held_out"].split(", ") if row["held_out"] else [],
        }
        for row in tables.laws.filter(pl.col("kind") == kind).iter_rows(named=True)
    ]


def by_size(tables: RunTables) -> pl.Expr:
    """Return what sorts models by their size; those of unknown size come first."""
    size = pl.col("model").replace_strict(dict(tables.parameters), default=0, return_dtype=pl.Int64)
    return size.fill_null(0)


def leading_model(frame: pl.DataFrame, tables: RunTables) -> str | None:
    """Return the largest of a table's models; among equals, the one that passes most often."""
    names = list(dict.fromkeys(frame["model"]))
    rates = tables.rates.group_by("model").agg(pl.col("estimate").mean())
    rate = dict(rates.iter_rows())
    sizes = tables.parameters
    return max(names, key=lambda name: (sizes.get(name, 0), rate.get(name, 0.0)), default=None)


def called(model: str, tables: RunTables) -> str:
    """Return a model's name with what makes it worth naming."""
    models = tables.counts["model"].unique().to_list()
    if len(models) == 1:
        return model
    sizes = [tables.parameters.get(name, 0) for name in models]
    largest = [name for name in models if tables.parameters.get(name, 0) == max(sizes)]
    if model not in largest:
        return model
    if len(largest) == 1:
        return f"{model}, the largest model,"
    among = counted(len(models), "model") if max(sizes) == 0 else "the largest models"
    return f"{model}, the strongest of {among},"


def model_colour(tables: RunTables) -> alt.Color:
    """Return a colour for each size, or for each model where a size is unknown."""
    models = list(dict.fromkeys(tables.counts["model"]))
    if all(model in tables.parameters for model in models):
        return size_colour(tables.parameters)
    scale = alt.Scale(domain=models, range=list(COLOURS[: len(models)]))
    legend = alt.Legend(columns=1 if len(models) <= 14 else 2, symbolOpacity=1, symbolSize=70)
    return alt.Color("model:N", title="model", sort=None, scale=scale, legend=legend)
