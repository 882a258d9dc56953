"""Tracking: 10,000 metrics of 100 cells, into a SQLite file and to a server of MLflow's.

Run with `-s` to see the figures. The server's own time is in the wall time, not in the CPU time.
"""

import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from pipelines.tracking import server
from pipelines.tracking.contents import describe
from pipelines.tracking.inputs import Place
from pipelines.tracking.record import Entry, LawModel, Record, read
from pipelines.tracking.send import Sender
from tests.pipelines.simulated_run import simulate, tabled
from tests.pipelines.tracking.servers import closed_port, silent

CELLS, METRICS = 100, 100


@pytest.fixture(scope="module")
def law():
    """A fitted law over tries, with what it is asked under."""
    tables = tabled(simulate(sizes=(2_600, 5_200, 9_800), tasks=("add-2",), problems=20))
    place = Place(url="/run", problems={}, sampled=True)
    (model, *_) = describe(tables, place, made=1, surroundings={}).cells[0].models
    return model


def _sweep(name, law: LawModel | None):
    """Return a record of 100 cells with 100 metrics each, and a law in each or in none."""
    models = [] if law is None else [law]
    metrics = [(f"pass_at_k/{at % 4}", at / METRICS, at // 4, None) for at in range(METRICS)]
    cells = [
        Entry(name=f"cell {at}", tags={"passlaw.kind": "cell"}, params={"model": f"m{at}"},
              metrics=metrics, models=models)
        for at in range(CELLS)
    ]  # fmt: skip
    parent = replace(cells[0], name=name, models=[])
    return Record(id=name, experiment="sweep", made=1, parent=parent, cells=cells, artifacts=[])


@contextmanager
def _mlflow_server(folder):
    port = closed_port()
    command = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    places += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, *places], cwd=folder, stdout=log, stderr=log
        )
    uri = f"http://127.0.0.1:{port}"
    try:
        while server.unreachable(uri) is not None:
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.5)
        yield uri, process
    finally:
        process.terminate()
        process.wait(60)


def _timed(what, uri, record):
    with server.connected(uri):
        wall, cpu = time.perf_counter(), time.process_time()
        sent, now = Sender(uri).send(record, {})
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert now
    print(f"\n{what}: {record.metrics:,} metrics in {wall:.1f} s, {cpu:.1f} s of CPU")
    return sent, wall


@pytest.mark.benchmark
@pytest.mark.parametrize("with_laws", [False, True], ids=["no-laws", "laws"])
def test_ten_thousand_metrics_in_a_file(tmp_path, law, with_laws):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    record = _sweep("measured", law if with_laws else None)
    _, wall = _timed(f"SQLite, {100 * with_laws} laws", uri, record)
    assert wall < 120


@pytest.mark.benchmark
def test_ten_thousand_metrics_on_a_server(tmp_path, law):
    """What it keeps is there afterwards."""
    from mlflow import MlflowClient

    with _mlflow_server(tmp_path) as (uri, _):
        for name, model in (("no laws", None), ("100 laws", law)):
            sent, wall = _timed(f"server, {name}", uri, _sweep(name, model))
            assert wall < 120
            below = f"tags.`mlflow.parentRunId` = '{sent.run}'"
            assert len(MlflowClient(uri).search_runs([sent.experiment], below)) == CELLS


@pytest.mark.benchmark
def test_a_server_killed_in_the_middle_has_one_run_in_the_end(tmp_path):
    """It comes back with what it had, and the second attempt replaces that."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    psutil = pytest.importorskip("psutil", reason="psutil finds the server's workers")
    record = _sweep("killed", None)
    steps = iter(range(10**6))
    with _mlflow_server(tmp_path) as (uri, process), server.connected(uri):

        def kill():
            if next(steps) == 50:
                # Its workers first, which would outlive it.
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()

        with pytest.raises(MlflowException):
            Sender(uri, kill).send(record, {})
    with _mlflow_server(tmp_path) as (uri, _), server.connected(uri):
        sent, now = Sender(uri).send(record, {})
        assert now
        runs = MlflowClient(uri).search_runs([sent.experiment], max_results=1_000)
    assert len(runs) == 1 + CELLS
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.benchmark
def test_a_record_of_ten_thousand_metrics_is_small(law):
    """What a run takes to keep it, before anything is sent."""
    record = _sweep("kept", law)
    start = time.perf_counter()
    content = record.to_bytes()
    written = time.perf_counter()
    read(content, "here")
    print(f"\nspool: {len(content) / 1e6:.2f} MB, written in {written - start:.2f} s")
    print(f"       read in {time.perf_counter() - written:.2f} s")
    assert len(content) < 10e6


@pytest.mark.benchmark
def test_a_server_that_is_not_there_costs_little():
    """The longest that a run waits for one that is silent, and for one that is gone."""
    with silent() as stopped:
        for what, uri in (("silent", stopped), ("gone", f"http://127.0.0.1:{closed_port()}")):
            start = time.perf_counter()
            reason = server.unreachable(uri)
            print(f"\n{what}: {time.perf_counter() - start:.2f} s ({reason})")
            assert reason is not None
