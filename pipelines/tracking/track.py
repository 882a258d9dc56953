"""MLflow: each invocation becomes a run, with its cells, curves, laws, models and files.

The only module that names mlflow (but for `law_model.py`, a script that MLflow itself runs). Knows
the tables of a run; nothing of how they were made. Whatever goes wrong here is a warning: the
results are in the run directory, and nothing of them depends on a tracking server.
"""

import json
import logging
import math
import os
import re
import socket
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from fitting import Status
from pipelines.run import Run, results
from pipelines.store import RunTables
from pipelines.sweeps.config import Tracking, digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_URI = "sqlite:///mlflow.db"
ARTIFACTS = "PASSLAW_MLFLOW_ARTIFACTS"
"""Environment variable: where new experiments keep their files, such as s3://bucket/mlflow. MLflow
has such a variable for its server only."""
DIGEST_TAG = "passlaw.digest"
"""Says which results a run holds; what was logged once is not logged again."""

_METRICS_PER_CALL = 1_000
"""MLflow's limit for a batch."""
_MODEL_REQUIREMENTS = ("numpy", "scipy", "pandas")
_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # By default MLflow waits for a dead server for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Set while we track, where the user has not set them."""

_log = logging.getLogger(__name__)


def track_run(run: Run) -> str | None:
    """Log a run's results; return where they are, for people, or None if they are nowhere."""
    settings = run.sweep.tracking
    if not settings.enabled:
        return None
    invocation = {"folder": run.store.storage.absolute, "host": socket.gethostname()}
    with run.store.artifacts() as artifacts:
        logged = track(results(run), settings, artifacts, invocation=invocation)
    return None if logged is None else f"MLflow run {logged} in {_uri(settings)}"


def track(
    tables: RunTables,
    settings: Tracking,
    artifacts: Sequence[Path],
    *,
    invocation: Mapping[str, str],
) -> str | None:
    """Log the results of an invocation to MLflow, once, and return the id of the run.

    Args:
        tables: what is logged; the experiment is called after the sweep.
        settings: where, and whether at all. Without a URI, MLFLOW_TRACKING_URI, or else a SQLite
            file mlflow.db in the working directory, with the files in mlartifacts/ beside it, or
            where PASSLAW_MLFLOW_ARTIFACTS says.
        artifacts: files and folders to keep with the run.
        invocation: facts of this invocation, which become tags.

    Returns:
        The run's id; that of the earlier run if these very results were logged before; None if
        tracking is off or failed, after one line of warning.
    """
    if not settings.enabled:
        return None
    uri = _uri(settings)
    try:
        with _quiet(), _at(uri):
            return _track(tables, uri, artifacts, invocation)
    except Exception as error:  # a tracking server may fail in any way it likes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        _log.warning("not tracked in MLflow at %s: %s", uri, reason)
        return None


def _uri(settings: Tracking) -> str:
    return settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def _track(
    tables: RunTables, uri: str, artifacts: Sequence[Path], invocation: Mapping[str, str]
) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = _experiment(client, tables.sweep.name, uri)
    results = _digest(tables)
    logged = client.search_runs(
        [experiment],
        filter_string=f"tags.`{DIGEST_TAG}` = '{results}' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    if logged:
        return str(logged[0].info.run_id)
    tags = {
        "mlflow.source.name": "passlaw",
        "passlaw.version": tables.version,
        "passlaw.run": tables.run,
        "passlaw.sweep": tables.sweep.digest(),
        DIGEST_TAG: results,
        **{f"passlaw.{key}": str(value) for key, value in invocation.items()},
    }
    run = client.create_run(experiment, run_name=tables.sweep.name, tags=tags).info.run_id
    # Leaving this block sets the run to finished, or to failed; only a finished run counts.
    with mlflow.start_run(run_id=run):
        _log_parent(client, run, tables)
        for (model, task), counts in tables.counts.partition_by(
            "model", "task", as_dict=True
        ).items():
            _log_cell(client, experiment, run, tables, str(model), str(task), counts)
        for path in artifacts:
            if path.is_dir():
                client.log_artifacts(run, str(path), path.name)
            elif path.exists():
                client.log_artifact(run, str(path))
        _log_models(tables)
    return str(run)


def _experiment(client: "MlflowClient", name: str, uri: str) -> str:
    """Return the id of the sweep's experiment, made if need be."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if root := os.environ.get(ARTIFACTS):
        location = f"{root.rstrip('/')}/{name}"
    elif uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///")).absolute()
        location = (database.parent / "mlartifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _digest(tables: RunTables) -> str:
    """Return a hash of the results and of the sweep that they answer."""
    frames = [
        tables.counts, tables.rates, tables.curves, tables.laws, tables.selection,
        tables.calibration, tables.exact,
    ]  # fmt: skip
    rows = [[] if f is None else f.sort(f.columns).rows() for f in frames]
    return digest([tables.sweep.digest(), rows], size=16)


def _log_parent(client: "MlflowClient", run: str, tables: RunTables) -> None:
    """Log what concerns all models: the sweep, the laws over sizes, the held-out predictions."""
    sweep = tables.sweep.model_dump(mode="json", include={"seed", "decoding", "allocation", "fit"})
    metrics: dict[str, float] = {
        "models": tables.counts["model"].n_unique(),
        "samples": int(tables.counts["n"].sum()),
        "passes": int(tables.counts["c"].sum()),
        "flops": float(tables.costs["flops"].sum()),
    }
    if tables.costs["usd"].count():
        metrics["usd"] = float(tables.costs["usd"].sum())
    tags = {}
    over_models = tables.laws.filter(pl.col("model").is_null())
    for law in over_models.iter_rows(named=True):
        metrics |= _law_metrics(law, prefix=f"{law['task']}/{law['kind']}/")
        tags[f"{law['task']}/{law['kind']}"] = law["status"]
    steps = [
        (f"{row['task']}/pass_rate{end}", row[column], int(row["x"]))
        for row in tables.curves.filter(pl.col("kind") == "pass_until").iter_rows(named=True)
        for end, column in _ENDS.items()
    ]
    for row in tables.curves.filter(pl.col("kind") == "task_law_prediction").iter_rows(named=True):
        for end, column in _ENDS.items():
            metrics[f"{row['task']}/predicted/{row['model']}{end}"] = row[column]
    steps += [(name, value, 0) for name, value in metrics.items()]
    _log_batch(client, run, steps, _flat(sweep), tags)
    _log_dataset(client, run, tables, "samples", "samples", tables.counts)


_ENDS = {"": "estimate", "_low": "low", "_high": "high"}


def _log_cell(
    client: "MlflowClient",
    experiment: str,
    parent: str,
    tables: RunTables,
    model: str,
    task: str,
    counts: pl.DataFrame,
) -> None:
    """Log one model on one task as a run below the invocation's."""
    here = (pl.col("model") == model) & (pl.col("task") == task)
    tags = {"mlflow.parentRunId": parent, "mlflow.source.name": "passlaw"}
    run = client.create_run(experiment, run_name=f"{model} {task}", tags=tags).info.run_id
    params = {"model": model, "task": task, "parameters": str(tables.parameters[model])}
    metrics: dict[str, float] = {
        "problems": counts.height,
        "samples": int(counts["n"].sum()),
        "passes": int(counts["c"].sum()),
        "undecided": int(counts["undecided"].sum()),
    }
    for cost in tables.costs.filter(here).iter_rows(named=True):
        spent = {name: cost[name] for name in ("flops", "engine_seconds", "usd")}
        metrics |= {name: value for name, value in spent.items() if value is not None}
    for law in tables.laws.filter(here & pl.col("chosen")).iter_rows(named=True):
        params |= {"law": law["family"], "law_status": law["status"]}
        metrics |= _law_metrics(law, prefix="law/")
    steps = [(name, value, 0) for name, value in metrics.items()]
    for row in tables.curves.filter(here).iter_rows(named=True):
        if row["kind"] in ("pass_at_k", "pass_all_k"):
            name, step = row["kind"], int(row["x"])
        elif row["kind"] == "pass_until":
            name, step = "pass_rate", 0
        else:
            continue
        steps += [(f"{name}{end}", row[column], step) for end, column in _ENDS.items()]
    for row in tables.selection.filter(here).iter_rows(named=True):
        name = f"selection/{_metric_name(row['method'])}"
        steps += [(f"{name}{end}", row[column], row["k"]) for end, column in _ENDS.items()]
    for row in tables.calibration.filter(here).iter_rows(named=True):
        name = f"confidence/{row['confidence']}/{row['measure']}"
        steps += [(f"{name}{end}", row[column], 0) for end, column in _ENDS.items()]
    _log_batch(client, run, steps, params, {})
    folder = f"samples/model={model}/task={task}"
    _log_dataset(client, run, tables, f"{model} {task}", folder, counts)
    client.set_terminated(run)


def _metric_name(method: str) -> str:
    """Return a method's name in the characters that MLflow takes: best_of/self_certainty."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "/", method).strip("/")


def _law_metrics(law: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Return a law's parameters, their 95% limits and its goodness as metrics."""
    values = json.loads(law["parameters"]) | json.loads(law["goodness"])
    for name, (low, high) in json.loads(law["intervals"]).items():
        values |= {f"{name}_low": low, f"{name}_high": high}
    return {prefix + name: value for name, value in values.items() if value is not None}


def _log_batch(
    client: "MlflowClient",
    run: str,
    steps: Iterable[tuple[str, float, int]],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """Log metrics (name, value, step), parameters and tags in as few calls as MLflow allows."""
    from mlflow.entities import Metric, Param, RunTag

    now = int(time.time() * 1000)
    metrics: list[Metric] = [
        Metric(name, float(value), now, step) for name, value, step in steps if math.isfinite(value)
    ]
    client.log_batch(
        run,
        metrics=metrics[:_METRICS_PER_CALL],
        params=[Param(name, value) for name, value in params.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    for start in range(_METRICS_PER_CALL, len(metrics), _METRICS_PER_CALL):
        client.log_batch(run, metrics=metrics[start : start + _METRICS_PER_CALL])


def _log_dataset(
    client: "MlflowClient",
    run: str,
    tables: RunTables,
    name: str,
    folder: str,
    counts: pl.DataFrame,
) -> None:
    """Name the stored samples as the run's input; they are not copied."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    place = f"{tables.run}/{folder}"
    if "://" not in place:
        place = str(Path(place).absolute())
    profile = {"problems": counts.height, "samples": int(counts["n"].sum())}
    dataset = Dataset(
        name=name,
        digest=digest(counts.sort(counts.columns).rows()),
        source_type="local",
        source=json.dumps({"uri": place}),
        profile=json.dumps(profile),
    )
    context = InputTag("mlflow.data.context", "samples")
    client.log_inputs(run, datasets=[DatasetInput(dataset, tags=[context])])


def _log_models(tables: RunTables) -> None:
    """Log all chosen laws as one model, and each task's law as one of its own.

    A model for each cell as well would be forty times the same code and a fifth of a second each.
    """
    laws = []
    for row in tables.laws.filter("chosen", pl.col("kind") != "emergence").iter_rows(named=True):
        law = json.loads(row["law"])
        if Status[law["status"]].usable:
            laws.append({"model": row["model"], "task": row["task"], "law": law})
    if not laws:
        return
    with tempfile.TemporaryDirectory() as folder:
        _log_model("laws", laws, Path(folder))
        for law in laws:
            if law["model"] is None:
                _log_model(f"{law['task']}-law", [law], Path(folder))


def _log_model(name: str, laws: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Log laws to the active run as a model that answers with estimate, low and high."""
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    stored = folder / f"{name}.json"
    stored.write_text(json.dumps(laws), encoding="utf-8")
    # MLflow refuses whole numbers where it was promised doubles; tries and sizes may be either.
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(AnyType(), "x")  # type: ignore[no-untyped-call] # MLflow left it untyped
    ]
    if len(laws) > 1:
        columns += [ColSpec("string", "task"), ColSpec("string", "model", required=False)]
    signature = ModelSignature(
        inputs=Schema(columns),
        outputs=Schema([ColSpec("double", column) for column in _ENDS.values()]),
        params=ParamSchema([ParamSpec("level", "double", 0.9)]),
    )
    mlflow.pyfunc.log_model(
        name=name,
        python_model=str(Path(__file__).with_name("law_model.py")),
        artifacts={"laws": str(stored)},
        code_paths=[str(_ROOT / "fitting")],
        pip_requirements=list(_MODEL_REQUIREMENTS),
        signature=signature,
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values as MLflow parameters with dotted names."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)
    return flat


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's banners, hints and migration notes off the terminal."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in before})
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlflow  # noqa: F401 # sets up its logging, which is then turned down

            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for name in {*os.environ} - {*before}:
            if name.startswith("MLFLOW_"):
                del os.environ[name]
        os.environ.update({n: v for n, v in before.items() if n.startswith("MLFLOW_")})


@contextmanager
def _at(uri: str) -> Iterator[None]:
    """Let MLflow write to `uri`, and afterwards where it did before."""
    import mlflow

    # MLflow's own setting outranks the variable, and would outlive us if it were not unset.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    is_set = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call] # MLflow left it untyped
    before = mlflow.get_tracking_uri() if is_set else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type] # None is how to unset it
