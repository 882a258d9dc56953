"""Laws as MLflow models: the folder that MLflow keeps of each, and its entry among the models.

MLflow takes half a second to write the folder of a model. All laws have the same code and
environment, so that it is written once; only the laws differ. The code is one file, not seventy,
because a server takes files one by one.
"""

import json
import shutil
import threading
import zipfile
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import pipelines.tracking
from pipelines.tracking.record import LawModel

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import Model, ModelSignature

_REQUIREMENTS = ("numpy", "scipy", "pandas")
_ROOT = Path(pipelines.tracking.__file__).parents[2]
_SCRIPT = Path(pipelines.tracking.__file__).with_name("law_model.py")
_LAWS = "laws.json"
_TEMPLATE = "template"
_OUTPUTS = ("estimate", "low", "high")


class ModelFolders:
    """Writes the folders of models below a folder, and sends them; may be shared by threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._card: Model | None = None
        self._writing = threading.Lock()

    def send(self, client: "MlflowClient", experiment: str, run: str, model: LawModel) -> str:
        """Log a model as the output of a run; return its id."""
        from mlflow.entities import LoggedModelOutput

        logged = client.create_logged_model(
            experiment,
            name=model.name,
            source_run_id=run,
            tags=dict(model.tags),
            params=dict(model.params),
            model_type="law",
        )
        folder = self._folder / str(logged.model_id)
        card = copy(self._template())
        shutil.copytree(self._folder / _TEMPLATE, folder)
        laws = json.dumps(model.laws)
        (folder / "artifacts" / _LAWS).write_text(laws, encoding="utf-8")
        card.model_id = card.model_uuid = logged.model_id
        card.run_id, card.artifact_path = logged.source_run_id, logged.artifact_location
        card.model_size_bytes = (card.model_size_bytes or 0) + len(laws)
        card.signature = _signature(several=len(model.laws) > 1)
        card.save(str(folder / "MLmodel"))
        client.log_model_artifacts(logged.model_id, str(folder))
        shutil.rmtree(folder)
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(run, [LoggedModelOutput(logged.model_id, step=0)])
        return str(logged.model_id)

    def _template(self) -> "Model":
        """Return what MLflow says of a model of no laws, whose folder is written once."""
        with self._writing:
            if self._card is None:
                self._card = _write(self._folder)
            return self._card


def _write(folder: Path) -> "Model":
    import mlflow
    from mlflow.models import Model

    laws = folder / _LAWS
    laws.write_text("[]", encoding="utf-8")
    mlflow.pyfunc.save_model(
        path=str(folder / _TEMPLATE),
        python_model=str(_SCRIPT),
        artifacts={"laws": str(laws)},
        code_paths=[str(_code(folder))],
        pip_requirements=list(_REQUIREMENTS),
        signature=_signature(several=False),
    )
    card: Model = Model.load(str(folder / _TEMPLATE))
    return card


def _code(folder: Path) -> Path:
    """Return the package `fitting` as one archive, which Python imports as it is."""
    archive = folder / "fitting.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted((_ROOT / "fitting").rglob("*.py")):
            file.write(path, path.relative_to(_ROOT).as_posix())
    return archive


def _signature(*, several: bool) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    # MLflow refuses whole numbers where it was promised doubles; tries and sizes may be either.
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(AnyType(), "x")  # type: ignore[no-untyped-call] # MLflow left it untyped
    ]
    if several:
        columns += [ColSpec("string", "task"), ColSpec("string", "model", required=False)]
    return ModelSignature(
        inputs=Schema(columns),
        outputs=Schema([ColSpec("double", column) for column in _OUTPUTS]),
        params=ParamSchema([ParamSpec("level", "double", 0.9)]),
    )
