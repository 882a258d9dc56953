"""A verb on a sweep whose grid has several points: it does each, one after the other.

Knows sweeps and exit codes; not what the verb does.
"""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from pipelines.commands.terminal import (
    BAD_INPUT,
    DONE,
    INTERRUPTED,
    complain,
    result,
    say,
    sweeps_of,
)
from pipelines.errors import UserError
from pipelines.sweeps.config import Sweep

Work = Callable[[Sweep], tuple[int, dict[str, Any]]]
"""Does what a verb does to one run; returns an exit code and what it tells in JSON."""


def each(target: str, overrides: tuple[str, ...], work: Work, *, compare: bool = False) -> int:
    """Do a verb's work on every run that its target stands for, and tell the result.

    What one point fails at does not stop the others; an interrupt stops all.

    Args:
        target: a sweep file or a run directory.
        overrides: of the sweep.
        work: what to do with each.
        compare: say at the end how the runs are compared.

    Returns:
        The worst exit code.

    Raises:
        UserError: the target is bad, or a run lies where the points of a grid would lie.
    """
    sweeps = sweeps_of(target, overrides)
    if len(sweeps) == 1:
        code, facts = work(sweeps[0])
        result(facts)
        return code
    _refuse_inside_a_run(sweeps[0].run_path.rpartition("/")[0])
    worst, told = DONE, []
    for at, sweep in enumerate(sweeps, 1):
        say("point", f"{at} of {len(sweeps)}: {sweep.run_path}")
        try:
            code, facts = work(sweep)
        except UserError as error:
            complain(error)
            code = BAD_INPUT
            facts = {"name": sweep.name, "run": sweep.run_path, "error": str(error)}
        told.append(facts)
        worst = max(worst, code)
        if code == INTERRUPTED:
            break
    if compare and worst != INTERRUPTED:
        say("compare", f"passlaw compare {_together(sweeps)}")
    result({"runs": told, "exit_code": worst})
    return worst


def _refuse_inside_a_run(folder: str) -> None:
    from pipelines.store import Store

    if folder and Store.at(folder).has_sweep:
        raise UserError(
            f"{folder}: is a run itself, in which those of a grid would be lost; give another "
            "folder with -o run=PATH"
        )


def _together(sweeps: Sequence[Sweep]) -> str:
    """Return the runs of a grid as a shell takes them."""
    runs = [sweep.run_path for sweep in sweeps]
    if any("://" in run for run in runs):  # no shell lists a bucket
        return " ".join(runs)
    return f"{PurePosixPath(runs[0]).parent}/*"
