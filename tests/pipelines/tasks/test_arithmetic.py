"""Problems from the ladder."""

import pytest

from operators.schemas import PROBLEMS
from pipelines.errors import UserError
from pipelines.ladder import TASKS, held_out_problems
from pipelines.sweeps.task_sections import ArithmeticTask
from pipelines.tasks import problems


def test_arithmetic_problems_are_the_ladders():
    name = next(iter(TASKS))
    table = problems(ArithmeticTask(name=name, problems=9))
    assert table.schema == PROBLEMS
    expected = [(p.problem_id, p.prompt, p.answer) for p in held_out_problems(name, 9)]
    columns = [table[name].to_pylist() for name in ("problem_id", "prompt", "answer")]
    assert list(zip(*columns, strict=True)) == expected
    assert set(table["verifier"].to_pylist()) == {"exact"}
    with pytest.raises(UserError, match="task no-such: "):
        problems(ArithmeticTask(name="no-such"))
