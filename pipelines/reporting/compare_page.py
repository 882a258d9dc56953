"""What a comparison of runs says: a table for the terminal, a document, and a page.

Knows what is in common and how it was compared, not how that came about.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.reporting.charts import NONE, number
from pipelines.reporting.compare_figures import (
    MOST_DRAWN,
    coverage_figure,
    differences_figure,
    problems_figure,
)
from pipelines.reporting.compare_pairs import (
    LEVEL,
    Pairing,
    ProblemChange,
    compare,
    problem_changes,
)
from pipelines.reporting.compare_runs import (
    ComparedRun,
    InCommon,
    costs,
    differing_keys,
    in_common,
    laws,
    one_seed,
)
from pipelines.reporting.page import render

Row = dict[str, Any]

_MOST_CHANGES = 12
"""Problems listed for each task."""
_LONGEST = 120
"""Characters of a value of a sweep that are shown."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Runs, compared."""

    runs: Sequence[ComparedRun]
    tasks: Sequence[InCommon]
    """Those with problems in common."""
    apart: Sequence[InCommon]
    """Tasks in common without a problem in common."""
    pairings: Sequence[Pairing]
    changes: Sequence[tuple[Pairing, Sequence[ProblemChange]]]
    """For each task the pair that differs most surely at one try, problem by problem."""
    differing: dict[str, list[str | None]]
    costs: Sequence[Row]
    laws: Sequence[Row]


def compared(runs: Sequence[ComparedRun]) -> Compared:
    """Compare runs on what they have in common.

    Raises:
        UserError: there is nothing to compare.
    """
    found = in_common(runs)
    tasks = [each for each in found if each.problems]
    pairings = compare({each.task: each.contestants for each in tasks})
    changes = []
    for each in tasks:
        single = [one for one in pairings if one.task == each.task and one.k == 1]
        surest = min(single, key=lambda one: one.p_value)
        changes.append((surest, problem_changes(surest.first, surest.second)))
    return Compared(
        runs=runs,
        tasks=tasks,
        apart=[each for each in found if not each.problems],
        pairings=pairings,
        changes=changes,
        differing=differing_keys(runs),
        costs=costs(runs),
        laws=laws(runs, [each.task for each in tasks]),
    )


def show(found: Compared, console: Console) -> None:
    """Print who differs from whom, a table a task."""
    for each in found.tasks:
        title = f"{each.task}: {number(each.problems)} problems in common"
        table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("second over first", overflow="fold", min_width=14)
        for heading in ("k", "first", "second"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column(f"difference ({LEVEL:.0%})", justify="right")
        for heading in ("p", "second is"):
            table.add_column(heading, justify="right", no_wrap=True)
        for one in found.pairings:
            if one.task == each.task:
                first, second, *cells, _ = _row(one)
                table.add_row(escape(f"{second} over {first}"), *cells, _outcome(one))
        console.print(table)
    console.print(
        "difference: of coverage at k tries, second less first, over the problems in common. "
        f"p: corrected for all {len(found.pairings)} comparisons (Holm).", highlight=False,
    )  # fmt: skip


def document(found: Compared) -> Row:
    """Return a comparison as what JSON can hold; what is unknown is null."""
    return {
        "runs": [{"label": run.label, "run": run.tables.run} for run in found.runs],
        "differing": found.differing,
        "tasks": [
            {
                "task": each.task,
                "problems": each.problems,
                "left_out": each.left_out,
                "reworded": each.reworded,
                "undecided": each.undecided,
            }
            for each in (*found.tasks, *found.apart)
        ],
        "comparisons": [
            {
                "task": one.task,
                "k": one.k,
                "first": _who(one.first.run, one.first.model, one.estimates[0]),
                "second": _who(one.second.run, one.second.model, one.estimates[1]),
                "difference": one.gap,
                "low": one.low,
                "high": one.high,
                "level": LEVEL,
                "population": one.population,
                "p_value": one.p_value,
                "corrected_p_value": one.corrected,
                "better": one.winner.label if one.winner else None,
            }
            for one in found.pairings
        ],
        "problems": [
            {
                "task": pairing.task,
                "first": pairing.first.label,
                "second": pairing.second.label,
                "changed": [each.problem_id for each in changes if each.changed],
            }
            for pairing, changes in found.changes
        ],
        "costs": list(found.costs),
        "laws": list(found.laws),
    }


def page(found: Compared, version: str) -> str:
    """Return the page of a comparison."""
    figures = {
        "coverage": coverage_figure(found.tasks),
        "differences": differences_figure(found.pairings),
        "problems": problems_figure(found.changes),
    }
    values = {
        "found": found,
        "version": version,
        "labels": [run.label for run in found.runs],
        "findings": [_finding(found, each) for each in found.tasks],
        "spent": _spent(found),
        "one_seed": one_seed(found.runs),
        "rows": [(one.task, one.winner is not None, _row(one)) for one in found.pairings],
        "changes": [_changes(pairing, changes) for pairing, changes in found.changes],
        "most_drawn": MOST_DRAWN,
        "level": f"{LEVEL:.0%}",
        "dash": NONE,
    }
    return render("compare.html.jinja", figures, values, {"shortened": _shortened})


def _who(run: str, model: str, coverage: float) -> Row:
    return {"run": run, "model": model, "coverage": coverage}


def _finding(found: Compared, task: InCommon) -> str:
    """Return a sentence on who is better at one try."""
    mine = [one for one in found.pairings if one.task == task.task and one.k == 1]
    surest = min(mine, key=lambda one: one.p_value)
    if len(mine) == 1:
        return _told(surest)
    won: dict[str, int] = {}
    for one in mine:
        if one.winner:
            won[one.winner.run] = won.get(one.winner.run, 0) + 1
    if not won:
        return f"none of {len(mine)} differences at one try is larger than chance explains."
    told = " and ".join(f"{run} in {count}" for run, count in won.items())
    return (
        f"at one try, of {len(mine)} pairs of models, better beyond chance is {told}. "
        f"The surest: {_told(surest)}"
    )


def _told(one: Pairing) -> str:
    first, second = (number(estimate) for estimate in one.estimates)
    gap = _interval(one.gap, one.low, one.high)
    if one.winner is None:
        verdict = "chance can explain the difference"
    else:
        verdict = f"{one.winner.label} is better by more than chance explains"
    return (
        f"one try passes at a rate of {second} by {one.second.label} and of {first} by "
        f"{one.first.label}. The difference is {gap}: {verdict} "
        f"(corrected p = {number(one.corrected, 2)})."
    )


def _spent(found: Compared) -> list[str]:
    """Return for each later run how much it spent, as a multiple of the first."""
    first, *others = (run.tables.costs for run in found.runs)
    told = []
    for run, table in zip(found.runs[1:], others, strict=True):
        parts = []
        for column, name in (("samples", "samples"), ("completion_tokens", "completion tokens"),
                             ("flops", "FLOPs")):  # fmt: skip
            one, two = first[column], table[column]
            if one.null_count() or two.null_count() or not one.sum():
                continue
            ratio = float(two.sum()) / float(one.sum())
            parts.append(f"as many {name}" if ratio == 1 else f"{number(ratio)} times the {name}")
        if parts:
            told.append(f"{run.label} spent {', '.join(parts)} as {found.runs[0].label}.")
    return told


def _outcome(one: Pairing) -> str:
    if one.winner is None:
        return NONE
    return "better" if one.winner is one.second else "worse"


def _row(one: Pairing) -> list[str]:
    return [
        one.first.label,
        one.second.label,
        number(one.k),
        number(one.estimates[0]),
        number(one.estimates[1]),
        _interval(one.gap, one.low, one.high),
        number(one.corrected, 2),
        one.winner.label if one.winner else NONE,
    ]


def _changes(pairing: Pairing, changes: Sequence[ProblemChange]) -> Row:
    """Return the problems that changed most, in words."""
    return {
        "task": pairing.task,
        "first": pairing.first.label,
        "second": pairing.second.label,
        "all": len(changes),
        "more": sum(each.changed and each.gap > 0 for each in changes),
        "less": sum(each.changed and each.gap < 0 for each in changes),
        "rows": [
            [
                each.problem_id,
                _interval(*each.first),
                _interval(*each.second),
                _interval(each.gap, each.low, each.high),
                number(each.corrected, 2),
            ]
            for each in changes[:_MOST_CHANGES]
        ],
    }


def _interval(estimate: float, low: float, high: float) -> str:
    return f"{number(estimate)} ({number(low)} to {number(high)})"


def _shortened(value: str | None) -> str:
    """Return a value of a sweep, its middle left out where it is long."""
    if value is None:
        return NONE
    half = _LONGEST // 2
    return value if len(value) <= _LONGEST else f"{value[:half]} … {value[-half:]}"
