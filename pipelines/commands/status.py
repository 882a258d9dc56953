"""status: what of a run is done."""

import click

from pipelines.commands.terminal import (
    DONE,
    console,
    json_option,
    result,
    sweep_of,
    target_argument,
)


@click.command()
@target_argument
@json_option
def status(target: str) -> int:
    """Tell what of a run is done."""
    from pipelines.run import reopened
    from pipelines.status import document, examine, show

    with reopened(sweep_of(target), write=False) as opened:
        found = examine(opened)
        show(found, console())
        result(document(found))
    return DONE
