"""ladder: tiny models of known truth, trained again."""

from pathlib import Path

import click

from pipelines.commands.terminal import DONE, json_option, result, say
from pipelines.errors import UserError


@click.group()
def ladder() -> None:
    """The ladder: tiny models of known truth."""


@ladder.command()
@click.argument("rungs", nargs=-1, metavar="[RUNG]...")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("ladder"),
    show_default=True, help="Folder for the checkpoints, one folder a rung.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True,
              help="Processes, each of one thread.")  # fmt: skip
@click.option("--force", is_flag=True, help="Train again what is there.")
@json_option
def train(rungs: tuple[str, ...], out: Path, jobs: int, force: bool) -> int:
    """Train the ladder, or only the RUNGs named; the same seed gives the same weights."""
    from pipelines.ladder import LADDER, rung

    try:
        chosen = tuple(rung(name) for name in rungs) or LADDER
    except ValueError as error:
        raise UserError(str(error)) from None
    try:
        from pipelines.ladder.display import TrainingDisplay
        from pipelines.ladder.train import train_ladder
    except ModuleNotFoundError as error:
        raise UserError(
            f"ladder train: {error.name} is not installed; pip install 'passlaw[transformers]'"
        ) from None
    with TrainingDisplay() as display:
        trained = train_ladder(chosen, out, jobs=jobs, progress=display, force=force)
    for path in trained:
        say("train", str(path))
    result({"trained": [str(path) for path in trained]})
    return DONE
