"""A run on an S3 server: what holds in a folder holds there too."""

import io
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import polars as pl
import pytest

from pipelines import actors, cli
from pipelines.errors import UserError
from pipelines.object_store import ObjectStore
from pipelines.storage import several, storage_at
from pipelines.store import Store
from pipelines.units import Cell, Unit
from pipelines.workers import KeeperWorker, Plan
from tests.command import COMMAND
from tests.pipelines.s3_server import PAGE, s3  # noqa: F401 # a fixture
from tests.pipelines.test_sample import PlayedPool
from tests.pipelines.test_store import CELL, SWEEP, UNIT, samples, scores

SWEEP_FILE = """
name: remote
models:
  - {engine: simulated, name: rare, parameters: 1000, rate: 0.02, samples_per_second: 4000}
  - {engine: simulated, name: often, parameters: 9000, rate: 0.2, samples_per_second: 4000}
tasks:
  - {source: file, name: sums, path: problems.jsonl}
allocation: {r: 5, cap: 2000, first_round: 250}
resources: {engines: 1, unit_samples: 500}
tracking: {enabled: false}
"""
KEYS = ["problem_id", "sample_id", "seed", "completion"]


@pytest.fixture
def url(s3):  # noqa: F811
    return s3.url(uuid.uuid4().hex)


@pytest.fixture
def store(url):
    made = Store.at(url)
    made.create()
    return made


WITHOUT_RAY = """
from pipelines import actors, cli
from tests.pipelines.test_sample import PlayedPool
actors.Pool = PlayedPool
cli.main()
"""


def start(folder: Path, command: tuple[str, ...], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def passlaw(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, COMMAND, *arguments)
    output, errors = process.communicate(timeout=600)
    return process.returncode, output, errors


def here(*arguments: str) -> int:
    """Run the command in this process, which has imported everything; UserError as it is."""
    return cli.passlaw.main(list(arguments), standalone_mode=False)


def rows(run: str) -> pl.DataFrame:
    """Return all samples of a run, with the cell that they are of."""
    storage = storage_at(run)
    keys = [key for key in storage.keys("samples") if key.endswith(".parquet")]
    frames = [
        pl.read_parquet(io.BytesIO(storage.read(key)), columns=KEYS).with_columns(
            cell=pl.lit(key.rpartition("/")[0])
        )
        for key in keys
    ]
    return pl.concat(frames).sort("cell", *KEYS[:2])


def test_a_sweep_killed_and_resumed_there_is_that_of_a_local_one_left_alone(
    url, tmp_path, monkeypatch, capsys
):
    lines = [{"problem_id": f"p{i}", "prompt": f"{i}+1=", "answer": str(i + 1)} for i in range(8)]
    (tmp_path / "problems.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "sweep.yaml").write_text(SWEEP_FILE)
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(actors, "Pool", PlayedPool)
        assert here("sample", "sweep.yaml", "-o", "run=local") == 0
        assert here("score", "local") == 0
    undisturbed = rows(str(tmp_path / "local"))

    command = (sys.executable, "-c", WITHOUT_RAY)
    process = start(tmp_path, command, "sample", "sweep.yaml", "-o", f"run={url}")
    deadline = time.monotonic() + 300
    while len(storage_at(url).keys("samples")) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()
    committed = rows(url)
    assert 0 < committed.height < undisturbed.height

    code, said, errors = passlaw(tmp_path, "run", "sweep.yaml", "-o", f"run={url}")
    assert code == 0, errors
    assert f"report  {url}/report.html" in said
    assert rows(url).equals(undisturbed)
    assert rows(url).join(committed, on=["cell", *KEYS]).height == committed.height

    # Everything else that reads or writes a run takes its URL.
    capsys.readouterr()
    assert here("score", url) == here("status", url) == 0
    assert here("replay", url, "--policy", "early:window=5") == 0
    said = capsys.readouterr().out
    assert f"report: {url}/report.html" in said
    assert f"replay  {url}/replay.html" in said
    counted = [Store.at(run).read_result("counts") for run in (url, str(tmp_path / "local"))]
    assert counted[0].equals(counted[1])
    names = storage_at(url).names()
    assert not {"lease.json", "lease.beat"} & set(names)
    assert {"report.html", "figures", "replay.parquet", "laws.parquet"} <= set(names)


class TestErrors:
    @pytest.mark.parametrize("verb", ["sample", "status", "score", "fit", "report"])
    def test_a_bucket_that_is_not_there_is_one_line(self, s3, verb):  # noqa: F811
        with pytest.raises(UserError, match=r"^s3://nobody-made-it/run: there is no such bucket"):
            here(verb, "s3://nobody-made-it/run")

    def test_keys_that_the_server_does_not_know_are_one_line(self, s3, tmp_path):  # noqa: F811
        s3.check_keys(after=0)
        try:
            code, _, errors = passlaw(tmp_path, "status", s3.url("run"))
        finally:
            s3.check_keys(after=10**9)
        assert code == 2
        assert errors.startswith("passlaw: error: s3://bucket/run: access denied (")
        assert errors.count("\n") == 1

    def test_no_run_there(self, store):
        with pytest.raises(UserError, match=r"no run of passlaw \(it has no sweep.yaml\)"):
            store.read_sweep()

    def test_something_else_there_is_left_alone(self, store):
        store.storage.replace("thesis.tex", b"years of work")
        with pytest.raises(UserError, match=r"holds 'thesis.tex' but no sweep.yaml"):
            store.create()


class TestUnits:
    def test_two_writers_of_a_unit_and_one_wins(self, store):
        racers, won = 6, []
        begin = threading.Barrier(racers)

        def race(index):
            table = samples(UNIT, str(index))
            begin.wait()
            won.extend([str(index)] * store.commit("samples", UNIT, table, {}))

        threads = [threading.Thread(target=race, args=(index,)) for index in range(racers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = won
        assert set(store.read_unit("samples", UNIT)["completion"].to_pylist()) == {winner}

    def test_new_scores_replace_old_ones(self, store):
        for passed in (True, False):
            store.commit("scores", UNIT, scores(UNIT, passed), {"scoring": str(passed)})
        assert set(store.read_unit("scores", UNIT)["passed"].to_pylist()) == {False}
        assert [found.facts for found in store.committed("scores", CELL)[0]] == [
            {"scoring": "False"}
        ]

    def test_units_beyond_a_page_of_the_listing_are_found(self, store):
        units = [
            Unit(cell=CELL, problems=("a",), start=start, stop=start + 1)
            for start in range(PAGE + PAGE // 2)
        ]
        commit = lambda unit: store.commit("scores", unit, scores(unit), {})  # noqa: E731
        assert all(several(commit, units, store.storage.at_once))
        found, bad = store.listed("scores", CELL)
        assert ([each.unit for each in found], bad) == (units, [])
        frame = store.scan_scores(found).filter(pl.col("sample_id") >= 10).select("sample_id")
        assert frame.collect()["sample_id"].to_list() == list(range(10, len(units)))

    @pytest.mark.parametrize("size", [0, 4, 100, -1])
    def test_a_file_cut_short_is_moved_aside_and_can_be_redone(self, store, size):
        store.commit("samples", UNIT, samples(UNIT), {})
        store.commit("scores", UNIT, scores(UNIT), {})
        key = store.unit_key("samples", UNIT)
        content = store.storage.read(key)[:size]
        store.storage.replace(key, content)
        found, (bad,) = store.committed("samples", CELL)
        assert (found, bad.path) == ([], store.storage.url(key))
        moved = bad.moved_to.removeprefix(f"{store.root}/")
        assert moved in store.quarantined()
        assert store.storage.read(moved) == content
        assert len(store.quarantined()) == 2
        assert store.commit("samples", UNIT, samples(UNIT), {})

    def test_a_server_that_fails_condemns_no_file(self, store, monkeypatch):
        """A footer that cannot be fetched says nothing about its file."""
        store.commit("samples", UNIT, samples(UNIT), {})

        def fail(path, **_):
            raise PermissionError("expired token")

        with monkeypatch.context() as patch:
            patch.setattr(store.storage._system[0], "cat_file", fail)
            with pytest.raises(UserError, match="expired token"):
                store.committed("samples", CELL)
        assert [each.unit for each in store.committed("samples", CELL)[0]] == [UNIT]

    def test_completions_are_scanned(self, store):
        store.commit("samples", UNIT, samples(UNIT, "é"), {})
        found, _ = store.listed("samples", CELL)
        frame = store.scan_completions(found).select("problem_id", "sample_id", "completion")
        assert frame.head(3).collect().rows() == [("b/1", number, "é") for number in (10, 11, 12)]


def test_a_tracker_gets_copies_of_what_is_there(store):
    store.write_sweep(SWEEP, {})
    store.write_report("<p>", "inputs")
    store.write_figures({"coverage.svg": b"<svg"})
    with store.artifacts() as paths:
        assert [path.name for path in paths] == ["sweep.yaml", "report.html", "figures"]
        assert (paths[2] / "coverage.svg").read_bytes() == b"<svg"
    assert not paths[0].exists()


class TestOneDriver:
    """A process whose run was taken over while it slept writes nothing more."""

    def keeper(self, store, token):
        plan = Plan(
            store=store, token=token, models={}, decodings={}, verification=SWEEP.verification,
            run_seed=0, cell_keys={}, asked={}, r=0,
        )  # fmt: skip
        return KeeperWorker(plan)

    @pytest.fixture(params=["folder", "s3"])
    def run(self, request, tmp_path):
        """A store that was opened under a lease which another process has now."""
        if request.param == "folder":
            found = Store.at(str(tmp_path / "run"))
            found.create()
        else:
            found = request.getfixturevalue("store")
        found.write_sweep(SWEEP, {})
        found.storage.create("lease.json", b'{"token": "new"}')
        return found

    def test_no_unit(self, run):
        with pytest.raises(UserError, match="another process took this run over"):
            self.keeper(run, "old").keep(UNIT, {}, samples(UNIT))
        assert run.listed("samples", CELL) == ([], [])

    def test_no_result(self, run):
        old = run.under("old")
        for write in (
            lambda: old.write_report("<p>", ""),
            lambda: old.write_sweep(SWEEP, {}),
            lambda: old.write_figures({"a.svg": b""}),
            lambda: old.write_result("exact", pl.DataFrame()),
        ):
            with pytest.raises((UserError, ValueError)):
                write()
        assert not run.has_report
        run.under("new").write_report("<p>", "")
        assert run.has_report

    def test_a_lease_that_is_gone_stops_too(self, run):
        run.storage.remove("lease.json")
        with pytest.raises(UserError, match=r"finds no lease.json there.*same command goes on"):
            self.keeper(run, "old").keep(UNIT, {}, samples(UNIT))

    def test_a_node_that_sees_another_disk_says_so(self, tmp_path):
        """A folder of one node, asked for on another: never a second run without the first."""
        elsewhere = Store.at(str(tmp_path / "not shared"))
        with pytest.raises(UserError, match=r"does not see this run; .*shared folder.*s3://"):
            self.keeper(elsewhere, "token").keep(UNIT, {}, samples(UNIT))
        with pytest.raises(UserError, match="does not see this run"):
            elsewhere.read_problems("sums")
        assert not Path(elsewhere.root).exists()


def test_a_store_travels_to_other_processes(store):
    """As it does inside the plan that actors get."""
    script = (
        "import pickle, sys\n"
        "store = pickle.loads(sys.stdin.buffer.read())\n"
        "print(store.root, store.storage.read('sweep.yaml').count(b'name: s'))"
    )
    import pickle

    store.write_sweep(SWEEP, {})
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        input=pickle.dumps(store.under("token")),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == f"{store.root} 1\n"
    assert isinstance(store.storage, ObjectStore)
    assert store.listed("samples", Cell("no", "such")) == ([], [])
