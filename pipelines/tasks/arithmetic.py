"""The ladder's own tasks: integer arithmetic with exact answers, kept out of its training."""

import pyarrow as pa

from pipelines import ladder
from pipelines.errors import UserError
from pipelines.sweeps.task_sections import ArithmeticTask
from pipelines.tasks.problem import Problem, table


def problems(task: ArithmeticTask) -> pa.Table:
    """Return held-out problems of a ladder task.

    Raises:
        UserError: the ladder has no such task, or not so many problems.
    """
    where = f"task {task.name}"
    try:
        held_out = ladder.held_out_problems(task.name, task.problems)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    return table(
        [
            Problem(
                problem_id=problem.problem_id,
                prompt=problem.prompt,
                answer=problem.answer,
                verifier="exact",
                level=problem.level,
            )
            for problem in held_out
        ],
        where,
    )
