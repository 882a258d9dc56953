"""plan: how many tries, at what cost, to learn something."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.plan_options import (
    CELL,
    COSTS,
    LEVEL,
    OUTPUT,
    POPULATION,
    costs_said,
    earlier_run,
    finish,
    number,
    numbers,
    with_options,
)
from pipelines.commands.terminal import json_option
from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.planning.next_size import SizeQuestion


@click.group(short_help="How many tries, at what cost, to learn something.")
def plan() -> None:
    """Plan: how many tries, at what cost, to learn something.

    Each question is answered from what is believed beforehand: numbers that you give, or an earlier
    run that the new one will be like. Nothing is sampled.
    """


@plan.command()
@click.option("--k", type=int, required=True, help="Tries of the coverage (pass@k).")
@click.option("--within", type=float, metavar="X", help="Half-width of its interval, as in 0.02.")
@click.option(
    "--problems", type=int, metavar="N", help="How many there are; else they are planned."
)
@click.option("--tries", type=int, metavar="N", help="Of each problem; else they are planned.")
@click.option("--budget", type=int, metavar="SAMPLES",
              help="Instead of --within: what width so many samples give.")  # fmt: skip
@click.option("--mean", type=float, metavar="RATE", help="Mean pass rate of a single try.")
@click.option("--spread", type=float, metavar="SHARE",
              help="How rates differ between problems: 0 not at all, 1 each always or never "
              "passes. [default: 0.5]")  # fmt: skip
@with_options(CELL, POPULATION, LEVEL, COSTS, OUTPUT)
@json_option
def coverage(population: str, **options: Any) -> int:
    """Know coverage at k to within X: how many problems and tries.

    For example, passlaw plan coverage --k 100 --within 0.02 --mean 0.3. With --budget, or with
    --problems and --tries, it tells the width instead.
    """
    from pipelines.planning.beliefs import belief_of
    from pipelines.planning.coverage import CoverageQuestion, plan_coverage

    question = CoverageQuestion(
        population="these" if population == "these-problems" else "like_these",
        **{name: options[name] for name in ("k", "within", "problems", "tries", "budget", "level")},
    )
    earlier, cell = earlier_run(options)
    counts = None if earlier is None or cell is None else earlier.counts(*cell)
    belief = belief_of(counts, options["mean"], options["spread"])
    costs = costs_said(options, earlier, cell)
    return finish(plan_coverage(question, belief, costs, seed=options["seed"]), options)


@plan.command()
@click.option("--a", type=float, metavar="RATE", help="Mean pass rate of model A.")
@click.option("--b", type=float, metavar="RATE", help="Mean pass rate of model B.")
@click.option("--power", type=float, default=0.8, show_default=True,
              help="Chance to find the difference, if it is there.")  # fmt: skip
@click.option(
    "--problems", type=int, metavar="N", help="How many there are; else they are planned."
)
@click.option("--tries", type=int, metavar="N",
              help="Of each model at each problem; else they are planned.")  # fmt: skip
@click.option("--spread", type=float, metavar="SHARE",
              help="How rates differ between problems, in (0, 1). [default: 0.5]")  # fmt: skip
@click.option("--correlation", type=float, metavar="R",
              help="Of the two models' pass rates over problems. [default: 0.7]")  # fmt: skip
@click.option("--like", metavar="RUN", help="An earlier run with both models, or two like them.")
@click.option("--models", metavar="A,B", help="The two models of the earlier run.")
@click.option("--task", metavar="NAME", help="Of the earlier run, where it has several.")
@with_options(POPULATION, LEVEL, COSTS, OUTPUT)
@json_option
def compare(population: str, models: str | None, **options: Any) -> int:
    """Tell model A from model B on the same problems: how many tries.

    For example, passlaw plan compare --a 0.30 --b 0.33 --problems 1000.
    """
    from pipelines.planning.compare import CompareQuestion, pair_of, plan_compare

    names = ("a", "b", "power", "problems", "tries", "spread", "correlation", "level")
    question = CompareQuestion(
        population="these" if population == "these-problems" else "like_these",
        **{name: options[name] for name in names},
    )
    both = None if models is None else [name.strip() for name in models.split(",")]
    if (both is None) != (options["like"] is None) or (both is not None and len(both) != 2):
        raise UserError("--models: give two names, as in --models A,B, together with --like RUN")
    earlier, cell = earlier_run({**options, "model": both[0] if both else None})
    counts = None
    if earlier is not None and cell is not None and both is not None:
        counts = earlier.pair(both, cell[1])
    belief = pair_of(question, counts)
    costs = costs_said(options, earlier, cell)
    return finish(plan_compare(question, belief, costs, seed=options["seed"]), options)


@plan.command()
@click.option("--rate", type=float, required=True, help="The pass rate to be seen, as in 1e-5.")
@click.option("--relative-error", type=float, default=0.3, show_default=True,
              help="Standard error over the rate that is wanted.")  # fmt: skip
@click.option("--chance", type=float, default=0.95, show_default=True,
              help="Of r passes within the cap.")  # fmt: skip
@click.option("--r", type=int, metavar="N", help="Passes that stop a problem; else planned.")
@click.option("--cap", type=int, metavar="N", help="Most samples of a problem; else planned.")
@click.option("--problems", type=int, default=1, show_default=True, help="Problems of this rate.")
@click.option("--first-round", type=int, default=1_000, show_default=True,
              help="Samples before it is first decided whether to go on.")  # fmt: skip
@click.option("--growth", type=float, default=2.0, show_default=True,
              help="Factor from the end of one round to the end of the next.")  # fmt: skip
@with_options(COSTS, OUTPUT)
@json_option
def rate(**options: Any) -> int:
    """See a rare pass rate: PassUntil's r and cap, against a fixed number.

    For example, passlaw plan rate --rate 1e-5 --relative-error 0.3.
    """
    from pipelines.planning.rare_passes import RateQuestion, plan_rate

    names = ("rate", "relative_error", "chance", "r", "cap", "problems", "first_round", "growth")
    question = RateQuestion(**{name: options[name] for name in names})
    return finish(plan_rate(question, costs_said(options, None, None)), options)


@plan.command("next-size")
@click.option("--size", required=True, metavar="N", help="Parameters to predict, as in 70e9.")
@click.option("--sizes", metavar="N,N,...", help="Parameters of the models that are measured.")
@click.option(
    "--within", type=float, metavar="X", help="Half-width of the predicted rate's interval."
)
@click.option("--like", metavar="RUN", help="An earlier run with a law over sizes.")
@click.option("--task", metavar="NAME", help="Of the earlier run, where it has several.")
@click.option("--alpha", type=float, help="Of the law rate = exp(-c N^-alpha).")
@click.option("--c", type=float, help="Of the law.")
@click.option("--scatter", type=float, metavar="SD",
              help="Of models around the law, as log(-log rate). [default: 0.1]")  # fmt: skip
@click.option("--hardness", type=float, metavar="SD",
              help="Of problems around their model, on that scale. [default: 0.5]")  # fmt: skip
@click.option("--problems", type=int, metavar="N", help="[default: 100, or as in RUN]")
@click.option("--r", type=int, metavar="N", help="Passes that stop a problem. [default: 5]")
@click.option("--cap", type=int, metavar="N", help="Most samples of a problem. [default: 100,000]")
@click.option("--n", type=int, metavar="N", help="A fixed number of samples, instead of r and cap.")
@click.option("--simulations", type=int, default=100, show_default=True, help="Of each study.")
@with_options(
    LEVEL, tuple(option for at, option in enumerate(COSTS) if at in (2, 3, 4, 5, 7)), OUTPUT
)
@json_option
def next_size(**options: Any) -> int:
    """Predict the next size: how well a law through smaller models does.

    For example, passlaw plan next-size --size 70e9 --sizes 1e8,4e8,1e9,3e9,8e9 --alpha 0.5 --c 4e4.
    """
    from pipelines.planning.next_size import plan_next_size

    question = _size_question(options)
    costs = costs_said({**options, "sizes": question.sizes}, None, None)
    return finish(plan_next_size(question, costs, seed=options["seed"]), options)


def _size_question(options: Mapping[str, Any]) -> "SizeQuestion":
    from fitting import Sampling
    from pipelines.planning.earlier_run import EarlierRun
    from pipelines.planning.next_size import SizeQuestion, measured_belief, size_belief

    measured = None
    if options["like"] is not None:
        if any(options[name] is not None for name in ("alpha", "c", "scatter", "hardness")):
            raise UserError("--alpha, --c, --scatter, --hardness: --like says them; leave them out")
        measured = EarlierRun.open(options["like"]).task_law(options["task"])
        belief, said = measured_belief(measured)
    else:
        names = ("alpha", "c", "scatter", "hardness")
        belief, said = size_belief(**{name: options[name] for name in names})
    sizes = options["sizes"]
    if sizes is None and measured is None:
        raise UserError("--sizes: give the parameters of the models that are measured")
    before = (measured.problems, measured.most, measured.r) if measured else (100, 100_000, 5)
    try:
        if options["n"] is not None:
            if options["r"] is not None or options["cap"] is not None:
                raise UserError("--n: a fixed number needs no --r and no --cap")
            sampling = Sampling(most=options["n"], r=None)
        else:
            until = options["r"] is not None or options["cap"] is not None or before[2] is not None
            sampling = Sampling(
                most=options["cap"] or before[1],
                r=(options["r"] or before[2] or 5) if until else None,
            )
    except ValueError as error:
        raise UserError(f"--r, --cap, --n: {error}") from None
    return SizeQuestion(
        target=number("--size", options["size"]),
        sizes=measured.sizes if sizes is None and measured is not None else numbers(sizes),
        belief=belief,
        problems=before[0] if options["problems"] is None else options["problems"],
        sampling=sampling,
        within=options["within"],
        level=options["level"],
        simulations=options["simulations"],
        said=(said,),
    )
