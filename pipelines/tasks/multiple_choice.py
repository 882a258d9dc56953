"""Questions with lettered answers, in the forms in which such sets are published.

AQuA (`question`, `options`, `correct`), ARC and CommonsenseQA (`question`, `choices` of label and
text, `answerKey`), MMLU (`question`, `choices`, `answer` as a position from 0), and questions that
carry their choices as `... Answer Choices: (a) ... (b) ...`. Knows no subject.
"""

import re
from collections.abc import Sequence
from functools import partial
from string import ascii_uppercase
from typing import Any

import pyarrow as pa

from pipelines.sweeps.task_sections import MultipleChoiceTask
from pipelines.tasks.problem import Problem, collect, user
from pipelines.tasks.rows import Row

_QUESTION = ("question", "question_stem", "input")
_CHOICES = ("choices", "options")
_ANSWER = ("answerKey", "correct", "answer", "output")
_ID = ("problem_id", "id")
_LEVEL = ("subject", "question_concept")
_INLINE = "Answer Choices:"


def problems(task: MultipleChoiceTask) -> pa.Table:
    """Return the problems of a file; see `pipelines.tasks.problems`.

    In zero_shot the question is followed by `A. ...`, `B. ...` and `Answer:`, each on its line,
    as in MMLU (Hendrycks et al. 2021, arXiv 2009.03300), without its heading and examples.
    """
    way_out = f"name others under tasks.{task.name}.fields"
    return collect(task, partial(_problem, task=task), way_out)


def _problem(row: Row, label: str, task: MultipleChoiceTask) -> Problem:
    question, labels, choices = _choices(row, task)
    letters = ascii_uppercase[: len(choices)]
    chat = task.style == "chat"
    prompt = (_chat if chat else _cue)(question, letters, choices)
    level = row.get(*_names(task, "level", _LEVEL))
    return Problem(
        problem_id=row.id(label, *_names(task, "problem_id", _ID)),
        prompt=prompt,
        messages=user(prompt) if chat else None,
        answer=letters[_right(row, task, labels, choices)],
        verifier="choice",
        options={"letters": letters, "choices": list(choices)},
        level=None if level is None else str(level),
    )


def _cue(question: str, letters: str, choices: Sequence[str]) -> str:
    """Return a question in the form of MMLU."""
    lines = [f"{letter}. {text}" for letter, text in zip(letters, choices, strict=True)]
    return "\n".join([question, *lines, "Answer:"])


def _chat(question: str, letters: str, choices: Sequence[str]) -> str:
    """Return a question in the template of OpenAI's simple-evals (common.py)."""
    lines = [f"{letter}) {text}" for letter, text in zip(letters, choices, strict=True)]
    return (
        "Answer the following multiple choice question. The last line of your response should be "
        "of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of "
        f"{letters}. Think step by step before answering.\n\n{question}\n\n" + "\n".join(lines)
    )


def _names(task: MultipleChoiceTask, field: Any, published: tuple[str, ...]) -> tuple[str, ...]:
    return (task.fields[field],) if field in task.fields else published


def _choices(row: Row, task: MultipleChoiceTask) -> tuple[str, Sequence[str], Sequence[str]]:
    """Return the question, and the label and text of each choice."""
    question = row.text(*_names(task, "question", _QUESTION)).strip()
    names = _names(task, "choices", _CHOICES)
    found = row.get(*names)
    if found is None and _INLINE in question:
        question, _, inline = question.rpartition(_INLINE)
        parts = re.split(r"\(([a-z])\)", inline)
        labels, choices = parts[1::2], [text.strip() for text in parts[2::2]]
    elif isinstance(found, dict):
        labels, choices = list(found.get("label") or ()), list(found.get("text") or ())
    else:
        choices = row.texts(*names)
        labels = list(ascii_uppercase[: len(choices)])
        choices = _without_letters(labels, choices)
    expected = (list(ascii_uppercase), list("abcdefghijklmnopqrstuvwxyz"), list("123456789"))
    known = any(list(labels) == alphabet[: len(labels)] for alphabet in expected)
    if len(choices) < 2 or len(choices) != len(labels) or not known:
        raise row.error(
            f"field {' or '.join(names)}: has labels {', '.join(map(str, labels))} for "
            f"{len(choices)} texts; must be at least two choices, labelled A, B, ... or 1, 2, ..."
        )
    return question.strip(), labels, choices


def _without_letters(letters: Sequence[str], choices: Sequence[str]) -> list[str]:
    """Return the choices without `A)`, `B)`, ... where each begins with its own letter."""
    marked = [
        re.match(rf"\(?{letter}[).:]\s*", text)
        for letter, text in zip(letters, choices, strict=False)
    ]
    if not all(marked):
        return list(choices)
    return [text[found.end() :] for found, text in zip(marked, choices, strict=False) if found]


def _right(
    row: Row, task: MultipleChoiceTask, labels: Sequence[str], choices: Sequence[str]
) -> int:
    """Return the position of the right choice."""
    names = _names(task, "answer", _ANSWER)
    value = row.required(*names)
    if isinstance(value, int) and not isinstance(value, bool):
        found = [value] if 0 <= value < len(choices) else []
    else:
        known = str(value).strip().upper()
        found = [
            at
            for at, (label, text) in enumerate(zip(labels, choices, strict=True))
            if label.upper() == known or text == value
        ]
    if len(found) != 1:
        raise row.error(
            f"field {row.name(*names)} is {str(value)[:60]!r}, must be one of "
            f"{', '.join(labels)}, a position from 0, or the text of one choice"
        )
    return found[0]
