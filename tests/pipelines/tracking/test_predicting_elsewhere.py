"""Somebody without passlaw picks a law from MLflow, and predicts with it in three lines."""

import json
import os
import subprocess
import sys

import numpy as np
import polars as pl

from fitting import coverage_law_from_dict

# What follows the first lines is what a user types, who has mlflow, numpy, scipy and pandas alone.
_ELSEWHERE = """
import json, sys

class Absent:
    rooms = {"pipelines", "operators", "polars", "ray", "altair"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.rooms:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == "fitting" and path is None:
            # Installed beside: as good as absent here, so that the model's own is what is found.
            from importlib.machinery import PathFinder
            shipped = [entry for entry in sys.path if entry.endswith("fitting.zip")]
            return PathFinder.find_spec(name, shipped)

sys.meta_path.insert(0, Absent())

answers = []
for uri, x in json.loads(sys.argv[1]):
    import mlflow
    law = mlflow.pyfunc.load_model(uri)
    answers.append(law.predict(x, params={"level": 0.8}).to_dict("list"))

import fitting
print(json.dumps({"answers": answers, "code": fitting.__file__}))
"""


def _elsewhere(tracked, folder, asked):
    """Predict in a process of its own, in another working directory."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"MLFLOW_TRACKING_URI": tracked.uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, json.dumps(asked)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _law(tables, model, task):
    same = pl.col("model").is_null() if model is None else pl.col("model") == model
    rows = tables.laws.filter(same, pl.col("chosen"), pl.col("kind") != "emergence", task=task)
    return coverage_law_from_dict(json.loads(rows["law"].item()))


def test_laws_predict_without_passlaw(tracked, tables, tmp_path):
    """With the code that the models brought, to the last bit what `fitting` says here."""
    sizes, tries = [30_000, 1e6], [10, 100_000]
    found = _elsewhere(
        tracked,
        tmp_path,
        [
            (f"runs:/{tracked.run}/add-3-law", {"x": sizes}),
            (
                f"runs:/{tracked.run}/laws",
                {"model": ["m5.2k"] * 2, "task": ["add-2"] * 2, "x": tries},
            ),
        ],
    )
    assert "fitting.zip" in found["code"]
    truths = [
        _law(tables, None, "add-3").predict(sizes, 0.8),
        _law(tables, "m5.2k", "add-2").predict(tries, 0.8),
    ]
    for answer, truth in zip(found["answers"], truths, strict=True):
        for column in ("estimate", "low", "high"):
            np.testing.assert_array_equal(answer[column], getattr(truth, column))
