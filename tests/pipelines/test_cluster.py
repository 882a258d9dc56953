"""Runs on a real Ray cluster of several nodes: nodes that come and go, drivers that die."""

import json
import os
import signal
import subprocess

import polars as pl
import psutil
import pytest

from pipelines.engines.protocol import Request
from pipelines.engines.simulated_engine import SimulatedModel
from pipelines.sweeps.config import Decoding, parse
from tests.command import COMMAND, ENVIRONMENT
from tests.pipelines.ray_nodes import OPEN, RayNodes, until

N = 400
PROBLEMS = 6


@pytest.fixture(scope="module")
def nodes():
    with RayNodes() as nodes:
        nodes.add("first", cpus=1)
        yield nodes


def sweep_in(folder, **change):
    rows = [{"problem_id": f"p{i}", "prompt": f"{i}+1=", "answer": f"{i + 1}"} for i in range(6)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    values = {
        "name": "s",
        "run": str(folder / "run"),
        "models": [
            {"engine": "simulated", "name": "plain", "parameters": 10, "rate": 0.1,
             "samples_per_second": 500},
            {"engine": "simulated", "name": "special", "parameters": 20, "rate": 0.3,
             "samples_per_second": 200, "placement": {"cpus": 0.5, "custom": {"special": 1}}},
        ],
        "tasks": [{"name": "sums", "path": str(folder / "sums.jsonl")}],
        "allocation": {"n": N},
        "resources": {"unit_samples": 200, "engines": 3},
        "tracking": {"enabled": False},
    }  # fmt: skip
    sweep = parse(values | change, source="test")
    (folder / "sweep.yaml").write_text(sweep.to_yaml())
    return sweep


def driver(folder, environment):
    """Start sampling; its errors go to a file, so that nothing waits for a reader."""
    with (folder / "errors").open("wb") as errors:
        return subprocess.Popen(
            [*COMMAND, "sample", "sweep.yaml"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


def committed(folder, model):
    return len(list((folder / "run/samples").glob(f"model={model}/**/*.parquet")))


def assert_complete(folder, sweep):
    """Every sample is there once, and is the one that its engine draws."""
    files = str(folder / "run/samples/**/*.parquet")
    rows = pl.read_parquet(files, hive_partitioning=True)
    rows = rows.sort("model", "problem_id", "sample_id")
    assert rows.height == len(sweep.models) * PROBLEMS * N
    problems = map(json.loads, (folder / "sums.jsonl").read_text().splitlines())
    known = {row["problem_id"]: row for row in problems}
    models = {model.name: SimulatedModel(model) for model in sweep.models}
    for model in models.values():
        model._model = model._model.model_copy(update={"samples_per_second": None})
    for (model, name), group in rows.group_by("model", "problem_id"):
        assert group["sample_id"].to_list() == list(range(N))
        request = Request(
            task="sums",
            problem_id=name,
            prompt=known[name]["prompt"],
            sample_ids=group["sample_id"].to_numpy(),
            seeds=group["seed"].to_numpy(),
            stream=0,
            answer=known[name]["answer"],
        )
        drawn = models[model].generate([request], Decoding())
        assert group["completion"].to_list() == drawn["completion"].to_pylist()
    assert rows["seed"].n_unique() == rows.height
    scores = pl.scan_parquet(folder / "run/scores/**/*.parquet")
    assert scores.select(pl.len()).collect().item() == rows.height


def test_nodes_that_come_are_used_and_what_a_dead_one_had_is_done_elsewhere(nodes, tmp_path):
    sweep = sweep_in(tmp_path)
    process = driver(tmp_path, nodes.environment())
    try:
        until(lambda: committed(tmp_path, "plain") > 1, process, tmp_path / "errors")
        assert committed(tmp_path, "special") == 0
        nodes.add("second", cpus=1, special=1)
        until(lambda: committed(tmp_path, "special") > 0, process, tmp_path / "errors")
        nodes.kill("second")
        assert committed(tmp_path, "special") < PROBLEMS * N / 200
        nodes.add("third", cpus=1, special=1)
        assert process.wait(timeout=300) == 0, (tmp_path / "errors").read_text()
    finally:
        process.kill()
    assert_complete(tmp_path, sweep)


def test_the_same_command_goes_on_after_its_driver_was_killed(nodes, tmp_path):
    sweep = sweep_in(tmp_path, models=[sweep_in(tmp_path).models[0].model_dump()])
    process = driver(tmp_path, nodes.environment())
    until(lambda: committed(tmp_path, "plain") > 1, process, tmp_path / "errors")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert committed(tmp_path, "plain") < PROBLEMS * N / 200
    process = driver(tmp_path, nodes.environment())
    assert process.wait(timeout=300) == 0, (tmp_path / "errors").read_text()
    assert_complete(tmp_path, sweep)
    # And the first driver's actors are gone.
    until(lambda: not any("ray::EngineWorker" in each for each in names(nodes.processes("first"))))


def names(processes):
    found = []
    for process in processes:
        try:
            found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_a_run_whose_own_ray_dies_ends_in_one_line(tmp_path):
    plain = sweep_in(tmp_path).models[0].model_dump()
    sweep_in(tmp_path, models=[plain], allocation={"n": 100 * N})
    process = driver(tmp_path, ENVIRONMENT | OPEN)
    until(lambda: committed(tmp_path, "plain") > 0, process, tmp_path / "errors")
    for child in psutil.Process(process.pid).children(recursive=True):
        if child.name() == "raylet":
            child.kill()
    assert process.wait(timeout=300) == 2
    said = (tmp_path / "errors").read_text()
    assert "Ray on this machine has died" in said
    assert "Traceback" not in said


def test_what_this_machine_can_never_hold_is_refused_at_once(tmp_path):
    sweep_in(tmp_path)
    process = driver(tmp_path, ENVIRONMENT | OPEN)
    assert process.wait(timeout=300) == 2
    said = (tmp_path / "errors").read_text()
    assert "model special: this machine can never hold its engine: it needs special 1" in said
