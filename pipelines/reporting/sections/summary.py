"""What was asked and what was found, in sentences: the top of the page.

Knows the counts of a run and what the other parts found; not how they found it.
"""

from collections.abc import Sequence

from pipelines.reporting.charts import number, size_label
from pipelines.reporting.sections.section import Finding, Row, Section, counted
from pipelines.store import RunTables

_ORDER = ("coverage", "growth", "selection", "frontier", "problems", "calibration", "exact")
"""Parts whose findings come first: the most important."""
MOST_ADVICE = 5
OPEN_TASKS = 6
"""Tasks whose findings are shown at once; those of more are folded."""


def section(tables: RunTables, parts: Sequence[Section]) -> Section:
    """Return the part at the top; `parts` are all others."""
    tasks = list(dict.fromkeys(tables.counts["task"]))
    warnings = [each for part in parts for each in part.values.get("warnings", ())]
    return Section(
        name="summary",
        title="What was found",
        values={
            "asked": _asked(tables),
            "tasks": [{"task": task, "found": _of_task(task, parts)} for task in tasks],
            "open_tasks": OPEN_TASKS,
            "grave": [each for each in warnings if each.grave],
            "warnings": [each for each in warnings if not each.grave],
            "advice": list(dict.fromkeys(text for part in parts for text in part.advice))[
                :MOST_ADVICE
            ],
        },
    )


def _of_task(task: str, parts: Sequence[Section]) -> list[Finding]:
    found = {part.name: part.found.get(task, ()) for part in parts}
    return [finding for name in _ORDER for finding in found.get(name, ())]


def _asked(tables: RunTables) -> Row:
    """Return the sentences of the first paragraph."""
    counts = tables.counts
    samples, passes = int(counts["n"].sum()), int(counts["c"].sum())
    problems = counts.select("task", "problem_id").n_unique()
    models = counted(counts["model"].n_unique(), "model")
    tried = (
        f"{models}{_sizes(tables)} tried {counted(problems, 'problem')} of "
        f"{counted(counts['task'].n_unique(), 'task')}, {number(samples)} times in all; "
        f"{number(passes)} of these samples passed."
    )
    return {"tried": tried, "rule": _rule(tables)}


def _sizes(tables: RunTables) -> str:
    known = [tables.parameters.get(model) for model in tables.counts["model"].unique()]
    sizes = sorted({size for size in known if size is not None})
    if not sizes:
        return ""
    labels = list(dict.fromkeys(size_label(size) for size in (sizes[0], sizes[-1])))
    return f" of {' to '.join(labels)} parameters"


def _rule(tables: RunTables) -> str:
    rule = tables.sweep.allocation
    if rule.kind == "until":
        return (
            f"Every problem was sampled until {rule.r} samples had passed, at most "
            f"{number(rule.cap)} times, so that rare passes are counted rather than missed."
        )
    if rule.kind == "fixed":
        return f"Every problem was sampled {number(rule.n)} times."
    least, most = (number(end) for end in (min(tables.counts["n"]), max(tables.counts["n"])))
    several = least if least == most else f"{least} to {most}"
    return f"The samples or counts were imported: {several} tries of each problem by each model."
