"""The ladder: tiny models of arithmetic, small to large, whose exact pass rates are known.

What the rest of the package is tested and shown on. Knows its tasks, recipe and checkpoints;
nothing of sweeps, stores or engines. Importing it imports no torch: `train` does, and `exact`
and `card` do where they compute.
"""

from pathlib import Path

from pipelines.ladder.arithmetic import HELD_OUT_POOL, TASKS, Problem, Task, held_out_problems
from pipelines.ladder.recipe import LADDER, Rung, rung

__all__ = [
    "CHECKPOINTS",
    "HELD_OUT_POOL",
    "LADDER",
    "TASKS",
    "Problem",
    "Rung",
    "Task",
    "checkpoint",
    "held_out_problems",
    "rung",
]

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""The trained models that come with the package, one folder each."""


def checkpoint(name: str) -> Path:
    """The folder of a model that comes with the package.

    Raises:
        ValueError: The ladder has none of that name.
    """
    return CHECKPOINTS / rung(name).name
