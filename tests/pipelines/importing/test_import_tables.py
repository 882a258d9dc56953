import csv
import json

import polars as pl
import pytest

from pipelines.errors import UserError
from pipelines.importing.records import BadRow, Reading
from pipelines.importing.tables import read_counts, read_samples
from tests.pipelines.importing.importing_files import jsonl, long_rows


def read(path, **how):
    return list(read_samples(path, Reading(**how)))


def as_rows(records):
    return [(each.problem_id, each.completion, each.passed) for each in records]


WIDE = [
    {
        "problem_id": f"p{problem}",
        "completions": [f"answer {problem}.{number}" for number in range(4)],
        "correct": [number < problem for number in range(4)],
    }
    for problem in range(3)
]


@pytest.mark.parametrize(
    "name", ["long.jsonl", "long.jsonl.gz", "long.json", "long.csv", "long.parquet", "wide.jsonl",
             "wide.parquet"],
)  # fmt: skip
def test_the_same_samples_from_any_file(tmp_path, name):
    """However they are kept, one row a sample or one a problem."""
    expected = [(row["problem_id"], row["completion"], row["correct"]) for row in long_rows()]
    path = tmp_path / name
    rows = WIDE if name.startswith("wide") else long_rows()
    if ".jsonl" in name:
        jsonl(path, rows)
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    elif name.endswith(".parquet"):
        pl.DataFrame(rows).write_parquet(path)
    else:
        pl.DataFrame(rows).write_csv(path)
    assert as_rows(read(path)) == expected


def test_a_problem_a_file_as_the_monkeys_release_them(tmp_path):
    """YAML of prompt, question, samples, gt_answer and is_corrects; the file is the problem."""
    path = tmp_path / "17.yaml"
    path.write_text(
        "prompt: 'Few-shot...'\nquestion: How many?\nsamples: ['4', '5']\ngt_answer: '5'\n"
        "is_corrects: [false, true]\n"
    )
    records = read(path)
    assert as_rows(records) == [("17", "4", False), ("17", "5", True)]
    assert {each.asked.answer for each in records} == {"5"}


def test_a_problem_without_a_name_is_known_by_its_prompt(tmp_path):
    rows = [{"prompt": prompt, "response": "x", "correct": 1} for prompt in ("a", "b", "a")]
    first, second, again = read(jsonl(tmp_path / "f.jsonl", rows))
    assert first.problem_id == again.problem_id != second.problem_id


def test_bad_rows_are_named_by_line_and_the_others_are_read(tmp_path):
    path = jsonl(tmp_path / "f.jsonl", long_rows())
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("false", '"maybe"')
    lines[4] = "{"
    lines[6] = "[1, 2]"
    path.write_text("\n".join(lines))
    records = read(path)
    bad = [str(each).replace(str(path), "f.jsonl") for each in records if isinstance(each, BadRow)]
    assert len(records) == 12
    assert bad[0].startswith("f.jsonl:2: field passed (correct): is 'maybe', must be true")
    assert bad[1].startswith("f.jsonl:5: is no JSON")
    assert bad[2].startswith("f.jsonl:7: is '[1, 2]', must be an object")


def test_lists_of_one_problem_must_be_of_one_length(tmp_path):
    row = {"problem_id": 1, "completions": ["a", "b"], "correct": [True]}
    (bad,) = read(jsonl(tmp_path / "f.jsonl", [row]))
    assert "passed (correct) has 1" in bad.reason


def test_without_verdicts_a_verifier_is_asked_for(tmp_path):
    path = jsonl(tmp_path / "f.jsonl", [{"id": 1, "response": "x"}])
    with pytest.raises(UserError, match=r"no field passed.*--verifier"):
        read(path)
    assert as_rows(read(path, judged=False)) == [("1", "x", None)]


def test_reasons_why_a_completion_ended_are_in_our_words(tmp_path):
    rows = [
        {"id": 1, "response": "x", "correct": 1, "finish_reason": reason, "error": error}
        for reason, error in (("stop", None), ("max_tokens", None), ("stop", "out of memory"))
    ]
    records = read(jsonl(tmp_path / "f.jsonl", rows))
    assert [each.finish_reason for each in records] == ["stop", "length", "error"]
    assert records[2].error == "out of memory"


def test_counts_of_a_stopping_rule(tmp_path):
    path = tmp_path / "counts.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["problem_id", "n", "c", "undecided", "r", "cap", "nth_pass", "look"])
        writer.writerow(["a", 20, "5.0", 1, 5, 1000, 17, 10])
        writer.writerow(["b", 1000, 2, "", 5, 1000, "", 500])
        writer.writerow(["c", 10, 11, 0, 5, 1000, "", ""])
    a, b, bad = read_counts(path, Reading())
    assert (a.n, a.c, a.undecided, a.r, a.cap, a.nth_pass, a.look) == (20, 5, 1, 5, 1000, 17, 10)
    assert (b.n, b.c, b.undecided, b.nth_pass, b.look) == (1000, 2, 0, None, 500)
    assert "is 11, with 0 undecided more than n = 10" in bad.reason


def test_a_csv_row_of_other_columns_is_named(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("id,response,correct\n1,x,1\n2,y\n")
    good, bad = read(path)
    assert good.passed is True
    assert str(bad).endswith("f.csv:2: has not the 3 columns of the first line")
