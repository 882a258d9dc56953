"""A plan in words: a table for the terminal, a page, and a PNG of its picture.

Knows plans, not how they came about.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import vl_convert
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.errors import UserError
from pipelines.planning.figure import draw
from pipelines.planning.plan import Column, Plan
from pipelines.planning.tables import plus_minus
from pipelines.reporting.charts import NONE, number
from pipelines.reporting.page import render
from pipelines.run import version

_SMALL = 1e-4
"""Shares below it are not told apart."""


def _percent(share: float) -> str:
    return f"< {100 * _SMALL:g} %" if 0 <= share < _SMALL else f"{100 * share:.3g} %"


_IN_WORDS: Mapping[str, Callable[[Any], str]] = {
    "number": number,
    "count": lambda value: f"{value:,.0f}",
    "percent": _percent,
    "half_width": plus_minus,
    "text": str,
}
_CHOSEN = "\u2192"
"""Marks the row that the answer recommends."""


def show(plan: Plan, console: Console) -> None:
    """Print the answer, the alternatives and what they rest on."""
    for sentence in plan.answer:
        console.print(sentence, highlight=False, markup=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", min_width=1)
    rows = _cells(plan)
    for place, column in enumerate(plan.columns):
        table.add_column(
            escape(column.heading),
            justify="left" if column.kind == "text" else "right",
            min_width=max(
                len(text) for text in (*(cells[place] for cells in rows), *column.heading.split())
            ),
        )
    for at, cells in enumerate(rows):
        table.add_row(_CHOSEN if at == plan.chosen else "", *(escape(cell) for cell in cells))
    console.print(table)
    for sentence in plan.assumptions:
        console.print(sentence, highlight=False, markup=False)


def page(plan: Plan) -> str:
    """Return the page of a plan."""
    values = {
        "plan": plan,
        "version": version(),
        "cells": _cells(plan),
        "command": f"passlaw plan {plan.question}",
    }
    return render("plan.html.jinja", {"plan": draw(plan)}, values)


def write_page(plan: Plan, path: Path) -> None:
    """Write the page; UserError where that cannot be done."""
    _write(path, page(plan).encode())


def write_png(plan: Plan, path: Path) -> None:
    """Write the picture, at twice the screen's resolution; UserError where it cannot be."""
    spec = draw(plan).to_dict(validate=False)
    _write(path, bytes(vl_convert.vegalite_to_png(spec, scale=2)))


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def _cells(plan: Plan) -> list[list[str]]:
    """Return the table of alternatives in words, a dash for what is not known."""
    return [[_told(column, row[column.name]) for column in plan.columns] for row in plan.rows]


def _told(column: Column, value: Any) -> str:
    return NONE if value is None else _IN_WORDS[column.kind](value)
