"""A verb on a grid: every point is done, and one that fails stops no other."""

import json

import polars as pl
import pytest
import yaml

from pipelines.commands import points
from pipelines.commands.terminal import BAD_INPUT, DONE, INTERRUPTED, WITH_FAILURES
from pipelines.errors import UserError
from tests.command import passlaw

VALUES = {
    "name": "sums",
    "models": [{"engine": "simulated", "name": "m", "parameters": 9, "rate": 0.3}],
    "tasks": [{"name": "multiply1", "problems": 3}],
    "allocation": {"n": 20},
    "tracking": {"enabled": False},
    "grid": {"seed": [1, 2, 3]},
}


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sums.yaml"
    path.write_text(yaml.safe_dump(VALUES))
    return path


def test_points_are_done_in_order(path, capsys):
    done = []
    assert points.each(str(path), (), lambda sweep: (DONE, done.append(sweep.seed) or {})) == DONE
    assert done == [1, 2, 3]
    assert "1 of 3: runs/sums/sweep.seed=1" in capsys.readouterr().out


def test_the_worst_exit_code_is_that_of_all(path, capsys):
    def work(sweep):
        if sweep.seed == 2:
            raise UserError("no such luck")
        return (WITH_FAILURES if sweep.seed == 1 else DONE), {}

    assert points.each(str(path), (), work, compare=True) == BAD_INPUT
    said = capsys.readouterr()
    assert "3 of 3: runs/sums/sweep.seed=3" in said.out
    assert "passlaw: error: no such luck" in said.err
    assert "passlaw compare runs/sums/*" in said.out


def test_an_interrupt_stops_all(path):
    done = []

    def work(sweep):
        done.append(sweep.seed)
        return INTERRUPTED, {}

    assert points.each(str(path), (), work) == INTERRUPTED
    assert done == [1]


def test_runs_in_a_bucket_are_named_one_by_one(path, capsys, monkeypatch):
    monkeypatch.setattr(points, "_refuse_inside_a_run", lambda folder: None)  # no bucket is asked
    points.each(str(path), ("run=s3://b/x",), lambda _: (DONE, {}), compare=True)
    assert "passlaw compare s3://b/x/sweep.seed=1 s3://b/x/sweep.seed=2 s3://b/x/sweep.seed=3" in (
        capsys.readouterr().out
    )


def test_one_point_is_a_run_like_any_other(path, capsys):
    assert points.each(str(path), ("seed=2",), lambda _: (DONE, {}), compare=True) == DONE
    assert capsys.readouterr().out == ""


def test_a_grid_from_the_file_to_its_runs(tmp_path, path):
    """Two of three points are sampled; status tells of each, and of the third that it is not."""
    told = passlaw(tmp_path, "sample", path.name, "-o", "grid={seed: [1, 2]}", "--json")
    assert told.returncode == 0, told.stderr
    runs = json.loads(told.stdout)["runs"]
    assert [(run["run"], run["sample"]["drawn"]) for run in runs] == [
        ("runs/sums/sweep.seed=1", 60),
        ("runs/sums/sweep.seed=2", 60),
    ]
    recorded = yaml.safe_load((tmp_path / "runs/sums/sweep.seed=2/sweep.yaml").read_text())
    assert (recorded["name"], recorded["seed"]) == ("sums-sweep.seed=2", 2)
    samples = pl.scan_parquet(tmp_path / "runs/sums/*/samples/**/*.parquet", hive_partitioning=True)
    assert samples.select(pl.len()).collect().item() == 120
    status = passlaw(tmp_path, "status", path.name, "--json")
    assert status.returncode == 2
    *_, last = json.loads(status.stdout)["runs"]
    assert "no run of passlaw" in last["error"]


def test_points_are_not_hidden_inside_a_run(path, tmp_path):
    (tmp_path / "runs/sums").mkdir(parents=True)
    (tmp_path / "runs/sums/sweep.yaml").write_text("name: sums")
    with pytest.raises(UserError, match=r"runs/sums: is a run itself.*-o run=PATH"):
        points.each(str(path), (), lambda _: (DONE, {}))


def test_errors_of_a_file_are_a_line_each(tmp_path, path):
    path.write_text(path.read_text().replace("rate: 0.3", "rte: 0.3") + "sed: 1\n")
    done = passlaw(tmp_path, "run", path.name)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("passlaw: error: sums.yaml:") for line in lines)
    assert "models.0.rte: unknown key; did you mean rate?" in lines[0]
