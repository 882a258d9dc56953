"""Every benchmark file as it was published is read whole, and each of its answers can be verified.

Counts are those of the papers: GSM8K 7,473 + 1,319, MATH 5,000, HumanEval 164, MBPP 10 + 500 + 90
+ 374, AQuA 254, SVAMP 1,000, AIME 30.
"""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest

from operators.schemas import SAMPLES
from operators.verification.verify import Verifier
from pipelines.sweeps.config import decoding_of, parse
from pipelines.tasks import mbpp, problems
from pipelines.workers import _passing

DATA = Path(__file__).parents[3].parent / "shared" / "data"


def read(source, file, **change):
    path = DATA / file
    if not path.exists():
        pytest.skip(f"the benchmark file shared/data/{file} is not beside this checkout")
    task = {"name": "t", "source": source, "path": str(path)} | change
    model = {"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.1}
    sweep = parse({"name": "s", "models": [model], "tasks": [task]}, source="test")
    return problems(sweep.tasks[0]), decoding_of(sweep, "t").stop


@pytest.mark.parametrize(
    ("source", "file", "change", "count", "first", "last", "verifier", "begins", "ends"),
    [
        (
            "gsm8k", "gsm8k/test.jsonl", {}, 1_319, "gsm8k-test-0001", "gsm8k-test-1319",
            "numeric", "Q: There are 15 trees", "at the farmers' market?\nA:",
        ),
        (
            "math", "math_sets/math_test_5000.jsonl", {}, 5_000, "math_test_5000-0001",
            "math_test_5000-5000", "math", "Problem:\nFind the domain",
            "+\\frac{1}{2^{10}}?$$\n\nSolution:",
        ),
        (
            "math", "math_sets/aime24.jsonl", {"style": "chat"}, 30, "aime24-60", "aime24-89",
            "math", "Every morning Aya goes for", "put your final answer within \\boxed{}.",
        ),
        (
            "math", "math_sets/amc23.jsonl", {"style": "chat"}, 40, "amc23-0", "amc23-49", "math",
            "Cities $A$ and $B$ are", "put your final answer within \\boxed{}.",
        ),
        (
            "math", "math_sets/minerva_math.jsonl", {}, 272, "minerva_math-0", "minerva_math-271",
            "math", "Problem:\n", "is $45^{\\prime \\prime}$.\n\nSolution:",
        ),
        (
            "math", "math_sets/olympiadbench.jsonl", {}, 675, "olympiadbench-1606",
            "olympiadbench-3102", "math", "Problem:\n", "number Xenia thought of?\n\nSolution:",
        ),
        (
            "math", "math_sets/svamp.jsonl", {}, 1_000, "chal-777", "chal-655", "math",
            "Problem:\n", "into 93 groups How big is each group of bananas?\n\nSolution:",
        ),
        (
            "humaneval", "humaneval/HumanEval.jsonl.gz", {}, 164, "HumanEval/0", "HumanEval/163",
            "program_tests", "from typing import List\n\n\ndef has_close_elements(",
            '4.0, 5.0, 2.0], 0.3)\n    True\n    """\n',
        ),
        (
            "humaneval", "mbpp/mbpp_sanitized_for_code_generation.jsonl", {}, 427, "MbppEval/2",
            "MbppEval/809", "program_tests", "def similar_elements(", "two lists.\n    '''\n",
        ),
        (
            "mbpp", "mbpp/mbpp.jsonl", {}, 500, "MBPP/11", "MBPP/510", "program_tests",
            "You are an expert", 'remove_Occ("PHP","P") == "H"\n[BEGIN]\n',
        ),
        (
            "multiple_choice", "math_sets/aqua.jsonl", {}, 254, "aqua-0001", "aqua-0254", "choice",
            "A car is being driven,", "\nD. 8(√3 \u2013 2)\nE. None of these\nAnswer:",
        ),
        (
            "multiple_choice", "reasoning_sets/common.jsonl", {}, 1_173, "common-0001",
            "common-1173", "choice", "A revolving door", "measure at a what?\nA. bank\nB. library\n"
            "C. department store\nD. mall\nE. new york\nAnswer:",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value else "",
)  # fmt: skip
def test_a_published_file(
    source, file, change, count, first, last, verifier, begins, ends
):  # fmt: skip
    table, _ = read(source, file, **change)
    ids = table["problem_id"].to_pylist()
    assert (len(ids), ids[0], ids[-1]) == (count, first, last)
    assert set(table["verifier"].to_pylist()) == {verifier}
    prompt = table["prompt"][0].as_py()
    assert prompt.startswith(begins)
    assert prompt.endswith(ends)


@pytest.mark.parametrize(
    ("split", "count"), [("prompt", 10), ("test", 500), ("validation", 90), ("train", 374)]
)
def test_the_splits_of_mbpp(split, count):
    assert read("mbpp", "mbpp/mbpp.jsonl", split=split)[0].num_rows == count


def test_the_test_edition_of_mbpp_is_the_test_split():
    """But for what task 367 needs set up, which that edition leaves out."""
    alone, (whole, _) = read("mbpp", "mbpp/mbpp_test.jsonl")[0], read("mbpp", "mbpp/mbpp.jsonl")
    for name in ("problem_id", "prompt", "answer"):
        assert alone[name].to_pylist() == whole[name].to_pylist()


def test_the_examples_of_mbpp_are_tasks_2_to_4():
    read("mbpp", "mbpp/mbpp.jsonl")
    lines = (DATA / "mbpp/mbpp.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines[1:4]]
    published = tuple(
        (row["text"], "\n".join(row["test_list"]), row["code"].replace("\r\n", "\n"))
        for row in rows
    )
    assert published == mbpp.EXAMPLES


def test_subjects_and_levels_of_math():
    levels = read("math", "math_sets/math_test_5000.jsonl")[0]["level"].to_pylist()
    assert levels.count("Geometry/5") > 0
    assert sum(level.startswith("Algebra/") for level in levels) == 1_187
    assert sum(level.endswith("/5") for level in levels) == 1_324


def test_answers_of_math_may_be_taken_from_its_solutions():
    """This copy's answer field lost half of what some solutions box."""
    file = "math_sets/math_test_5000.jsonl"
    fields, boxes = (read("math", file, answer_from=source)[0] for source in ("field", "solution"))
    pairs = list(zip(fields["answer"].to_pylist(), boxes["answer"].to_pylist(), strict=True))
    assert ("edges", "10\\;\\text{edges}") in pairs
    assert ("km", "25 \\, \\text{km}") in pairs
    assert sum(field == box for field, box in pairs) == 4_233


def test_tests_of_humaneval_are_those_published():
    table, stop = read("humaneval", "humaneval/HumanEval.jsonl.gz")
    with gzip.open(DATA / "humaneval/HumanEval.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    for problem, row in zip(table.to_pylist(), rows, strict=True):
        tests = json.loads(problem["tests"])
        assert (problem["prompt"], tests["prompt"]) == (row["prompt"], row["prompt"])
        assert (tests["code"], tests["entry_point"]) == (row["test"], row["entry_point"])
        assert tuple(tests["stop"]) == stop == ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


def test_every_answer_of_a_choice_is_one_of_its_letters():
    for file in ("math_sets/aqua.jsonl", "reasoning_sets/common.jsonl"):
        table, _ = read("multiple_choice", file)
        assert set(table["answer"].to_pylist()) == set("ABCDE")


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("gsm8k", "gsm8k/test.jsonl"),
        ("math", "math_sets/svamp.jsonl"),
        ("math", "math_sets/olympiadbench.jsonl"),
        ("multiple_choice", "math_sets/aqua.jsonl"),
        ("multiple_choice", "reasoning_sets/common.jsonl"),
        ("humaneval", "humaneval/HumanEval.jsonl.gz"),
    ],
)
def test_every_published_answer_passes_its_own_verifier(source, file, request):
    """As a completion that states it."""
    table, _ = read(source, file)
    if source == "humaneval":
        request.getfixturevalue("isolation")
    rows = table.to_pylist()
    samples = [
        dict.fromkeys(SAMPLES.names)
        | {"problem_id": row["problem_id"], "sample_id": 0, "completion": _passing(row)}
        | {"finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1}
        for row in rows
    ]
    with Verifier() as verifier:
        scores = verifier.verify(pa.Table.from_pylist(samples, schema=SAMPLES), table)
    wrong = [row["problem_id"] for row in scores.to_pylist() if row["passed"] is not True]
    assert wrong == []
