"""The run directory: a file is whole or it is not there, and nothing bad is trusted."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from operators.schemas import COUNTS, EXACT, PROBLEMS, SAMPLES, SCORES
from pipelines.errors import UserError
from pipelines.storage import Folder
from pipelines.store import Store
from pipelines.sweeps.config import parse
from pipelines.units import Cell, Unit

CELL = Cell("model-1", "task.2")
UNIT = Unit(cell=CELL, problems=("b/1", "a"), start=10, stop=14)
NEXT = Unit(cell=CELL, problems=("b/1", "a"), start=14, stop=18)

SWEEP = parse(
    {
        "name": "s",
        "models": [{"engine": "simulated", "name": "model-1", "parameters": 1, "rate": 0.1}],
        "tasks": [{"name": "add-2"}],
    },
    source="test",
)


@pytest.fixture
def store(tmp_path):
    return Store(storage=Folder(tmp_path / "run"))


def root(store):
    return store.storage.root


def unit_path(store, kind, unit):
    return root(store) / store.unit_key(kind, unit)


def samples(unit, completion="42"):
    rows = [(name, i) for name in unit.problems for i in range(unit.start, unit.stop)]
    filled = dict.fromkeys(SAMPLES.names) | {
        "completion": completion,
        "finish_reason": "stop",
        "prompt_tokens": 3,
        "completion_tokens": 5,
    }
    return pa.Table.from_pylist(
        [filled | {"problem_id": name, "sample_id": i, "seed": i} for name, i in rows],
        schema=SAMPLES,
    )


def scores(unit, passed=True):
    table = samples(unit).select(["problem_id", "sample_id", "completion_tokens"]).to_pylist()
    empty = dict.fromkeys(SCORES.names)
    return pa.Table.from_pylist([empty | row | {"passed": passed} for row in table], schema=SCORES)


def names(found):
    return [committed.unit for committed in found]


class TestCommit:
    def test_what_was_committed_is_read_back(self, store):
        facts = {"engine_seconds": 1.5, "prompt_tokens": 6}
        assert store.commit("samples", UNIT, samples(UNIT), facts)
        (found,), bad = store.committed("samples", CELL)
        assert (found.unit, found.rows, found.facts, bad) == (UNIT, 8, facts, [])
        assert found.key == store.unit_key("samples", UNIT)
        assert store.read_unit("samples", UNIT).equals(samples(UNIT))

    def test_columns_that_came_later_are_null_in_older_files(self, store):
        assert store.commit("samples", UNIT, samples(UNIT), {})
        path = unit_path(store, "samples", UNIT)
        older = pq.read_table(path, partitioning=None).drop_columns(["min_logprob"])
        pq.write_table(older, path)
        assert store.read_unit("samples", UNIT).select(SAMPLES.names).equals(samples(UNIT))

    def test_the_first_to_commit_samples_wins(self, store):
        assert store.commit("samples", UNIT, samples(UNIT, "first"), {})
        assert not store.commit("samples", UNIT, samples(UNIT, "second"), {})
        assert set(store.read_unit("samples", UNIT)["completion"].to_pylist()) == {"first"}

    def test_new_scores_replace_old_ones(self, store):
        assert store.commit("scores", UNIT, scores(UNIT, True), {"scoring": "old"})
        assert store.commit("scores", UNIT, scores(UNIT, False), {"scoring": "new"})
        assert set(store.read_unit("scores", UNIT)["passed"].to_pylist()) == {False}
        assert [found.facts for found in store.committed("scores", CELL)[0]] == [{"scoring": "new"}]

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda table: table.slice(1),
            lambda table: pa.concat_tables([table, table.slice(0, 1)]),
            lambda table: table.take([1, 0, *range(2, len(table))]),
            lambda table: table.slice(0, 0),
            lambda table: samples(NEXT),
            lambda table: table.take([0, 0, *range(2, len(table))]),
        ],
        ids=["one less", "one more", "other order", "none", "other samples", "one twice"],
    )
    def test_rows_that_are_not_the_units_are_refused(self, store, spoil):
        with pytest.raises(ValueError, match="must be samples 10 to 13 of each of 2 problems"):
            store.commit("samples", UNIT, spoil(samples(UNIT)), {})
        assert not unit_path(store, "samples", UNIT).exists()

    def test_a_table_without_a_column_is_refused(self, store):
        with pytest.raises(
            ValueError, match=f"samples of unit {UNIT.name}: column seed is missing"
        ):
            store.commit("samples", UNIT, samples(UNIT).drop_columns("seed"), {})

    def test_a_full_or_broken_disk_is_for_the_user(self, store):
        store.create()
        (root(store) / "samples").write_text("not a folder")
        with pytest.raises(UserError, match=r"samples.*cannot be written .* same command again"):
            store.commit("samples", UNIT, samples(UNIT), {})
        assert store.commit("scores", UNIT, scores(UNIT), {})
        (root(store) / "scores").rename(root(store) / "elsewhere")
        (root(store) / "scores").write_text("not a folder")
        with pytest.raises(UserError, match=r"scores.*cannot be written .* same command again"):
            store.commit("scores", UNIT, scores(UNIT), {})

    def test_anyone_reads_the_files_and_nobody_sees_temporary_ones(self, store):
        """The contract with other tools: one glob, with model and task from the folders."""
        for unit in (UNIT, NEXT):
            store.commit("samples", unit, samples(unit), {})
        torn = unit_path(store, "samples", UNIT)
        torn.with_name(f".{torn.name}.abc.tmp").write_bytes(torn.read_bytes()[:100])
        glob = str(root(store) / "samples/**/*.parquet")
        frame = pl.scan_parquet(glob, hive_partitioning=True).collect()
        assert frame.height == UNIT.samples + NEXT.samples
        assert set(frame["model"]) == {"model-1"}
        assert set(frame["task"]) == {"task.2"}
        assert frame.schema["completion"] == pl.String
        assert names(store.committed("samples", CELL)[0]) == [UNIT, NEXT]

    def test_nothing_temporary_stays(self, store):
        for _ in range(2):
            store.commit("samples", UNIT, samples(UNIT), {})
            store.commit("scores", UNIT, scores(UNIT), {})
        files = [path.name for path in root(store).rglob("*") if path.is_file()]
        assert files == [f"{UNIT.name}.parquet"] * 2


class TestRaces:
    def test_threads_race_and_one_wins(self, store):
        racers, won = 8, []
        start = threading.Barrier(racers)

        def race(index):
            table = samples(UNIT, str(index))
            start.wait()
            won.append((store.commit("samples", UNIT, table, {}), str(index)))

        threads = [threading.Thread(target=race, args=(index,)) for index in range(racers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [index for first, index in won if first]
        assert len(won) == racers
        assert len(winners) == 1
        assert set(store.read_unit("samples", UNIT)["completion"].to_pylist()) == set(winners)
        assert [path.name for path in unit_path(store, "samples", UNIT).parent.iterdir()] == [
            f"{UNIT.name}.parquet"
        ]

    def test_processes_race_and_one_wins_and_one_killed_midway_leaves_nothing(self, store):
        """Two processes commit one unit; a third dies between writing and committing it."""
        store.create()
        script = root(store) / ".racer.py"
        script.write_text(RACER)
        with contextlib.ExitStack() as stack:
            racers = [
                stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, script, root(store), mode],
                        cwd=Path(__file__).parents[2],
                        env=os.environ | {"PYTHONPATH": "."},
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
                for mode in ("first", "second", "killed")
            ]
            assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 3
            for racer in racers:
                racer.stdin.write("go\n")
                racer.stdin.flush()
            said = [racer.communicate()[0].strip() for racer in racers]
        assert [racer.returncode for racer in racers] == [0, 0, 9]
        assert sorted(said) == ["", "False", "True"]
        winner = ("first", "second")[said.index("True")]
        (found,), bad = store.committed("samples", Cell("m", "t"))
        assert bad == []
        assert set(store.read_unit("samples", found.unit)["completion"].to_pylist()) == {winner}
        glob = str(root(store) / "samples/**/*.parquet")
        assert pl.scan_parquet(glob, hive_partitioning=True).collect().height == 4
        # What the killed one wrote is there, under a name that no glob finds.
        assert len(list((root(store) / found.key).parent.iterdir())) == 2


RACER = """
import os, sys
from pathlib import Path
import pyarrow as pa
from operators.schemas import SAMPLES
from pipelines.storage import Folder
from pipelines.store import Store
from pipelines.units import Cell, Unit

store, mode = Store(storage=Folder(Path(sys.argv[1]))), sys.argv[2]
unit = Unit(cell=Cell("m", "t"), problems=("p",), start=0, stop=4)
row = dict.fromkeys(SAMPLES.names) | {"problem_id": "p", "completion": mode}
row |= {"finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1}
table = pa.Table.from_pylist([row | {"sample_id": i} for i in range(4)], schema=SAMPLES)
if mode == "killed":
    os.link = lambda *paths: os._exit(9)
print("ready", flush=True)
sys.stdin.readline()
print(store.commit("samples", unit, table, {}), flush=True)
"""


def commit_both(store, unit=UNIT):
    store.commit("samples", unit, samples(unit), {})
    store.commit("scores", unit, scores(unit), {})
    return unit_path(store, "samples", unit)


class TestQuarantine:
    @pytest.mark.parametrize(
        "cut",
        [
            lambda size: 0,
            lambda size: 1,
            lambda size: 4,
            lambda size: size // 2,
            lambda size: size - 8,
            lambda size: size - 1,
        ],
        ids=["empty", "1 byte", "magic only", "half", "no footer end", "1 byte less"],
    )
    def test_a_file_cut_short_is_moved_aside_with_its_scores(self, store, cut):
        path = commit_both(store)
        commit_both(store, NEXT)
        content = path.read_bytes()[: cut(path.stat().st_size)]
        path.write_bytes(content)
        found, (bad,) = store.committed("samples", CELL)
        assert names(found) == [NEXT]
        assert bad.path == str(path)
        assert bad.reason
        assert not path.exists()
        assert Path(bad.moved_to).read_bytes() == content
        assert names(store.committed("scores", CELL)[0]) == [NEXT]
        moved = [key.split("/")[:2] for key in store.quarantined()]
        assert moved == [["quarantine", "samples"], ["quarantine", "scores"]]
        assert store.commit("samples", UNIT, samples(UNIT), {})

    def test_a_file_under_another_name_is_moved_aside(self, store):
        path = commit_both(store)
        path.rename(path.with_name("000000000-000000004-aaaaaaaaaaaa.parquet"))
        found, (bad,) = store.committed("samples", CELL)
        assert (found, bad.reason) == ([], "its rows are not those of its name")

    def test_a_file_of_another_cell_is_moved_aside(self, store):
        path = commit_both(store)
        other = unit_path(store, "samples", Unit.from_dict(UNIT.to_dict() | {"cell": ("x", "y")}))
        other.parent.mkdir(parents=True)
        path.rename(other)
        found, (bad,) = store.committed("samples", Cell("x", "y"))
        assert (found, bad.reason) == ([], "its rows are not those of its name")

    def test_a_file_that_is_not_ours_is_moved_aside(self, store):
        path = unit_path(store, "samples", UNIT)
        path.parent.mkdir(parents=True)
        pq.write_table(samples(UNIT), path)
        (path.parent / "notes.txt").write_text("hello")
        found, (bad,) = store.committed("samples", CELL)
        assert (found, bad.path) == ([], str(path))
        assert (path.parent / "notes.txt").exists()

    def test_a_file_with_other_columns_is_moved_aside(self, store):
        path = commit_both(store)
        metadata = pq.read_schema(path).metadata
        table = pq.read_table(path, partitioning=None).drop_columns("completion")
        pq.write_table(table.replace_schema_metadata(metadata), path)
        found, (bad,) = store.committed("samples", CELL)
        assert (found, bad.reason) == ([], "its columns are not those of samples")

    def test_a_file_from_before_a_column_was_added_is_read_with_nulls(self, store):
        path = commit_both(store)
        metadata = pq.read_schema(path).metadata
        table = pq.read_table(path, partitioning=None).drop_columns("reasoning")
        pq.write_table(table.replace_schema_metadata(metadata), path)
        (found,), bad = store.committed("samples", CELL)
        assert bad == []
        assert store.read_unit("samples", found.unit)["reasoning"].null_count == found.rows

    def test_the_second_file_with_a_sample_is_moved_aside(self, store):
        commit_both(store)
        overlapping = Unit(cell=CELL, problems=("c", "a"), start=12, stop=16)
        path = commit_both(store, overlapping)
        found, (bad,) = store.committed("samples", CELL)
        assert names(found) == [UNIT]
        assert bad.path == str(path)
        assert bad.reason == "samples 12 to 13 of problem a are in another file too"

    def test_the_same_file_twice_in_quarantine_loses_neither(self, store):
        for content in (b"one", b"two"):
            path = commit_both(store)
            path.write_bytes(content)
            store.committed("samples", CELL)
        moved = [store.storage.read(key) for key in store.quarantined() if "samples" in key]
        assert sorted(moved) == [b"one", b"two"]

    def test_listing_only_looks(self, store):
        path = commit_both(store)
        path.write_bytes(b"")
        found, ((bad, _),) = store.listed("samples", CELL)
        assert (found, root(store) / bad) == ([], path)
        assert path.exists()
        assert store.quarantined() == []

    def test_a_flipped_bit_inside_a_page_is_noticed_when_read(self, store):
        """The footer is intact, so listing cannot tell; reading never gives another table."""
        path = commit_both(store)
        good, truth = path.read_bytes(), store.read_unit("samples", UNIT)
        footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
        generator, noticed = np.random.default_rng(0), 0
        for at in generator.integers(4, footer, 150):
            flipped = bytearray(good)
            flipped[at] ^= 1 << int(generator.integers(8))
            path.write_bytes(flipped)
            try:
                same = store.read_unit("samples", UNIT).equals(truth)
            except (OSError, pa.ArrowInvalid):
                noticed += 1
            else:
                assert same
        assert noticed > 50


class TestFolder:
    def test_made_where_there_was_nothing(self, tmp_path):
        store = Store.at(str(tmp_path / "deep" / "run"))
        store.create()
        store.create()
        assert list(root(store).iterdir()) == []

    def test_one_that_cannot_be_written_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"cannot be written .* give another run directory"):
            Store.at(str(tmp_path / "file" / "run")).create()

    def test_a_foreign_one_is_refused_and_left_as_it_was(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(UserError, match=r"holds 'thesis.tex' but no sweep.yaml"):
            Store.at(str(tmp_path)).create()
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    def test_one_whose_making_was_interrupted_is_ours(self, tmp_path):
        (tmp_path / "problems").mkdir()
        (tmp_path / "lease.json").write_text("{}")
        Store.at(str(tmp_path)).create()

    def test_a_run_with_other_files_in_it_is_ours(self, store):
        store.create()
        store.write_sweep(SWEEP, {})
        (root(store) / "notes.txt").write_text("")
        store.create()

    def test_a_home_folder_is_found(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert Store.at("~/run").root == str(tmp_path / "run")


class TestSweep:
    def test_round_trip(self, store):
        store.create()
        store.write_sweep(SWEEP, {"version": "1", "tasks": {"add-2": 3}})
        assert store.read_sweep() == (SWEEP, {"version": "1", "tasks": {"add-2": 3}})
        assert "passlaw" in yaml.safe_load((root(store) / "sweep.yaml").read_text())

    def test_no_run(self, store):
        with pytest.raises(UserError, match="no run of passlaw"):
            store.read_sweep()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"name: [", "cannot be read"),
            (b"\xff\xfe\xfa", "cannot be read"),
            (b"", "must hold a mapping"),
            (b"name: s\n", "required, but missing"),
        ],
    )
    def test_a_damaged_one_is_named(self, store, content, message):
        store.create()
        (root(store) / "sweep.yaml").write_bytes(content)
        with pytest.raises(UserError, match=f"sweep.yaml: .*{message}"):
            store.read_sweep()


class TestProblems:
    TABLE = pa.Table.from_pylist(
        [
            dict.fromkeys(PROBLEMS.names)
            | {"problem_id": str(i), "prompt": "?\n", "answer": "é", "verifier": "exact"}
            for i in range(3)
        ],
        schema=PROBLEMS,
    )

    def test_round_trip(self, store):
        store.write_problems("t", self.TABLE)
        assert store.read_problems("t").equals(self.TABLE)

    def test_only_a_change_is_written(self, store):
        store.write_problems("t", self.TABLE)
        (path,) = (root(store) / "problems").iterdir()
        before = path.stat().st_ino
        store.write_problems("t", self.TABLE)
        assert path.stat().st_ino == before
        store.write_problems("t", self.TABLE.slice(1))
        assert store.read_problems("t").equals(self.TABLE.slice(1))

    @pytest.mark.parametrize("content", [None, b"", b"PAR1"])
    def test_missing_or_damaged_is_named(self, store, content):
        store.write_sweep(SWEEP, {})
        store.write_problems("t", self.TABLE)
        (path,) = (root(store) / "problems").iterdir()
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(UserError, match=r"t\.parquet: cannot be read"):
            store.read_problems("t")


class TestResults:
    TABLE = pl.DataFrame({"model": ["m"], "task": ["t"], "problem_id": ["p"], "p": [0.25]})

    def test_round_trip(self, store):
        store.write_result("exact", self.TABLE, "digest")
        assert store.read_result("exact").equals(self.TABLE)
        assert store.result_inputs("exact") == "digest"
        assert pl.read_parquet(root(store) / "exact.parquet").equals(self.TABLE)

    def test_an_empty_table_keeps_its_columns(self, store):
        empty = pl.DataFrame(pl.from_arrow(COUNTS.empty_table()))
        store.write_result("counts", empty)
        assert store.read_result("counts").schema == empty.schema

    def test_nothing_there(self, store):
        assert store.read_result("exact") is None
        assert store.result_inputs("exact") is None

    def test_a_wrong_table_is_refused(self, store):
        with pytest.raises(ValueError, match="exact: column p is missing"):
            store.write_result("exact", self.TABLE.drop("p"))
        assert store.read_result("exact") is None

    @pytest.mark.parametrize("size", [0, 4, 100, -1])
    def test_a_damaged_table_reads_as_none(self, store, size):
        store.write_result("exact", self.TABLE, "digest")
        path = root(store) / "exact.parquet"
        path.write_bytes(path.read_bytes()[:size])
        assert store.read_result("exact") is None
        assert store.result_inputs("exact") is None

    def test_a_flipped_bit_in_its_numbers_reads_as_none(self, store):
        store.write_result("exact", self.TABLE)
        path = root(store) / "exact.parquet"
        content = bytearray(path.read_bytes())
        metadata = pq.read_metadata(path).row_group(0)
        column = metadata.column(EXACT.names.index("p"))
        content[column.data_page_offset + column.total_compressed_size - 2] ^= 1
        path.write_bytes(content)
        assert store.read_result("exact") is None

    def test_a_table_of_another_kind_reads_as_none(self, store):
        store.write_result("exact", self.TABLE)
        (root(store) / "exact.parquet").rename(root(store) / "laws.parquet")
        assert store.read_result("laws") is None


def test_no_scores_scan_as_no_rows(store):
    assert store.scan_scores([]).collect().height == 0
    store.commit("scores", UNIT, scores(UNIT), {})
    frame = store.scan_scores(store.listed("scores", CELL)[0]).collect()
    assert frame.columns == SCORES.names
    assert frame.height == UNIT.samples


def test_facts_travel_in_the_footer(store):
    store.commit("samples", UNIT, samples(UNIT), {"engine_seconds": 2})
    metadata = pq.read_metadata(unit_path(store, "samples", UNIT)).metadata
    assert json.loads(metadata[b"passlaw"]) == {
        "unit": json.loads(json.dumps(UNIT.to_dict())),
        "engine_seconds": 2,
    }


def test_reports_are_replaced_whole(store):
    store.create()
    assert store.report_inputs() is None
    for html in ("<p>one and more</p>", "<p>é</p>"):
        store.write_report(html, f"digest of {html}")
    assert (root(store) / "report.html").read_text(encoding="utf-8").splitlines()[0] == "<p>é</p>"
    assert store.report_inputs() == "digest of <p>é</p>"
    (root(store) / "report.html").write_text("<p>of another program</p>")
    assert store.report_inputs() is None
