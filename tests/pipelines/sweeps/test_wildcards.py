"""Wildcards in a model's path, from the sweep file to the run that grows with its checkpoints."""

import shutil
import tempfile
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines import ladder
from pipelines.errors import UserError
from pipelines.lease import Lease
from pipelines.store import Store
from pipelines.sweeps.config import load
from pipelines.sweeps.places import Node, Place, Source
from pipelines.sweeps.wildcards import expand
from tests.command import passlaw


def sweep(folder, *models, **changes):
    path = folder / "sweep.yaml"
    values = {
        "name": "s",
        "models": list(models),
        "tasks": [{"name": "multiply1", "problems": 3}],
        "decoding": {"max_tokens": 4},
        "allocation": {"n": 8},
        "fit": {"hold_out": None},
        "tracking": {"enabled": False},
    }
    path.write_text(yaml.safe_dump(values | changes))
    return path


def folders(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)


class TestExpanded:
    def test_one_model_for_each_folder_in_natural_order(self, tmp_path):
        folders(tmp_path / "checkpoints", "step-10", "step-9", "step-100", "last")
        (tmp_path / "checkpoints" / "step-11").write_text("a file, not a folder")
        found = load(sweep(tmp_path, {"name": "m", "path": "./checkpoints/step-*", "batch": 7}))
        assert [model.name for model in found.models] == ["m-step-9", "m-step-10", "m-step-100"]
        assert [model.path for model in found.models] == [
            str(tmp_path / "checkpoints" / name) for name in ("step-9", "step-10", "step-100")
        ]
        assert {model.batch for model in found.models} == {7}

    def test_the_others_keep_their_place(self, tmp_path):
        folders(tmp_path, "a1", "a2")
        models = [
            {"name": "first", "path": "ladder:3k"},
            {"name": "m", "path": str(tmp_path / "a?")},
            {"name": "last", "path": "ladder:7k"},
        ]
        found = load(sweep(tmp_path, *models))
        assert [model.name for model in found.models] == ["first", "m-a1", "m-a2", "last"]

    def test_one_of_them_may_be_held_out(self, tmp_path):
        folders(tmp_path, "a1", "a2")
        path = sweep(tmp_path, {"name": "m", "path": "./a?"}, fit={"hold_out": "m-a2"})
        assert load(path).fit.hold_out == "m-a2"

    def test_what_a_run_records_is_what_was_there(self, tmp_path):
        """The resolved sweep lists the folders: it means the same when more of them are there."""
        folders(tmp_path, "a1")
        first = load(sweep(tmp_path, {"name": "m", "path": "./a?"}))
        (tmp_path / "resolved.yaml").write_text(first.to_yaml())
        folders(tmp_path, "a2")
        assert load(tmp_path / "resolved.yaml") == first

    def test_a_folder_whose_own_name_has_a_bracket(self, tmp_path):
        folders(tmp_path, "lr[1e-3]")
        [model] = load(sweep(tmp_path, {"name": "m", "path": "./lr[1e-3]"})).models
        assert (model.name, model.path) == ("m", str(tmp_path / "lr[1e-3]"))

    @given(st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, unique=True))
    def test_numbers_sort_by_their_size(self, steps):
        with tempfile.TemporaryDirectory() as name:
            folders(Path(name), *(f"step-{step}" for step in steps))
            place = Place(source=Source(name="sweep.yaml", folder=Path(name)))
            values = Node.of({"models": [{"name": "m", "path": "step-*"}]}, place)
            expanded, wrong = expand(values)
        assert wrong == []
        found = [int(model["name"].rpartition("-")[2]) for model in expanded.get("models")]
        assert found == sorted(steps)


class TestRefused:
    def test_nothing_matches(self, tmp_path):
        path = sweep(tmp_path, {"name": "m", "path": "./checkpoints/step-*"})
        with pytest.raises(UserError, match=r"models\.0\.path: \./.*step-\* matches no folder"):
            load(path)

    def test_two_folders_of_one_name(self, tmp_path):
        folders(tmp_path, "a/last", "b/last")
        path = sweep(tmp_path, {"name": "m", "path": "./*/last"})
        with pytest.raises(UserError, match=r"models\.1\.name: 'm-last' is used twice"):
            load(path)


def test_a_run_grows_with_its_checkpoints(tmp_path):
    """The same command again draws from the new checkpoint, and touches nothing of the others."""
    checkpoints = tmp_path / "checkpoints"
    for step, rung in ((9, "3k"), (10, "7k")):
        shutil.copytree(ladder.checkpoint(rung), checkpoints / f"step-{step}")
    sweep(tmp_path, {"name": "m", "path": "./checkpoints/step-*"})
    ended = passlaw(tmp_path, "run", "sweep.yaml")
    assert ended.returncode == 0, ended.stderr
    samples = tmp_path / "runs" / "s" / "samples"
    before = {path: path.read_bytes() for path in samples.rglob("*.parquet")}
    assert {path.relative_to(samples).parts[0] for path in before} == {
        "model=m-step-9",
        "model=m-step-10",
    }
    shutil.copytree(ladder.checkpoint("14k"), checkpoints / "step-11")
    ended = passlaw(tmp_path, "run", "sweep.yaml")
    assert ended.returncode == 0, ended.stderr
    assert "24 samples drawn" in ended.stdout
    after = {path: path.read_bytes() for path in samples.rglob("*.parquet")}
    assert {path: after[path] for path in before} == before
    assert all("model=m-step-11" in str(path) for path in after.keys() - before.keys())
    counts = pl.read_parquet(tmp_path / "runs" / "s" / "counts.parquet")
    assert dict(counts.group_by("model").agg(pl.col("n").sum()).iter_rows()) == {
        "m-step-9": 24,
        "m-step-10": 24,
        "m-step-11": 24,
    }
    again = passlaw(tmp_path, "run", "sweep.yaml")
    assert again.returncode == 0
    assert "nothing to do" in again.stdout


class TestSkipIfRunning:
    @pytest.fixture
    def held(self, tmp_path):
        """A run that this process holds."""
        sweep(tmp_path, {"engine": "simulated", "name": "m", "parameters": 9, "rate": 0.1})
        store = Store.at(str(tmp_path / "runs" / "s"))
        store.create()
        with Lease(store.storage):
            yield tmp_path

    def test_a_schedule_leaves_a_run_to_the_process_that_is_at_it(self, held):
        ended = passlaw(held, "run", "sweep.yaml", "--skip-if-running")
        assert ended.returncode == 0
        assert ended.stdout.startswith("skipped")
        assert "is writing to this run" in ended.stdout

    def test_without_it_that_is_an_error(self, held):
        ended = passlaw(held, "run", "sweep.yaml")
        assert ended.returncode == 2
        assert "is writing to this run" in ended.stderr

    def test_it_hides_no_other_error(self, tmp_path):
        ended = passlaw(tmp_path, "run", "none.yaml", "--skip-if-running")
        assert ended.returncode == 2
