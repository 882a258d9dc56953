"""status: what of a run is done."""

import click

from pipelines import run as runs
from pipelines.commands.terminal import DONE, console, sweep_of, target_argument


@click.command()
@target_argument
def status(target: str) -> int:
    """Tell what of a run is done."""
    from pipelines.status import show

    with runs.reopened(sweep_of(target), write=False) as opened:
        show(opened, console())
    return DONE
