"""Stored samples as an engine: word for word, or refused with what is missing."""

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.schemas import SAMPLES
from pipelines.compact import compact
from pipelines.engines import load
from pipelines.engines.protocol import Request
from pipelines.errors import UserError
from pipelines.models import check_stored, find
from pipelines.run import allocation_of, opened, reopened
from pipelines.scheduler import Scheduler
from pipelines.score import score
from pipelines.store import Store
from pipelines.sweeps.config import Decoding, parse
from pipelines.sweeps.engine_sections import ReplayEngine
from pipelines.tasks import problems
from pipelines.units import Cell, Unit
from pipelines.workers import EngineWorker, KeeperWorker, Plan

NAMES = ("p0", "p1", "p2", "p3")
TEXTS = ("", "żółć 漢字 🙂", "two\nlines", "42")
DECODING = Decoding(max_tokens=9, stop=("\n\n",))


def samples(names, start, stop, **change):
    """Rows in which every column is told apart by problem and sample id."""
    keys = [(name, i) for name in names for i in range(start, stop)]
    number = [1_000 * NAMES.index(name) + i for name, i in keys]
    rows = {
        "problem_id": [name for name, _ in keys],
        "sample_id": [i for _, i in keys],
        "completion": [TEXTS[n % 4] + str(n) * (n % 4 > 0) for n in number],
        "finish_reason": [("stop", "length", "error")[n % 3] for n in number],
        "prompt_tokens": [5] * len(keys),
        "completion_tokens": [n % 9 for n in number],
        **{name: pa.nulls(len(keys), pa.float32()) for name in SAMPLES.names[6:13]},
        "seed": [2**62 + n for n in number],
        "error": ["it broke" if n % 3 == 2 else None for n in number],
        "reasoning": [f"thought {n}" if n % 2 else None for n in number],
    }
    rows |= {"sum_logprob": [-float(n) if n % 5 else None for n in number]} | change
    return pa.table(rows, schema=SAMPLES)


def sweep(folder, run="stored", **change):
    values = {
        "name": "s",
        "run": str(folder / run),
        "models": [{"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.3}],
        "tasks": [{"name": "quiz", "path": str(folder / "quiz.jsonl"), "stop": ["\n\n"]}],
        "decoding": {"max_tokens": 9},
        "allocation": {"n": 40},
        "resources": {"engine_cpus": 0.1, "unit_samples": 60},
    }
    return parse(values | change, source="test")


def quiz(folder, names=NAMES, **change):
    rows = [{"problem_id": name, "prompt": f"question {name}", "answer": "right"} for name in names]
    rows = [row | change.get(row["problem_id"], {}) for row in rows]
    (folder / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.fixture
def folder(tmp_path):
    """A run of 40 samples of each problem, in units of several shapes."""
    quiz(tmp_path)
    with opened(sweep(tmp_path)) as run:
        for names, start, stop in (
            (NAMES[:2], 0, 10),
            (NAMES[2:], 0, 10),
            (NAMES, 10, 25),
            (NAMES[:1], 25, 40),
            (NAMES[1:], 25, 40),
        ):
            unit = Unit(cell=Cell("m", "quiz"), problems=names, start=start, stop=stop)
            facts = {"engine": "dice 1.0", "seeding": "unit" if start == 25 else "sample"}
            run.store.commit("samples", unit, samples(names, start, stop), facts)
    return tmp_path


def section(folder, **change):
    values = {"engine": "replay", "name": "again", "run": str(folder / "stored"), "model": "m"}
    return ReplayEngine(**values | change)


def request(name, start=0, stop=40, **change):
    ids = np.arange(start, stop)
    values = {"task": "quiz", "problem_id": name, "prompt": f"question {name}", "stream": 0}
    return Request(**values | {"sample_ids": ids, "seeds": ids} | change)


def refusal(call, *arguments):
    with pytest.raises(UserError) as refused:
        call(*arguments)
    return str(refused.value)


class TestSamples:
    def test_they_are_served_word_for_word(self, folder):
        """Every column, across the borders of units, whatever the order of the problems."""
        table = load(section(folder)).generate(
            [request("p3"), request("p0", 7, 31), request("p1", 12, 13)], DECODING
        )
        expected = [samples(["p3"], 0, 40), samples(["p0"], 7, 31), samples(["p1"], 12, 13)]
        assert table.equals(pa.concat_tables(expected))

    def test_ids_may_have_gaps(self, folder):
        ids = np.array([0, 9, 10, 24, 39])
        table = load(section(folder)).generate([request("p2", sample_ids=ids)], DECODING)
        assert table.equals(samples(["p2"], 0, 40).take(ids))

    def test_each_file_is_read_once(self, folder, monkeypatch):
        engine, read = load(section(folder)), []
        original = Store.read_samples

        def counted(store, committed, wanted):
            read.append(committed.key)
            return original(store, committed, wanted)

        monkeypatch.setattr(Store, "read_samples", counted)
        engine.generate([request(name) for name in reversed(NAMES)], DECODING)
        assert len(read) == len(set(read)) == 5
        engine.generate([request("p0", 0, 10)], DECODING)
        assert len(read) == 6

    def test_a_compacted_run_serves_the_same(self, folder):
        asked = [request(name, 5, 35) for name in reversed(NAMES)]
        before = load(section(folder)).generate(asked, DECODING)
        assert compact(Store.at(str(folder / "stored")), [Cell("m", "quiz")], 2**20).files_before
        assert not list((folder / "stored/samples").rglob("0*.parquet"))
        assert load(section(folder)).generate(asked, DECODING).equals(before)

    def test_facts_say_what_drew_them(self, folder):
        engine = load(section(folder))
        engine.generate([request("p0", 0, 25)], DECODING)
        assert engine.facts() == {
            "engine": "replay", "replayed": ["dice 1.0"], "seeding": "sample",
        }  # fmt: skip
        engine.generate([request("p0", 20, 30)], DECODING)
        assert engine.facts()["seeding"] == "unit"

    def test_columns_that_came_later_are_null(self, folder):
        path = next((folder / "stored/samples").rglob("*000000000-000000010*.parquet"))
        old = pq.read_table(path, partitioning=None)
        pq.write_table(old.drop_columns(["reasoning"]), path)
        stored = load(section(folder)).generate([request("p0"), request("p2")], DECODING)
        reasoning = stored["reasoning"].to_pylist()
        assert reasoning.count(None) in (45, 50)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"temperature": 0.5}, "decoding.temperature is 0.5, but"),
            ({"max_tokens": 8}, "were drawn with 9"),
            ({"stop": ()}, "decoding.stop is [], but the samples in"),
        ],
    )
    def test_another_decoding(self, folder, change, expected):
        engine, other = load(section(folder)), DECODING.model_copy(update=change)
        assert expected in refusal(engine.generate, [request("p0")], other)

    def test_another_prompt(self, folder):
        engine, asked = load(section(folder)), [request("p0", prompt="question p1")]
        message = refusal(engine.generate, asked, DECODING)
        assert "the prompt of problem p0 is 'question p1', but the samples in " in message
        assert "were drawn with 'question p0'; give it that value, or another engine" in message

    def test_a_conversation_where_a_prompt_was_given(self, folder):
        engine = load(section(folder))
        asked = [request("p0", messages=({"role": "user", "content": "question p0"},))]
        assert "the messages of problem p0 is" in refusal(engine.generate, asked, DECODING)

    def test_a_problem_that_was_never_asked(self, folder):
        message = refusal(load(section(folder)).generate, [request("p9")], DECODING)
        assert f"problem p9 was never asked in {folder}/stored" in message

    def test_a_task_that_was_never_asked(self, folder):
        engine = load(section(folder))
        message = refusal(engine.generate, [request("p0", task="exam")], DECODING)
        assert message == f"model again: {folder}/stored has no task exam; it has quiz"

    def test_samples_that_are_not_stored(self, folder):
        """No row is made up, and none is left out."""
        message = refusal(load(section(folder)).generate, [request("p1", 30, 50)], DECODING)
        assert message == (
            f"model again: task quiz: sample 40 is asked for, but {folder}/stored holds 40 samples "
            "of problem p1; lower the allocation, or draw more in that run"
        )

    def test_a_hole_in_the_samples(self, folder):
        next((folder / "stored/samples").rglob("*000000010-000000025*.parquet")).unlink()
        message = refusal(load(section(folder)).generate, [request("p1", 5, 30)], DECODING)
        assert "sample 10 is asked for, but" in message

    def test_a_file_that_was_cut_short(self, folder):
        path = next((folder / "stored/samples").rglob("*000000010-000000025*.parquet"))
        path.write_bytes(path.read_bytes()[:-20])
        message = refusal(load(section(folder)).generate, [request("p1")], DECODING)
        assert (
            f"(1 files cannot be read, the first is samples/model=m/task=quiz/{path.name})"
            in message
        )
        assert path.exists(), "the other run is left as it is"

    def test_a_file_that_is_damaged_inside(self, folder):
        path = next((folder / "stored/samples").rglob("*000000010-000000025*.parquet"))
        content = bytearray(path.read_bytes())
        content[8:400] = bytes(392)
        path.write_bytes(content)
        message = refusal(load(section(folder)).generate, [request("p1")], DECODING)
        assert f"{path.name} cannot be read" in message
        assert message.endswith("resume that run first")

    def test_likelihood(self, folder):
        engine = load(section(folder))
        assert "engine replay knows no likelihood" in refusal(engine.likelihood, ["a"], ["b"])
        assert not engine.unique_tokens()


class TestFound:
    def test_size_and_fingerprint_are_those_of_the_stored_model(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        found = find(section(folder, run="stored"))
        assert found.model.run == str(folder / "stored")
        with reopened(sweep(folder)) as run:
            assert found.parameters == run.parameters["m"]
            assert found.fingerprint == run.fingerprints["m"]

    def test_a_missing_run_is_named(self, folder):
        message = refusal(find, section(folder, run=str(folder / "none")))
        assert message == (
            f"model again: run {folder}/none: no run of passlaw (it has no sweep.yaml)"
        )

    def test_a_missing_model_is_named_with_those_there_are(self, folder):
        message = refusal(find, section(folder, model=None))
        assert f"model 'again' was never sampled in {folder}/stored; it has m" in message


class TestPlanned:
    """What is certain to be refused is refused before anything is drawn."""

    def check(self, folder, **change):
        made = self.sweep(folder, **change)
        asked = {task.name: problems(task) for task in made.tasks}
        return check_stored(made, asked, int(allocation_of(made).looks[0]))

    def sweep(self, folder, run="again", **change):
        models = [section(folder).model_dump()]
        return sweep(folder, run, **{"models": models} | change)

    def test_what_is_stored_may_be_asked(self, folder):
        self.check(folder)
        quiz(folder, NAMES[2:])
        self.check(folder, allocation={"r": 2, "first_round": 20, "cap": 1_000})

    def test_more_samples_than_are_stored(self, folder):
        message = refusal(lambda: self.check(folder, allocation={"n": 41}))
        assert "at least 41 are asked for, but" in message
        assert "holds 40 samples of problem p0" in message

    def test_another_decoding(self, folder):
        message = refusal(lambda: self.check(folder, decoding={"max_tokens": 9, "top_k": 4}))
        assert "decoding.top_k is 4" in message
        assert "were drawn with None" in message

    def test_another_prompt(self, folder):
        quiz(folder, p2={"prompt": "else"})
        assert "the prompt of problem p2 is 'else'" in refusal(lambda: self.check(folder))

    def test_the_run_itself(self, folder):
        made = self.sweep(folder, "stored")
        assert "is this very run" in refusal(lambda: check_stored(made, {}, 1))

    def test_it_is_checked_before_the_run_is_made(self, folder):
        with (
            pytest.raises(UserError, match="at least 41"),
            opened(self.sweep(folder, allocation={"n": 41})),
        ):
            pass
        assert not (folder / "again").exists()


def drawn(made):
    """Draw, keep and score what a sweep wants, by the actors' own code; return counts and rows."""
    with opened(made) as run:
        plan = Plan.of(run)
        engine, keeper = EngineWorker(plan), KeeperWorker(plan)
        wanted = {cell: run.problem_ids(cell.task) for cell in run.cells}
        scheduler = Scheduler(wanted, run.allocation, made.resources.unit_samples)
        while (unit := scheduler.next()) is not None:
            scheduler.done(keeper.keep(unit, *engine.generate(unit)))
    with reopened(made) as run:
        counts = score(run).counts
    rows = pl.read_parquet(f"{run.store.root}/samples/**/*.parquet")
    return counts, rows.sort("problem_id", "sample_id")


def test_a_policy_on_stored_samples_gives_what_it_would_have_given(tmp_path):
    """Until two pass, on the samples of a run that drew forty of each, and drawn afresh."""
    quiz(tmp_path)
    until = {"allocation": {"r": 2, "first_round": 5, "cap": 40}}
    replay = {"engine": "replay", "name": "m", "run": str(tmp_path / "stored")}
    _, stored = drawn(sweep(tmp_path))
    counts, rows = drawn(sweep(tmp_path, "fresh", **until))
    again, replayed = drawn(sweep(tmp_path, "again", models=[replay], seed=99, **until))
    assert again.equals(counts)
    assert replayed.equals(rows)
    assert replayed.height < stored.height
