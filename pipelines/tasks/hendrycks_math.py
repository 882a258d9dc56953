r"""MATH, and the sets that are published like it: a problem, and an answer in LaTeX.

MATH (Hendrycks et al. 2021, arXiv 2103.03874) has `problem`, `solution`, `level`, and `type` or
`subject`; its answer is what the solution boxes. AIME, AMC, OlympiadBench, the Minerva set and
SVAMP are read by the names that they were published with. Knows no LaTeX beyond `\boxed`.
"""

from functools import partial
from typing import Any

import pyarrow as pa

from operators.verification.boxed import last_boxed
from pipelines.sweeps.task_sections import MathTask
from pipelines.tasks.problem import BOXED, Problem, collect, user
from pipelines.tasks.rows import Row

EXAMPLES = (
    (
        # The stray brace is in the published prompt.
        r"Find the domain of the expression  $\frac{\sqrt{x-2}}{\sqrt{5-x}}$.}",
        r"The expressions inside each square root must be non-negative. Therefore, $x-2 \ge 0$, "
        r"so $x\ge2$, and $5 - x \ge 0$, so $x \le 5$. Also, the denominator cannot be equal to "
        r"zero, so $5-x>0$, which gives $x<5$. Therefore, the domain of the expression is "
        r"$\boxed{[2,5)}$.",
        r"[2,5)",
    ),
    (
        r"If $\det \mathbf{A} = 2$ and $\det \mathbf{B} = 12,$ then find "
        r"$\det (\mathbf{A} \mathbf{B}).$",
        r"We have that $\det (\mathbf{A} \mathbf{B}) = (\det \mathbf{A})(\det \mathbf{B}) = "
        r"(2)(12) = \boxed{24}.$",
        r"24",
    ),
    (
        r"Terrell usually lifts two 20-pound weights 12 times. If he uses two 15-pound weights "
        r"instead, how many times must Terrell lift them in order to lift the same total weight?",
        r"If Terrell lifts two 20-pound weights 12 times, he lifts a total of "
        r"$2\cdot 12\cdot20=480$ pounds of weight.  If he lifts two 15-pound weights instead for "
        r"$n$ times, he will lift a total of $2\cdot15\cdot n=30n$ pounds of weight.  Equating "
        "this to 480 pounds, we can solve for $n$:\n"
        "\\begin{align*}\n30n&=480\\\\\n\\Rightarrow\\qquad n&=480/30=\\boxed{16}\n\\end{align*}",
        r"16",
    ),
    (
        "If the system of equations\n\n\\begin{align*}\n6x-4y&=a,\\\\\n6y-9x &=b.\n\\end{align*}"
        "has a solution $(x, y)$ where $x$ and $y$ are both nonzero,\n"
        r"find $\frac{a}{b},$ assuming $b$ is nonzero.",
        "If we multiply the first equation by $-\\frac{3}{2}$, we obtain\n\n"
        "$$6y-9x=-\\frac{3}{2}a.$$Since we also know that $6y-9x=b$, we have\n\n"
        r"$$-\frac{3}{2}a=b\Rightarrow\frac{a}{b}=\boxed{-\frac{2}{3}}.$$",
        r"-\frac{2}{3}",
    ),
)
"""The 4 solutions of Minerva (Lewkowycz et al. 2022, arXiv 2206.14858, appendix D.2)."""

FEW_SHOT = "".join(
    f"Problem:\n{problem}\n\nSolution:\n{solution}\n"
    f"Final Answer: The final answer is ${answer}$. I hope it is correct.\n\n"
    for problem, solution, answer in EXAMPLES
)

_PROBLEM = ("problem", "question", "Problem", "Question")
_ANSWER = ("answer", "final_answer", "Answer")
_SOLUTION = ("solution", "Solution")
_ID = ("unique_id", "problem_id", "id", "ID", "idx")
_LEVEL = ("subject", "type", "subfield", "Type")
_META = ("unit", "answer_type", "error")
"""What OlympiadBench says of an answer beside it; an error is an absolute tolerance."""


def problems(task: MathTask) -> pa.Table:
    """Return the problems of a file; see `pipelines.tasks.problems`."""
    way_out = f"name others under tasks.{task.name}.fields"
    return collect(task, partial(_problem, task=task), way_out)


def _problem(row: Row, label: str, task: MathTask) -> Problem:
    question = _question(row, task)
    chat = task.style == "chat"
    prompt = f"{question}\n{BOXED}" if chat else f"{FEW_SHOT}Problem:\n{question}\n\nSolution:"
    ids = _names(task, "problem_id", _ID)
    return Problem(
        problem_id=row.id(label, *ids),
        prompt=prompt,
        messages=user(prompt) if chat else None,
        answer=_answer(row, task),
        verifier="math",
        level=_level(row, task),
        meta={name: row.values[name] for name in _META if row.values.get(name) is not None},
    )


def _names(task: MathTask, field: Any, published: tuple[str, ...]) -> tuple[str, ...]:
    return (task.fields[field],) if field in task.fields else published


def _question(row: Row, task: MathTask) -> str:
    text = row.text(*_names(task, "problem", _PROBLEM))
    # SVAMP tells the story apart from the question, OlympiadBench what several questions share.
    story = [row.text(name) for name in ("Body", "context") if row.get(name) is not None]
    return " ".join([*story, text])


def _answer(row: Row, task: MathTask) -> str:
    names = _names(task, "answer", _ANSWER)
    value = row.get(*names) if task.answer_from == "field" else None
    if isinstance(value, list):
        if len(value) != 1:
            raise row.error(
                f"field {row.name(*names)} has {len(value)} answers, must have one; join them as "
                "they should be compared"
            )
        return str(value[0])
    if value is not None:
        return row.number_or_text(*names)
    solutions = _names(task, "solution", _SOLUTION)
    if row.get(*solutions) is None:
        raise row.error(
            f"field {' or '.join((*names, *solutions))} is missing; fields are "
            f"{', '.join(row.values)}; {row.way_out}"
        )
    solution = row.text(*solutions)
    boxed = last_boxed(solution)
    if not boxed:
        raise row.error(f"field {row.name(*solutions)} has no \\boxed answer; give an answer field")
    return boxed


def _level(row: Row, task: MathTask) -> str | None:
    if "level" in task.fields:
        return row.text(task.fields["level"])
    subject, level = row.get(*_LEVEL), row.get("level")
    parts = [str(part).removeprefix("Level ") for part in (subject, level) if part is not None]
    return "/".join(parts) or None
