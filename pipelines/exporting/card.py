"""What an export says of itself: what was chosen and how, what was left out and why, and warnings.

Knows numbers and the sweep; not the rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.exporting.request import Request
from pipelines.exporting.rows import Shape
from pipelines.run import Run, version
from pipelines.sweeps.task_sections import (
    AnyTask,
    ArithmeticTask,
    FileTask,
    ImportedTask,
    MBPPTask,
)

LICENCE = (
    "The completions are outputs of the models named, to prompts of the tasks named: the licences "
    "and terms of those models and data sets say what may be done with them. passlaw adds none."
)
NAMED = 20
"""Most problems without a row that a card names, for each reason."""
_TRAINER = {
    "sft": "SFTTrainer (prompt-completion, or language modeling with messages)",
    "rejection": "SFTTrainer (prompt-completion, or language modeling with messages)",
    "preferences": "DPOTrainer, or RewardTrainer, which adds `margin` to its loss",
    "difficulty": "GRPOTrainer (prompt-only), sorted or filtered by pass_rate or bucket",
}
_REASONS = {
    "failed": "samples that failed with an error",
    "undecided": "samples that nobody could judge",
    "wrong": "samples that are known to be wrong",
    "truncated": "completions that were cut off",
    "empty": "completions without text",
    "repeated": "completions with the text of another one for the same prompt",
    "contradicted": "completions whose text was chosen and rejected for the same prompt",
    "lost": "completions whose samples are not there",
    "margin": "pairs with too small a margin",
}


@dataclass(kw_only=True)
class Tally:
    """What was counted on the way."""

    rows: int = 0
    read: Counter[str] = field(default_factory=Counter)
    """Samples that were considered, by verdict: passed, wrong, undecided, failed."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Candidates that came up and were not taken, by reason; those never needed do not count."""
    problems: int = 0
    """Models x problems that were considered."""
    without: dict[str, list[str]] = field(default_factory=dict)
    """Of those the ones without a row, by reason."""

    def missed(self, reason: str, model: str, task: str, problem: str) -> None:
        """Count a problem without a row."""
        self.without.setdefault(reason, []).append(f"{model} on {task}: {problem}")


def contamination(task: AnyTask) -> str | None:
    """Return what is wrong with training on a task's problems; None: nothing is known."""
    if isinstance(task, ArithmeticTask):
        return "held-out problems of the ladder: a model trained on them is not measured by them"
    if isinstance(task, ImportedTask | FileTask):
        place = "" if isinstance(task, ImportedTask) else f"{task.path or task.dataset}"
        split = "" if isinstance(task, ImportedTask) else task.split or ""
        named_test = split == "test" or "test" in place.lower()
        return (
            "its name says test: if others are measured by it, do not train on it"
            if (named_test)
            else None
        )
    if isinstance(task, MBPPTask) and task.split in ("train", "prompt", "validation"):
        return None
    if task.dataset is not None and task.split not in (None, "test"):
        return None
    which = "the test split" if task.split in (None, "test") and task.dataset else "problems"
    return (
        f"{which} of a published benchmark ({task.source}): a model that is trained on them must "
        "not be measured by that benchmark"
    )


def warnings(run: Run, tasks: Sequence[str], tally: Tally) -> list[str]:
    """Return what a user should know before training, a sentence each."""
    found = []
    for section in run.sweep.tasks:
        problem = contamination(section) if section.name in tasks else None
        if problem is not None:
            found.append(f"task {section.name}: {problem}")
    for reason, names in tally.without.items():
        found.append(
            f"{len(names):,} of {tally.problems:,} problems have no row: {reason}; the first is "
            f"{names[0]}"
        )
    return found


def card(run: Run, request: Request, shape: Shape, tasks: Sequence[str], tally: Tally) -> Any:
    """Return the card, as JSON values."""
    return {
        "made_by": f"passlaw {version()}",
        "run": shape.run,
        "config": shape.config,
        "request": asdict(request)
        | {"form": shape.form, "models": list(request.models), "tasks": list(request.tasks)},
        "for": _TRAINER[request.kind],
        "columns": {field.name: str(field.type) for field in shape.schema},
        "rows": tally.rows,
        "problems": {
            "considered": tally.problems,
            "with_rows": tally.problems - sum(map(len, tally.without.values())),
            "without_rows": {
                reason: {"count": len(names), "first": names[:NAMED]}
                for reason, names in tally.without.items()
            },
        },
        "samples_considered": dict(tally.read),
        "passed_over": {
            reason: {"count": count, "what": _REASONS[reason]}
            for reason, count in sorted(tally.passed_over.items())
        },
        "warnings": warnings(run, tasks, tally),
        "licence": LICENCE,
    }


def readme(facts: Mapping[str, Any]) -> str:
    """Return a folder's README.md: what `datasets` reads of it, and the card in words."""
    request, problems = facts["request"], facts["problems"]
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        '    path: "data/*.parquet"',
        "---",
        "",
        f"# {request['kind']} from {facts['run']}",
        "",
        f"{facts['rows']:,} rows from {problems['with_rows']:,} of {problems['considered']:,} "
        f"problems, chosen by {request['by']}, seed {request['seed']}; sweep {facts['config']}; "
        f"made by {facts['made_by']}. For {facts['for']}.",
        "",
        *(f"- Warning: {warning}" for warning in facts["warnings"]),
        *(
            f"- Left out: {each['count']:,} {each['what']}"
            for each in facts["passed_over"].values()
        ),
        "",
        facts["licence"],
        "",
        "`card.json` has all of this for programs.",
    ]
    return "\n".join(lines) + "\n"
