"""Problems from files and from the ladder; what is wrong with a file is named with its row."""

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.schemas import PROBLEMS
from pipelines.config import ArithmeticTask, FileTask
from pipelines.errors import UserError
from pipelines.ladder import TASKS, held_out_problems
from pipelines.tasks import problems

ROWS = [
    {"problem_id": "a", "prompt": "1+1=", "answer": "2", "level": 1},
    {"problem_id": "b", "prompt": "2+2=", "answer": "4"},
    {"problem_id": "c", "prompt": "3+3=", "answer": "6", "level": "hard"},
]


def task(path, **change):
    return FileTask(source="file", name="quiz", path=str(path), **change)


def lines(folder, rows, name="quiz.jsonl", ascii_only=True):
    path = folder / name
    text = "".join(
        (row if isinstance(row, str) else json.dumps(row, ensure_ascii=ascii_only)) + "\n"
        for row in rows
    )
    path.write_text(text, encoding="utf-8", newline="")
    return path


def refusal(path, **change):
    with pytest.raises(UserError) as caught:
        problems(task(path, **change))
    assert str(caught.value).startswith(f"task quiz: {path}: ")
    return str(caught.value).removeprefix(f"task quiz: {path}: ")


def test_json_lines(tmp_path):
    table = problems(task(lines(tmp_path, ROWS)))
    assert table.schema == PROBLEMS
    assert table.select(["problem_id", "prompt", "answer", "verifier", "level"]).to_pylist() == [
        {"problem_id": "a", "prompt": "1+1=", "answer": "2", "verifier": "exact", "level": "1"},
        {"problem_id": "b", "prompt": "2+2=", "answer": "4", "verifier": "exact", "level": None},
        {"problem_id": "c", "prompt": "3+3=", "answer": "6", "verifier": "exact", "level": "hard"},
    ]


def test_parquet_gives_what_json_lines_give(tmp_path):
    rows = [dict.fromkeys(["level"]) | row | {"level": "x"} for row in ROWS]
    path = tmp_path / "quiz.parquet"
    pl.DataFrame(rows).write_parquet(path)
    assert problems(task(path)).equals(problems(task(lines(tmp_path, rows))))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_any_text_is_read_as_it_was_written(tmp_path_factory, texts):
    """Also what JSON leaves as it is and Python takes for the end of a line, such as U+2028."""
    folder = tmp_path_factory.mktemp("task")
    rows = [{"problem_id": str(i), "prompt": t, "answer": t} for i, t in enumerate(texts)]
    table = problems(task(lines(folder, rows, ascii_only=False)))
    assert table["prompt"].to_pylist() == table["answer"].to_pylist() == texts


def test_blank_lines_and_windows_line_ends_are_no_rows(tmp_path):
    path = lines(tmp_path, [json.dumps(ROWS[0]) + "\r", "", "  \r", ROWS[1]])
    assert problems(task(path))["problem_id"].to_pylist() == ["a", "b"]


def test_template_fields_and_limit(tmp_path):
    rows = [{"id": 7, "question": "{prompt} {x}", "answer": 5, "grade": 2}, {"junk": 1}]
    fields = {"problem_id": "id", "prompt": "question", "level": "grade"}
    table = problems(
        task(lines(tmp_path, rows), fields=fields, template="Q: {prompt}\nA: {x}", limit=1)
    )
    (row,) = table.to_pylist()
    assert (row["problem_id"], row["answer"], row["level"]) == ("7", "5", "2")
    assert row["prompt"] == "Q: {prompt} {x}\nA: {x}"


def test_numeric_answers_may_be_written_in_any_form(tmp_path):
    rows = [ROWS[0] | {"answer": " $1,000"}, ROWS[1] | {"answer": 1e3}]
    table = problems(task(lines(tmp_path, [rows[1]]), verifier="numeric"))
    assert table["verifier"].to_pylist() == ["numeric"]
    message = refusal(lines(tmp_path, rows), verifier="numeric")
    assert message == (
        "row 1: answer ' $1,000' is no number; use verifier: exact for answers in words"
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no problems; it needs at least one"),
        (["", " "], "has no problems; it needs at least one"),
        ([*ROWS, ROWS[1]], "row 4: problem_id 'b' was used in row 2 already; ids must differ"),
        (
            [ROWS[0] | {"problem_id": 1}, ROWS[1] | {"problem_id": "1"}],
            "row 2: problem_id '1' was used in row 1 already; ids must differ",
        ),
        (
            [ROWS[0], {"problem_id": "b", "prompt": "?"}],
            "row 2: field answer is missing; fields are problem_id, prompt; name others under "
            "tasks.quiz.fields",
        ),
        ([ROWS[0] | {"prompt": None}], "row 1: field prompt is missing; fields are "),
        ([ROWS[0], '{"problem_id": '], "line 2: not valid JSON ("),
        ([ROWS[0], "[1, 2]"], "line 2: must be a JSON object, is '[1, 2]'"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(tmp_path, rows, message):
    assert refusal(lines(tmp_path, rows)).startswith(message)


def test_a_field_that_the_sweep_renames_is_missing_under_its_name(tmp_path):
    message = refusal(lines(tmp_path, ROWS), fields={"answer": "gold"})
    assert message.startswith("row 1: field gold is missing; fields are problem_id, prompt")


def test_files_that_cannot_be_read(tmp_path):
    assert refusal(tmp_path / "none.jsonl") == "no such file"
    assert refusal(tmp_path) == "no such file"
    assert refusal(lines(tmp_path, ROWS, "quiz.csv")) == "must end in .jsonl or .parquet"
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    assert refusal(tmp_path / "bytes.jsonl").startswith("cannot be read (")


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_a_truncated_parquet_file(tmp_path, size):
    path = tmp_path / "quiz.parquet"
    pl.DataFrame(ROWS[:1]).write_parquet(path)
    path.write_bytes(path.read_bytes()[:size])
    assert refusal(path).startswith("cannot be read as Parquet (")


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
