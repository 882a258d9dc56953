"""MBPP: a task in words, and three assertions that a program should pass.

Published by Austin et al. 2021 (arXiv 2108.07732) as `text` (in the sanitized edition `prompt`),
`code`, `task_id`, `test_list`, and `test_setup_code` (sanitized: `test_imports`).
"""

from functools import partial

import pyarrow as pa

from pipelines.sweeps.task_sections import MBPP_STOP, MBPPTask
from pipelines.tasks.problem import Problem, collect, user
from pipelines.tasks.rows import Row

EXAMPLES = (
    (
        "Write a function to find the similar elements from the given two tuple lists.",
        "assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)\n"
        "assert similar_elements((1, 2, 3, 4),(5, 4, 3, 7)) == (3, 4)\n"
        "assert similar_elements((11, 12, 14, 13),(17, 15, 14, 13)) == (13, 14)",
        "def similar_elements(test_tup1, test_tup2):\n"
        "  res = tuple(set(test_tup1) & set(test_tup2))\n"
        "  return (res) ",
    ),
    (
        "Write a python function to identify non-prime numbers.",
        "assert is_not_prime(2) == False\n"
        "assert is_not_prime(10) == True\n"
        "assert is_not_prime(35) == True",
        "import math\n"
        "def is_not_prime(n):\n"
        "    result = False\n"
        "    for i in range(2,int(math.sqrt(n)) + 1):\n"
        "        if n % i == 0:\n"
        "            result = True\n"
        "    return result",
    ),
    (
        "Write a function to find the largest integers from a given list of numbers using heap "
        "queue algorithm.",
        "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],3)==[85, 75, 65] \n"
        "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],2)==[85, 75] \n"
        "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],5)"
        "==[85, 75, 65, 58, 35]",
        "import heapq as hq\n"
        "def heap_queue_largest(nums,n):\n"
        "  largest_nums = hq.nlargest(n, nums)\n"
        "  return largest_nums",
    ),
)
"""Tasks 2, 3 and 4: text, tests, code (CC BY 4.0). The published lines end in CR LF, here in LF."""

_SPLITS = {
    "prompt": range(1, 11),
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
}
"""Task ids of each split (section 2.1 of the paper)."""


def _asked(text: str, tests: str) -> str:
    """Return a task as the paper puts it (figure 1)."""
    return (
        f"You are an expert Python programmer, and here is your task: {text} Your code should pass "
        f"these tests:\n\n{tests}\n[BEGIN]\n"
    )


def _chat(text: str, tests: str) -> str:
    """Return the same for chat models, as lm-evaluation-harness does in mbpp_instruct."""
    return (
        f"You are an expert Python programmer, and here is your task:\n{text}\nYour code should "
        f"pass these tests:\n{tests}"
    )


FEW_SHOT = "".join(f"{_asked(text, tests)}{code}\n[DONE]\n\n" for text, tests, code in EXAMPLES)


def problems(task: MBPPTask) -> pa.Table:
    """Return the problems of one split of a file; see `pipelines.tasks.problems`.

    Only `test_list` decides; the challenge tests do not. The published code is the `answer`.
    """
    return collect(
        task,
        partial(_problem, task=task),
        "a set in the format of HumanEval is read by source: humaneval",
    )


def _problem(row: Row, label: str, task: MBPPTask) -> Problem | None:
    number = row.text("task_id").removeprefix("MBPP/")
    if not number.isdecimal():
        raise row.error(f"field task_id is {number!r}, must be a whole number")
    if int(number) not in _SPLITS[task.split or "test"]:
        return None
    text, tests = row.text("text", "prompt"), "\n".join(row.texts("test_list", "test"))
    chat = task.style == "chat"
    prompt = _chat(text, tests) if chat else FEW_SHOT + _asked(text, tests)
    code = row.get("code")
    return Problem(
        problem_id=f"MBPP/{number}",
        prompt=prompt,
        messages=user(prompt) if chat else None,
        answer=None if code is None else row.text("code").replace("\r\n", "\n"),
        verifier="program_tests",
        tests={
            "kind": "assertions",
            "setup": _setup(row),
            "code": tests,
            "stop": [] if chat else list(MBPP_STOP),
        },
    )


def _setup(row: Row) -> str:
    """Return what runs before the tests; it uses names that the program defines."""
    lines = row.texts("test_imports") if row.get("test_imports") else []
    if row.get("test_setup_code"):
        lines = [*lines, row.text("test_setup_code").replace("\r\n", "\n")]
    return "\n".join(lines)
