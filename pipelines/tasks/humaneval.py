"""HumanEval, and any set in its format: the beginning of a function, and tests of it.

Published by Chen et al. 2021 (arXiv 2107.03374) as `task_id`, `prompt`, `entry_point`,
`canonical_solution` and `test`, which defines `check(candidate)`.
"""

from functools import partial

import pyarrow as pa

from pipelines.sweeps.task_sections import HUMANEVAL_STOP, HumanEvalTask
from pipelines.tasks.problem import Problem, collect, user
from pipelines.tasks.rows import Row

INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a "
    "markdown code block:"
)
"""That of EvalPlus (Liu et al. 2023, arXiv 2305.01210, evalplus.codegen)."""


def problems(task: HumanEvalTask) -> pa.Table:
    """Return the problems of a file; see `pipelines.tasks.problems`.

    In zero_shot the model is given the bare prompt and the function is cut at the published stop
    strings, by the engine and again by the verifier. The published solution is the `answer`.
    """
    return collect(task, partial(_problem, task=task))


def _problem(row: Row, label: str, task: HumanEvalTask) -> Problem:
    beginning = row.text("prompt")
    solution = row.get("canonical_solution")
    chat = task.style == "chat"
    prompt = f"{INSTRUCTION}\n```\n{beginning.strip()}\n```\n" if chat else beginning
    return Problem(
        problem_id=row.text("task_id"),
        prompt=prompt,
        messages=user(prompt) if chat else None,
        answer=None if solution is None else row.text("canonical_solution"),
        verifier="program_tests",
        tests={
            "kind": "assertions",
            "prompt": beginning,
            "code": row.text("test"),
            "entry_point": row.text("entry_point").strip(),
            "stop": [] if chat else list(HUMANEVAL_STOP),
        },
    )
