"""The walls between the rooms hold, and would be noticed if they did not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("pipelines", "operators", "fitting")

pytest.importorskip("importlinter", reason="import-linter is in the dependency group `check`")


def lint(folder):
    """Check the contracts of the pyproject.toml in a folder; names of those that are broken."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()",
         "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    kept, broken = re.findall(r"Contracts: (\d+) kept, (\d+) broken", output)[-1]
    assert (done.returncode == 0) == (broken == "0"), output
    names = {name.strip() for name in re.findall(r"^(.*) BROKEN", output, re.MULTILINE)}
    assert len(names) == int(broken), output
    return int(kept), names


def test_every_wall_holds():
    kept, broken = lint(ROOT)
    assert broken == set()
    assert kept == (ROOT / "pyproject.toml").read_text().count("[[tool.importlinter.contracts]]")


def test_each_planted_import_is_noticed_by_the_wall_meant_for_it(tmp_path):
    """Lazy imports inside functions too."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = {
        "fitting/laws/law.py": "import polars",
        "operators/verification/extract.py": "import pipelines.sweeps.config",
        "operators/verification/mathematics.py": "import sympy",
        "operators/count.py": "import yaml",
        "pipelines/score.py": "import ray",
        "pipelines/status.py": "import mlflow",
        "pipelines/tasks/reading.py": "import torch",
        "pipelines/doctor.py": "import vllm",
        "pipelines/models.py": "import openai",
        "pipelines/scan.py": "import fsspec",
        "pipelines/units.py": "import pipelines.store",
        "operators/verification/verify.py": "import operators.count",
        "operators/selection/votes.py": "import operators.selection.table",
        "operators/allocation/stored.py": "import operators.allocation.policies",
        "operators/training/texts.py": "import operators.training.candidates",
        "pipelines/exporting/rows.py": "import pipelines.exporting.card",
        "fitting/solver.py": "import fitting.coverage.fit",
        "fitting/estimators/population.py": "import fitting.estimators.selection",
        "fitting/coverage/mixing.py": "import fitting.coverage.stack",
        "fitting/size/model_rates.py": "import fitting.size.task_law",
        "fitting/loss/regression.py": "import fitting.loss.loss_law",
        "fitting/budget/cost.py": "import fitting.budget.best_split",
        "fitting/planning/rates.py": "import fitting.planning.coverage",
        "pipelines/planning/hardware.py": "import pipelines.planning.costs",
        "pipelines/importing/values.py": "import pipelines.importing.tables",
        "pipelines/sweeps/section.py": "import pipelines.sweeps.config",
        "pipelines/reporting/charts.py": "import pipelines.reporting.page",
        "pipelines/reporting/sections/section.py": "import pipelines.reporting.sections.summary",
        "pipelines/tracking/record.py": "import pipelines.tracking.send",
    }
    for name, line in planted.items():
        with (tmp_path / name).open("a") as file:
            file.write(f"\n\ndef _planted() -> None:\n    {line}\n")
    kept, broken = lint(tmp_path)
    assert kept == 0, "a wall stood although something was planted to break it"
    assert broken == {
        "rooms: pipelines -> operators -> fitting",
        "fitting is numpy and scipy only",
        "operators touch tables only",
        "math-verify and sympy stay where a hanging check can be killed",
        "ray has three doors",
        "mlflow has one door",
        "torch stays with the embedded engine, vLLM's workers and the ladder",
        "vllm stays with its engine",
        "openai stays with its engine",
        "object stores have one door",
        "inside fitting",
        "inside fitting.estimators",
        "inside fitting.coverage",
        "inside fitting.size",
        "inside fitting.loss",
        "inside fitting.budget",
        "inside fitting.planning",
        "inside pipelines.planning",
        "inside operators",
        "inside operators.selection",
        "inside operators.training",
        "inside pipelines.exporting",
        "inside operators.allocation",
        "inside pipelines",
        "inside pipelines.importing",
        "inside pipelines.sweeps",
        "inside pipelines.reporting",
        "inside pipelines.reporting.sections",
        "inside pipelines.tracking",
    }
