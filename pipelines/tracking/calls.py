"""Single things that MLflow is told of one run, in as few calls as it allows."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipelines.tracking.record import BATCH, Entry, Input

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

GoOn = Callable[[], None]
"""Called between calls; raises where there is no more time."""

_TABLES_TAG = "mlflow.loggedArtifacts"
"""Names the artifacts that MLflow's pages show as tables."""
_PARAMS = 100
"""Most parameters in one call; they count among the thousand entities of a call too."""


def log_values(client: "MlflowClient", run: str, entry: Entry, made: int, go_on: GoOn) -> None:
    """Log metrics and parameters."""
    from mlflow.entities import Metric, Param

    metrics = [
        Metric(name, value, made if time is None else time, step)
        for name, value, step, time in entry.metrics
    ]
    params = [Param(name, value) for name, value in entry.params.items()]
    while metrics or params:
        go_on()
        now, params = params[:_PARAMS], params[_PARAMS:]
        room = BATCH - len(now)
        client.log_batch(run, metrics=metrics[:room], params=now)
        metrics = metrics[room:]


def log_inputs(client: "MlflowClient", run: str, inputs: Sequence[Input]) -> None:
    """Name the data sets that a run was made from."""
    if inputs:
        client.log_inputs(run, datasets=[_dataset(used) for used in inputs])


def _dataset(used: Input) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = [
        {"type": kind, "name": name, "required": required} for name, kind, required in used.columns
    ]
    dataset = Dataset(
        name=used.name,
        digest=used.digest,
        source_type=urlsplit(used.source).scheme or "local",
        source=json.dumps({"uri": used.source}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(dict(used.profile)),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", used.context)])


def log_tables(client: "MlflowClient", run: str, tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Log tables as MLflow's own `log_table` does, all in one go."""
    if not tables:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, table in tables.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(table), encoding="utf-8")
        client.log_artifacts(run, folder)
    shown = [{"path": name, "type": "table"} for name in tables]
    client.set_tag(run, _TABLES_TAG, json.dumps(shown))


def log_files(client: "MlflowClient", run: str, files: Mapping[str, Path], go_on: GoOn) -> None:
    """Log files by the paths that they shall have."""
    for key, path in files.items():
        go_on()
        client.log_artifact(run, str(path), key.rpartition("/")[0] or None)


def register(
    client: "MlflowClient", run: str, model: str, name: str, tags: Mapping[str, str]
) -> None:
    """Register a logged model under a name, once for these tags."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for version in client.search_model_versions(f"name = '{name}'"):
        if tags.items() <= version.tags.items():  # of a run that broke off
            client.delete_model_version(name, version.version)
    client.create_model_version(
        name, source=f"models:/{model}", run_id=run, tags=dict(tags), model_id=model
    )
