"""Laws as an MLflow model: the script that MLflow ships with it and runs to load it.

Knows a JSON file of laws and what is asked of them; not how they were fitted or logged. It is
executed by `mlflow.pyfunc.load_model` and imported by nobody; needs numpy, scipy and pandas, and
brings its own `fitting`, where none is installed.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

# MLflow puts the folder of the code on Python's path, not the archive in it.
sys.path.append(str(Path(__file__).with_name("code") / "fitting.zip"))

from fitting import CoverageLaw, coverage_law_from_dict  # it may be in the archive

Place = tuple[str | None, str]
"""Model and task; no model: the task's law over model sizes."""


class Laws(PythonModel):
    """Predicts pass rates: at x tries of a model, or at x parameters where no model is named."""

    def load_context(self, context: Any) -> None:
        """Read the laws."""
        rows = json.loads(Path(context.artifacts["laws"]).read_text(encoding="utf-8"))
        self.laws: dict[Place, CoverageLaw] = {
            (row["model"], row["task"]): coverage_law_from_dict(row["law"]) for row in rows
        }

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return estimate, low and high for each row of x, model (may be null) and task.

        The columns model and task are read only if there is more than one law; the parameter
        `level` is the probability of the interval.
        """
        level = float((params or {}).get("level", 0.9))
        answers = pd.DataFrame(index=model_input.index, columns=["estimate", "low", "high"])
        for place, rows in self._places(model_input).items():
            if place not in self.laws:
                known = ", ".join(f"{model}/{task}" for model, task in self.laws)
                raise ValueError(f"there is no law for {place[0]}/{place[1]}; there are {known}")
            x = model_input["x"].iloc[rows].to_numpy(dtype=float)
            found = self.laws[place].predict(x, level)
            for name in answers.columns:
                answers.iloc[rows, answers.columns.get_loc(name)] = getattr(found, name)
        return answers.astype(float)

    def _places(self, asked: pd.DataFrame) -> dict[Place, list[int]]:
        """Return the positions of the rows that ask each law."""
        if len(self.laws) == 1:
            return {next(iter(self.laws)): list(range(len(asked)))}
        models = asked["model"] if "model" in asked else [None] * len(asked)
        places: dict[Place, list[int]] = {}
        for row, (model, task) in enumerate(zip(models, asked["task"], strict=True)):
            place = (None if pd.isna(model) or model == "" else str(model), str(task))
            places.setdefault(place, []).append(row)
        return places


set_model(Laws())
