"""ls: which runs there are."""

from dataclasses import asdict

import click

from pipelines.commands.terminal import DONE, WITH_FAILURES, console, json_option, result


@click.command(short_help="List the runs in a folder, and how far each is.")
@click.argument("folder", default="runs", metavar="[FOLDER]")
@json_option
def ls(folder: str) -> int:
    """List the runs in FOLDER (a path or URL; default: runs), and how far each is."""
    from pipelines.listing import runs_in, show

    runs = runs_in(folder)
    show(runs, console())
    result({"folder": folder, "runs": [asdict(run) for run in runs]})
    return WITH_FAILURES if any(run.problem for run in runs) else DONE
