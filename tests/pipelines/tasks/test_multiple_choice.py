"""Lettered questions: every published form gives the same problem, and nothing is guessed."""

import json

import pytest

from pipelines.errors import UserError
from pipelines.sweeps.task_sections import MultipleChoiceTask
from pipelines.tasks import problems

QUESTION = "Which is a number?"
FORMS = [
    {"question": QUESTION, "options": ["A)red", "B) two", "C)green"], "correct": "B"},
    {"question": QUESTION, "options": ["(A) red", "(B) two", "(C) green"], "correct": "b"},
    {"question": QUESTION, "choices": ["red", "two", "green"], "answer": 1},
    {"question": QUESTION, "choices": ["red", "two", "green"], "answer": "two"},
    {
        "question": QUESTION,
        "choices": {"label": ["A", "B", "C"], "text": ["red", "two", "green"]},
        "answerKey": "B",
    },
    {
        "question_stem": QUESTION,
        "choices": {"text": ["red", "two", "green"], "label": ["1", "2", "3"]},
        "answerKey": "2",
    },
    {"input": f"{QUESTION} Answer Choices: (a) red (b) two (c) green", "output": "B"},
]


def row_of(folder, row, **change):
    path = folder / "quiz.jsonl"
    path.write_text(json.dumps(row))
    task = MultipleChoiceTask(source="multiple_choice", name="quiz", path=str(path), **change)
    return problems(task).to_pylist()[0]


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_every_published_form_gives_the_same_problem(tmp_path, form):
    assert row_of(tmp_path, form) == {
        "problem_id": "quiz-0001",
        "prompt": "Which is a number?\nA. red\nB. two\nC. green\nAnswer:",
        "messages": None,
        "answer": "B",
        "verifier": "choice",
        "verifier_options": '{"letters": "ABC", "choices": ["red", "two", "green"]}',
        "tests": None,
        "level": None,
        "meta": None,
    }


def test_a_chat_asks_for_reasons_and_a_letter(tmp_path):
    row = row_of(tmp_path, FORMS[0], style="chat")
    text = (
        "Answer the following multiple choice question. The last line of your response should be "
        "of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of ABC. "
        "Think step by step before answering.\n\nWhich is a number?\n\nA) red\nB) two\nC) green"
    )
    assert json.loads(row["messages"]) == [{"role": "user", "content": text}]
    assert row["prompt"] == text


def test_other_names_by_a_field_map(tmp_path):
    row = {"q": "?", "of": ["x", "y"], "gold": 0, "nr": 7, "field": "law", "answer": 1}
    fields = {
        "question": "q", "choices": "of", "answer": "gold", "problem_id": "nr", "level": "field",
    }  # fmt: skip
    found = row_of(tmp_path, row, fields=fields)
    assert (found["problem_id"], found["answer"], found["level"]) == ("quiz-7", "A", "law")


def test_braces_in_a_question_stay(tmp_path):
    row = FORMS[0] | {"question": "{choices} {letters}", "options": ["{question}", "{}"]}
    assert row_of(tmp_path, row, style="chat")["prompt"].endswith(
        "\n\n{choices} {letters}\n\nA) {question}\nB) {}"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": "D"}, "field correct is 'D', must be one of A, B, C, a position from 0, or"),
        ({"correct": 3}, "field correct is '3', must be one of A, B, C, a position from 0, or"),
        ({"correct": -1}, "field correct is '-1', must be one of A, B, C"),
        ({"correct": True}, "field correct is 'True', must be one of A, B, C"),
        ({"correct": ""}, "field correct is '', must be one of A, B, C"),
        ({"correct": None}, "field answerKey or correct or answer or output is missing; fields"),
        # The label of one choice is the text of another.
        ({"options": ["B", "A"], "correct": "A"}, "field correct is 'A', must be one of A, B, a "),
        ({"options": ["x", "x"], "correct": "x"}, "field correct is 'x', must be one of A, B, a "),
        ({"options": ["one"]}, "field choices or options: has labels A for 1 texts; must be at l"),
        ({"options": "A) B)"}, "field options is 'A) B)', must be a list of texts"),
        ({"options": ["x", ""]}, "verifier choice: option choices is ['x', ''], must be "),
        ({"options": {"label": None}}, "field choices or options: has labels for 0 texts; must"),
        (
            {"options": {"label": ["A", "C"], "text": ["x", "y"]}},
            "field choices or options: has labels A, C for 2 texts; must be",
        ),
        (
            {"options": {"label": ["A", "B", "C"], "text": ["x", "y"]}},
            "field choices or options: has labels A, B, C for 2 texts; must be",
        ),
        (
            {"options": None, "question": "? Answer Choices: (a) x (c) y"},
            "field choices or options: has labels a, c for 2 texts; must be at least two choices",
        ),
        ({"options": None}, "field choices or options is missing; fields are question"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_guessed(tmp_path, change, message):
    with pytest.raises(UserError) as caught:
        row_of(tmp_path, FORMS[0] | change)
    assert str(caught.value).startswith(f"task quiz: {tmp_path / 'quiz.jsonl'}: row 1: {message}")
