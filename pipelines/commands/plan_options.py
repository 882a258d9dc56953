"""plan's options, which its questions share: what they cost, what they are like, where they go."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipelines.commands.terminal import DONE, console, result, say, wants_json
from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.planning.costs import Costs
    from pipelines.planning.earlier_run import EarlierRun
    from pipelines.planning.plan import Plan

Verb = TypeVar("Verb", bound=Callable[..., Any])
Option = Callable[[Verb], Verb]

COSTS = (
    click.option("--model-config", type=click.Path(path_type=Path), metavar="PATH",
                 help="The config.json of a Hugging Face model, or its folder: parameters and "
                 "attention are counted from it."),
    click.option("--parameters", type=float, metavar="N",
                 help="Parameters of the model, as in 8e9, instead of its config."),
    click.option("--prompt-tokens", type=float, metavar="N", help="Of a problem's prompt."),
    click.option("--completion-tokens", type=float, metavar="N",
                 help="Of a completion, on average."),
    click.option("--gpu", metavar="NAME",
                 help="What it runs on: a10, a100, b200, h100, h200, l4, l40s, mi300x, t4, v100."),
    click.option("--utilisation", type=float, metavar="SHARE",
                 help="Share of the GPU's peak that is reached. [default: 0.3, a guess]"),
    click.option("--tokens-per-second", type=float, metavar="N",
                 help="Completion tokens a second on one GPU, as measured, instead of the peak."),
    click.option("--usd-per-gpu-hour", type=float, metavar="USD", help="Price of a GPU-hour."),
    click.option("--usd-per-million-tokens", metavar="IN,OUT",
                 help="Price list: of a million prompt tokens, and of completions."),
)  # fmt: skip
OUTPUT = (
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Of the simulations."),
    click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.html",
                 help="Write a page with the table and a picture."),
    click.option("--png", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.png",
                 help="Write the picture alone."),
)  # fmt: skip
CELL = (
    click.option("--like", metavar="RUN|COUNTS",
                 help="Take what is believed from an earlier run, or from a .csv or .parquet file "
                 "with n (samples) and c (passes) of each problem."),
    click.option("--model", metavar="NAME", help="Of the earlier run, where it has several."),
    click.option("--task", metavar="NAME", help="Of the earlier run, where it has several."),
)  # fmt: skip
POPULATION = click.option(
    "--for", "population", type=click.Choice(["problems-like-these", "these-problems"]),
    default="problems-like-these", show_default=True,
    help="What is to be known: of the kind of problem, as reports say it, or of these very ones.",
)  # fmt: skip
LEVEL = click.option("--level", type=float, default=0.95, show_default=True,
                      help="Probability of the interval.")  # fmt: skip


def with_options(*bundles: tuple[Option[Any], ...] | Option[Any]) -> Option[Any]:
    """Return a decorator that gives a verb options, in the order of its help."""
    options = [each for bundle in bundles
               for each in (bundle if isinstance(bundle, tuple) else (bundle,))]  # fmt: skip

    def decorate(verb: Verb) -> Verb:
        for option in reversed(options):
            verb = option(verb)
        return verb

    return decorate


def numbers(text: str) -> tuple[float, ...]:
    """Return the numbers of --sizes."""
    return tuple(number("--sizes", part) for part in text.split(",") if part.strip())


def number(option: str, text: str) -> float:
    """Return a number as in 70e9 or 70B."""
    units = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
    text = text.strip()
    unit = units.get(text[-1:].lower(), 1.0)
    try:
        return float(text[:-1] if unit > 1 else text) * unit
    except ValueError:
        raise UserError(f"{option}: must be a number as in 70e9 or 70B, got {text!r}") from None


def earlier_run(options: Mapping[str, Any]) -> "tuple[EarlierRun | None, tuple[str, str] | None]":
    """Return the earlier run that --like names, and its model and task."""
    from pipelines.planning.earlier_run import EarlierRun

    if options["like"] is None:
        if options.get("task") is not None or options.get("model") is not None:
            raise UserError("--model, --task: go with --like RUN")
        return None, None
    earlier = EarlierRun.open(options["like"])
    return earlier, earlier.cell(options.get("model"), options.get("task"))


def costs_said(
    options: Mapping[str, Any], earlier: "EarlierRun | None", cell: tuple[str, str] | None
) -> "Costs":
    """Return the costs that the options and an earlier run say; UserError where they cannot be."""
    from pipelines.planning.costs import CostOptions, costs_of
    from pipelines.planning.hardware import UTILISATION

    names = ("model_config", "parameters", "prompt_tokens", "completion_tokens",
             "tokens_per_second", "usd_per_gpu_hour", "sizes")  # fmt: skip
    gpu, prices = options["gpu"], options.get("usd_per_million_tokens")
    if options["utilisation"] is not None and gpu is None:
        raise UserError("--utilisation: goes with --gpu")
    given = CostOptions(
        **{name: options[name] for name in names if name in options},
        gpu=None if gpu is None else gpu.lower(),
        utilisation=UTILISATION if options["utilisation"] is None else options["utilisation"],
        usd_per_million_tokens=None if prices is None else _prices(prices),
    )
    before = None if earlier is None or cell is None else earlier.costs(*cell)
    return costs_of(given, before)


def _prices(text: str) -> tuple[float, float]:
    try:
        into, out = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"--usd-per-million-tokens: must be two prices, as in 0.5,1.5, got {text!r}"
        ) from None
    return into, out


def finish(made: "Plan", options: Mapping[str, Any]) -> int:
    """Print a plan and write its files."""
    from pipelines.planning import show

    if not wants_json():
        show.show(made, console())
    if options["out"] is not None:
        show.write_page(made, options["out"])
        say("page", str(options["out"]))
    if options["png"] is not None:
        show.write_png(made, options["png"])
        say("picture", str(options["png"]))
    result(made.document())
    return DONE
