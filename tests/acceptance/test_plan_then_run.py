"""A plan, the run that it asks for, and the width that came out: through the command, with Ray."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.command import passlaw

K, PROBLEMS, PILOT = 10, 200, 20
WITHIN = 0.03
"""Half-width of coverage at 10 that the second run is to reach, for problems like these."""


def sweep(folder: Path, name: str, n: int, problems: int) -> None:
    lines = [
        json.dumps({"problem_id": f"p{i:04d}", "prompt": f"{i}+1=", "answer": str(i + 1)})
        for i in range(problems)
    ]
    (folder / f"{name}.jsonl").write_text("\n".join(lines))
    model = {"engine": "simulated", "name": "one", "parameters": 1_000, "rate": 0.08, "spread": 1.5}
    (folder / f"{name}.yaml").write_text(
        yaml.safe_dump(
            {
                "name": name,
                "models": [model],
                "tasks": [
                    {"source": "file", "name": "sums", "path": f"{name}.jsonl", "verifier": "exact"}
                ],
                "allocation": {"n": n},
                "fit": {"k": [1, K]},
                "tracking": {"enabled": False},
            }
        )
    )


def run(folder: Path, name: str, n: int, problems: int) -> float:
    """Run a sweep and return the half-width that its report shows of coverage at K."""
    sweep(folder, name, n, problems)
    done = passlaw(folder, "run", f"{name}.yaml")
    assert done.returncode == 0, done.stderr
    curves = pl.read_parquet(folder / "runs" / name / "curves.parquet")
    row = curves.filter(kind="pass_at_k", x=float(K)).row(0, named=True)
    return float(row["high"] - row["low"]) / 2


def planned(folder: Path, *arguments: str) -> dict[str, float]:
    """Plan like the pilot, and return the row that the plan recommends."""
    done = passlaw(folder, "plan", "coverage", "--k", str(K), "--like", "runs/pilot", "--json",
                   *arguments)  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["reached"]
    row: dict[str, float] = plan["rows"][plan["chosen"]]
    return row


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pilot: 20 tries of 200 problems."""
    folder = tmp_path_factory.mktemp("plan")
    run(folder, "pilot", PILOT, PROBLEMS)
    return folder


def test_the_report_shows_the_width_that_was_planned_from_a_pilot(folder: Path) -> None:
    """Of more problems and other tries than the pilot's; to within 20%."""
    row = planned(folder, "--within", str(WITHIN))
    problems, tries = int(row["problems"]), int(row["tries"])
    assert row["half_width"] <= WITHIN
    assert problems > PROBLEMS
    came_out = run(folder, "planned", tries, problems)
    assert came_out == pytest.approx(row["half_width"], rel=0.2)
