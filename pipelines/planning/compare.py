"""Plans of a comparison: problems and tries that tell model A from B on the same problems.

Power is a formula of `fitting`; at the numbers that are recommended runs are simulated too.
Knows options; not where the plan is shown.
"""

from dataclasses import dataclass

import numpy as np

from fitting import (
    PairedRates,
    comparison_power,
    measured_pair,
    paired_betas,
    problems_to_compare,
    simulate_comparison,
    tries_to_compare,
)
from fitting.estimators.counted_problems import Population
from fitting.planning.comparison import MOST_PROBLEMS, MOST_TRIES
from pipelines.errors import UserError
from pipelines.planning.beliefs import SPREAD
from pipelines.planning.costs import Costs
from pipelines.planning.earlier_run import Counts
from pipelines.planning.plan import Column, Line, Panel, Plan
from pipelines.planning.tables import cost_columns, cost_row, cost_said

CORRELATION = 0.7
"""Of two models' pass rates over problems, where the user gives none. Neighbours of one family
share more (Pythia 1B to 12B on MATH: 0.76 to 0.95), strangers less."""
LADDER = (1, 2, 4, 8, 16, 32, 64)
"""Tries of each problem that are weighed against more problems."""
SIMULATIONS = 1_000
_OF: dict[Population, str] = {"like_these": "problems like these", "these": "these very problems"}


@dataclass(frozen=True, kw_only=True)
class CompareQuestion:
    """What is asked of a comparison."""

    a: float | None = None
    """Mean pass rate of the first model; None: as measured."""
    b: float | None = None
    power: float = 0.8
    problems: int | None = None
    tries: int | None = None
    spread: float | None = None
    correlation: float | None = None
    population: Population = "like_these"
    level: float = 0.95

    def __post_init__(self) -> None:
        for name in ("a", "b", "power", "level", "spread"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise UserError(f"--{name}: must lie between 0 and 1, got {value:g}")
        if self.correlation is not None and not 0 <= self.correlation < 1:
            raise UserError(
                f"--correlation: must be at least 0 and below 1, got {self.correlation:g}"
            )
        if self.a is not None and self.a == self.b:
            raise UserError(f"--b: must differ from --a, both are {self.a:g}")
        if self.problems is not None and not 2 <= self.problems <= MOST_PROBLEMS:
            raise UserError(f"--problems: must be from 2 to {MOST_PROBLEMS:,}, got {self.problems}")
        if self.tries is not None and not 1 <= self.tries <= MOST_TRIES:
            raise UserError(f"--tries: must be from 1 to {MOST_TRIES:,}, got {self.tries}")
        if self.population == "these" and self.problems is None:
            raise UserError("--problems: needed for these very problems; how many are they?")


@dataclass(frozen=True, kw_only=True)
class PairBelief:
    """What is believed of the two models."""

    pair: PairedRates
    a: float
    b: float
    said: str


def pair_of(question: CompareQuestion, counts: tuple[Counts, Counts] | None) -> PairBelief:
    """Return what the options --a, --b, --spread, --correlation and --like say.

    Raises:
        UserError: the rates are not given, or counts from which nothing can be planned.
    """
    if counts is None:
        if question.a is None or question.b is None:
            raise UserError(
                "--a, --b: give the mean pass rates that are to be told apart, or --like RUN with "
                "--models A,B"
            )
        a, b = question.a, question.b
        spread = SPREAD if question.spread is None else question.spread
        correlation = CORRELATION if question.correlation is None else question.correlation
        source = "Assumed: two"
    else:
        first, second = counts
        try:
            found = measured_pair((first.n, second.n), (first.c, second.c))
        except ValueError as error:
            raise UserError(f"--like {first.source}: cannot be planned with. {error}") from None
        a = found.first if question.a is None else question.a
        b = found.second if question.b is None else question.b
        spread = found.spread if question.spread is None else question.spread
        correlation = found.correlation if question.correlation is None else question.correlation
        source = f"From {first.source} and {second.source}: two"
    pair = paired_betas(a, b, spread=spread, correlation=correlation)
    return PairBelief(
        pair=pair,
        a=a,
        b=b,
        said=f"{source} tries at one problem correlate by {spread:.2g}, the models' pass rates "
        f"over problems by {pair.correlation:.2g}. Of {abs(a - b):.3g} between them, single "
        f"problems scatter by {pair.between**0.5:.2g}, which no number of tries shrinks.",
    )


def plan_compare(
    question: CompareQuestion, belief: PairBelief, costs: Costs, *, seed: int = 0
) -> Plan:
    """Return how many problems and tries tell two models apart."""
    candidates = _candidates(question, belief.pair)
    best = min(candidates, key=lambda each: _price(costs, each)) if candidates else None
    shown = _shown(question, belief.pair, candidates, best)
    rows = [
        {
            "problems": problems,
            "tries": tries,
            "power": _power(question, belief.pair, problems, tries),
            **cost_row(costs.of(2 * problems, 2 * problems * tries)),
        }
        for problems, tries in shown
    ]
    return Plan(
        question="compare",
        title=f"Telling {belief.a:.3g} from {belief.b:.3g}",
        asked={name: getattr(question, name) for name in question.__dataclass_fields__}
        | {"a": belief.a, "b": belief.b},
        reached=best is not None and _power(question, belief.pair, *best) >= question.power,
        answer=_answer(question, belief, costs, best, seed),
        assumptions=(
            belief.said,
            f"The test is two-sided at {1 - question.level:.2g}, paired over problems, for "
            f"{_OF[question.population]}. Costs are of both models.",
            *costs.basis,
        ),
        columns=(
            Column(name="problems", heading="problems", kind="count"),
            Column(name="tries", heading="tries of each model", kind="count"),
            Column(name="power", heading="power", kind="percent"),
            *cost_columns(costs),
        ),
        rows=rows,
        chosen=None if best is None else shown.index(best),
        panels=(_panel(question, belief, best, shown),),
        caption="Chance to find the difference against the number of problems, for numbers of "
        "tries of each model at each problem. More tries help until the problems' own differences "
        "are all that is left.",
    )


def _candidates(question: CompareQuestion, pair: PairedRates) -> list[tuple[int, int]]:
    """Return pairs of problems and tries with the power that is wanted; none where none has it."""
    if question.problems is not None and question.tries is not None:
        return [(question.problems, question.tries)]
    if question.problems is not None:
        tries = tries_to_compare(
            pair, question.power, problems=question.problems, level=question.level,
            population=question.population,
        )  # fmt: skip
        return [] if tries is None else [(question.problems, tries)]
    ladder = LADDER if question.tries is None else (question.tries,)
    found = [
        (problems_to_compare(pair, question.power, tries=tries, level=question.level,
                             population=question.population), tries)
        for tries in ladder
    ]  # fmt: skip
    return [(problems, tries) for problems, tries in found if problems is not None]


def _price(costs: Costs, pair: tuple[int, int]) -> float:
    cost = costs.of(2 * pair[0], 2 * pair[0] * pair[1])
    return cost.usd or cost.flops or cost.tokens or cost.samples


def _shown(
    question: CompareQuestion,
    pair: PairedRates,
    candidates: list[tuple[int, int]],
    best: tuple[int, int] | None,
) -> list[tuple[int, int]]:
    """Return the rows of the table."""
    if question.problems is None:
        return candidates
    if best is not None:
        tries = {max(round(best[1] * factor), 1) for factor in (0.25, 0.5, 1, 2, 4)}
        return [(question.problems, each) for each in sorted(tries) if each <= MOST_TRIES]
    tried = [(question.problems, tries) for tries in (1, 8, 64, 512)]
    more = problems_to_compare(pair, question.power, tries=8, level=question.level)
    return tried if more is None else [*tried, (more, 8)]


def _answer(
    question: CompareQuestion,
    belief: PairBelief,
    costs: Costs,
    best: tuple[int, int] | None,
    seed: int,
) -> list[str]:
    pair = belief.pair
    if best is None:
        return _way_out(question, pair)
    problems, tries = best
    power = _power(question, pair, problems, tries)
    said = [
        f"Ask both models {problems:,} problems {tries:,} times each, {2 * problems * tries:,} "
        f"samples in all: the chance to find the difference of {abs(belief.a - belief.b):.3g} is "
        f"{100 * power:.3g}%" + ("." if power >= question.power else
        f", less than the {100 * question.power:g}% that were asked for.")
        + cost_said(costs.of(2 * problems, 2 * problems * tries))
    ]  # fmt: skip
    if question.population == "like_these":
        simulated = simulate_comparison(
            pair,
            problems=problems,
            tries=tries,
            level=question.level,
            simulations=SIMULATIONS,
            seed=seed,
        )
        said.append(
            f"Of {SIMULATIONS:,} simulated runs the test found it in {100 * simulated:.3g}%."
        )
    return said


def _way_out(question: CompareQuestion, pair: PairedRates) -> list[str]:
    if question.problems is None:
        raise UserError(
            f"--power: {question.power:g} takes more than {MOST_PROBLEMS:,} problems; the models "
            "are too alike"
        )
    most = _power(question, pair, question.problems, MOST_TRIES)
    said = [
        f"No number of tries gives {question.problems:,} problems a power of "
        f"{100 * question.power:g}%: it stays below {100 * most:.3g}%, because the models differ "
        "in which problems they solve."
    ]
    more = problems_to_compare(pair, question.power, tries=8, level=question.level)
    if more is not None:
        said.append(f"{more:,} problems with 8 tries each would do.")
    return said


def _power(question: CompareQuestion, pair: PairedRates, problems: int, tries: int) -> float:
    return comparison_power(
        pair,
        problems=problems,
        tries=tries,
        level=question.level,
        population=question.population,
    )


def _panel(
    question: CompareQuestion,
    belief: PairBelief,
    best: tuple[int, int] | None,
    shown: list[tuple[int, int]],
) -> Panel:
    middle = best[0] if best is not None else shown[-1][0]
    problems = np.unique(np.round(np.geomspace(max(middle / 10, 2), middle * 4, 25)).astype(int))
    tries = sorted({1, 4, 16, *([best[1]] if best is not None else [64])})
    return Panel(
        title=f"{belief.a:.3g} against {belief.b:.3g}",
        x_title="problems",
        y_title="power",
        lines=[
            Line(
                name=f"{many:,} tries" if many > 1 else "1 try",
                points=[(float(p), _power(question, belief.pair, int(p), many)) for p in problems],
            )
            for many in tries
        ],
        log_y=False,
        target=question.power,
        chosen=None if best is None else (float(best[0]), _power(question, belief.pair, *best)),
    )
