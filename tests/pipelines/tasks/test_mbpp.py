"""MBPP: the published prompt with its end marks, the splits by task id, and the tests."""

import hashlib
import json

import pytest

from pipelines.errors import UserError
from pipelines.sweeps.task_sections import MBPPTask
from pipelines.tasks import problems

ROW = {
    "task_id": 11,
    "text": "Write a function to return 1.",
    "code": "def one():\r\n  return 1",
    "test_list": ["assert one() == 1", "assert one() != 2"],
    "test_setup_code": "",
}
HEAD = "You are an expert Python programmer, and here is your task: "
ASKED = (
    f"{HEAD}Write a function to return 1. Your code should pass these tests:\n\n"
    "assert one() == 1\nassert one() != 2\n[BEGIN]\n"
)


def table(folder, *rows, **change):
    path = folder / "mbpp.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return problems(MBPPTask(source="mbpp", name="mbpp", path=str(path), **change))


def decided_by(folder, row, **change):
    return json.loads(table(folder, row, **change)["tests"][0].as_py())


def test_the_few_shot_prompt_is_the_published_one(tmp_path):
    """Tasks 2, 3 and 4 between [BEGIN] and [DONE], then the task up to its own [BEGIN]."""
    prompt = table(tmp_path, ROW)["prompt"][0].as_py()
    assert prompt.startswith(f"{HEAD}Write a function to find the similar elements from the given")
    assert prompt.endswith(
        "[BEGIN]\nimport heapq as hq\ndef heap_queue_largest(nums,n):\n"
        f"  largest_nums = hq.nlargest(n, nums)\n  return largest_nums\n[DONE]\n\n{ASKED}"
    )
    shots = prompt.removesuffix(ASKED)
    assert [shots.count(mark) for mark in (HEAD, "[BEGIN]\n", "\n[DONE]\n\n")] == [3, 3, 3]
    assert hashlib.blake2b(shots.encode(), digest_size=8).hexdigest() == "4cee55ec5eab0106"


def test_a_row(tmp_path):
    (row,) = table(tmp_path, ROW).to_pylist()
    assert (row["problem_id"], row["verifier"]) == ("MBPP/11", "program_tests")
    assert row["answer"] == "def one():\n  return 1"
    assert json.loads(row["tests"]) == {
        "kind": "assertions",
        "setup": "",
        "code": "assert one() == 1\nassert one() != 2",
        "stop": ["[DONE]"],
    }


def test_a_chat_cuts_nothing(tmp_path):
    (row,) = table(tmp_path, ROW, style="chat").to_pylist()
    text = (
        "You are an expert Python programmer, and here is your task:\n"
        "Write a function to return 1.\nYour code should pass these tests:\n"
        "assert one() == 1\nassert one() != 2"
    )
    assert json.loads(row["messages"]) == [{"role": "user", "content": text}]
    assert json.loads(row["tests"])["stop"] == []


def test_what_the_tests_need_runs_before_them(tmp_path):
    setup = ROW | {"test_setup_code": "root = Node(1) \r\nroot.left = Node(2)"}
    assert decided_by(tmp_path, setup)["setup"] == "root = Node(1) \nroot.left = Node(2)"
    imports = ROW | {"test_imports": ["import math", "import re"]}
    assert decided_by(tmp_path, imports)["setup"] == "import math\nimport re"


@pytest.mark.parametrize("names", [("prompt", "test_list"), ("prompt", "test"), ("text", "test")])
def test_every_edition_gives_the_same(tmp_path, names):
    row = {name: ROW[name] for name in ("task_id", "code")}
    row |= dict(zip(names, (ROW["text"], ROW["test_list"]), strict=True))
    assert table(tmp_path, row) == table(tmp_path, ROW)


@pytest.mark.parametrize(
    ("split", "ids"),
    [
        ("prompt", [1, 10]),
        ("test", [11, 510]),
        (None, [11, 510]),
        ("validation", [511, 600]),
        ("train", [601, 974]),
    ],
)
def test_splits_go_by_task_id(tmp_path, split, ids):
    rows = [ROW | {"task_id": number} for number in (1, 10, 11, 510, 511, 600, 601, 974)]
    found = table(tmp_path, *rows, split=split)["problem_id"].to_pylist()
    assert found == [f"MBPP/{number}" for number in ids]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"task_id": 12, "prompt": "def f():"},
            "row 2: field test_list or test is missing; fields are task_id, prompt; a set in the "
            "format of HumanEval is read by source: humaneval",
        ),
        (ROW | {"task_id": "x"}, "row 2: field task_id is 'x', must be a whole number"),
        (ROW | {"task_id": 12, "test_list": "assert"}, "row 2: field test_list is 'assert', must"),
        (ROW, "row 2: problem_id 'MBPP/11' was used in row 1 already; ids must differ"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, row, message):
    with pytest.raises(UserError) as caught:
        table(tmp_path, ROW, row)
    assert str(caught.value).startswith(f"task mbpp: {tmp_path / 'mbpp.jsonl'}: {message}")


def test_a_split_that_a_file_does_not_have(tmp_path):
    with pytest.raises(UserError, match="has no problems of split train; it needs at least one"):
        table(tmp_path, ROW, split="train")
