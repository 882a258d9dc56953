import contextlib
import io
import json
import logging
import os
import socket
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fitting import coverage_law_from_dict
from pipelines.store import RunTables
from pipelines.sweeps.config import Tracking
from pipelines.tracking.track import track
from tests.pipelines.simulated_run import simulate, tabled


@dataclass(frozen=True)
class Tracked:
    tables: RunTables
    uri: str
    artifacts: list[Path]
    run: str
    said: str
    """What reached the terminal."""


@pytest.fixture(scope="module")
def tables():
    return tabled(
        simulate(sizes=(2_600, 5_200, 9_800, 18_500), tasks=("add-2", "add-3"), problems=8)
    )


@pytest.fixture(scope="module")
def tracked(tables, tmp_path_factory):
    """One tracked invocation, at the default place."""
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "report.html").write_text("<p>report")
    (folder / "figures").mkdir()
    (folder / "figures" / "coverage.svg").write_text("<svg/>")
    artifacts = [folder / "report.html", folder / "figures", folder / "absent"]
    said = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        run = track(tables, Tracking(), artifacts, invocation={"command": "run"})
        assert not (folder / "mlruns").exists()
        assert "MLFLOW_TRACKING_URI" not in os.environ
    assert run is not None
    uri = f"sqlite:///{folder}/mlflow.db"
    return Tracked(tables, uri, artifacts, run, said.getvalue())


@pytest.fixture
def client(tracked):
    from mlflow import MlflowClient

    return MlflowClient(tracked.uri)


def test_each_cell_is_a_run_below_the_invocation(tracked, client):
    """A parent run holds the laws over sizes, and one run below it each model on each task."""
    parent = client.get_run(tracked.run)
    experiment = client.get_experiment(parent.info.experiment_id)
    assert experiment.name == tracked.tables.sweep.name
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["passlaw.command"] == "run"
    assert parent.data.params["allocation.r"] == "5"
    assert parent.data.metrics["add-3/task/alpha_low"] < parent.data.metrics["add-3/task/alpha"]
    assert parent.data.tags["add-3/emergence"].endswith(".")
    below = _below(client, parent)
    cells = tracked.tables.counts.select("model", "task").unique()
    assert len(below) == cells.height
    assert {(run.data.params["model"], run.data.params["task"]) for run in below} == {*cells.rows()}
    assert all(run.info.status == "FINISHED" for run in below)


def test_curves_are_metrics_over_tries(tracked, client):
    """Each measured point of pass@k is a metric whose step is k, with its interval."""
    run = _below(client, client.get_run(tracked.run))[0]
    cell = (pl.col("model") == run.data.params["model"]) & (
        pl.col("task") == run.data.params["task"]
    )
    curve = tracked.tables.curves.filter(cell, pl.col("kind") == "pass_at_k")
    for name, column in (
        ("pass_at_k", "estimate"),
        ("pass_at_k_low", "low"),
        ("pass_at_k_high", "high"),
    ):
        logged = {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)}
        assert logged == dict(zip(curve["x"].cast(int), curve[column], strict=True))


def test_what_choosing_is_worth_is_a_metric_over_tries(tracked, client):
    """Each method's accuracy is a metric whose step is k; what confidence tells is one too."""
    run = _below(client, client.get_run(tracked.run))[0]
    cell = {name: run.data.params[name] for name in ("model", "task")}
    curve = tracked.tables.selection.filter(method="majority", **cell)
    for name, column in (("majority", "estimate"), ("majority_high", "high")):
        history = client.get_metric_history(run.info.run_id, f"selection/{name}")
        assert {m.step: m.value for m in history} == dict(curve.select("k", column).iter_rows())
    assert run.data.metrics["confidence/vote_share/auroc"] == 0.5


def test_inputs_name_the_stored_samples(tracked, client):
    """A cell's run names the folder of its samples as its data set."""
    run = _below(client, client.get_run(tracked.run))[0]
    (given,) = run.inputs.dataset_inputs
    place = json.loads(given.dataset.source)["uri"]
    model, task = run.data.params["model"], run.data.params["task"]
    assert Path(place).is_absolute()
    assert place.endswith(f"runs/simulated-ladder/samples/model={model}/task={task}")


def test_files_are_kept_with_the_run(tracked, client):
    """Files and folders are artifacts of the parent, beside the database; absent ones are not."""
    assert {file.path for file in client.list_artifacts(tracked.run)} == {"report.html", "figures"}
    (figure,) = client.list_artifacts(tracked.run, "figures")
    assert figure.path == "figures/coverage.svg"
    beside = tracked.artifacts[0].parent / "mlartifacts"
    assert len([*beside.rglob("report.html")]) == 1


def test_a_task_law_predicts_as_a_model(tracked, client):
    """A logged law gives the very numbers of a law's predict."""
    model = _load(client, tracked, "add-3-law")
    sizes = [3_000, 50_000, 200_000]
    answer = _predict(model, {"x": sizes})
    truth = _law(tracked.tables, None, "add-3").predict(sizes)
    for column in ("estimate", "low", "high"):
        np.testing.assert_array_equal(answer[column], getattr(truth, column))


def test_all_laws_predict_as_one_model(tracked, client):
    """One model holds every chosen law: over tries where a model is named, else over sizes."""
    model = _load(client, tracked, "laws")
    answer = _predict(
        model,
        {"model": ["m5.2k", None, "m5.2k"], "task": ["add-2", "add-3", "add-2"], "x": [7, 9e4, 2]},
        {"level": 0.5},
    )
    tries = _law(tracked.tables, "m5.2k", "add-2").predict([7, 2], 0.5)
    size = _law(tracked.tables, None, "add-3").predict(9e4, 0.5)
    np.testing.assert_array_equal(answer["low"], [tries.low[0], size.low, tries.low[1]])


def test_a_law_that_is_not_there_is_named(tracked, client):
    """Asking for an unknown model is an error that lists the known ones."""
    model = _load(client, tracked, "laws")
    with pytest.raises(ValueError, match=r"no law for m9B/add-2; there are .*m5\.2k/add-2"):
        _predict(model, {"model": ["m9B"], "task": ["add-2"], "x": [3.0]})


def test_the_same_results_are_logged_once(tracked, client):
    """A second call returns the first run and logs nothing; changed results are logged."""
    before = _runs(client, tracked)
    settings = Tracking(uri=tracked.uri)
    assert track(tracked.tables, settings, [], invocation={"command": "fit"}) == tracked.run
    assert _runs(client, tracked) == before
    fewer = replace(
        tracked.tables, counts=tracked.tables.counts.head(8), laws=tracked.tables.laws.head(0)
    )
    changed = track(fewer, settings, [], invocation={})
    assert changed not in (None, tracked.run)
    assert _runs(client, tracked) == before + 2


def test_a_run_that_broke_off_is_logged_again(tracked, client):
    """Only a finished run stands for its results."""
    tables = _one_cell(tracked.tables, 4)
    settings = Tracking(uri=tracked.uri)
    first = track(tables, settings, [], invocation={})
    client.update_run(first, status="KILLED")
    assert track(tables, settings, [], invocation={}) not in (None, first)


def test_it_is_quiet(tracked):
    """Neither banners nor notes of migrations reach the terminal."""
    assert tracked.said == ""


def test_off_means_off(tables, tmp_path, monkeypatch):
    """Nothing is written where tracking is switched off."""
    monkeypatch.chdir(tmp_path)
    assert track(tables, Tracking(enabled=False), [], invocation={}) is None
    assert [*tmp_path.iterdir()] == []


def test_files_go_where_the_environment_says(tables, tmp_path, monkeypatch):
    """PASSLAW_MLFLOW_ARTIFACTS is a URI, below which each new experiment has its folder."""
    from mlflow import MlflowClient

    monkeypatch.setenv("PASSLAW_MLFLOW_ARTIFACTS", (tmp_path / "store").as_uri())
    (tmp_path / "report.html").write_text("<p>report")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run = track(tables, Tracking(uri=uri), [tmp_path / "report.html"], invocation={})
    assert run is not None
    kept = tmp_path / "store" / tables.sweep.name / run / "artifacts"
    assert (kept / "report.html").read_text() == "<p>report"
    assert MlflowClient(uri).get_run(run).info.artifact_uri == kept.as_uri()
    assert not (tmp_path / "mlartifacts").exists()


def test_a_dead_server_is_only_a_warning(tables, monkeypatch, caplog):
    """Results are never lost to a tracking server: one line of warning, and no run."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    with caplog.at_level(logging.WARNING):
        assert track(tables, Tracking(uri=uri), [], invocation={}) is None
    (record,) = [r for r in caplog.records if r.name == "pipelines.tracking.track"]
    assert uri in record.getMessage()
    assert "\n" not in record.getMessage()


def test_no_database_is_only_a_warning(tables, tmp_path, caplog):
    """A database that cannot be opened is a warning too."""
    (tmp_path / "mlflow.db").write_text("this is no database")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with caplog.at_level(logging.WARNING):
        assert track(tables, Tracking(uri=uri), [], invocation={}) is None
    assert "not tracked in MLflow" in caplog.text


def _one_cell(tables, problems):
    return replace(tables, counts=tables.counts.head(problems), laws=tables.laws.head(0))


def _below(client, parent):
    return client.search_runs(
        [parent.info.experiment_id],
        filter_string=f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'",
    )


def _runs(client, tracked):
    experiment = client.get_run(tracked.run).info.experiment_id
    return len(client.search_runs([experiment]))


def _load(client, tracked, name):
    import mlflow

    experiment = client.get_run(tracked.run).info.experiment_id
    found = client.search_logged_models([experiment], filter_string=f"name = '{name}'")
    (model,) = [model for model in found if model.source_run_id == tracked.run]
    return mlflow.pyfunc.load_model(model.artifact_location)


def _predict(model, columns, params=None):
    import pandas as pd

    return model.predict(pd.DataFrame(columns), params=params)


def _law(tables, model, task):
    same = pl.col("model").is_null() if model is None else pl.col("model") == model
    rows = tables.laws.filter(
        same, pl.col("task") == task, pl.col("chosen"), pl.col("kind") != "emergence"
    )
    return coverage_law_from_dict(json.loads(rows["law"].item()))
