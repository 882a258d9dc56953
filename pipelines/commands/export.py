"""export: a run's samples as a set to train on."""

from pathlib import Path
from typing import Any

import click

from pipelines.commands.terminal import (
    DONE,
    demand_run,
    json_option,
    note,
    result,
    say,
    sweep_of,
)


@click.command(short_help="Write a set to train on.")
@click.argument("target", metavar="RUN")
@click.option(
    "--kind", type=click.Choice(["sft", "rejection", "preferences", "difficulty"]), required=True,
    help="sft: the best completions by votes or confidence; rejection: those that passed; "
    "preferences: pairs of chosen and rejected; difficulty: pass rates of the problems.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path), required=True,
    metavar="FILE.jsonl|FILE.parquet|FOLDER", help="What to write.",
)  # fmt: skip
@click.option(
    "--per-problem", type=click.IntRange(min=1), metavar="N",
    help="Most rows of a model on a problem. [default: 1; for rejection all]",
)  # fmt: skip
@click.option("--model", "models", multiple=True, metavar="NAME",
              help="Only this model. May be repeated.")  # fmt: skip
@click.option("--task", "tasks", multiple=True, metavar="NAME",
              help="Only this task. May be repeated.")  # fmt: skip
@click.option(
    "--by", metavar="SELECTOR",
    help="What is best: majority, verdict, a column such as self_certainty or score, or a vote by "
    "one, such as borda(self_certainty). [default: majority for sft, else verdict]",
)  # fmt: skip
@click.option(
    "--prefer", type=click.Choice(["random", "shortest", "diverse"]), default="random",
    show_default=True, help="What comes first among equals.",
)  # fmt: skip
@click.option("--min-margin", type=click.FloatRange(min=0), metavar="X",
              help="Leave out pairs that differ by less.")  # fmt: skip
@click.option(
    "--dedup", type=click.Choice(["exact", "normalised"]), default="normalised", show_default=True,
    help="Which texts are the same: letter by letter, or but for white space.",
)  # fmt: skip
@click.option(
    "--format", "form", default="auto", show_default=True,
    type=click.Choice(["auto", "standard", "conversational", "messages"]),
    help="Prompts as text or as conversations; auto: as the models were asked.",
)  # fmt: skip
@click.option("--without-verdicts", is_flag=True,
              help="Choose as if nobody had judged: by votes or confidence alone.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Of the random order.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an export that is there.")
@json_option
def export(target: str, out: Path, force: bool, **options: Any) -> int:
    """Write a set to train on: for supervised fine-tuning, preferences, or a curriculum."""
    from pipelines.exporting.export import export as write
    from pipelines.exporting.request import asked
    from pipelines.run import reopened

    demand_run(target)
    request = asked(options.pop("kind"), **options)
    with reopened(sweep_of(target), write=False) as opened:
        card = write(opened, request, out, force=force)
    for warning in card["warnings"]:
        note(warning)
    problems = card["problems"]
    counted = f"{card['rows']:,} rows from {problems['with_rows']:,} problems"
    say("export", f"{counted} of {problems['considered']:,}: {out}")
    result({"out": str(out), **card})
    return DONE
