"""Tasks -> problems tables: the ladder's arithmetic, published benchmarks, and any other file.

One module a benchmark; each knows the fields in which it is published, its prompt, and the
verifier that reads its answers. None knows how problems are answered.
"""

import pyarrow as pa

from pipelines.errors import UserError
from pipelines.sweeps.task_sections import (
    AnyTask,
    ArithmeticTask,
    FileTask,
    GSM8KTask,
    HumanEvalTask,
    ImportedTask,
    MathTask,
    MBPPTask,
    MultipleChoiceTask,
)
from pipelines.tasks import (
    arithmetic,
    file,
    gsm8k,
    hendrycks_math,
    humaneval,
    mbpp,
    multiple_choice,
)

__all__ = ["problems"]


def problems(task: AnyTask) -> pa.Table:
    """Return a task's problems, schema PROBLEMS.

    Raises:
        UserError: the file or data set is missing, empty or unreadable, a field is missing or
            not of its kind, the verifier cannot read a right answer, or two problems share an
            id; names the file, the row and the field.
    """
    match task:
        case ArithmeticTask():
            return arithmetic.problems(task)
        case FileTask():
            return file.problems(task)
        case GSM8KTask():
            return gsm8k.problems(task)
        case MathTask():
            return hendrycks_math.problems(task)
        case HumanEvalTask():
            return humaneval.problems(task)
        case MBPPTask():
            return mbpp.problems(task)
        case MultipleChoiceTask():
            return multiple_choice.problems(task)
        case ImportedTask():
            raise UserError(
                f"task {task.name}: was imported, so its problems are in the run that "
                "`passlaw import` made; give that run in place of a sweep file"
            )
