"""What MLflow shows of a record that was sent, and that it is there once."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fitting import coverage_law_from_dict
from pipelines.tracking import server
from pipelines.tracking.send import Sender
from tests.pipelines.tracking.conftest import MADE, SYSTEM


def test_each_cell_is_a_run_below_the_invocation(tracked, client, tables):
    """A parent run holds the laws over sizes, and one run below it each model on each task."""
    parent = client.get_run(tracked.run)
    experiment = client.get_experiment(parent.info.experiment_id)
    assert experiment.name == tables.sweep.name
    assert parent.info.status == "FINISHED"
    assert (parent.info.start_time, parent.info.end_time) == (MADE, MADE)
    assert parent.data.params["allocation.r"] == "5"
    assert parent.data.metrics["add-3/task/alpha_low"] < parent.data.metrics["add-3/task/alpha"]
    assert parent.data.tags["add-3/emergence"].endswith(".")
    below = _below(client, parent)
    cells = {*tables.counts.select("model", "task").unique().rows()}
    assert len(below) == len(cells)
    assert {(run.data.params["model"], run.data.params["task"]) for run in below} == cells
    assert all(run.info.status == "FINISHED" for run in below)


def test_curves_are_metrics_over_tries(tracked, client, tables):
    """Each measured point of pass@k is a metric whose step is k, with its interval."""
    run = _cell(client, tracked, "m5.2k", "add-2")
    curve = tables.curves.filter(model="m5.2k", task="add-2", kind="pass_at_k")
    for name, column in (
        ("pass_at_k", "estimate"),
        ("pass_at_k_low", "low"),
        ("pass_at_k_high", "high"),
    ):
        logged = {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)}
        assert logged == dict(zip(curve["x"].cast(int), curve[column], strict=True))


def test_what_choosing_is_worth_is_a_metric_over_tries(tracked, client, tables):
    """Each method's accuracy is a metric whose step is k; what confidence tells is one too."""
    run = _cell(client, tracked, "m5.2k", "add-2")
    curve = tables.selection.filter(method="majority", model="m5.2k", task="add-2")
    for name, column in (("majority", "estimate"), ("majority_high", "high")):
        history = client.get_metric_history(run.info.run_id, f"selection/{name}")
        assert {m.step: m.value for m in history} == dict(curve.select("k", column).iter_rows())
    assert run.data.metrics["confidence/vote_share/auroc"] == 0.5


def test_the_machine_is_a_metric_over_time(tracked, client):
    """Each look has the time at which it was taken."""
    history = client.get_metric_history(tracked.run, SYSTEM[0][0])
    assert [(m.key, m.value, m.step, m.timestamp) for m in history] == SYSTEM


def test_inputs_are_named_with_digest_and_schema(tracked, client):
    run = _cell(client, tracked, "m5.2k", "add-2")
    inputs = {each.tags[0].value: each.dataset for each in run.inputs.dataset_inputs}
    (cell,) = [each for each in tracked.record.cells if each.name == "m5.2k add-2"]
    expected = {used.context: used.digest for used in cell.inputs}
    assert {context: used.digest for context, used in inputs.items()} == expected
    place = json.loads(inputs["samples"].source)["uri"]
    assert place == "/runs/sim/samples/model=m5.2k/task=add-2"
    columns = json.loads(inputs["samples"].schema)["mlflow_colspec"]
    assert {"type": "string", "name": "problem_id", "required": True} in columns


def test_tables_are_tables_to_mlflow(tracked, client):
    """Its own load_table finds and reads them."""
    with server.connected(tracked.uri):
        loaded = client.load_table(tracked.sent.experiment, "tables/cells.json", [tracked.run])
    assert len(loaded) == len(tracked.record.cells)


def test_files_are_kept_with_the_run(tracked, client):
    """Under their own paths, beside the database."""
    assert {"report.html", "figures"} <= {f.path for f in client.list_artifacts(tracked.run)}
    (figure,) = client.list_artifacts(tracked.run, "figures")
    assert figure.path == "figures/a.svg"
    assert len([*(tracked.folder / "mlartifacts").rglob("report.html")]) == 1


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("tags.`passlaw.kind` = 'cell' AND tags.`passlaw.task` = 'add-3'", 6),
        ("tags.`passlaw.kind` = 'cell' AND metrics.parameters > 9000", 8),
        ("tags.`passlaw.kind` = 'cell' AND metrics.pass_rate >= 0", 12),
        ("tags.`passlaw.kind` = 'invocation' AND tags.`passlaw.models` LIKE '%,m5.2k,%'", 1),
        ("tags.`passlaw.models` LIKE '%,m5.2,%'", 0),
    ],
)
def test_runs_are_found_by_their_tags(tracked, client, wanted, found):
    """The searches that the docstring of `tags` shows."""
    assert len(client.search_runs([tracked.sent.experiment], filter_string=wanted)) == found


def test_a_task_law_predicts_as_a_model(tracked, tables):
    """A logged law gives the very numbers of a law's predict."""
    model = _load(tracked, f"runs:/{tracked.run}/add-3-law")
    sizes = [3_000, 50_000, 200_000]
    answer = model.predict({"x": sizes})
    truth = _law(tables, None, "add-3").predict(sizes)
    for column in ("estimate", "low", "high"):
        np.testing.assert_array_equal(answer[column], getattr(truth, column))


def test_a_cell_s_law_predicts_as_a_model(tracked, client, tables):
    """It is found from the run, by name or by its tag."""
    run = _cell(client, tracked, "m5.2k", "add-2")
    truth = _law(tables, "m5.2k", "add-2").predict([7, 2000], 0.5)
    for uri in (f"runs:/{run.info.run_id}/law", run.data.tags["passlaw.law"]):
        answer = _load(tracked, uri).predict({"x": [7, 2000]}, params={"level": 0.5})
        np.testing.assert_array_equal(answer["high"], truth.high)


def test_all_laws_predict_as_one_model(tracked, tables):
    """One model holds every chosen law: over tries where a model is named, else over sizes."""
    import pandas as pd

    model = _load(tracked, f"runs:/{tracked.run}/laws")
    asked = {
        "model": ["m5.2k", None, "m5.2k"],
        "task": ["add-2", "add-3", "add-2"],
        "x": [7, 9e4, 2],
    }
    answer = model.predict(pd.DataFrame(asked), params={"level": 0.5})
    tries = _law(tables, "m5.2k", "add-2").predict([7, 2], 0.5)
    size = _law(tables, None, "add-3").predict(9e4, 0.5)
    np.testing.assert_array_equal(answer["low"], [tries.low[0], size.low, tries.low[1]])


def test_a_law_that_is_not_there_is_named(tracked):
    """Asking for an unknown model is an error that lists the known ones."""
    model = _load(tracked, f"runs:/{tracked.run}/laws")
    with pytest.raises(ValueError, match=r"no law for m9B/add-2; there are .*m5\.2k/add-2"):
        model.predict({"model": ["m9B"], "task": ["add-2"], "x": [3.0]})


def test_a_record_is_sent_once(tracked, client):
    """A second time finds it there, and makes nothing."""
    before = len(_all(client, tracked))
    assert _send(tracked.uri, tracked.record) == (tracked.sent, False)
    assert len(_all(client, tracked)) == before


@pytest.mark.parametrize(
    ("verb", "calls"),
    [("create_run", 2), ("log_batch", 2), ("log_model_artifacts", 2), ("set_terminated", 2)],
)
def test_what_was_half_sent_is_replaced(tracked, client, monkeypatch, verb, calls):
    """Wherever it broke off, the next attempt leaves one finished run with all below it."""
    from mlflow import MlflowClient

    record = _small(tracked.record, f"{verb}")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, verb, _failing_after(getattr(MlflowClient, verb), calls))
        with pytest.raises(ConnectionError):
            _send(tracked.uri, record)
    sent, now = _send(tracked.uri, record)
    assert now
    found = client.search_runs(
        [sent.experiment], filter_string=f"tags.`passlaw.digest` = '{record.id}'"
    )
    assert [run.info.run_id for run in found] == [sent.run]
    below = _below(client, found[0])
    assert [run.info.status for run in below] == ["FINISHED"] * len(record.cells)
    runs = {sent.run, *(run.info.run_id for run in below)}
    laws = [m for m in _models(client, sent) if m.source_run_id in runs]
    assert len(laws) == sum(len(cell.models) for cell in record.cells) + 1
    others = {run.info.run_id for run in _all(client, tracked)}
    assert {model.source_run_id for model in _models(client, sent)} <= others


def test_a_run_that_was_made_twice_is_there_once(tracked, client, monkeypatch):
    """A server may make a run, die before it answers, and be asked again."""
    from mlflow import MlflowClient

    once = MlflowClient.create_run

    def twice(self, *arguments, **named):
        once(self, *arguments, **named)
        return once(self, *arguments, **named)

    record = _small(tracked.record, "twice")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_run", twice)
        before = len(_all(client, tracked))
        _send(tracked.uri, record)
    assert len(_all(client, tracked)) == before + 1 + len(record.cells)


def test_time_that_runs_out_breaks_off(tracked, client):
    """What was sent until then is not finished, so that it counts for nothing."""
    record = _small(tracked.record, "late")
    steps = iter(range(100))

    def go_on():
        if next(steps) == 4:
            raise TimeoutError

    with pytest.raises(TimeoutError), server.connected(tracked.uri):
        Sender(tracked.uri, go_on).send(record, {})
    assert _send(tracked.uri, record)[1]


def test_laws_are_registered_under_the_sweep_s_name(tracked, client, tables, monkeypatch):
    """Where that is asked for: a version for each record, however often it was tried."""
    from mlflow import MlflowClient

    record = _small(tracked.record, "registered", over_sizes=True)
    with monkeypatch.context() as patch:
        late = _failing_after(MlflowClient.set_terminated, len(record.cells))
        patch.setattr(MlflowClient, "set_terminated", late)
        with pytest.raises(ConnectionError):
            _send(tracked.uri, record, register=True)
    _send(tracked.uri, record, register=True)
    name = f"{tables.sweep.name}.add-3-law"
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert version.tags["passlaw.digest"] == record.id
    model = _load(tracked, f"models:/{name}/{version.version}")
    expected = _law(tables, None, "add-3").predict([5e4]).estimate
    np.testing.assert_array_equal(model.predict({"x": [5e4]})["estimate"], expected)


def test_it_is_quiet(tracked):
    """Neither banners nor notes of migrations reach the terminal."""
    assert tracked.said == ""


def _small(record, name, *, over_sizes=False):
    """Return a record of another id with few cells, which is sent in a moment."""
    models = record.parent.models if over_sizes else []
    parent = replace(record.parent, models=models, inputs=[], tables={})
    return replace(record, id=name, parent=parent, cells=record.cells[:2])


def _send(uri, record, **settings):
    with server.connected(uri):
        return Sender(uri, **settings).send(record, {})


def _failing_after(function, calls):
    """Return what works so many times, then fails for ever, as a server does that was killed."""
    left = iter(range(calls))

    def failing(*arguments, **named):
        if next(left, None) is None:
            raise ConnectionError("gone")
        return function(*arguments, **named)

    return failing


def _below(client, parent):
    return client.search_runs(
        [parent.info.experiment_id],
        filter_string=f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'",
    )


def _cell(client, tracked, model, task):
    (run,) = client.search_runs(
        [tracked.sent.experiment],
        filter_string=f"tags.`mlflow.parentRunId` = '{tracked.run}' AND "
        f"tags.`passlaw.model` = '{model}' AND tags.`passlaw.task` = '{task}'",
    )
    return run


def _all(client, tracked):
    return client.search_runs([tracked.sent.experiment], max_results=1_000)


def _models(client, sent):
    return list(client.search_logged_models([sent.experiment], max_results=1_000))


def _load(tracked, uri):
    import mlflow

    with server.connected(tracked.uri):
        return mlflow.pyfunc.load_model(uri)


def _law(tables, model, task):
    same = pl.col("model").is_null() if model is None else pl.col("model") == model
    rows = tables.laws.filter(
        same, pl.col("task") == task, pl.col("chosen"), pl.col("kind") != "emergence"
    )
    return coverage_law_from_dict(json.loads(rows["law"].item()))
