"""Plans of coverage at k: problems and tries for a width, or the width of a budget.

Widths are formulas of `fitting`; at the numbers that are recommended the runs are simulated too.
Knows options; not where the plan is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fitting import (
    CoverageWidth,
    coverage_width,
    problems_for_coverage,
    simulate_coverage,
    tries_for_coverage,
)
from fitting.estimators.counted_problems import Population
from fitting.planning.coverage import MOST_PROBLEMS, MOST_TRIES
from pipelines.errors import UserError
from pipelines.planning.beliefs import Belief
from pipelines.planning.costs import Costs
from pipelines.planning.plan import Column, Line, Panel, Plan
from pipelines.planning.tables import cost_columns, cost_row, cost_said, plus_minus

FACTORS = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Tries, as multiples of k, that are weighed against more problems."""
SIMULATIONS = 200
POINTS = 12
"""Of each line of the picture."""
_OF: Mapping[Population, str] = {
    "like_these": "problems like these",
    "these": "these very problems",
}


@dataclass(frozen=True, kw_only=True)
class CoverageQuestion:
    """What is asked of coverage at k."""

    k: int
    within: float | None
    """Half-width that is wanted; None: what width a budget gives."""
    problems: int | None = None
    tries: int | None = None
    budget: int | None = None
    """Samples in all."""
    population: Population = "like_these"
    level: float = 0.95

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MOST_TRIES:
            raise UserError(f"--k: must be from 1 to {MOST_TRIES:,}, got {self.k}")
        if self.within is not None and not 0 < self.within < 0.5:
            raise UserError(f"--within: must lie between 0 and 0.5, got {self.within:g}")
        if not 0 < self.level < 1:
            raise UserError(f"--level: must lie between 0 and 1, got {self.level:g}")
        if self.problems is not None and not 2 <= self.problems <= MOST_PROBLEMS:
            raise UserError(f"--problems: must be from 2 to {MOST_PROBLEMS:,}, got {self.problems}")
        if self.tries is not None and not self.k <= self.tries <= MOST_TRIES:
            raise UserError(
                f"--tries: must be from k = {self.k} to {MOST_TRIES:,}, got {self.tries}; coverage "
                "at k needs k tries of each problem"
            )
        if self.within is None and self.budget is None and None in (self.problems, self.tries):
            raise UserError(
                "--within: give the half-width that is wanted, or a budget of samples (--budget, "
                "or --problems with --tries) to learn the width that it gives"
            )
        if self.budget is not None:
            self._check_budget(self.budget)
        if self.population == "these" and self.problems is None:
            raise UserError("--problems: needed for these very problems; how many are they?")

    def _check_budget(self, budget: int) -> None:
        if self.within is not None or self.tries is not None:
            raise UserError("--budget: goes with --problems alone; it is what sets the tries")
        least = self.k * (self.problems or 2)
        if budget < least:
            raise UserError(
                f"--budget: {budget:,} samples are too few; {self.k} tries of "
                f"{self.problems or 2} problems are {least:,}"
            )


Pair = tuple[int, int]
"""Problems, and tries of each."""


def plan_coverage(
    question: CoverageQuestion, belief: Belief, costs: Costs, *, seed: int = 0
) -> Plan:
    """Return how many problems and tries coverage at k takes, or how wide its interval will be."""
    candidates = _candidates(question, belief)
    best = _best(question, belief, costs, candidates)
    if best is None:
        answer, shown = _way_out(question, belief, costs)
    else:
        answer = _answer(question, belief, costs, best, seed)
        shown = candidates if len(candidates) > 1 else _around(question, best)
    wide = {pair: _widths(question, belief, pair) for pair in shown}
    k, within = question.k, question.within
    return Plan(
        question="coverage",
        title=_title(question),
        asked={name: getattr(question, name) for name in question.__dataclass_fields__},
        reached=best is not None and (within is None or _half(question, belief, best) <= within),
        answer=answer,
        assumptions=(belief.said, *costs.basis),
        columns=(
            Column(name="problems", heading="problems", kind="count"),
            Column(name="tries", heading="tries of each", kind="count"),
            Column(name="half_width", heading="like these", kind="half_width"),
            Column(name="half_width_these", heading="these very", kind="half_width"),
            *cost_columns(costs),
        ),
        rows=[
            {
                "problems": pair[0],
                "tries": pair[1],
                "coverage": both["like_these"].coverage,
                "half_width": both["like_these"].half_width,
                "half_width_these": both["these"].half_width,
                **cost_row(costs.of(pair[0], pair[0] * pair[1])),
            }
            for pair, both in wide.items()
        ],
        chosen=None if best is None else shown.index(best),
        panels=(_panel(question, belief, best or shown[-1], recommended=best is not None),),
        caption=f"Half-width of the {100 * question.level:g}% interval of coverage at {k:,} "
        "against the tries of each problem. Solid: for problems like these; dashed: for these very "
        "problems. Where a solid line is flat, only more problems help.",
    )


def _title(question: CoverageQuestion) -> str:
    about = f"Coverage at {question.k:,}"
    if question.within is not None:
        return f"{about} to {plus_minus(question.within)}"
    return f"{about} from {question.budget:,} samples" if question.budget else f"{about}, as asked"


def _candidates(question: CoverageQuestion, belief: Belief) -> list[Pair]:
    """Return the pairs that get there, or that the budget buys; none where nothing gets there."""
    problems, tries, within = question.problems, question.tries, question.within
    if problems is not None and tries is not None:
        return [(problems, tries)]
    ladder = [round(question.k * factor) for factor in FACTORS]
    if question.budget is not None:
        if problems is not None:
            return [(problems, min(question.budget // problems, MOST_TRIES))]
        bought = [(min(question.budget // n, MOST_PROBLEMS), n) for n in ladder if n <= MOST_TRIES]
        return [pair for pair in bought if pair[0] >= 2]
    assert within is not None
    rates = belief.rates_for(question.k, question.population)
    if problems is not None:
        found = [
            tries_for_coverage(
                rates, question.k, within, problems=problems, level=question.level,
                population=question.population,
            )
        ]  # fmt: skip
    else:
        found = [
            problems_for_coverage(
                rates, question.k, within, tries=n, level=question.level,
                population=question.population,
            )
            for n in ([tries] if tries is not None else ladder)
            if n <= MOST_TRIES
        ]  # fmt: skip
    return [(each.problems, each.tries) for each in found if each is not None]


def _best(
    question: CoverageQuestion, belief: Belief, costs: Costs, candidates: Sequence[Pair]
) -> Pair | None:
    """Return the cheapest pair that gets there, or the pair whose interval is narrowest."""
    if not candidates:
        return None
    if question.within is None:
        return min(candidates, key=lambda pair: _half(question, belief, pair))

    def price(pair: Pair) -> float:
        cost = costs.of(pair[0], pair[0] * pair[1])
        return cost.usd or cost.flops or cost.tokens or cost.samples

    return min(candidates, key=price)


def _widths(
    question: CoverageQuestion, belief: Belief, pair: Pair
) -> dict[Population, CoverageWidth]:
    return {
        population: coverage_width(
            belief.rates_for(question.k, population),
            question.k,
            problems=pair[0],
            tries=pair[1],
            level=question.level,
            population=population,
        )
        for population in _OF
    }


def _half(question: CoverageQuestion, belief: Belief, pair: Pair) -> float:
    return _widths(question, belief, pair)[question.population].half_width


def _around(question: CoverageQuestion, best: Pair) -> list[Pair]:
    """Return the pair with fewer and more tries, and with fewer and more problems."""
    problems, tries = best
    pairs = {(problems, max(round(tries * factor), question.k)) for factor in (0.25, 0.5, 1, 2, 4)}
    if question.problems is None:
        pairs |= {(max(round(problems * factor), 2), tries) for factor in (0.5, 2)}
    return sorted(pair for pair in pairs if pair[1] <= MOST_TRIES and pair[0] <= MOST_PROBLEMS)


def _answer(
    question: CoverageQuestion, belief: Belief, costs: Costs, best: Pair, seed: int
) -> list[str]:
    problems, tries = best
    both = _widths(question, belief, best)
    mine, k = both[question.population], question.k
    simulated = simulate_coverage(
        belief.rates_for(k, question.population),
        k,
        problems=problems,
        tries=tries,
        level=question.level,
        population=question.population,
        simulations=SIMULATIONS,
        seed=seed,
    )
    verb = "Ask" if question.within is not None else "The budget buys"
    other: Population = "these" if question.population == "like_these" else "like_these"
    reached = question.within is None or mine.half_width <= question.within
    return [
        f"{verb} {problems:,} problems {tries:,} times each, {problems * tries:,} samples in all: "
        f"the {100 * question.level:g}% interval of coverage at {k:,} will be about "
        f"{plus_minus(mine.half_width)} for {_OF[question.population]}, around "
        f"{mine.coverage:.3g}."
        + ("" if reached else f" That misses {plus_minus(question.within or 0)}.")
        + cost_said(costs.of(problems, problems * tries)),
        f"Of {SIMULATIONS} simulated runs the mean is {plus_minus(simulated.mean)}, nine in ten "
        f"stay below {plus_minus(simulated.most)}, and {100 * simulated.held:.3g}% of the "
        "intervals hold the truth.",
        f"For {_OF[other]} it will be {plus_minus(both[other].half_width)}.",
    ]


def _way_out(
    question: CoverageQuestion, belief: Belief, costs: Costs
) -> tuple[list[str], list[Pair]]:
    """Say why nothing gets there, and what would."""
    k, within = question.k, question.within
    assert within is not None
    if question.problems is None:
        raise UserError(
            f"--within: {within:g} takes more than {MOST_PROBLEMS:,} problems; ask for less"
        )
    freed = replace(question, problems=None, population="like_these")
    more = _best(freed, belief, costs, _candidates(freed, belief))
    tried = [(question.problems, round(k * factor)) for factor in (1, 2, 5, 10)]
    least = _half(question, belief, tried[-1])
    said = [
        f"No number of tries gets {question.problems:,} problems to {plus_minus(within)} for "
        f"{_OF[question.population]}: with {tried[-1][1]:,} tries the interval is still "
        f"{plus_minus(least)}, because the problems differ."
    ]
    if more is None:
        return said, tried
    said.append(
        f"{more[0]:,} problems with {more[1]:,} tries each would get there, "
        f"{more[0] * more[1]:,} samples in all." + cost_said(costs.of(more[0], more[0] * more[1]))
    )
    return said, [*tried, more]


def _panel(question: CoverageQuestion, belief: Belief, about: Pair, *, recommended: bool) -> Panel:
    """Return half-widths over tries, for the number of problems and for fewer and more."""
    problems, tries = about
    least, most = question.k, min(max(20 * question.k, 4 * tries), MOST_TRIES)
    steps = np.unique(np.round(np.geomspace(least, most, POINTS)).astype(int))
    lines: list[Line] = []
    for many in (max(problems // 4, 2), problems, min(4 * problems, MOST_PROBLEMS)):
        both = [_widths(question, belief, (many, int(n))) for n in steps]
        lines += [
            Line(
                name=f"{many:,} problems",
                points=[
                    (float(n), each[population].half_width)
                    for n, each in zip(steps, both, strict=True)
                ],
                dashed=population == "these",
            )
            for population in _OF
        ]
    return Panel(
        title=f"Coverage at {question.k:,}",
        x_title="tries of each problem",
        y_title="half-width of the interval",
        lines=lines,
        target=question.within,
        chosen=(float(tries), _half(question, belief, about)) if recommended else None,
    )
