"""Plans of one rare pass rate: PassUntil's r and cap against a fixed number of samples.

All by formula. Knows options; not where the plan is shown.
"""

from dataclasses import dataclass

import numpy as np

from fitting import (
    cap_for,
    chance_of_none,
    chance_of_passes,
    expected_samples_in_rounds,
    limit_if_none,
    passes_for,
    relative_error_fixed,
    relative_error_until,
    relative_error_with_cap,
    samples_for,
)
from operators.allocation.looks import until
from pipelines.errors import UserError
from pipelines.planning.costs import Costs
from pipelines.planning.plan import Column, Line, Panel, Plan
from pipelines.planning.tables import cost_columns, cost_row, cost_said
from pipelines.reporting.charts import number

TIMES = (100.0, 10.0, 3.0, 1.0, 1 / 3, 0.1, 0.01)
"""The true rate as a multiple of the one that is planned for."""
LEAST_RATE = 1e-9


@dataclass(frozen=True, kw_only=True)
class RateQuestion:
    """What is asked of a pass rate."""

    rate: float
    relative_error: float = 0.3
    """Standard error over the rate."""
    chance: float = 0.95
    """Of r passes within the cap."""
    r: int | None = None
    cap: int | None = None
    problems: int = 1
    """Problems of this rate, for the costs."""
    first_round: int = 1_000
    growth: float = 2.0

    def __post_init__(self) -> None:
        if not LEAST_RATE <= self.rate <= 1:
            raise UserError(f"--rate: must be from {LEAST_RATE:g} to 1, got {self.rate:g}")
        if not 0.002 <= self.relative_error < np.inf:
            raise UserError(
                f"--relative-error: must be at least 0.002, got {self.relative_error:g}"
            )
        if not 0 < self.chance < 1:
            raise UserError(f"--chance: must lie between 0 and 1, got {self.chance:g}")
        if self.r is not None and not 2 <= self.r <= 1_000_000:
            raise UserError(f"--r: must be from 2 to 1,000,000, got {self.r}")
        if self.cap is not None and self.cap < (self.r or 2):
            raise UserError(f"--cap: must be at least r = {self.r or 2}, got {self.cap}")
        if self.problems < 1 or self.first_round < 1:
            raise UserError("--problems, --first-round: must be at least 1")
        if not 1.1 <= self.growth <= 100:
            raise UserError(f"--growth: must be from 1.1 to 100, got {self.growth:g}")


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """What is recommended."""

    r: int
    cap: int
    fixed: int
    """The fixed number that errs as much at the rate that is planned for."""
    question: RateQuestion

    def samples(self, rate: float) -> float:
        """Return the expected samples of a problem, rounds and all."""
        rounds = until(self.r, self.cap, self.question.first_round, self.question.growth)
        return float(expected_samples_in_rounds(self.r, rounds.looks, rate))


def plan_rate(question: RateQuestion, costs: Costs) -> Plan:
    """Return r and cap for a rate, and how they do where the rate is another one."""
    rule = _rule(question)
    rates = [question.rate * times for times in TIMES if LEAST_RATE <= question.rate * times <= 1]
    if question.rate not in rates:
        rates = sorted({*rates, question.rate}, reverse=True)
    rows = [_row(rule, rate, costs) for rate in rates]
    return Plan(
        question="rate",
        title=f"A pass rate of {number(question.rate)}",
        asked={name: getattr(question, name) for name in question.__dataclass_fields__},
        reached=relative_error_with_cap(rule.r, rule.cap, question.rate)
        <= question.relative_error * 1.02,
        answer=_answer(rule, costs),
        assumptions=(
            "Samples are independent. The estimate is the unbiased one: (r-1)/(K-1), or c/cap "
            "where fewer than r pass.",
            f"r is looked for at the ends of rounds, of which the first has "
            f"{question.first_round:,} samples and each ends at {question.growth:g} times the one "
            "before; the expected samples have what that draws too many.",
            *costs.basis,
        ),
        columns=(
            Column(name="rate", heading="if the rate is"),
            Column(name="expected_samples", heading="samples of a problem", kind="count"),
            Column(name="relative_error", heading="relative error", kind="percent"),
            Column(name="chance_of_r", heading=f"{rule.r} passes by the cap", kind="percent"),
            Column(name="chance_of_none", heading="no pass", kind="percent"),
            Column(name="fixed_relative_error", heading=f"n = {rule.fixed:,}: error",
                   kind="percent"),
            *(each for each in cost_columns(costs) if each.name != "samples"),
        ),
        rows=rows,
        chosen=rates.index(question.rate),
        panels=_panels(rule),
        caption="Left: standard error over the rate, against the true rate. Right: expected "
        "samples. A fixed number errs more the rarer the pass; PassUntil draws more instead, up to "
        "its cap.",
    )  # fmt: skip


def _rule(question: RateQuestion) -> _Rule:
    try:
        r = question.r or passes_for(question.relative_error, question.rate)
        cap = question.cap or cap_for(r, question.rate, question.chance)
        error = float(relative_error_until(r, question.rate))
        fixed = samples_for(error, question.rate) if error > 0 else r
    except ValueError as error:
        raise UserError(f"--rate {question.rate:g}: {error}") from None
    if cap < r:
        raise UserError(f"--cap: {cap:,} is less than the r = {r} that the error needs")
    return _Rule(r=r, cap=cap, fixed=fixed, question=question)


def _row(rule: _Rule, rate: float, costs: Costs) -> dict[str, float | None]:
    samples, problems = rule.samples(rate), rule.question.problems
    return {
        "rate": rate,
        "expected_samples": samples,
        "relative_error": relative_error_with_cap(rule.r, rule.cap, rate),
        "chance_of_r": float(chance_of_passes(rule.r, rule.cap, rate)),
        "chance_of_none": float(chance_of_none(rule.cap, rate)),
        "fixed_samples": float(rule.fixed),
        "fixed_relative_error": float(relative_error_fixed(rule.fixed, rate)),
        "fixed_chance_of_none": float(chance_of_none(rule.fixed, rate)),
        **cost_row(costs.of(problems, problems * samples)),
    }


def _answer(rule: _Rule, costs: Costs) -> list[str]:
    question = rule.question
    rate, problems = question.rate, question.problems
    samples, error = rule.samples(rate), relative_error_with_cap(rule.r, rule.cap, rate)
    met = chance_of_passes(rule.r, rule.cap, rate)
    return [
        f"Sample until r = {rule.r:,} have passed, with a cap of {rule.cap:,}: about "
        f"{samples:,.0f} samples of a problem"
        + (f", {problems * samples:,.0f} of all {problems:,}" if problems > 1 else "")
        + f", for a relative standard error of {100 * error:.2g}%. {rule.r:,} passes come within "
        f"the cap with a chance of {100 * float(met):.3g}%."
        + cost_said(costs.of(problems, problems * samples)),
        f"If a problem never passes within the cap, its rate is below "
        f"{number(float(limit_if_none(rule.cap)))} with 95% (the rule of three); at "
        f"{number(rate)} the chance of that is {number(float(chance_of_none(rule.cap, rate)))}.",
        f"A fixed n = {rule.fixed:,} errs as much at {number(rate)}, but by "
        f"{100 * float(relative_error_fixed(rule.fixed, rate / 10)):.2g}% where the rate is a "
        "tenth of it; and where it is ten times of it, n is ten times as much as it takes.",
    ]


def _panels(rule: _Rule) -> tuple[Panel, Panel]:
    planned = rule.question.rate
    top, bottom = min(planned * 100, 0.5), max(planned / 100, LEAST_RATE)
    rates = [float(rate) for rate in np.geomspace(bottom, top, 33)]
    mine, other = f"until {rule.r:,} pass", f"fixed n = {rule.fixed:,}"
    errors = Panel(
        title="relative error",
        x_title="true pass rate",
        y_title="standard error over rate",
        lines=[
            Line(
                name=mine, points=[(p, relative_error_with_cap(rule.r, rule.cap, p)) for p in rates]
            ),
            Line(
                name=other, points=[(p, float(relative_error_fixed(rule.fixed, p))) for p in rates]
            ),
        ],
        target=rule.question.relative_error,
        chosen=(planned, relative_error_with_cap(rule.r, rule.cap, planned)),
    )
    samples = Panel(
        title="expected samples of a problem",
        x_title="true pass rate",
        y_title="samples",
        lines=[
            Line(name=mine, points=[(p, rule.samples(p)) for p in rates]),
            Line(name=other, points=[(p, float(rule.fixed)) for p in rates]),
        ],
        chosen=(planned, rule.samples(planned)),
    )
    return errors, samples
