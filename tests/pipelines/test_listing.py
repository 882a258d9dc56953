"""ls: finds every run, looks into none, and says what is damaged."""

import io

import pytest
from rich.console import Console

from pipelines.errors import UserError
from pipelines.listing import DEPTH, runs_in, show
from pipelines.run import opened
from pipelines.sweeps.config import parse


def make(folder, name="s"):
    (folder.parent).mkdir(parents=True, exist_ok=True)
    model = {"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.5}
    tasks = [{"source": "arithmetic", "name": "multiply1", "problems": 2}]
    sweep = parse({"name": name, "run": str(folder), "models": [model], "tasks": tasks}, source="t")
    with opened(sweep):
        pass


def test_runs_are_found_in_folders_below(tmp_path):
    make(tmp_path / "a")
    make(tmp_path / "grid" / "temperature=0.2", "b")
    (tmp_path / "notes.txt").write_text("no run")
    found = runs_in(str(tmp_path))
    assert [run.name for run in found] == ["s", "b"]
    assert {run.state for run in found} == {"empty"}
    assert found[0].samples is None


def test_the_folder_may_itself_be_a_run(tmp_path):
    make(tmp_path / "a")
    (found,) = runs_in(str(tmp_path / "a"))
    assert found.name == "s"


def test_it_looks_only_so_deep(tmp_path):
    deep = tmp_path.joinpath(*"abcdefgh"[:DEPTH])
    make(deep / "run")
    make(tmp_path / "near")
    assert [run.run for run in runs_in(str(tmp_path))] == [str(tmp_path / "near")]


def test_a_damaged_sweep_is_named(tmp_path):
    make(tmp_path / "a")
    (tmp_path / "a" / "sweep.yaml").write_text("{")
    (found,) = runs_in(str(tmp_path))
    assert found.state == "damaged"
    stream = io.StringIO()
    show([found], Console(file=stream, width=200))
    assert "sweep.yaml: cannot be read" in stream.getvalue()


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder, or nothing is in it"):
        runs_in(str(tmp_path / "none"))
