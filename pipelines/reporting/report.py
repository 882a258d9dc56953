"""Stage 4, report: the tables of a run become one page that a stranger can read.

Knows which parts a report has and in which order; what each says is in `sections`. The page opens
from disk with no network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from pipelines.reporting import completions
from pipelines.reporting.charts import NONE
from pipelines.reporting.completions import Reading
from pipelines.reporting.endings import ENDINGS, endings
from pipelines.reporting.page import render as render_page
from pipelines.reporting.sections import (
    calibration,
    coverage,
    exact,
    frontier,
    growth,
    laws,
    problems,
    quality,
    reproduce,
    selection,
    summary,
)
from pipelines.reporting.sections.section import Section, interval, parameter, plain
from pipelines.run import Run, results
from pipelines.store import ResultName, RunTables
from pipelines.sweeps.config import digest

_INPUTS: tuple[ResultName, ...] = (
    "counts",
    "costs",
    "exact",
    "audit",
    "laws",
    "calibration",
    "reliability",
)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A page, and its figures by name."""

    html: str
    figures: Mapping[str, alt.ConcatChart]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What a report reads of a run beside its tables; all of it may be missing."""

    readings: Mapping[tuple[str, str], Reading] = field(default_factory=dict)
    """What there is to read of some problems, by task and problem."""
    endings: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ENDINGS))
    """How the first samples of each cell ended."""
    recorded: Mapping[str, Any] = field(default_factory=dict)
    """What sampling recorded beside the sweep: version, hash, models with fingerprints."""


def report(run: Run) -> bool:
    """Write report.html and the figures; whether there was anything to do."""
    tables = results(run)
    told = [tables.sweep.model_dump(mode="json"), tables.version, dict(tables.parameters)]
    inputs = digest([told, *(run.store.result_inputs(name) for name in _INPUTS)])
    if run.store.report_inputs() == inputs:
        return False
    beside = Beside(
        readings=completions.read(run, problems.wanted(tables)),
        endings=endings(run),
        recorded=run.store.read_sweep()[1],
    )
    page = render(tables, beside)
    run.store.write_figures(figure_files(page))
    run.store.write_report(page.html, inputs)
    return True


def render(tables: RunTables, beside: Beside | None = None) -> Report:
    """Return the report of a run; what the tables do not hold is left out of it."""
    sections = _sections(tables, beside or Beside())
    figures = {name: chart for part in sections for name, chart in part.figures.items()}
    html = render_page(
        "report.html.jinja",
        figures,
        {
            "sections": sections,
            "sweep": tables.sweep,
            "run": tables.run,
            "version": tables.version,
            "level": f"{tables.sweep.fit.level * 100:g}%",
            "dash": NONE,
        },
        filters={"interval": interval, "parameter": parameter, "plain": plain},
    )
    return Report(html=html, figures=figures)


def _sections(tables: RunTables, beside: Beside) -> list[Section]:
    """Return the parts that these tables allow, in the order of reading."""
    parts = [
        coverage.section(tables),
        growth.section(tables),
        exact.section(tables),
        selection.section(tables),
        calibration.section(tables),
        frontier.section(tables),
        problems.section(tables, beside.readings),
        quality.section(tables, beside.endings),
        laws.section(tables),
        reproduce.section(tables, beside.recorded),
    ]
    there = [part for part in parts if part is not None]
    return [summary.section(tables, there), *there]


def figure_files(report: Report) -> dict[str, bytes]:
    """Return each figure by file name, as PNG (twice the screen's resolution) and as SVG."""
    files = {}
    for name, chart in report.figures.items():
        drawn = vl_convert.vegalite_to_svg(chart.to_dict(validate=False))
        files[f"{name}.png"] = vl_convert.svg_to_png(drawn, scale=2)
        files[f"{name}.svg"] = drawn.encode()
    return files
