"""One simulated sweep, and one run of it that MLflow was told of, for all tests of this room."""

import contextlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.tracking import server
from pipelines.tracking.contents import describe
from pipelines.tracking.inputs import Place
from pipelines.tracking.record import Record
from pipelines.tracking.send import Sender
from pipelines.tracking.spool import Sent
from tests.pipelines.simulated_run import Simulated, simulate, tabled

MADE = 1_700_000_000_000
SYSTEM = [("system/cpu_utilization_percentage", 10.0 * i, i, MADE - 9_000 + i) for i in range(3)]


@dataclass(frozen=True)
class Tracked:
    record: Record
    uri: str
    folder: Path
    sent: Sent
    said: str
    """What reached the terminal."""

    @property
    def run(self):
        return self.sent.run


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    return simulate(sizes=(2_600, 5_200, 9_800, 18_500), tasks=("add-2", "add-3"), problems=8)


@pytest.fixture(scope="session")
def tables(simulated):
    return tabled(simulated)


@pytest.fixture(scope="session")
def place():
    return Place(url="/runs/sim", problems={"add-2": "a1", "add-3": "b2"}, sampled=True)


@pytest.fixture(scope="session")
def record(tables, place):
    return describe(tables, place, made=MADE, surroundings={"passlaw.host": "here"}, system=SYSTEM)


@pytest.fixture(scope="session")
def tracked(record, tmp_path_factory):
    """The record, sent once into a database of its own, its folder the working directory."""
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "figures").mkdir()
    files = {"report.html": folder / "report.html", "figures/a.svg": folder / "figures" / "a.svg"}
    for path in files.values():
        path.write_text("<p>here")
    uri = f"sqlite:///{folder}/mlflow.db"
    said = io.StringIO()
    before = dict(os.environ)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), server.connected(uri):
        sent, _ = Sender(uri).send(record, files)
    assert dict(os.environ) == before
    return Tracked(record, uri, folder, sent, said.getvalue())


@pytest.fixture
def client(tracked):
    from mlflow import MlflowClient

    return MlflowClient(tracked.uri)
