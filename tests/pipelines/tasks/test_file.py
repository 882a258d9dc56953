"""Problems from any table; what is wrong with it is named with its row."""

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.schemas import PROBLEMS
from pipelines.errors import UserError
from pipelines.sweeps.task_sections import FileTask
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
    rows = [ROWS[0] | {"answer": "1,000.50"}, ROWS[1] | {"answer": 1e3}]
    table = problems(task(lines(tmp_path, rows), verifier="numeric"))
    assert table["verifier"].to_pylist() == ["numeric"] * 2


@pytest.mark.parametrize(
    ("verifier", "answer", "options"),
    [
        ("numeric", "many", {}),
        ("choice", "F", {}),
        ("choice", "C", {"letters": "AB"}),
        ("json", "{", {}),
        ("math", " ", {}),
    ],
)
def test_a_right_answer_that_its_verifier_cannot_read_is_refused(
    tmp_path, verifier, answer, options
):
    """It would make every sample fail, and nobody would know why."""
    path = lines(tmp_path, [ROWS[0] | {"answer": answer}])
    assert refusal(path, verifier=verifier, options=options) == (
        f"row 1: answer {answer!r} cannot be read by verifier {verifier}; correct it, or take "
        "another verifier, such as exact for answers in words"
    )


def test_a_problems_own_options_come_on_top_of_the_tasks(tmp_path):
    rows = [ROWS[0], ROWS[1] | {"verifier_options": {"tolerance": 1}}]
    rows.append(ROWS[2] | {"verifier_options": '{"strict": true}'})
    options = {"tolerance": 0.5, "after": "="}
    table = problems(task(lines(tmp_path, rows), verifier="numeric", options=options))
    assert [json.loads(each) for each in table["verifier_options"].to_pylist()] == [
        options,
        options | {"tolerance": 1},
        options | {"strict": True},
    ]


def test_an_option_that_the_verifier_does_not_take_is_named(tmp_path):
    message = refusal(lines(tmp_path, ROWS), verifier="numeric", options={"tolerence": 1})
    assert message.startswith("row 1: verifier numeric: unknown option 'tolerence'; allowed are ")
    rows = [ROWS[0] | {"verifier_options": "[1]"}]
    assert refusal(lines(tmp_path, rows)) == (
        "row 1: field verifier_options is '[1]', must be a JSON object"
    )
    rows = [ROWS[0] | {"verifier_options": "{"}]
    message = "row 1: field verifier_options is '{', not valid JSON ("
    assert refusal(lines(tmp_path, rows)).startswith(message)


def test_answers_of_verifier_json_may_be_json(tmp_path):
    rows = [ROWS[0] | {"answer": {"a": [1, "é"]}}, ROWS[1] | {"answer": '{"a": 2}'}]
    table = problems(task(lines(tmp_path, rows), verifier="json"))
    assert table["answer"].to_pylist() == ['{"a": [1, "é"]}', '{"a": 2}']


TESTS = {"kind": "assertions", "code": "assert f() == 1"}


def test_programs_have_tests_in_place_of_an_answer(tmp_path):
    rows = [
        {"problem_id": "a", "prompt": "p", "tests": TESTS},
        {"problem_id": "b", "prompt": "q", "tests": json.dumps(TESTS)},
    ]
    table = problems(task(lines(tmp_path, rows), verifier="program_tests"))
    assert [json.loads(each) for each in table["tests"].to_pylist()] == [TESTS, TESTS]
    assert table["answer"].to_pylist() == [None, None]
    path = tmp_path / "quiz.parquet"
    pl.DataFrame(rows[:1]).write_parquet(path)
    (row,) = problems(task(path, verifier="program_tests")).to_pylist()
    assert json.loads(row["tests"]) == TESTS


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (None, "row 1: field tests is missing; fields are problem_id, prompt, tests; name "),
        (
            {"kind": "io", "cases": []},
            "row 1: field tests: kind is 'io'; verifier program_tests runs tests of kind asser",
        ),
        ({}, "row 1: field tests: kind is None; verifier program_tests"),
        ({"kind": "assertions"}, "row 1: problem a: tests of kind assertions: code is missing;"),
        ("assert f()", "row 1: field tests is 'assert f()', not valid JSON ("),
    ],
)
def test_tests_that_cannot_be_run_are_named(tmp_path, tests, message):
    rows = [{"problem_id": "a", "prompt": "p", "tests": tests}]
    assert refusal(lines(tmp_path, rows), verifier="program_tests").startswith(message)


def test_a_chat_is_the_problems_messages_or_else_its_prompt(tmp_path):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
    rows = [
        {"problem_id": "a", "messages": turns, "answer": "2"},
        {"problem_id": "b", "messages": json.dumps(turns), "answer": "2"},
        ROWS[2],
    ]
    table = problems(task(lines(tmp_path, rows), style="chat", template="Say {prompt}"))
    assert [json.loads(each) for each in table["messages"].to_pylist()] == [
        turns,
        turns,
        [{"role": "user", "content": "Say 3+3="}],
    ]
    assert table["prompt"].to_pylist() == ["Be brief.\n\n1+1?"] * 2 + ["Say 3+3="]


def test_messages_count_in_style_chat_only(tmp_path):
    table = problems(task(lines(tmp_path, [ROWS[0] | {"messages": "not read"}])))
    assert table["messages"].to_pylist() == [None]


@pytest.mark.parametrize("messages", [[], {}, [{"role": "user"}], [{"role": 1, "content": ""}]])
def test_messages_that_are_none_are_named(tmp_path, messages):
    rows = [ROWS[0] | {"messages": messages}]
    assert refusal(lines(tmp_path, rows), style="chat").endswith(
        "must be a list of messages, each with role and content as text"
    )


def test_only_the_problems_that_are_named(tmp_path):
    path = lines(tmp_path, ROWS)
    assert problems(task(path, problems=("c", "a")))["problem_id"].to_pylist() == ["a", "c"]
    assert problems(task(path, problems=("c", "a"), limit=1))["problem_id"].to_pylist() == ["a"]
    assert refusal(path, problems=("a", "d")) == "problems: 'd' is not there; ids are a, b, c, ..."


def test_what_else_is_known_of_a_problem_is_kept(tmp_path):
    rows = [ROWS[0] | {"meta": {"source": "x"}}, ROWS[1]]
    assert problems(task(lines(tmp_path, rows)))["meta"].to_pylist() == ['{"source": "x"}', None]


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
