"""Whether a tracking server answers is known in a moment, and MLflow leaves no trace."""

import os
import sqlite3
import time
from contextlib import closing, contextmanager

import pytest

from pipelines.sweeps.config import Tracking
from pipelines.tracking import server
from tests.pipelines.tracking.servers import answering, closed_port, silent


def test_where_is_asked_of_the_sweep_then_the_environment(monkeypatch, tmp_path):
    """A SQLite file is known by its absolute path, whatever the working directory becomes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert server.tracking_uri(Tracking(uri="http://other")) == "http://other"
    assert server.tracking_uri(Tracking()) == "http://mlflow:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert server.tracking_uri(Tracking()) == f"sqlite:///{tmp_path}/mlflow.db"


def test_files_go_where_the_environment_says(monkeypatch, tmp_path):
    """Else beside a SQLite file, or where a server says."""
    monkeypatch.delenv(server.ARTIFACTS, raising=False)
    beside = server.artifact_root(f"sqlite:///{tmp_path}/mlflow.db", "sums")
    assert beside == (tmp_path / "mlartifacts").as_uri()
    assert server.artifact_root("http://mlflow:5000", "sums") is None
    monkeypatch.setenv(server.ARTIFACTS, "s3://bucket/mlflow/")
    assert server.artifact_root("http://mlflow:5000", "sums") == "s3://bucket/mlflow/sums"


def test_a_password_is_not_shown():
    shown = server.shown("postgresql://user:secret@host:5432/mlflow")
    assert shown == "postgresql://user:***@host:5432/mlflow"


def test_a_closed_port_is_a_refusal():
    assert "refused" in server.unreachable(f"http://127.0.0.1:{closed_port()}")


def test_a_server_that_says_nothing_is_not_waited_for():
    """The bound is that of the wait, with room for a loaded machine."""
    with silent() as uri:
        start = time.monotonic()
        assert server.unreachable(uri, seconds=0.2) is not None
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("health", [200, 401, 404])
def test_a_server_that_answers_is_there(health):
    """Also one that asks who we are first."""
    with answering(health) as uri:
        assert server.unreachable(uri) is None


def test_a_server_that_is_broken_says_so():
    with answering(503) as uri:
        assert "503" in server.unreachable(uri)


def test_what_cannot_be_asked_is_taken_to_be_there():
    assert server.unreachable("databricks") is None


def test_a_new_database_can_be_written(tmp_path):
    assert server.unreachable(f"sqlite:///{tmp_path}/new/mlflow.db") is None


@contextmanager
def _locked(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield


def test_a_database_that_another_holds_is_waited_for_briefly(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with _locked(tmp_path / "mlflow.db"):
        assert server.unreachable(uri, seconds=0.2) is not None
    assert server.unreachable(uri) is None


def test_a_database_that_is_none_is_said_to_be_none(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, and has never been one")
    assert "not a database" in server.unreachable(f"sqlite:///{tmp_path}/mlflow.db")


def test_mlflow_leaves_the_process_as_it_was(tracked, monkeypatch):
    """Its variables, and where others let it write."""
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://of-the-user:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    before = dict(os.environ)
    with server.connected(tracked.uri):
        assert mlflow.get_tracking_uri() == tracked.uri
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert dict(os.environ) == before
    assert mlflow.get_tracking_uri() == "http://of-the-user:1"


@pytest.mark.parametrize("path", ["/dev/null/mlflow.db", "/proc/mlflow.db"])
def test_a_place_that_cannot_be_written_is_said_to_be_so(path):
    assert server.unreachable(f"sqlite:///{path}") is not None
