"""Compaction: whatever is merged, and wherever it is cut short, the same samples, each once."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.schemas import SAMPLES, SCORES
from pipelines import packs, parquet
from pipelines import replay as replays
from pipelines.choose import choose
from pipelines.compact import compact
from pipelines.errors import UserError
from pipelines.run import opened
from pipelines.scheduler import Scheduler
from pipelines.score import refresh, score
from pipelines.status import cell_status
from pipelines.storage import Folder
from pipelines.store import Store
from pipelines.sweeps.config import parse
from pipelines.unit_files import Reading
from pipelines.units import Cell, Unit
from pipelines.verification import scoring_key
from pipelines.workers import EngineWorker, KeeperWorker, Plan

CELL = Cell("m", "t")
TARGET = 2**20


def unit_of(problems, start, stop):
    return Unit(cell=CELL, problems=tuple(problems), start=start, stop=stop)


# Ids whose order is not that of the problems; units of several blocks and rounds.
UNITS = [
    unit_of(block, start, stop)
    for start, stop in ((0, 3), (3, 8), (8, 9))
    for block in (("p2", "p10"), ("p1",), ("p30", "p3", "p4"))
]


def rows_of(unit, schema, **columns):
    size = unit.stop - unit.start
    filled = {
        "problem_id": np.repeat(unit.problems, size),
        "sample_id": np.tile(np.arange(unit.start, unit.stop), len(unit.problems)),
        "completion_tokens": np.full(unit.samples, 3),
    } | columns
    return pa.table(
        [
            pa.array(filled[field.name], field.type)
            if field.name in filled
            else pa.nulls(unit.samples, field.type)
            for field in schema
        ],
        schema=schema,
    )


def samples_of(unit, text=""):
    size = unit.stop - unit.start
    said = [f"{name}/{unit.start + at}{text}" for name in unit.problems for at in range(size)]
    return rows_of(
        unit,
        SAMPLES,
        completion=said,
        finish_reason=["stop"] * unit.samples,
        prompt_tokens=np.ones(unit.samples),
    )


def scores_of(unit, version):
    return rows_of(unit, SCORES, answer=[f"v{version}"] * unit.samples)


def commit(store, unit, version=0):
    store.commit("samples", unit, samples_of(unit), {"engine_seconds": float(unit.start)})
    store.commit("scores", unit, scores_of(unit, version), {"scoring": f"v{version}"})


class Crash(Exception):  # noqa: N818 # no error: a process ends
    pass


@dataclass(frozen=True)
class Fragile(Folder):
    """A folder whose process dies at a step that changes it."""

    left: list[int] = None

    def _step(self):
        self.left[0] -= 1
        if self.left[0] < 0:
            raise Crash

    def create(self, key, content):
        self._step()
        return super().create(key, content)

    def replace(self, key, content):
        self._step()
        super().replace(key, content)

    def move(self, key, to):
        self._step()
        super().move(key, to)

    def remove(self, key):
        self._step()
        super().remove(key)


def compact_until(store, steps, target=TARGET):
    """Compact, dying before the step of this number; whether it came to an end."""
    fragile = Store(storage=Fragile(store.storage.root, [steps]))
    try:
        compact(fragile, [CELL], target)
    except Crash:
        return False
    return True


def files(store, kind):
    return store.storage.names(f"{kind}/model=m/task=t")


def check(store, versions):
    """Every way to read gives these units, each once, with the newest scores."""
    found, bad = store.listed("samples", CELL)
    assert bad == []
    assert [each.unit.name for each in found] == sorted(unit.name for unit in versions)
    reading = Reading(store)
    for each in found:
        assert reading.unit("samples", each).equals(samples_of(each.unit))
        assert each.facts == {"engine_seconds": float(each.unit.start)}
    ids = [(name, i) for unit in versions for name in unit.problems
           for i in range(unit.start, unit.stop)]  # fmt: skip
    columns = ["problem_id", "sample_id", "completion"]
    texts = store.scan_completions(found).select(columns).collect().rows()
    assert sorted(texts) == sorted((*pair, f"{pair[0]}/{pair[1]}") for pair in ids)
    scored, bad = store.listed("scores", CELL)
    assert bad == []
    assert {each.unit: each.facts["scoring"] for each in scored} == {
        unit: f"v{version}" for unit, version in versions.items()
    }
    for each in scored:
        assert reading.unit("scores", each).equals(scores_of(each.unit, versions[each.unit]))
    answers = store.scan_scores(scored).select("problem_id", "sample_id", "answer").collect().rows()
    assert sorted(answers) == sorted(
        (name, i, f"v{version}")
        for unit, version in versions.items()
        for name in unit.problems
        for i in range(unit.start, unit.stop)
    )


@pytest.fixture
def store(tmp_path):
    return Store(storage=Folder(tmp_path))


@pytest.fixture
def full(store):
    for unit in UNITS:
        commit(store, unit)
    return store


TRUTH = dict.fromkeys(UNITS, 0)


class TestMerged:
    def test_a_cell_becomes_one_file_of_each_kind(self, full):
        done = compact(full, [CELL], TARGET)
        assert (done.files_before, done.files_after, done.quarantined) == (18, 2, [])
        assert [packs.is_pack(name) for name in files(full, "samples")] == [True]
        assert [packs.is_pack(name) for name in files(full, "scores")] == [True]
        check(full, TRUTH)

    def test_a_pack_is_sorted_by_problem_and_sample(self, full):
        compact(full, [CELL], TARGET)
        (pack,) = full.storage.root.glob("samples/**/*.parquet")
        frame = pl.read_parquet(pack, hive_partitioning=False)
        assert frame.equals(frame.sort("problem_id", "sample_id"))
        assert frame.height == sum(unit.samples for unit in UNITS)

    def test_one_glob_reads_a_compacted_run(self, full):
        compact(full, [CELL], TARGET)
        glob = str(full.storage.root / "samples/**/*.parquet")
        frame = pl.scan_parquet(glob, hive_partitioning=True).collect()
        assert frame.height == sum(unit.samples for unit in UNITS)
        assert set(frame["model"]) == {"m"}

    def test_nothing_is_left_to_do_afterwards(self, full):
        compact(full, [CELL], TARGET)
        before = files(full, "samples") + files(full, "scores")
        assert compact_until(full, 0)
        assert files(full, "samples") + files(full, "scores") == before

    def test_later_units_join_the_pack(self, store):
        versions = {}
        for unit in UNITS:
            commit(store, unit)
            versions[unit] = 0
            compact(store, [CELL], TARGET)
            check(store, versions)
        assert len(files(store, "samples")) == len(files(store, "scores")) == 1

    def test_packs_are_of_about_the_target(self, store):
        units = [unit_of((f"p{at}",), 0, 40) for at in range(12)]
        noise = np.random.default_rng(0)
        for unit in units:
            text = bytes(noise.integers(33, 127, 4_000, dtype=np.uint8)).decode()
            store.commit("samples", unit, samples_of(unit, text), {"engine_seconds": 0.0})
        sizes = [path.stat().st_size for path in store.storage.root.rglob("*.parquet")]
        compact(store, [CELL], 4 * max(sizes))
        packed = [path.stat().st_size for path in store.storage.root.rglob("*.parquet")]
        assert len(packed) in (3, 4)
        assert max(packed) < 4.5 * max(sizes)
        assert len(store.listed("samples", CELL)[0]) == 12

    def test_full_packs_are_left_alone(self, full):
        size = sum(path.stat().st_size for path in full.storage.root.glob("samples/**/*.parquet"))
        compact(full, [CELL], size)
        before = files(full, "samples")
        later = unit_of(("p1",), 9, 12)
        commit(full, later)
        compact(full, [CELL], size)
        assert set(before) < set(files(full, "samples"))
        check(full, TRUTH | {later: 0})

    def test_a_unit_that_is_alone_keeps_its_file(self, store):
        commit(store, UNITS[0])
        compact(store, [CELL], TARGET)
        assert files(store, "samples") == [f"{UNITS[0].name}.parquet"]

    def test_columns_that_came_later_are_null(self, store):
        for unit in UNITS[:2]:
            commit(store, unit)
        key = store.unit_key("samples", UNITS[0])
        path = store.storage.root / key
        older = samples_of(UNITS[0]).drop_columns("reasoning")
        facts = {"unit": UNITS[0].to_dict(), "engine_seconds": 0.0}
        path.write_bytes(parquet.encode(older, facts))
        compact(store, [CELL], TARGET)
        check(store, dict.fromkeys(UNITS[:2], 0))

    def test_not_a_number_is_kept_as_it_is(self, store):
        for unit in UNITS[:2]:
            at = SAMPLES.names.index("sum_logprob")
            nan = pa.array([float("nan")] * unit.samples, pa.float32())
            store.commit("samples", unit, samples_of(unit).set_column(at, "sum_logprob", nan), {})
        compact(store, [CELL], TARGET)
        (pack,) = store.storage.root.glob("samples/**/*.parquet")
        assert pl.read_parquet(pack)["sum_logprob"].is_nan().all()


def test_an_object_store_is_compacted_too():
    """Where packs are read by ranges and part by part, and rows that do not count are left out."""
    store = Store.at(f"memory://{uuid.uuid4().hex}/run")
    for unit in UNITS:
        commit(store, unit)
    compact(store, [CELL], TARGET)
    assert len(files(store, "samples")) == 1
    check(store, TRUTH)
    store_scores(store, UNITS[2], 7)
    check(store, TRUTH | {UNITS[2]: 7})
    assert store.read_problem(CELL, "p3")["sample_id"].to_pylist() == list(range(9))


class TestCutShort:
    """A compaction is ended before each of its steps in turn, and then again while it resumes."""

    def test_after_every_step_the_same_is_read(self, full):
        ended, steps = False, 0
        while not ended and steps < 100:
            ended = compact_until(full, 1)
            steps += 1
            check(full, TRUTH)
        assert len(UNITS) < steps < 100
        assert len(files(full, "samples")) == len(files(full, "scores")) == 1

    @pytest.mark.parametrize("steps", range(0, 24, 3))
    def test_one_more_compaction_tidies_up(self, full, steps):
        compact_until(full, steps)
        check(full, TRUTH)
        compact(full, [CELL], TARGET)
        check(full, TRUTH)
        assert len(files(full, "samples")) == len(files(full, "scores")) == 1

    def test_scores_renewed_after_a_crash_are_what_counts(self, full):
        assert not compact_until(full, 12)  # the samples are packed, the scores half removed
        assert 1 < len(files(full, "scores")) < 10
        newer = {unit: at for at, unit in enumerate(UNITS)}
        for unit, version in newer.items():
            store_scores(full, unit, version)
        check(full, newer)
        compact(full, [CELL], TARGET)
        check(full, newer)

    def test_a_killed_process_loses_nothing(self, full, tmp_path):
        """The same with a process that dies, at the step between the pack and the first removal."""
        script = tmp_path / ".killed.py"
        script.write_text(KILLED)
        command = [sys.executable, script, tmp_path]
        root = Path(__file__).parents[2]
        environment = os.environ | {"PYTHONPATH": str(root)}
        assert subprocess.run(command, cwd=root, env=environment, check=False).returncode == 9
        assert len(files(full, "samples")) == 1 + len(UNITS)
        check(full, TRUTH)
        compact(full, [CELL], TARGET)
        check(full, TRUTH)
        assert len(files(full, "samples")) == 1


KILLED = """
import os, sys
from pathlib import Path
from pipelines.compact import compact
from pipelines.storage import Folder
from pipelines.store import Store
from pipelines.units import Cell

Folder.remove = lambda self, key: os._exit(9)
compact(Store(storage=Folder(Path(sys.argv[1]))), [Cell("m", "t")], 2**20)
"""


def store_scores(store, unit, version):
    store.commit("scores", unit, scores_of(unit, version), {"scoring": f"v{version}"})


class TestScores:
    def test_a_units_own_file_is_newer_than_the_pack(self, full):
        compact(full, [CELL], TARGET)
        store_scores(full, UNITS[4], 1)
        check(full, TRUTH | {UNITS[4]: 1})
        compact(full, [CELL], TARGET)
        check(full, TRUTH | {UNITS[4]: 1})
        assert len(files(full, "scores")) == 1

    def test_a_pack_with_no_row_that_counts_goes(self, full):
        compact(full, [CELL], TARGET)
        for unit in UNITS:
            store_scores(full, unit, 2)
        compact(full, [CELL], TARGET)
        check(full, dict.fromkeys(UNITS, 2))
        assert len(files(full, "scores")) == 1


class TestDamaged:
    def test_a_damaged_pack_is_set_aside_and_all_its_units_are_missing(self, full):
        compact(full, [CELL], TARGET)
        (path,) = full.storage.root.glob("samples/**/*.parquet")
        path.write_bytes(path.read_bytes()[:-1])
        found, (bad,) = full.committed("samples", CELL)
        assert found == []
        assert "pack-" in bad.path
        for unit in UNITS:
            commit(full, unit)
        check(full, TRUTH)

    def test_one_that_was_damaged_before_its_files_went_is_undone(self, full):
        assert not compact_until(full, 1)  # the pack is there, and nothing was removed
        (path,) = full.storage.root.glob("samples/**/pack-*.parquet")
        damage(path)
        done = compact(full, [CELL], TARGET)
        assert [Path(lost.path) for lost in done.quarantined] == [path]
        check(full, TRUTH)

    def test_a_damaged_file_is_set_aside_and_the_others_are_packed(self, full):
        path = full.storage.root / full.unit_key("samples", UNITS[3])
        damage(path)
        done = compact(full, [CELL], TARGET)
        assert [Path(lost.path) for lost in done.quarantined] == [path]
        left = {unit: 0 for unit in UNITS if unit != UNITS[3]}
        check(full, left)

    def test_other_samples_of_a_packed_unit_are_set_aside(self, full):
        """A process that was replaced may still commit a unit; the first to do so has won."""
        compact(full, [CELL], TARGET)
        full.commit("samples", UNITS[0], samples_of(UNITS[0], " too late"), {})
        check(full, TRUTH)
        done = compact(full, [CELL], TARGET)
        assert ["committed before" in lost.reason for lost in done.quarantined] == [True]
        found, _ = full.listed("samples", CELL)
        assert len(found) == len(UNITS)

    def test_what_is_not_read_back_is_not_trusted(self, full, monkeypatch):
        written = Folder.replace

        def torn(self, key, content):
            written(self, key, content[:-9] + bytes(9) if "pack-" in key else content)

        monkeypatch.setattr(Folder, "replace", torn)
        with pytest.raises(UserError, match=r"pack-.*: what is read there is not what was written"):
            compact(full, [CELL], TARGET)
        check(full, TRUTH)


def damage(path):
    """Flip a bit in the first page, which no footer tells."""
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


class TestOneProblem:
    @pytest.mark.parametrize("packed", [False, True])
    def test_its_samples_come_in_order(self, full, packed):
        if packed:
            compact(full, [CELL], TARGET)
        table = full.read_problem(CELL, "p3")
        assert table["sample_id"].to_pylist() == list(range(9))
        assert table["completion"].to_pylist() == [f"p3/{at}" for at in range(9)]

    def test_one_that_is_not_there_has_no_rows(self, full):
        assert full.read_problem(CELL, "p5").num_rows == 0

    def test_the_rest_is_not_read(self, store):
        """Counted at the storage: footers, and of one pack the row groups of one problem."""
        noise = np.random.default_rng(0)
        for at in range(4):
            unit = unit_of([f"p{at * 10 + i}" for i in range(10)], 0, 8)
            texts = [noise.integers(33, 127, 32_000, dtype=np.uint8).tobytes().decode()
                     for _ in range(unit.samples)]  # fmt: skip
            samples = samples_of(unit).set_column(2, "completion", [texts])
            store.commit("samples", unit, samples, {})
        compact(store, [CELL], 2**30)
        (path,) = store.storage.root.rglob("*.parquet")
        read = []
        counted = Store(storage=Counting(store.storage.root, read))
        assert counted.read_problem(CELL, "p7").num_rows == 8
        # Of 10 MB, at most two row groups of 4 MiB before compression, and the footer.
        assert sum(read) < path.stat().st_size * 0.8


@dataclass(frozen=True)
class Counting(Folder):
    """A folder that notes how many bytes are read."""

    read_bytes: list[int] = None

    def tail(self, key, size):
        content = super().tail(key, size)
        self.read_bytes.append(len(content))
        return content

    def open(self, key):
        return CountedFile(super().open(key), self.read_bytes)


class CountedFile:
    def __init__(self, file, read_bytes):
        self._file, self._read_bytes = file, read_bytes

    def read(self, size=-1):
        content = self._file.read(size)
        self._read_bytes.append(len(content))
        return content

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


def sweep_in(folder, cap, name="run"):
    rows = [{"problem_id": f"p{i}", "prompt": f"question {i}", "answer": str(i)} for i in range(12)]
    (folder / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return parse(
        {
            "name": "s",
            "run": str(folder / name),
            "models": [{"engine": "simulated", "name": "m", "parameters": 9, "rate": 0.1}],
            "tasks": [{"name": "quiz", "path": str(folder / "quiz.jsonl")}],
            "allocation": {"r": 3, "first_round": 8, "cap": cap},
            "resources": {"unit_samples": 20},
        },
        source="test",
    )


def draw(run):
    """Draw and score what is missing, as actors would."""
    plan = Plan.of(run)
    engine, keeper = EngineWorker(plan), KeeperWorker(plan)
    ids = {cell: run.problem_ids(cell.task) for cell in run.cells}
    scheduler = Scheduler(ids, run.allocation, 20, refresh(run).tallies)
    drawn = 0
    while (unit := scheduler.next()) is not None:
        facts, table = engine.generate(unit)
        scheduler.done(keeper.keep(unit, facts | {"engine_seconds": 1.0}, table))
        drawn += unit.samples
    return drawn


def read_all(run, kind):
    reading = Reading(run.store)
    found, bad = run.store.listed(kind, run.cells[0])
    assert bad == []
    table = pa.concat_tables(reading.unit(kind, each) for each in found)
    return pl.DataFrame(pl.from_arrow(table)).sort("problem_id", "sample_id")


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """A run that grew and was compacted on the way, and one that only grew, both open."""
    folder = tmp_path_factory.mktemp("twins")
    with contextlib.ExitStack() as stack:
        runs = {}
        for name in ("plain", "packed"):
            with opened(sweep_in(folder, 30, name)) as run:
                draw(run)
                if name == "packed":
                    compact(run.store, run.cells, TARGET)
            run = stack.enter_context(opened(sweep_in(folder, 120, name)))
            if name == "packed":
                before = len(run.store.listed("samples", run.cells[0])[0])
            assert draw(run) > 0
            runs[name] = run
        packed = runs["packed"]
        after = packed.store.listed("samples", packed.cells[0])[0]
        assert len(after) > before
        # Both packed and own files, and scores of packed units that were renewed.
        for run in runs.values():
            score(run)
            unit = run.store.listed("scores", run.cells[0])[0][0].unit
            table = pa.Table.from_pylist(
                [row | {"answer": "renewed"} for row in read_unit(run, unit).to_pylist()], SCORES
            )
            key = scoring_key(unit, run.rows("quiz"), run.sweep.verification)
            passed = sum(table["passed"].to_pylist())
            facts = {"scoring": key, "passed": passed, "renewed": True}
            run.store.commit("scores", unit, table, facts)
        yield runs


def read_unit(run, unit):
    found, _ = run.store.listed("scores", unit.cell)
    (committed,) = [each for each in found if each.unit == unit]
    return Reading(run.store).unit("scores", committed)


class TestRun:
    """Every stage gives the same on a run with packs as on one without."""

    def test_it_has_packs_and_files(self, twins):
        names = files_of(twins["packed"], "samples")
        assert {packs.is_pack(name) for name in names} == {True, False}
        assert len(names) < len(files_of(twins["plain"], "samples"))

    @pytest.mark.parametrize("kind", ["samples", "scores"])
    def test_rows(self, twins, kind):
        assert read_all(twins["packed"], kind).equals(read_all(twins["plain"], kind))

    def test_counts(self, twins):
        counts = [score(run).counts for run in twins.values()]
        assert counts[0].equals(counts[1])
        assert counts[0]["n"].max() > 30

    def test_status(self, twins):
        cells = [cell_status(run, run.cells[0]) for run in twins.values()]
        assert cells[0] == cells[1]
        assert cells[0].scored == cells[0].samples

    def test_replay(self, twins):
        asked = [replays.asked("until:r=1")]
        rows = [replays.replay(run, asked) for run in twins.values()]
        assert rows[0].equals(rows[1])

    def test_choices(self, twins):
        for run in twins.values():
            score(run)
            choose(run)
        tables = [run.store.read_result("selection") for run in twins.values()]
        assert tables[0].height
        assert tables[0].equals(tables[1])

    def test_a_damaged_pack_of_samples_is_redone(self, twins, tmp_path):
        """With its scores, which may be of other samples than those drawn next."""
        shutil.copytree(twins["packed"].store.storage.root, tmp_path / "run")
        (tmp_path / "run/lease.json").unlink()
        truth = read_all(twins["packed"], "samples")
        for path in (tmp_path / "run").glob("samples/**/pack-*.parquet"):
            damage(path)
        with opened(sweep_in(tmp_path, 120)) as run:
            assert score_anew(run) > 0  # reads the samples, not only their scores
            draw(run)
            assert read_all(run, "samples").equals(truth)
            assert (
                score(run)
                .counts.drop("distinct_answers")
                .equals(score(twins["plain"]).counts.drop("distinct_answers"))
            )

    def test_a_run_that_is_written_to_is_refused(self, twins):
        done = passlaw("compact", twins["plain"].store.root)
        assert done.returncode == 2
        assert "is writing to this run" in done.stderr

    def test_the_command(self, twins, tmp_path):
        shutil.copytree(twins["plain"].store.storage.root, tmp_path / "run")
        (tmp_path / "run/lease.json").unlink()
        done = passlaw("compact", str(tmp_path / "run"))
        assert done.returncode == 0, done.stderr
        assert re.match(r"compact \d+ files are now 2", done.stdout)

    def test_no_run_is_told(self):
        done = passlaw("compact", "runs/nowhere")
        assert done.returncode == 2
        assert "no such run directory" in done.stderr


def score_anew(run):
    """Score from the samples, all scores gone; returns how many files were set aside."""
    shutil.rmtree(run.store.storage.root / "scores")
    return len(refresh(run).quarantined)


def files_of(run, kind):
    return run.store.storage.names(f"{kind}/model=m/task=quiz")


def passlaw(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


STEPS = st.one_of(
    st.tuples(st.just("commit"), st.integers(0, len(UNITS) - 1)),
    st.tuples(st.just("score"), st.integers(0, len(UNITS) - 1)),
    st.tuples(st.just("compact"), st.integers(0, 25)),
    st.tuples(st.just("small"), st.integers(0, 25)),
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(STEPS, max_size=14))
def test_any_history_gives_the_same_samples(tmp_path_factory, history):
    """Commits, new scores and compactions that are cut short, in any order."""
    store = Store(storage=Folder(tmp_path_factory.mktemp("run")))
    versions = {}
    for at, (step, value) in enumerate(history):
        if step == "commit" and UNITS[value] not in versions:
            commit(store, UNITS[value])
            versions[UNITS[value]] = 0
        elif step == "score" and UNITS[value] in versions:
            store_scores(store, UNITS[value], at)
            versions[UNITS[value]] = at
        elif step in ("compact", "small"):
            compact_until(store, value, TARGET if step == "compact" else 6_000)
    check(store, versions)
    compact(store, [CELL], TARGET)
    check(store, versions)
    inventory = store.inventory("samples", CELL)
    assert inventory.superseded == []
