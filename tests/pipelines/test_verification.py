"""A sweep's verifier: scored again when that could change a verdict, refused where it is unsafe."""

import json

import pytest

from pipelines import verification
from pipelines.errors import UserError
from pipelines.run import opened
from pipelines.score import score
from pipelines.sweeps.config import Verification, parse
from pipelines.units import Cell, Unit
from pipelines.verification import scoring_key

UNIT = Unit(cell=Cell("m", "t"), problems=("p",), start=0, stop=1)
NO_BWRAP = "bubblewrap is not installed; apt install bubblewrap"


def rows(verifier):
    return {name: {"verifier": verifier, "answer": "1", "level": "a"} for name in "pq"}


def test_scoring_key_changes_with_answers_and_verifiers_of_its_own_problems_only():
    known, section = rows("exact"), Verification()
    key = scoring_key(UNIT, known, section)
    assert key == scoring_key(UNIT, known | {"q": {"verifier": "numeric", "answer": "2"}}, section)
    assert key == scoring_key(UNIT, known | {"p": known["p"] | {"level": "b"}}, section)
    for change in (
        {"answer": "2"},
        {"answer": None},
        {"verifier": "numeric"},
        {"verifier_options": "{}"},
        {"tests": "{}"},
    ):
        assert key != scoring_key(UNIT, known | {"p": known["p"] | change}, section)


@pytest.mark.parametrize(
    ("verifier", "limited"),
    [("math", True), ("program_tests", True), ("exact", False), ("numeric", False)],
)
def test_limits_count_where_they_may_decide(verifier, limited):
    """A longer limit judges formulas and programs again, and nothing else; workers never do."""
    key = scoring_key(UNIT, rows(verifier), Verification())
    longer = Verification(math_seconds=60.0, program_seconds=60.0)
    assert (key != scoring_key(UNIT, rows(verifier), longer)) == limited
    assert key == scoring_key(UNIT, rows(verifier), Verification(workers=7))


@pytest.fixture
def sweep(tmp_path):
    def made(verifier, trust):
        tests = {"kind": "assertions", "code": "assert add(1, 2) == 3"}
        problem = {"problem_id": "p", "prompt": "def add(a, b):", "answer": "3", "tests": tests}
        (tmp_path / "t.jsonl").write_text(json.dumps(problem))
        return parse(
            {
                "name": "s",
                "run": str(tmp_path / "run"),
                "models": [{"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.5}],
                "tasks": [{"name": "t", "path": str(tmp_path / "t.jsonl"), "verifier": verifier}],
                "verification": {"run_untrusted_programs_without_isolation": trust},
            },
            source="test",
        )

    return made


def test_programs_are_refused_where_nothing_isolates_them(sweep, monkeypatch):
    """The error names the task, why, and both ways out; with the second nothing is refused."""
    monkeypatch.setattr(verification, "isolation_problem", lambda: NO_BWRAP)
    message = f"task t: .*{NO_BWRAP}; or set verification.run_untrusted_programs_without_isolation"
    with (
        opened(sweep("program_tests", trust=False)) as run,
        pytest.raises(UserError, match=message),
    ):
        score(run)
    with opened(sweep("program_tests", trust=True)) as run:
        score(run)


def test_other_answers_need_no_isolation(sweep, monkeypatch):
    monkeypatch.setattr(verification, "isolation_problem", lambda: NO_BWRAP)
    with opened(sweep("numeric", trust=False)) as run:
        score(run)
