"""Runs to disturb, the undisturbed ones to compare with, and the table of what was found.

`make chaos` runs these tests with `--table` and more kills, and rewrites tests/chaos/README.md.
"""

import shutil
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.chaos.harness import (
    STARTED,
    Lives,
    against,
    committed,
    ended,
    kill_tree,
    start,
    write_problems,
)

HEAD = """# Chaos

Each fault is done to a run; then the same command is given again. What must come out is what an
undisturbed run gives: every sample with its seed and its completion, every score, the counts and
the laws. Written by `make chaos`; `make test` runs the same tests with fewer kills.

| Fault | Times tried | Rows lost | Rows doubled | Seconds to recover, median | most |
| --- | ---: | ---: | ---: | ---: | ---: |
"""

NIGHTLY = 200
"""Kills from which on everything is tried."""

ONE_PROCESS = """
name: chaos
models:
  - {engine: simulated, name: small, parameters: 1000, rate: 0.05}
  - {engine: simulated, name: middle, parameters: 5000, rate: 0.15}
  - {engine: simulated, name: large, parameters: 20000, rate: 0.4}
tasks:
  - {source: file, name: sums, path: sums.jsonl}
  - {source: file, name: more, path: more.jsonl}
allocation: {n: 60}
fit: {family: beta_binomial, hold_out: null, k: [1, 10, 60]}
resources: {unit_samples: 240}
tracking: {enabled: false}
"""

WITH_RAY = """
name: chaos
models:
  - {engine: simulated, name: small, parameters: 1000, rate: 0.02, samples_per_second: 4000}
  - {engine: simulated, name: middle, parameters: 5000, rate: 0.06, samples_per_second: 4000}
  - {engine: simulated, name: large, parameters: 20000, rate: 0.2, samples_per_second: 4000}
tasks:
  - {source: file, name: sums, path: sums.jsonl}
  - {source: file, name: more, path: more.jsonl}
allocation: {r: 3, cap: 2000, first_round: 250}
fit: {family: beta_binomial, hold_out: null, k: [1, 10, 100]}
resources: {engines: 2, unit_samples: 500}
tracking: {enabled: false}
"""


@dataclass
class Ledger:
    """What was found, by fault."""

    rows: dict[str, list[tuple[int, int, float]]] = field(default_factory=lambda: defaultdict(list))

    def note(self, fault, found, seconds):
        """Note a trial of a fault: what `against` found after it, and how long recovery took."""
        self.rows[fault].append((found.lost, found.duplicated, seconds))
        assert found.whole, f"{fault}: {found}"

    def note_failed(self, fault, found, seconds):
        """Note a trial after which samples are recorded as failed: other contents, all there."""
        self.rows[fault].append((found.lost, found.duplicated, seconds))
        assert found.lost == found.duplicated == 0, f"{fault}: {found}"

    def markdown(self):
        lines = []
        for fault, trials in sorted(self.rows.items()):
            lost, doubled, seconds = (list(column) for column in zip(*trials, strict=True))
            cells = [fault, str(len(trials)), str(sum(lost)), str(sum(doubled))]
            cells += [f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}"]
            lines.append("| " + " | ".join(cells) + " |\n")
        return HEAD + "".join(lines)


@pytest.fixture(scope="session")
def ledger(request):
    found = Ledger()
    yield found
    table = request.config.getoption("--table")
    if table and found.rows:
        Path(table).write_text(found.markdown())


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    for process in STARTED:
        if process.poll() is None:
            kill_tree(process.pid)
        process.communicate()
    STARTED.clear()


@pytest.fixture(scope="session")
def nightly(kills):
    """Leave a test to `make chaos`."""
    if kills < NIGHTLY:
        pytest.skip(f"takes longer than it adds to a quick run: --kills {NIGHTLY} (make chaos)")


@pytest.fixture(scope="session")
def lives():
    with Lives() as server:
        yield server


@pytest.fixture(scope="session")
def undisturbed(lives, tmp_path_factory):
    """An undisturbed run in one process: its folder, and its steps."""
    folder = tmp_path_factory.mktemp("undisturbed")
    prepare(folder)
    life = lives.live(folder, "run")
    assert life.code == 0, life.errors
    return folder / "run", life.steps


def prepare(folder):
    write_problems(folder)
    (folder / "sweep.yaml").write_text(ONE_PROCESS)


@pytest.fixture
def folder(tmp_path):
    """A folder with the sweep of `undisturbed`."""
    prepare(tmp_path)
    return tmp_path


@pytest.fixture
def finished(undisturbed, folder):
    """A copy of the undisturbed run, to damage."""
    shutil.copytree(undisturbed[0], folder / "run")
    return folder / "run"


@dataclass(frozen=True, kw_only=True)
class ThroughRay:
    """An undisturbed run through Ray."""

    root: Path
    units: int
    """Files of samples."""


@pytest.fixture
def sweep_folder(tmp_path):
    """A folder with the sweep of `through_ray`."""
    write_problems(tmp_path)
    (tmp_path / "sweep.yaml").write_text(WITH_RAY)
    return tmp_path


@pytest.fixture(scope="session")
def through_ray(lives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("through-ray")
    write_problems(folder)
    (folder / "sweep.yaml").write_text(WITH_RAY)
    ended(start(folder, "sample", "sweep.yaml", "-o", "run=run"))
    assert lives.live(folder, "run", verbs=("score", "fit")).code == 0
    return ThroughRay(root=folder / "run", units=len(committed(folder / "run")))


@pytest.fixture
def recovered(lives, through_ray, sweep_folder, ledger):
    """Give the command again, and compare; the returned function takes the run and the fault."""

    def recover(run, fault):
        began = time.monotonic()
        ended(start(sweep_folder, "sample", "sweep.yaml", "-o", f"run={run}"))
        life = lives.live(sweep_folder, run, verbs=("score", "fit"))
        assert life.code == 0, life.errors
        ledger.note(fault, against(sweep_folder / run, through_ray.root), time.monotonic() - began)
        assert not list((sweep_folder / run).rglob("quarantine/**/*.parquet*"))

    return recover
