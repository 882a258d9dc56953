"""Sampling and scoring together: through Ray, and with its actors played in this process."""

import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter, deque
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fitting import pass_until
from operators.schemas import SCORES
from pipelines import actors
from pipelines.engines.simulated_engine import SimulatedModel
from pipelines.errors import UserError
from pipelines.progress import Display
from pipelines.replicas import Broken, Done, Exact, Failed, Idle, Opening
from pipelines.run import opened, reopened
from pipelines.sample import sample
from pipelines.score import score
from pipelines.sweeps.config import parse
from pipelines.units import Cell
from pipelines.workers import EngineWorker, KeeperWorker, failed_samples

UNTIL = {"r": 2, "first_round": 10, "cap": 80}
SIMULATED = {"engine": "simulated", "parameters": 10, "spread": 1.0}


def write_quiz(folder, problems=9, answers="right"):
    rows = [
        {"problem_id": f"p{i}", "prompt": f"question {i}", "answer": f"{answers} {i}"}
        for i in range(problems)
    ]
    (folder / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)))


def sweep_in(folder, **change):
    values = {
        "name": "s",
        "run": str(folder / "run"),
        "models": [
            SIMULATED | {"name": "weak", "rate": 0.05},
            SIMULATED | {"name": "strong", "rate": 0.3},
        ],
        "tasks": [{"name": "quiz", "path": str(folder / "quiz.jsonl")}],
        "allocation": UNTIL,
        "resources": {"unit_samples": 25, "engine_cpus": 0.1, "engines": 2},
    }
    return parse(values | change, source="test")


def sampled(sweep):
    with opened(sweep) as run:
        return sample(run, Display(io.StringIO()))


def scored(sweep):
    with reopened(sweep) as run:
        return score(run)


def sample_rows(folder):
    """Every sample there is, from the files alone."""
    files = str(folder / "run/samples/**/*.parquet")
    return pl.read_parquet(files, hive_partitioning=True).sort("model", "problem_id", "sample_id")


def files(folder, kind="samples"):
    return {
        str(path.relative_to(folder / "run")): path.read_bytes()
        for path in (folder / "run" / kind).rglob("*.parquet")
    }


def recount(folder, r, cap):
    """The counts of PassUntil, sample by sample, from the sample files and the quiz."""
    quiz = map(json.loads, (folder / "quiz.jsonl").read_text().splitlines())
    answers = {row["problem_id"]: row["answer"] for row in quiz}
    looks = [UNTIL["first_round"]]
    while looks[-1] < cap:
        looks.append(min(cap, 2 * looks[-1]))
    counts = {}
    for (model, problem), group in sample_rows(folder).group_by("model", "problem_id"):
        assert group["sample_id"].to_list() == list(range(group.height))
        passes = [text == answers[problem] for text in group["completion"]]
        n = next((look for look in looks if sum(passes[:look]) >= r), cap)
        reached = sum(passes[:n]) >= r
        ids = [i for i in range(n) if passes[i]]
        counts[model, problem] = {
            "n": n,
            "c": len(ids),
            "undecided": 0,
            "distinct_answers": len(set(group["completion"][:n])),
            "completion_tokens": 8 * n,
            "stop_reason": "r_reached" if reached else "cap",
            "nth_pass": ids[r - 1] if reached else None,
            "look": max([look for look in looks if look < n], default=0) if reached else 0,
        }
    return counts


def counted(counts):
    keys = ["n", "c", "undecided", "distinct_answers", "completion_tokens", "stop_reason"]
    keys += ["nth_pass", "look"]
    return {
        (row["model"], row["problem_id"]): {key: row[key] for key in keys}
        for row in counts.to_dicts()
    }


class PlayedPool:
    """The actors' own code, played one unit at a time in this process; dies where told to."""

    fatal = ""
    """Prompts with this kill the engine, with all that waits behind."""
    interrupt_after = None
    at_once = 4

    def __init__(self, plan, resources):
        self._plan = plan
        self._engine, self._keeper = EngineWorker(plan), KeeperWorker(plan)
        self._queue, self._events, self._done, self._model = deque(), [], 0, None
        self._alone = False
        self.restarts, self.note = 0, ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def openings(self):
        taken = -1
        while self._model and not self._alone and taken < len(self._queue) < self.at_once:
            taken = len(self._queue)
            yield Opening(engine=0, model=self._model, alone=not self._queue)

    def idle(self):
        if not self._queue:
            yield Idle(engine=0, model=self._model, rested=True, coming=(), held=frozenset())

    def prepare(self, engine, model):
        self._model = model

    @property
    def busy(self):
        return bool(self._queue or self._events)

    def submit(self, engine, work, *, alone=False):
        self._alone = alone
        self._queue.append(work)

    def record_failure(self, unit, reason):
        key = self._plan.cell_keys[unit.cell]
        table = failed_samples(unit, self._plan.run_seed, key, reason)
        facts = {"engine_seconds": 0.0, "prompt_tokens": 0}
        self._events.append(Done(unit=unit, tally=self._keeper.keep(unit, facts, table)))

    def wait(self, timeout):
        if not self._queue:
            events, self._events = self._events, []
            return events
        work = self._queue.popleft()
        self._alone = False
        if isinstance(work, Cell):
            return [Exact(cell=work, p=self._engine.exact(work))]
        if self.fatal and self.fatal in work.problems:
            self.restarts += 1
            behind = [item for item in self._queue if not isinstance(item, Cell)]
            self._queue = deque(item for item in self._queue if isinstance(item, Cell))
            return [Failed(unit=work, reason="engine died", blamed=True)] + [
                Failed(unit=item, reason="engine died", blamed=False) for item in behind
            ]
        try:
            facts, table = self._engine.generate(work)
        except ArithmeticError as error:
            return [Failed(unit=work, reason=str(error), blamed=True)]
        self._done += 1
        if self._done == self.interrupt_after:
            os.kill(os.getpid(), signal.SIGINT)
        return [Done(unit=work, tally=self._keeper.keep(work, facts, table))]


@pytest.fixture
def played(monkeypatch):
    monkeypatch.setattr(PlayedPool, "fatal", "")
    monkeypatch.setattr(PlayedPool, "interrupt_after", None)
    monkeypatch.setattr(actors, "Pool", PlayedPool)
    return PlayedPool


@pytest.fixture(scope="module")
def through_ray(tmp_path_factory):
    """A run that Ray's actors sampled, and what the stage said."""
    folder = tmp_path_factory.mktemp("ray")
    write_quiz(folder)
    said = sampled(sweep_in(folder))
    scored(sweep_in(folder))
    return folder, said


@pytest.fixture
def complete(through_ray, tmp_path):
    """A copy of that run, to do something to."""
    shutil.copytree(through_ray[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


class TestThroughRay:
    def test_counts_are_those_of_a_direct_recount(self, through_ray):
        folder, said = through_ray
        counts = pl.read_parquet(folder / "run/counts.parquet")
        assert counted(counts) == recount(folder, UNTIL["r"], UNTIL["cap"])
        assert said.drawn == counts["n"].sum() == sample_rows(folder).height
        assert (said.given_up, said.quarantined, said.restarts) == (0, [], 0)
        assert set(counts["stop_reason"]) == {"r_reached", "cap"}

    def test_exact_probabilities_are_those_of_the_engine(self, through_ray):
        folder, _ = through_ray
        exact = pl.read_parquet(folder / "run/exact.parquet")
        models = {model.name: SimulatedModel(model) for model in sweep_in(folder).models}
        assert exact.height == 18
        for row in exact.to_dicts():
            prompt = f"question {row['problem_id'][1:]}"
            assert row["p"] == pytest.approx(models[row["model"]].rate(prompt), rel=1e-12)

    def test_no_two_samples_share_a_seed(self, through_ray):
        seeds = sample_rows(through_ray[0])["seed"]
        assert seeds.n_unique() == len(seeds)

    def test_costs_add_up(self, through_ray):
        folder, _ = through_ray
        costs = pl.read_parquet(folder / "run/costs.parquet")
        rows = sample_rows(folder)
        tokens = rows.group_by("model").agg(pl.col("completion_tokens").sum(), samples=pl.len())
        found = {row["model"]: row for row in costs.to_dicts()}
        for row in tokens.to_dicts():
            cost = found[row["model"]]
            assert cost["completion_tokens"] == row["completion_tokens"]
            assert cost["samples"] == row["samples"]
            total = cost["completion_tokens"] + cost["prompt_tokens"]
            assert cost["flops"] == 2 * 10 * total
            assert cost["engine_seconds"] > 0

    def test_the_same_samples_come_without_ray(self, through_ray, tmp_path, played):
        write_quiz(tmp_path)
        sampled(sweep_in(tmp_path, resources={"unit_samples": 1_000}))
        # Time is in no column, so the tables are equal to the bit.
        assert sample_rows(tmp_path).equals(sample_rows(through_ray[0]))

    def test_again_draws_nothing_and_does_not_import_ray(self, complete):
        before = files(complete)
        script = (
            "import io, sys\n"
            "from pathlib import Path\n"
            "from pipelines.progress import Display\n"
            "from pipelines.run import opened\n"
            "from pipelines.sample import sample\n"
            "from pipelines.sweeps.config import load\n"
            "with opened(load(Path(sys.argv[1]))) as run:\n"
            "    said = sample(run, Display(io.StringIO()))\n"
            "print(said.drawn, 'ray' in sys.modules)\n"
        )
        path = complete / "sweep.yaml"
        path.write_text(sweep_in(complete).to_yaml())
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script, path],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("0 False\n", "")
        assert files(complete) == before

    def test_a_higher_cap_appends_and_what_was_lost_is_redone(self, complete):
        """One file deleted, one cut short: both come back as they were, the rest is untouched."""
        before = files(complete)
        deleted, cut, *_ = sorted(before)
        (complete / "run" / deleted).unlink()
        (complete / "run" / cut).write_bytes(before[cut][:-20])
        said = sampled(sweep_in(complete, allocation=UNTIL | {"cap": 300}))
        lost = [item.path for item in said.quarantined if "/samples/" in item.path]
        assert lost == [str(complete / "run" / cut)]
        after = files(complete)
        assert {name: after[name] for name in before if name not in (deleted, cut)} == {
            name: content for name, content in before.items() if name not in (deleted, cut)
        }
        for name in (deleted, cut):
            old = pq.read_table(io.BytesIO(before[name]))
            assert pq.read_table(io.BytesIO(after[name])).equals(old)
        again = scored(sweep_in(complete, allocation=UNTIL | {"cap": 300}))
        assert counted(again.counts) == recount(complete, UNTIL["r"], 300)
        assert again.incomplete == 0
        assert again.counts["n"].max() > UNTIL["cap"]


class TestScoring:
    def test_changed_answers_are_scored_again(self, complete, played):
        samples = files(complete)
        write_quiz(complete, answers="other")
        said = sampled(sweep_in(complete, allocation={"n": 10}))
        found = scored(sweep_in(complete, allocation={"n": 10}))
        assert said.drawn == 0
        assert files(complete) == samples
        assert found.counts["c"].sum() == 0
        assert set(found.counts["stop_reason"]) == {"fixed"}
        write_quiz(complete)
        sampled(sweep_in(complete))
        again = scored(sweep_in(complete))
        assert counted(again.counts) == recount(complete, UNTIL["r"], UNTIL["cap"])

    def test_scores_that_are_there_are_not_made_again(self, complete):
        before = files(complete, "scores")
        assert scored(sweep_in(complete)).scored == 0
        shutil.rmtree(complete / "run" / "scores")
        found = scored(sweep_in(complete))
        assert found.scored == sample_rows(complete).height
        assert files(complete, "scores") == before

    @pytest.mark.parametrize("rule", [UNTIL | {"cap": 20}, UNTIL | {"r": 3, "cap": 40}])
    def test_a_stricter_rule_counts_fewer_of_the_same_samples(self, complete, rule, played):
        sweep = sweep_in(complete, allocation=rule)
        sampled(sweep)
        found = scored(sweep)
        assert counted(found.counts) == recount(complete, rule["r"], rule["cap"])
        assert found.counts["n"].max() <= rule["cap"]

    def test_an_unfinished_run_says_what_it_lacks(self, complete):
        found = scored(sweep_in(complete, allocation={"n": 500}))
        assert found.incomplete == 18
        assert found.counts["stop_reason"].null_count() == 18

    def test_problems_whose_first_samples_are_gone_are_incomplete(self, complete):
        truth = pl.read_parquet(complete / "run/counts.parquet")
        path = sorted((complete / "run/samples").rglob("*.parquet"))[0]
        lost = set(pq.read_table(path, partitioning=None)["problem_id"].to_pylist())
        model = path.parent.parent.name.removeprefix("model=")
        path.unlink()
        (complete / "run/scores" / path.relative_to(complete / "run/samples")).unlink()
        found = scored(sweep_in(complete))
        assert found.incomplete == len(lost) > 0
        gone = (pl.col("model") == model) & pl.col("problem_id").is_in(list(lost))
        assert found.counts.equals(truth.filter(~gone))

    def test_a_score_file_damaged_inside_is_made_again(self, complete):
        """Flipped where only reading the pages can tell."""
        truth = pl.read_parquet(complete / "run/counts.parquet")
        path = sorted((complete / "run/scores").rglob("*.parquet"))[0]
        group = pq.read_metadata(path).row_group(0)
        column = group.column(SCORES.names.index("passed"))
        content = bytearray(path.read_bytes())
        content[column.data_page_offset + column.total_compressed_size - 1] ^= 0x10
        path.write_bytes(content)
        found = scored(sweep_in(complete))
        assert [item.path for item in found.quarantined] == [str(path)]
        assert found.counts.equals(truth)


class TestFailures:
    def test_one_bad_problem_never_stops_a_sweep(self, tmp_path, played, monkeypatch):
        """Its prompt makes the engine raise: it alone is recorded as failed, with the reason."""
        write_quiz(tmp_path)
        rate = SimulatedModel.rate

        def poisoned(self, prompt):
            if prompt == "question 4" and self._model.name == "weak":
                raise ArithmeticError("cannot take question 4")
            return rate(self, prompt)

        monkeypatch.setattr(SimulatedModel, "rate", poisoned)
        monkeypatch.setattr(EngineWorker, "exact", lambda self, cell: None)
        sweep = sweep_in(tmp_path, allocation={"n": 12}, resources={"unit_samples": 60})
        assert sampled(sweep).given_up == 1
        rows = sample_rows(tmp_path)
        failed = rows.filter(pl.col("finish_reason") == "error")
        assert set(failed["problem_id"]) == {"p4"}
        assert set(failed["model"]) == {"weak"}
        assert set(failed["error"]) == {"cannot take question 4"}
        assert failed.height == 12
        assert rows.height == 18 * 12
        said = scored(sweep)
        assert said.failures == [
            "weak on quiz: problem p4: 12 samples failed: cannot take question 4"
        ]
        counts = said.counts.filter(pl.col("undecided") > 0)
        assert counts.select("model", "problem_id", "n", "c", "undecided").rows() == [
            ("weak", "p4", 12, 0, 12)
        ]
        assert sampled(sweep).drawn == 0

    def test_numbers_that_are_none_are_named_and_the_samples_count(
        self, tmp_path, played, monkeypatch
    ):
        draw = SimulatedModel.generate

        def without_a_logprob(self, requests, decoding):
            table = draw(self, requests, decoding)
            spoilt = pa.array([math.nan, *[-1.0] * (table.num_rows - 1)], pa.float32())
            at = table.column_names.index("sum_logprob")
            return table.set_column(at, table.schema.field(at), spoilt)

        monkeypatch.setattr(SimulatedModel, "generate", without_a_logprob)
        write_quiz(tmp_path, problems=2)
        sweep = sweep_in(tmp_path, allocation={"n": 10})
        sampled(sweep)
        found = scored(sweep)
        assert found.counts["n"].to_list() == [10] * 4
        assert found.failures == []
        assert [line.partition(" recorded")[0] for line in found.not_finite] == [
            "weak on quiz: 1",
            "strong on quiz: 1",
        ]

    def test_what_waited_behind_a_dead_engine_is_not_blamed(self, tmp_path, played):
        write_quiz(tmp_path)
        played.fatal = "p4"
        sweep = sweep_in(tmp_path, allocation={"n": 12}, resources={"unit_samples": 12})
        said = sampled(sweep)
        assert said.given_up == 2
        assert [line.rpartition(": 12 samples")[0] for line in scored(sweep).failures] == [
            "weak on quiz: problem p4",
            "strong on quiz: problem p4",
        ]
        assert said.restarts == 6
        rows = sample_rows(tmp_path)
        assert set(rows.filter(pl.col("finish_reason") == "error")["problem_id"]) == {"p4"}
        assert rows.height == 18 * 12

    def test_a_model_without_an_engine_stops_the_run_after_what_is_in_flight(
        self, tmp_path, played, monkeypatch
    ):
        write_quiz(tmp_path)
        prepare = played.prepare

        def weak_only(self, engine, model):
            if model == "strong":
                self._events.append(Broken(reason="model strong: no engine"))
            else:
                prepare(self, engine, model)

        monkeypatch.setattr(played, "prepare", weak_only)
        with pytest.raises(UserError, match="model strong: no engine"):
            sampled(sweep_in(tmp_path))
        weak = sample_rows(tmp_path)
        assert set(weak["model"]) == {"weak"}
        assert weak["problem_id"].n_unique() == 9

    def test_an_interrupted_run_goes_on_where_it_was(self, tmp_path, through_ray, played):
        write_quiz(tmp_path)
        before = signal.getsignal(signal.SIGINT)
        for units in (1, 3, 2):
            played.interrupt_after = units
            said = sampled(sweep_in(tmp_path))
            assert said.interrupted
            assert signal.getsignal(signal.SIGINT) is before
        played.interrupt_after = None
        assert not sampled(sweep_in(tmp_path)).interrupted
        assert sample_rows(tmp_path).equals(sample_rows(through_ray[0]))

    def test_a_run_that_another_took_over_stops(self, tmp_path, played, monkeypatch):
        write_quiz(tmp_path)

        def taken(self, engine, work, *, alone=False):
            lease = json.dumps({"token": "another's"})
            self._plan.store.storage.replace("lease.json", lease.encode())
            self._queue.append(work)

        monkeypatch.setattr(played, "submit", taken)
        with pytest.raises(UserError, match="another process took this run over"):
            sampled(sweep_in(tmp_path))
        assert files(tmp_path) == {}

    def test_a_disk_that_cannot_be_written_stops_the_run(self, tmp_path, played):
        write_quiz(tmp_path)
        with opened(sweep_in(tmp_path)) as run:
            (tmp_path / "run" / "samples").write_text("not a folder")
            with pytest.raises(UserError, match=r"samples.* cannot be written \("):
                sample(run, Display(io.StringIO()))


def test_intervals_hold_the_known_rates_at_their_level(tmp_path, played):
    """PassUntil end to end on 800 problems of known rates: 95% intervals hold 93% to 97%."""
    write_quiz(tmp_path, problems=800)
    sweep = sweep_in(
        tmp_path,
        models=[SIMULATED | {"name": "m", "rate": 0.1}],
        allocation={"r": 5, "first_round": 20, "cap": 5_000},
        resources={"unit_samples": 32_768},
    )
    sampled(sweep)
    counts = scored(sweep).counts
    exact = pl.read_parquet(tmp_path / "run/exact.parquet")
    both = counts.join(exact, on=["model", "task", "problem_id"], validate="1:1")
    p = both["p"].to_numpy()
    found = pass_until(both["n"], both["c"], 5, look=both["look"], level=0.95)
    inside = (found.problems.low <= p) & (p <= found.problems.high)
    assert 0.93 <= inside.mean() <= 0.97
    error = found.problems.estimate - p
    assert abs(error.mean()) < 4 * error.std() / 800**0.5
    mean = pass_until(both["n"], both["c"], 5, look=both["look"], level=0.9999).mean
    assert mean.low <= p.mean() <= mean.high
    # And counting only what was asked for: most problems stopped long before the cap.
    assert Counter(both["stop_reason"])["r_reached"] > 700
    assert np.median(both["n"]) < 500
