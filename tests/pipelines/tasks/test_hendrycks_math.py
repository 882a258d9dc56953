"""MATH and its like: the published prompt, and where each set keeps its answers."""

import hashlib
import json

import pytest

from pipelines.errors import UserError
from pipelines.sweeps.task_sections import MathTask
from pipelines.tasks import problems

ROW = {"problem": "What is $1/2$?", "solution": "It is \\boxed{\\frac{1}{2}}."}


def table(folder, *rows, **change):
    path = folder / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return problems(MathTask(source="math", name="math", path=str(path), **change))


def row_of(folder, row, **change):
    return table(folder, row, **change).to_pylist()[0]


def test_the_few_shot_prompt_is_the_published_one(tmp_path):
    """Four solutions, word for word, of Lewkowycz et al. 2022, with their stray brace."""
    prompt = row_of(tmp_path, ROW)["prompt"]
    assert prompt.startswith(
        "Problem:\nFind the domain of the expression  $\\frac{\\sqrt{x-2}}{\\sqrt{5-x}}$.}\n\n"
        "Solution:\nThe expressions inside each square root must be non-negative."
    )
    assert prompt.endswith(
        "$$-\\frac{3}{2}a=b\\Rightarrow\\frac{a}{b}=\\boxed{-\\frac{2}{3}}.$$\n"
        "Final Answer: The final answer is $-\\frac{2}{3}$. I hope it is correct.\n\n"
        "Problem:\nWhat is $1/2$?\n\nSolution:"
    )
    assert prompt.count("I hope it is correct.") == 4
    shots = prompt.removesuffix("Problem:\nWhat is $1/2$?\n\nSolution:")
    assert hashlib.blake2b(shots.encode(), digest_size=8).hexdigest() == "26a1f90bfe06591e"


def test_a_chat_asks_for_a_boxed_answer(tmp_path):
    row = row_of(tmp_path, ROW, style="chat")
    text = "What is $1/2$?\nPlease reason step by step, and put your final answer within \\boxed{}."
    assert json.loads(row["messages"]) == [{"role": "user", "content": text}]
    assert row["prompt"] == text


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        (ROW, "\\frac{1}{2}"),
        (ROW | {"answer": "0.5"}, "0.5"),
        (ROW | {"solution": "Not \\boxed{1} but \\boxed{2}."}, "2"),
        ({"question": "?", "answer": 27.0}, "27"),
        ({"question": "?", "answer": 0.25}, "0.25"),
        ({"question": "?", "final_answer": ["$x=1$"]}, "$x=1$"),
        ({"Question": "?", "Body": "A story.", "Answer": 3.0}, "3"),
    ],
)
def test_the_answer_is_a_field_or_what_the_solution_boxes(tmp_path, row, answer):
    row = row_of(tmp_path, row)
    assert (row["answer"], row["verifier"]) == (answer, "math")


def test_the_solution_may_come_before_an_answer_field(tmp_path):
    row = {"problem": "?", "answer": "km", "solution": "It is \\boxed{25\\text{ km}}."}
    assert row_of(tmp_path, row)["answer"] == "km"
    assert row_of(tmp_path, row, answer_from="solution")["answer"] == "25\\text{ km}"


def test_a_story_comes_before_its_question(tmp_path):
    row = {"Question": "How many?", "Body": "Two and two.", "Answer": 4}
    assert row_of(tmp_path, row)["prompt"].endswith("Problem:\nTwo and two. How many?\n\nSolution:")


@pytest.mark.parametrize(
    ("fields", "problem_id"),
    [
        ({}, "set-0001"),
        ({"id": 60}, "set-60"),
        ({"idx": 0}, "set-0"),
        ({"id": "17"}, "set-17"),
        ({"ID": "chal-777", "idx": 3}, "chal-777"),
        ({"unique_id": "test/algebra/1.json", "id": 4}, "test/algebra/1.json"),
    ],
)
def test_published_ids_are_kept(tmp_path, fields, problem_id):
    assert row_of(tmp_path, ROW | fields)["problem_id"] == problem_id


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({}, None),
        ({"subject": "Algebra", "level": 4}, "Algebra/4"),
        ({"type": "Algebra", "level": "Level 4"}, "Algebra/4"),
        ({"level": 2}, "2"),
        ({"subfield": "Geometry"}, "Geometry"),
    ],
)
def test_subject_and_level_as_published(tmp_path, fields, level):
    assert row_of(tmp_path, ROW | fields)["level"] == level


def test_other_names_by_a_field_map(tmp_path):
    row = {"aufgabe": "1+1?", "antwort": 2, "nr": "a1", "grad": 3, "problem": "not this"}
    fields = {"problem": "aufgabe", "answer": "antwort", "problem_id": "nr", "level": "grad"}
    found = row_of(tmp_path, row, fields=fields, style="chat")
    assert found["prompt"].startswith("1+1?\n")
    assert (found["answer"], found["problem_id"], found["level"]) == ("2", "a1", "3")


def test_what_olympiadbench_says_of_an_answer_is_kept(tmp_path):
    row = {"id": 1, "question": "?", "final_answer": ["2"], "unit": "km", "error": "1e-1"}
    assert json.loads(row_of(tmp_path, row)["meta"]) == {"unit": "km", "error": "1e-1"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "?"}, "field problem or question or Problem or Question is missing; fields are "),
        (
            {"problem": "?"},
            "field answer or final_answer or Answer or solution or Solution is missing; fields "
            "are problem; name others under tasks.math.fields",
        ),
        (ROW | {"solution": "It is 1/2."}, "field solution has no \\boxed answer; give an answer"),
        (ROW | {"solution": "\\boxed{1"}, "field solution has no \\boxed answer; give an answer"),
        (ROW | {"answer": ["1", "2"]}, "field answer has 2 answers, must have one; join them as "),
        (ROW | {"answer": ""}, "answer '' cannot be read by verifier math; correct it, or"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, row, message):
    with pytest.raises(UserError) as caught:
        table(tmp_path, ROW, row)
    where = f"task math: {tmp_path / 'set.jsonl'}: row 2: "
    assert str(caught.value).startswith(where + message)
