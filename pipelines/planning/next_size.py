"""Plans of a task law: how well it will predict the next size, by simulation.

The same study is simulated with more tries, more problems and one more size, because what helps
differs: models scatter around every law, and no number of tries takes that out.
Knows options; not where the plan is shown.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fitting import Sampling, SimulatedPredictions, TaskBelief, simulate_next_size
from pipelines.errors import UserError
from pipelines.planning.costs import Costs
from pipelines.planning.earlier_run import MeasuredLaw
from pipelines.planning.plan import Column, Line, Panel, Plan
from pipelines.planning.tables import cost_columns, cost_row, plus_minus
from pipelines.reporting.charts import size_label

MULTIPLES = (0.25, 1, 4)
"""Of the samples of each problem."""
MOST_SAMPLES = 10_000_000
SCATTER, HARDNESS = 0.1, 0.5
"""Where the user says nothing. The scatter is that of the ladder's models; with fewer than four
sizes it decides the width almost alone."""

_FITTED = Column(name="fitted", heading="fitted", kind="percent")
"""Share of the studies whose law could be read."""


@dataclass(frozen=True, kw_only=True)
class SizeQuestion:
    """What is asked of the next size."""

    target: float
    """Parameters of the model that is to be predicted."""
    sizes: tuple[float, ...]
    """Parameters of the models that are measured."""
    belief: TaskBelief
    problems: int
    sampling: Sampling
    within: float | None = None
    """Half-width of the interval of its pass rate."""
    level: float = 0.95
    simulations: int = 100
    said: tuple[str, ...] = ()
    """Where the belief comes from, in sentences."""

    def __post_init__(self) -> None:
        if not 0 < self.target <= 1e18:
            raise UserError(f"--size: must be > 0, got {self.target:g}")
        bad = [size for size in self.sizes if not 0 < size <= 1e18]
        if bad:
            raise UserError(f"--sizes: must be > 0, got {bad[0]:g}")
        if len(set(self.sizes)) < 3:
            raise UserError(
                f"--sizes: a law over sizes needs three different ones, got {len(set(self.sizes))}"
            )
        if self.within is not None and not 0 < self.within < 0.5:
            raise UserError(f"--within: must lie between 0 and 0.5, got {self.within:g}")
        if not 0 < self.level < 1:
            raise UserError(f"--level: must lie between 0 and 1, got {self.level:g}")
        if not 1 <= self.problems <= 100_000:
            raise UserError(f"--problems: must be from 1 to 100,000, got {self.problems}")
        if not 10 <= self.simulations <= 10_000:
            raise UserError(f"--simulations: must be from 10 to 10,000, got {self.simulations}")
        if self.sampling.most > MOST_SAMPLES:
            raise UserError(f"--cap, --n: at most {MOST_SAMPLES:,}, got {self.sampling.most:,}")


def size_belief(
    *, alpha: float | None, c: float | None, scatter: float | None, hardness: float | None
) -> tuple[TaskBelief, str]:
    """Return the belief that the options say, and a sentence of it.

    Raises:
        UserError: a number is missing or out of range.
    """
    if alpha is None or c is None:
        raise UserError("--alpha, --c: give the law rate = exp(-c N^-alpha), or --like RUN")
    if not c > 0 or not math.isfinite(c) or not math.isfinite(alpha):
        raise UserError(f"--c: must be > 0, got {c:g}")
    around = SCATTER if scatter is None else scatter
    apart = HARDNESS if hardness is None else hardness
    for name, value in (("scatter", around), ("hardness", apart)):
        if not 0 <= value <= 10:
            raise UserError(f"--{name}: must be from 0 to 10, got {value:g}")
    belief = TaskBelief(log_c=math.log(c), alpha=alpha, scatter=around, hardness=apart)
    guessed = [
        name for name, value in (("scatter", scatter), ("hardness", hardness)) if value is None
    ]
    more = f" ({' and '.join(guessed)} assumed, not given)" if guessed else ""
    return belief, (
        f"Pass rates follow exp(-{c:g} N^-{alpha:g}); on the scale log(-log rate) models scatter "
        f"around it by {around:g}, problems by {apart:g}{more}."
    )


def measured_belief(measured: MeasuredLaw) -> tuple[TaskBelief, str]:
    """Return the belief of an earlier run, and a sentence of it."""
    law = measured.law
    scatter = law.goodness["model_scatter"]
    belief = TaskBelief(
        log_c=law.params["log_c"],
        alpha=law.params["alpha"],
        scatter=scatter,
        hardness=measured.hardness,
    )
    left = f", fitted without {measured.held_out}," if measured.held_out else ""
    return belief, (
        f"The law of {measured.run}{left} has alpha = {belief.alpha:.3g}; on the scale "
        f"log(-log rate) models scatter around it by {scatter:.2g}, problems by "
        f"{measured.hardness:.2g}."
    )


@dataclass(frozen=True, kw_only=True)
class _Study:
    """One way to do it, simulated."""

    name: str
    multiple: float
    sizes: tuple[float, ...]
    problems: int
    sampling: Sampling
    found: SimulatedPredictions


def plan_next_size(question: SizeQuestion, costs: Costs, *, seed: int = 0) -> Plan:
    """Return how well a law through the sizes predicts the next, and what would help."""
    further = _further_size(question)
    variants = {
        "these sizes": question,
        "problems \u00d7 4": replace(question, problems=min(4 * question.problems, 100_000)),
        f"and {size_label(further)}": replace(question, sizes=(*question.sizes, further)),
    }
    studies = [
        _study(name, each, multiple, seed)
        for name, each in variants.items()
        for multiple in MULTIPLES
    ]
    asked = next(
        at
        for at, study in enumerate(studies)
        if study.name == "these sizes" and study.multiple == 1
    )
    best = _best(question, studies)
    return Plan(
        question="next-size",
        title=f"The next size, {size_label(question.target)}",
        asked={
            "size": question.target,
            "sizes": list(question.sizes),
            "problems": question.problems,
            "r": question.sampling.r,
            "most": question.sampling.most,
            "within": question.within,
            "level": question.level,
        },
        reached=question.within is None or _half(studies[asked]) <= question.within,
        answer=_answer(question, studies, asked, best),
        assumptions=(
            *question.said,
            "Emergence is not in it: where the law bends, the next size lies elsewhere.",
            f"Each row is the median of {question.simulations} simulated studies; differences of "
            "less than a tenth are chance.",
            *costs.basis,
        ),
        columns=(
            Column(name="study", heading="study", kind="text"),
            Column(name="problems", heading="problems", kind="count"),
            Column(
                name="most",
                heading="cap" if question.sampling.r else "samples of each",
                kind="count",
            ),
            Column(name="half_width", heading="interval", kind="half_width"),
            Column(name="factor", heading="high / low"),
            Column(name="held", heading="held", kind="percent"),
            *([] if all(study.found.fitted == 1 for study in studies) else [_FITTED]),
            *cost_columns(costs),
        ),
        rows=[_row(study, costs) for study in studies],
        chosen=asked if best is None else best,
        panels=(_panel(question, studies, asked if best is None else best),),
        caption="Half-width of the interval of the next size's pass rate against the samples of "
        "the whole study. Where a line is flat, models' own scatter is what is left: more sizes "
        "help, more tries do not.",
    )


def _times(sampling: Sampling, multiple: float) -> Sampling:
    """Return so many times the samples: r too, which is what most problems stop at."""
    most = min(max(round(sampling.most * multiple), 1), MOST_SAMPLES)
    r = None if sampling.r is None else min(max(round(sampling.r * multiple), 2), max(most, 2))
    return Sampling(most=max(most, r or 1), r=r)


def _further_size(question: SizeQuestion) -> float:
    """Return a size between the largest measured and the target, rounded to two digits."""
    largest = max(question.sizes)
    between = math.sqrt(largest * question.target) if question.target > largest else largest * 2
    return float(f"{between:.2g}")


def _study(name: str, question: SizeQuestion, multiple: float, seed: int) -> _Study:
    sampling = _times(question.sampling, multiple)
    found = simulate_next_size(
        question.belief,
        question.sizes,
        question.target,
        problems=question.problems,
        sampling=sampling,
        level=question.level,
        simulations=question.simulations,
        seed=seed,
    )
    return _Study(
        name=name,
        multiple=multiple,
        sizes=question.sizes,
        problems=question.problems,
        sampling=sampling,
        found=found,
    )


def _half(study: _Study) -> float:
    return study.found.half_width


def _samples(study: _Study) -> float:
    return float(study.found.samples.sum())


def _best(question: SizeQuestion, studies: Sequence[_Study]) -> int | None:
    """Return the study of fewest samples that gets there; None where none does or none is asked."""
    within = question.within
    if within is None:
        return None
    there = [at for at, study in enumerate(studies) if _half(study) <= within]
    return min(there, key=lambda at: _samples(studies[at])) if there else None


def _answer(
    question: SizeQuestion, studies: Sequence[_Study], asked: int, best: int | None
) -> list[str]:
    mine = studies[asked]
    rate = float(question.belief.rate(np.asarray(question.target)))
    if not math.isfinite(_half(mine)):
        said = [
            "No law can be fitted in most such studies: too few of the models both pass and fail. "
            "Raise the cap, or measure larger models."
        ]
    else:
        said = [
            f"A law through {len(question.sizes)} models predicts the pass rate at "
            f"{size_label(question.target)}, about {rate:.3g}, to {plus_minus(_half(mine))} "
            f"({100 * question.level:g}% interval, high / low = {mine.found.factor:.3g}), from "
            f"{_samples(mine):,.0f} samples."
        ]
    said.append(_what_helps(studies, asked))
    if question.within is not None and _half(mine) > question.within:
        said.append(
            f"That misses {plus_minus(question.within)}. "
            + (
                "None of the studies below gets there."
                if best is None
                else f"The cheapest below that gets there: {studies[best].name}, "
                f"{studies[best].problems:,} problems, {_samples(studies[best]):,.0f} samples."
            )
        )
    return said


def _what_helps(studies: Sequence[_Study], asked: int) -> str:
    """Return what each change alone makes of the interval."""
    mine = studies[asked]
    changes = []
    for study in studies:
        if study.name == mine.name and study.multiple == 4:
            changes.append(f"four times the samples {plus_minus(_half(study))}")
        if study.name != mine.name and study.multiple == 1:
            changes.append(f"{study.name} {plus_minus(_half(study))}")
    return "With one thing changed: " + "; ".join(changes) + "."


def _row(study: _Study, costs: Costs) -> dict[str, Any]:
    found = study.found
    each = [
        cost_row(costs.for_size(size).of(study.problems, float(drawn)))
        for size, drawn in zip(study.sizes, found.samples, strict=True)
    ]
    known = {name: [row[name] for row in each] for name in each[0]}
    return {
        "study": study.name,
        "sizes": list(study.sizes),
        "problems": study.problems,
        "most": study.sampling.most,
        "r": study.sampling.r,
        "half_width": _finite(found.half_width),
        "factor": _finite(found.factor),
        "held": _finite(found.held),
        "fitted": found.fitted,
        **{name: None if None in values else sum(values) for name, values in known.items()},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _panel(question: SizeQuestion, studies: Sequence[_Study], chosen: int) -> Panel:
    names = dict.fromkeys(study.name for study in studies)
    return Panel(
        title=f"{size_label(question.target)} from {len(question.sizes)} models",
        x_title="samples of the study",
        y_title="half-width of the interval",
        lines=[
            Line(
                name=name,
                points=[(_samples(each), _half(each)) for each in studies if each.name == name],
            )
            for name in names
        ],
        target=question.within,
        chosen=(_samples(studies[chosen]), _half(studies[chosen])),
    )
