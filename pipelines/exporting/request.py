"""What is asked of an export, checked before a run is read.

Knows the options and which go together; not what a run holds.
"""

from dataclasses import dataclass
from typing import Literal

from operators.training.candidates import Prefer
from operators.training.standing import VERDICT, check_selector
from operators.training.texts import Dedup
from pipelines.errors import UserError

Kind = Literal["sft", "rejection", "preferences", "difficulty"]
Form = Literal["auto", "standard", "conversational", "messages"]

_BY = {"sft": "majority", "rejection": VERDICT, "preferences": VERDICT, "difficulty": VERDICT}
_PER_PROBLEM = {"sft": 1, "preferences": 1}


@dataclass(frozen=True, kw_only=True)
class Request:
    """An export as it was asked for, every default in place; made by `asked`."""

    kind: Kind
    by: str
    """The selector, see `operators.training.standing`."""
    per_problem: int | None
    """Most rows of one model on one problem; None: all that there are."""
    prefer: Prefer
    """What comes first of equal standing."""
    min_margin: float
    """Pairs whose standings differ by less are left out, as are those that do not differ."""
    dedup: Dedup
    form: Form
    """How a prompt is written; auto: as the task puts it to a model."""
    without_verdicts: bool
    """Choose as if nobody had judged."""
    models: tuple[str, ...]
    """Empty: all."""
    tasks: tuple[str, ...]
    """Empty: all."""
    seed: int

    @property
    def pairs(self) -> bool:
        """Whether completions are rejected too."""
        return self.kind == "preferences"


def asked(
    kind: Kind,
    *,
    by: str | None = None,
    per_problem: int | None = None,
    prefer: Prefer = "random",
    min_margin: float | None = None,
    dedup: Dedup = "normalised",
    form: Form = "auto",
    without_verdicts: bool = False,
    models: tuple[str, ...] = (),
    tasks: tuple[str, ...] = (),
    seed: int = 0,
) -> Request:
    """Return a request with its defaults.

    Raises:
        UserError: a value is not allowed, or not with the others.
    """
    chosen_by = _BY[kind] if by is None else by
    try:
        check_selector(chosen_by)
    except ValueError as error:
        raise UserError(f"--by: {error}") from None
    choosing = {"--by": by, "--per-problem": per_problem, "--without-verdicts": without_verdicts}
    unused = next((option for option, value in choosing.items() if value), None)
    if kind == "difficulty" and unused:
        raise UserError(f"{unused}: difficulty chooses no completions; leave it out")
    if kind == "sft" and chosen_by == VERDICT:
        raise UserError("--by verdict: that is --kind rejection; sft goes by votes or confidence")
    if without_verdicts and (chosen_by == VERDICT or kind == "rejection"):
        raise UserError("--without-verdicts: give a selector without verdicts, as in --by majority")
    if min_margin is not None and kind != "preferences":
        raise UserError(f"--min-margin: only preferences have margins, not {kind}; leave it out")
    if form == "messages" and kind in ("preferences", "difficulty"):
        raise UserError(f"--format messages: {kind} has prompts of its own; give conversational")
    return Request(
        kind=kind,
        by=chosen_by,
        per_problem=_PER_PROBLEM.get(kind) if per_problem is None else per_problem,
        prefer=prefer,
        min_margin=min_margin or 0.0,
        dedup=dedup,
        form=form,
        without_verdicts=without_verdicts,
        models=models,
        tasks=tasks,
        seed=seed,
    )
