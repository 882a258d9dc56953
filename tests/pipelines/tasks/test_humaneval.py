"""HumanEval: the bare prompt or a request, and the published tests."""

import gzip
import json

import pytest

from operators.verification import programs
from pipelines.errors import UserError
from pipelines.sweeps.task_sections import HUMANEVAL_STOP, HumanEvalTask
from pipelines.tasks import problems

ROW = {
    "task_id": "HumanEval/0",
    "prompt": 'def one():\n    """Return 1."""\n',
    "entry_point": "one ",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}
STOP = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]


def row_of(folder, row=ROW, **change):
    path = folder / "HumanEval.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    task = HumanEvalTask(source="humaneval", name="code", path=str(path), **change)
    return problems(task).to_pylist()[0]


def test_zero_shot_is_the_beginning_of_the_function(tmp_path):
    row = row_of(tmp_path)
    assert (row["problem_id"], row["prompt"]) == ("HumanEval/0", ROW["prompt"])
    assert (row["verifier"], row["messages"]) == ("program_tests", None)
    assert row["answer"] == ROW["canonical_solution"]
    assert json.loads(row["tests"]) == {
        "kind": "assertions",
        "prompt": ROW["prompt"],
        "code": ROW["test"],
        "entry_point": "one",
        "stop": STOP,
    }


def test_the_verifier_cuts_where_the_engine_does():
    assert programs.STOP == HUMANEVAL_STOP == tuple(STOP)


def test_a_chat_asks_for_the_whole_and_cuts_nothing(tmp_path):
    """A program in a code block has its functions behind line ends too."""
    row = row_of(tmp_path, style="chat")
    text = (
        "Please provide a self-contained Python script that solves the following problem in a "
        'markdown code block:\n```\ndef one():\n    """Return 1."""\n```\n'
    )
    assert json.loads(row["messages"]) == [{"role": "user", "content": text}]
    tests = json.loads(row["tests"])
    assert (tests["prompt"], tests["stop"]) == (ROW["prompt"], [])


@pytest.mark.parametrize("field", ["task_id", "prompt", "entry_point", "test"])
def test_what_is_missing_is_named(tmp_path, field):
    row = {name: value for name, value in ROW.items() if name != field}
    with pytest.raises(UserError, match=rf"task code: .*row 1: field {field} is missing; fields"):
        row_of(tmp_path, row)


def test_the_published_solution_is_not_needed(tmp_path):
    row = {name: value for name, value in ROW.items() if name != "canonical_solution"}
    assert row_of(tmp_path, row)["answer"] is None
