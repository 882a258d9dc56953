"""A million samples in one JSONL: how long their import takes, and how much memory."""

import json
import random
import resource

import pytest

from tests.command import passlaw

PROBLEMS, TRIES = 10_000, 100
MOST_GIB = 2.0


@pytest.mark.benchmark
def test_a_million_rows_are_imported_in_little_memory(tmp_path):
    """The file is 0.7 GB; its rows come in any order of the problems."""
    generator = random.Random(1)
    words = ["".join(generator.choices("abcdefghij", k=7)) for _ in range(5_000)]
    with (tmp_path / "samples.jsonl").open("w") as file:
        for _ in range(TRIES):
            for problem in range(PROBLEMS):
                row = {
                    "problem_id": f"p{problem}",
                    "prompt": f"Question {problem}: " + " ".join(words[:10]),
                    "completion": " ".join(generator.choices(words, k=60)),
                    "correct": generator.random() < (problem % 97) / 200,
                }
                file.write(json.dumps(row) + "\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = passlaw(tmp_path, "import", "samples.jsonl", "--run", "run", timeout=3_600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "1,000,000 samples written" in done.stdout
    seconds = after.ru_utime - before.ru_utime
    print(
        f"\n1,000,000 rows: {seconds:.0f} s of one core, {after.ru_maxrss / 2**20:.2f} GiB at most"
    )
    assert after.ru_maxrss / 2**20 < MOST_GIB
