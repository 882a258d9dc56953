"""status: what of a run is done."""

from typing import Any

import click

from pipelines.commands.points import each
from pipelines.commands.terminal import DONE, console, json_option, target_argument
from pipelines.sweeps.config import Sweep


@click.command()
@target_argument
@json_option
def status(target: str) -> int:
    """Tell what of a run is done."""
    from pipelines.run import reopened
    from pipelines.status import document, examine, show

    def tell(sweep: Sweep) -> tuple[int, dict[str, Any]]:
        with reopened(sweep, write=False) as opened:
            found = examine(opened)
            show(found, console())
        return DONE, document(found)

    return each(target, (), tell)
