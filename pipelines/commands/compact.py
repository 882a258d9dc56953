"""compact: many small files into few."""

import click

from pipelines.commands.terminal import (
    DONE,
    WITH_FAILURES,
    demand_run,
    json_option,
    note,
    result,
    say,
    sweep_of,
)


@click.command(short_help="Merge a run's many small files into few.")
@click.argument("target", metavar="RUN")
@click.option("--target-mib", type=click.IntRange(min=1), default=256, show_default=True,
              help="Size of a merged file, about.")  # fmt: skip
@json_option
def compact(target: str, target_mib: int) -> int:
    """Merge a run's many small files into few large ones; nothing else changes."""
    from pipelines.compact import compact as merge
    from pipelines.run import reopened

    demand_run(target)
    with reopened(sweep_of(target)) as opened:
        done = merge(opened.store, opened.cells, target_mib * 2**20)
    for lost in done.quarantined:
        note(f"quarantined {lost.path}: {lost.reason}; moved to {lost.moved_to}")
    say("compact", f"{done.files_before:,} files are now {done.files_after:,}")
    result(
        {
            "run": target,
            "files_before": done.files_before,
            "files_after": done.files_after,
            "quarantined": [lost.path for lost in done.quarantined],
        }
    )
    return WITH_FAILURES if done.quarantined else DONE
