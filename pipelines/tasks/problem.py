"""A problem that can be asked and verified, and the table of those that a task asks.

Knows what makes a problem usable; not where it comes from.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from operators.schemas import PROBLEMS, check
from operators.verification.extract import canonical_answer
from operators.verification.options import check_options
from operators.verification.programs import read_tests
from pipelines.errors import UserError
from pipelines.sweeps.task_sections import ReadTask, Verifier
from pipelines.tasks.reading import read
from pipelines.tasks.rows import Row

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
"""What chat models are asked for in mathematics (DeepSeekMath, arXiv 2402.03300, README;
Qwen2.5-Math, arXiv 2409.12122, model card)."""

Message = dict[str, str]
"""role and content, as chat templates take them."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem; what each field is, `operators.schemas.PROBLEMS` says."""

    problem_id: str
    prompt: str
    verifier: Verifier
    answer: str | None = None
    messages: Sequence[Message] | None = None
    options: Mapping[str, Any] | None = None
    tests: Mapping[str, Any] | None = None
    level: str | None = None
    meta: Mapping[str, Any] | None = None


def user(text: str) -> tuple[Message, ...]:
    """Return the conversation that opens with this text of the user."""
    return ({"role": "user", "content": text},)


def collect(
    task: ReadTask,
    problem_of: Callable[[Row, str], Problem | None],
    way_out: str = "read other tables with source: file and its fields",
) -> pa.Table:
    """Read a task's rows and return the problems that it asks.

    Args:
        task: where the rows are, and which problems are wanted.
        problem_of: (row, label of the file or split) -> the row's problem; None: it is of
            another part of the benchmark.
        way_out: what to do about a field that is not there.

    Returns:
        Schema PROBLEMS, in the order of the rows.

    Raises:
        UserError: see `pipelines.tasks.problems`.
    """
    found = read(task)
    first_row: dict[str, int] = {}
    taken: list[Problem] = []
    for number, values in enumerate(found.rows, start=1):
        if len(taken) == task.limit:
            break
        row = Row(where=found.where, number=number, values=values, way_out=way_out)
        problem = problem_of(row, found.label)
        if problem is None:
            continue
        name = problem.problem_id
        if name in first_row:
            raise row.error(
                f"problem_id {name!r} was used in row {first_row[name]} already; ids must differ"
            )
        first_row[name] = number
        if task.problems is None or name in task.problems:
            _refuse_unreadable(row, problem)
            taken.append(problem)
    unknown = [name for name in task.problems or () if name not in first_row]
    if unknown and len(taken) != task.limit:
        some = ", ".join(list(first_row)[:3])
        raise UserError(
            f"{found.where}: problems: {unknown[0]!r} is not there; ids are {some}, ..."
        )
    if not taken:
        part = f" of split {task.split or 'test'}" if found.rows else ""
        raise UserError(f"{found.where}: has no problems{part}; it needs at least one")
    return table(taken, found.where)


def _refuse_unreadable(row: Row, problem: Problem) -> None:
    """Raise UserError where the verifier would have nothing to compare with."""
    options = dict(problem.options or {})
    try:
        check_options(problem.verifier, options)
        if problem.tests is not None:
            read_tests(_json(problem.tests), problem.problem_id)
            return
    except ValueError as error:
        raise row.error(str(error)) from None
    if canonical_answer(problem.answer, problem.verifier, options) is None:
        raise row.error(
            f"answer {(problem.answer or '')[:60]!r} cannot be read by verifier "
            f"{problem.verifier}; correct it, or take another verifier, such as exact for "
            "answers in words"
        )


def table(problems: Sequence[Problem], where: str) -> pa.Table:
    """Return problems as a table, schema PROBLEMS."""
    rows = [
        {
            "problem_id": problem.problem_id,
            "prompt": problem.prompt,
            "messages": _json(problem.messages),
            "answer": problem.answer,
            "verifier": problem.verifier,
            "verifier_options": _json(problem.options),
            "tests": _json(problem.tests),
            "level": problem.level,
            "meta": _json(problem.meta),
        }
        for problem in problems
    ]
    return check(pa.Table.from_pylist(rows, schema=PROBLEMS), PROBLEMS, where)


def _json(value: Any) -> str | None:
    return json.dumps(value, ensure_ascii=False) if value else None
