"""A run is tracked once, and is never the worse for it."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.commands.track import track as verb
from pipelines.errors import InUseError, UserError
from pipelines.run import reopened
from pipelines.sweeps.config import Tracking
from pipelines.tracking.spool import Spool
from pipelines.tracking.track import keep, sync, track_run
from tests.pipelines.tracking.servers import answering, closed_port
from tests.pipelines.tracking.stored_results import store_results


@pytest.fixture(scope="session")
def little(tables):
    """Results of one cell, which are sent in a moment."""
    model = tables.counts["model"][0]
    here = {"model": model, "task": "add-2"}
    return replace(
        tables,
        **{
            name: getattr(tables, name).filter(**here)
            for name in ("counts", "rates", "curves", "laws", "costs", "selection", "calibration")
        },
    )


@pytest.fixture
def uri(tracked):
    """A database that is there; making one takes a second."""
    return tracked.uri


def _run(little, path, **tracking):
    """Open a run with results of its own, so that no other test has tracked them."""
    counts = little.counts.with_columns(completion_tokens=hash(str(path)) % 2**40)
    return reopened(store_results(replace(little, counts=counts), path, **tracking), write=False)


def _there(uri, run):
    """Return the runs that MLflow has of the run's records."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(run.sweep.name).experiment_id
    wanted = f"tags.`passlaw.run` = '{run.store.storage.absolute}'"
    return client.search_runs([experiment], filter_string=wanted)


def test_a_run_is_tracked_with_its_files(little, tmp_path, uri):
    """Results, report and figures are there, and the spool says where."""
    from mlflow import MlflowClient

    with _run(little, tmp_path / "run", uri=uri) as run:
        where = track_run(run)
        kinds = {each.data.tags["passlaw.kind"]: each for each in _there(uri, run)}
        parent, cell = kinds["invocation"], kinds["cell"]
        assert where == f"MLflow run {parent.info.run_id} in {uri}"
        assert cell.data.tags["mlflow.parentRunId"] == parent.info.run_id
        kept = {file.path for file in MlflowClient(uri).list_artifacts(parent.info.run_id)}
        assert {"report.html", "figures", "sweep.yaml", "laws.parquet", "tables"} <= kept
        spool = Spool(run.store.storage)
        (name,) = spool.ids()
        assert spool.sent(name)[uri].run == parent.info.run_id


def test_the_same_results_are_tracked_once(little, tmp_path, uri):
    """Also where the spool forgot that they were sent; other results are another run."""
    with _run(little, tmp_path / "run", uri=uri) as run:
        first = track_run(run)
        (name,) = Spool(run.store.storage).ids()
        assert track_run(run) == first
        (tmp_path / "run" / "tracking" / name / "sent.json").write_text("torn")
        assert track_run(run) == first
        assert len(_there(uri, run)) == 2
        counts = run.store.read_result("counts")
        run.store.write_result("counts", counts.with_columns(undecided=1))
        assert track_run(run) not in (None, first)
        assert len(_there(uri, run)) == 4


def test_off_means_off(little, tmp_path, monkeypatch):
    """Nothing is written where tracking is switched off."""
    monkeypatch.chdir(tmp_path)
    with _run(little, tmp_path / "run", enabled=False) as run:
        assert track_run(run) is None
    assert not (tmp_path / "run" / "tracking").exists()
    assert not (tmp_path / "mlflow.db").exists()


def _closed(tmp_path):
    return f"http://127.0.0.1:{closed_port()}"


def _no_database(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, and has never been one")
    return f"sqlite:///{tmp_path}/mlflow.db"


def _no_folder(tmp_path):
    (tmp_path / "file").touch()
    return f"sqlite:///{tmp_path}/file/mlflow.db"


def _nobody_answers_a_database(tmp_path):
    return f"postgresql://user:secret@127.0.0.1:{closed_port()}/mlflow"


_DOWN = [_closed, _no_database, _no_folder, _nobody_answers_a_database]


@pytest.mark.parametrize("down", _DOWN)
def test_what_cannot_be_reached_is_one_line(little, tmp_path, caplog, down):
    """Results are kept, nothing is raised, and no password is shown."""
    uri = down(tmp_path)
    with _run(little, tmp_path / "run", uri=uri) as run, caplog.at_level(logging.WARNING):
        assert track_run(run) is None
        (name,) = Spool(run.store.storage).ids()
        assert Spool(run.store.storage).sent(name) == {}
    (said,) = [each.getMessage() for each in caplog.records if each.name.startswith("pipelines")]
    assert said.startswith("not tracked in MLflow at ")
    assert f"`passlaw track {tmp_path / 'run'}` sends it" in said
    assert "\n" not in said
    assert "secret" not in said


def test_a_server_that_fails_at_everything_is_one_line(little, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        answering(200, 500) as uri,
        _run(little, tmp_path / "run", uri=uri) as run,
        caplog.at_level(logging.WARNING),
    ):
        assert track_run(run) is None
    assert "500" in caplog.text
    assert caplog.text.count("not tracked") == 1


def test_what_was_kept_is_sent_later_as_one_run(little, tmp_path, uri):
    """T10: a server is down while a run ends, twice; later each result is there once."""
    dead = _closed(tmp_path)
    with _run(little, tmp_path / "run", uri=dead) as run:
        track_run(run)
        track_run(run)
        counts = run.store.read_result("counts")
        run.store.write_result("counts", counts.with_columns(undecided=1))
        track_run(run)
        assert len(Spool(run.store.storage).ids()) == 2
        outcomes = sync(run.store, Tracking(), uri)
        assert [outcome.now for outcome in outcomes] == [True, True]
        there = _there(uri, run)
        parents = [each for each in there if "mlflow.parentRunId" not in each.data.tags]
        assert {each.info.run_id for each in parents} == {each.sent.run for each in outcomes}
        assert len(there) == 4
        assert [outcome.now for outcome in sync(run.store, Tracking(), uri)] == [False, False]


def test_an_earlier_record_does_not_take_a_later_file(little, tmp_path, uri):
    """A report that was drawn anew since is not the one that the record speaks of."""
    from mlflow import MlflowClient

    with _run(little, tmp_path / "run", uri=uri) as run:
        keep(run)
        run.store.write_report("<p>of a later fit</p>", "others")
        (outcome,) = sync(run.store, Tracking(), uri)
    kept = {file.path for file in MlflowClient(uri).list_artifacts(outcome.sent.run)}
    assert "report.html" not in kept
    assert "laws.parquet" in kept


def test_a_server_that_dies_on_the_way_is_tried_again_later(little, tmp_path, uri, monkeypatch):
    from mlflow import MlflowClient

    def dying(*arguments, **named):
        raise ConnectionError("the server went away\nwith a long story")

    with _run(little, tmp_path / "run", uri=uri) as run:
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_model_artifacts", dying)
            assert track_run(run) is None
        assert track_run(run) is not None
        assert [each.info.status for each in _there(uri, run)] == ["FINISHED"] * 2


def test_a_run_stops_sending_when_it_takes_too_long(little, tmp_path, uri, caplog):
    """The rest is kept for `passlaw track`, which has the time."""
    with _run(little, tmp_path / "run", uri=uri, seconds=1e-6) as run:
        with caplog.at_level(logging.WARNING):
            assert track_run(run) is None
        assert "longer than tracking.seconds" in caplog.text
        (outcome,) = sync(run.store, Tracking(), uri)
        assert outcome.now


def test_one_process_sends_at_a_time(little, tmp_path, uri):
    """Another is told who does."""
    with _run(little, tmp_path / "run", uri=uri) as run:
        keep(run)
        with Spool(run.store.storage).lease(), pytest.raises(InUseError, match="process"):
            sync(run.store, Tracking(), uri)
        assert sync(run.store, Tracking(), uri)[0].now


def test_a_full_disk_costs_a_line(little, tmp_path, uri, monkeypatch, caplog):
    """What cannot be kept is not sent, and nothing of the run fails."""

    def full(*arguments):
        raise UserError("tracking: cannot be written (No space left on device)")

    with _run(little, tmp_path / "run", uri=uri) as run:
        monkeypatch.setattr(Spool, "write", full)
        with caplog.at_level(logging.WARNING):
            assert track_run(run) is None
        assert "No space left" in caplog.text


_TRACK = """
import sys
from pipelines.commands.track import track
sys.exit(track.main(sys.argv[1:], standalone_mode=False))
"""


def test_processes_that_send_at_once_share_a_new_database(little, tmp_path):
    """Two runs, two processes, one SQLite file that neither finds there."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        with _run(little, path, uri=uri) as run:
            keep(run)
    root = Path(__file__).parents[3]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _TRACK, str(path)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for path in paths
    ]
    for process, path in zip(started, paths, strict=True):
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert out.startswith(f"track   {path}: MLflow run ")
    with _run(little, paths[0], uri=uri) as run:
        assert len(_there(uri, run)) == 2


def test_the_verb_tells_what_became_of_each_run(little, tmp_path, uri):
    """Exit code 0 and a document with where everything is; 1 where something is still kept."""
    with _run(little, tmp_path / "run", uri="http://127.0.0.1:9"):
        pass
    done = _verb(tmp_path / "run", "--uri", uri, "--json")
    assert done.return_value == 0
    (document,) = json.loads(done.stdout)["runs"]
    (invocation,) = document["invocations"]
    assert document["done"] is True
    assert invocation["sent_now"] is True
    assert len(invocation["mlflow_run"]) == 32
    again = _verb(tmp_path / "run", "--uri", uri)
    assert again.stdout.rstrip().endswith("there before")
    down = _verb(tmp_path / "run", "--uri", f"http://127.0.0.1:{closed_port()}")
    assert down.return_value == 1
    assert "refused" in down.stderr


def test_results_that_are_not_there_cannot_be_tracked(little, tmp_path, uri):
    """The error names the stage that makes them."""
    with _run(little, tmp_path / "run", uri=uri):
        (tmp_path / "run" / "laws.parquet").unlink()
    with pytest.raises(UserError, match=r"no laws\.parquet .*passlaw fit"):
        CliRunner().invoke(
            verb, [str(tmp_path / "run")], standalone_mode=False, catch_exceptions=False
        )


def _verb(path, *options):
    """Run the verb; gives what it printed, and as `return_value` its exit code."""
    result = CliRunner().invoke(verb, [str(path), *options], standalone_mode=False)
    assert result.exception is None, result.output
    return result
