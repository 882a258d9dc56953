"""GSM8K: the published prompt, and the answer behind the last ####."""

import hashlib
import json

import pytest

from pipelines.errors import UserError
from pipelines.sweeps.task_sections import GSM8KTask
from pipelines.tasks import problems
from pipelines.tasks.problem import BOXED

ROW = {"question": "What is 1,000 + 2?", "answer": "1,000 + 2 is 1,002.\n#### 1,002"}


def table(folder, *rows, **change):
    path = folder / "test.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return problems(GSM8KTask(source="gsm8k", name="gsm8k", path=str(path), **change))


def test_the_few_shot_prompt_is_the_published_one(tmp_path):
    """Eight chains of thought, word for word; counted from table 20 of Wei et al. 2022."""
    (row,) = table(tmp_path, ROW).to_pylist()
    prompt = row["prompt"]
    assert prompt.startswith("Q: There are 15 trees in the grove. Grove workers will plant trees")
    assert prompt.endswith(
        "So she has 23 - 15 dollars left. 23 - 15 is 8. The answer is 8.\n\n"
        "Q: What is 1,000 + 2?\nA:"
    )
    assert prompt.count("Q: ") == 9
    assert [part.split(".")[0] for part in prompt.split("The answer is ")[1:]] == [
        "6", "5", "39", "8", "9", "29", "33", "8",
    ]  # fmt: skip
    shots = prompt.removesuffix("Q: What is 1,000 + 2?\nA:")
    assert hashlib.blake2b(shots.encode(), digest_size=8).hexdigest() == "5a3da3a8da66a7dd"


def test_a_row(tmp_path):
    (row,) = table(tmp_path, ROW).to_pylist()
    assert row["problem_id"] == "gsm8k-test-0001"
    assert (row["answer"], row["verifier"]) == ("1,002", "numeric")
    assert json.loads(row["verifier_options"]) == {"after": "The answer is"}
    assert row["messages"] is row["level"] is row["tests"] is None


def test_a_chat_asks_for_a_boxed_answer(tmp_path):
    (row,) = table(tmp_path, ROW, style="chat").to_pylist()
    text = f"What is 1,000 + 2?\n{BOXED}"
    assert json.loads(row["messages"]) == [{"role": "user", "content": text}]
    assert row["prompt"] == text
    assert json.loads(row["verifier_options"]) == {"after": "\\boxed{"}


def test_ids_do_not_hang_on_how_many_are_taken(tmp_path):
    rows = table(tmp_path, ROW, ROW, ROW, problems=("gsm8k-test-0003",))
    assert rows["problem_id"].to_pylist() == ["gsm8k-test-0003"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"question": "?"},
            "field answer is missing; fields are question; read other tables with source: file",
        ),
        (ROW | {"answer": "1002"}, "field answer is '1002', must end in #### and the answer"),
        (ROW | {"answer": "#### many"}, "answer 'many' cannot be read by verifier numeric; corr"),
        (ROW | {"question": ["?"]}, "field question is \"['?']\", must be text"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, row, message):
    with pytest.raises(UserError) as caught:
        table(tmp_path, ROW, row)
    where = f"task gsm8k: {tmp_path / 'test.jsonl'}: row 2: "
    assert str(caught.value).startswith(where + message)
