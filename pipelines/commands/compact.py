"""compact: many small files into few."""

import click

from pipelines import run as runs
from pipelines.commands.terminal import DONE, WITH_FAILURES, demand_run, note, say, sweep_of


@click.command()
@click.argument("target", metavar="RUN")
@click.option("--target-mib", type=click.IntRange(min=1), default=256, show_default=True,
              help="Size of a merged file, about.")  # fmt: skip
def compact(target: str, target_mib: int) -> int:
    """Merge a run's many small files into few large ones; nothing else changes."""
    from pipelines.compact import compact as merge

    demand_run(target)
    with runs.reopened(sweep_of(target)) as opened:
        done = merge(opened.store, opened.cells, target_mib * 2**20)
    for lost in done.quarantined:
        note(f"quarantined {lost.path}: {lost.reason}; moved to {lost.moved_to}")
    say("compact", f"{done.files_before:,} files are now {done.files_after:,}")
    return WITH_FAILURES if done.quarantined else DONE
