"""What an engine is asked for, when its calls may overlap, and what is recorded of its work."""

import gc
import json
import math
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from operators.schemas import SAMPLES
from pipelines import engines, workers
from pipelines.engines.protocol import Engine
from pipelines.errors import UserError
from pipelines.run import opened
from pipelines.sweeps.config import parse
from pipelines.units import Cell, Unit
from pipelines.workers import EngineWorker, Plan

TASKS = {
    "plain": [{"problem_id": "a", "prompt": "1+1=", "answer": "2"}],
    "chat": [{"problem_id": "a", "prompt": "1+1=", "answer": "2"}],
    "gsm8k": [{"question": "1+1?", "answer": "#### 2"}],
    "math": [{"problem": "1/2?", "answer": "\\frac12"}],
    "strip": [{"problem_id": "a", "prompt": "1+1=", "answer": "2"}],
}


class Recorder(Engine):
    """An engine that remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def generate(self, requests, decoding):
        self.asked.append((requests, decoding))
        return SAMPLES.empty_table()

    def likelihood(self, prompts, completions, decoding=None):
        self.asked.append((prompts, completions, decoding))
        return np.zeros(len(prompts))

    def unique_tokens(self):
        return True


@pytest.fixture
def engine(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(engines, "load", lambda model: recorder)
    return recorder


@pytest.fixture
def worker(tmp_path):
    """An engine actor of a run over every task."""
    tasks = []
    for name, rows in TASKS.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        tasks.append({"name": name, "path": str(path)})
    tasks[1] |= {"style": "chat"}
    tasks[2] |= {"source": "gsm8k"}
    tasks[3] |= {"source": "math", "style": "chat"}
    tasks[4] |= {"options": {"strip": True}}
    models = [
        {"engine": "simulated", "name": name, "parameters": 1, "rate": 0.1}
        for name in ("m", "other")
    ]
    values = {"name": "s", "run": str(tmp_path / "run"), "models": models, "tasks": tasks}
    sweep = parse(values, source="test")
    with opened(sweep) as run:
        plan = Plan.of(run)
    return EngineWorker(plan)


def request(worker, engine, task, problem="a"):
    worker.generate(Unit(cell=Cell("m", task), problems=(problem,), start=0, stop=2))
    ((requests, decoding),) = engine.asked
    (found,) = requests
    return found, decoding


def test_a_conversation_reaches_the_engine(worker, engine):
    found, _ = request(worker, engine, "chat")
    assert found.messages == ({"role": "user", "content": "1+1="},)
    assert found.prompt == "1+1="


def test_a_plain_prompt_is_no_conversation(worker, engine):
    found, decoding = request(worker, engine, "plain")
    assert (found.prompt, found.messages, found.answer) == ("1+1=", None, "2")
    assert decoding.stop == ()


def test_each_task_is_drawn_with_its_own_stop_strings(worker, engine):
    _, decoding = request(worker, engine, "gsm8k", "gsm8k-gsm8k-0001")
    assert decoding.stop == ("Q:",)


def test_the_passing_completion_of_a_formula_is_boxed(worker, engine):
    """Bare LaTeX in running text is not an answer that the verifier would find."""
    found, _ = request(worker, engine, "math", "math-0001")
    assert found.answer == "\\boxed{\\frac12}"


def test_exact_probabilities_are_those_of_prompt_and_answer(worker, engine):
    assert worker.exact(Cell("m", "plain")) == pytest.approx([1.0])
    ((prompts, completions, decoding),) = engine.asked
    assert (prompts, completions) == (["1+1="], ["2"])
    assert decoding.stop == ()


@pytest.mark.parametrize("task", ["chat", "gsm8k", "strip"])
def test_where_more_than_one_text_passes_or_a_template_is_read_none_are_known(worker, engine, task):
    """A conversation is more than its prompt; stops and lenient verifiers pass other texts too."""
    assert worker.exact(Cell("m", task)) is None
    assert engine.asked == []


# -------------------------------------------------------------------- several calls at once


MUCH, LITTLE = 60.0, 0.2
"""Seconds to wait for what must come, and for what must not."""


def unit(start=0, model="m"):
    return Unit(cell=Cell(model, "plain"), problems=("a",), start=start, stop=start + 1)


class Held(Engine):
    """An engine whose units are drawn until the test lets them go; notes what happens when."""

    def __init__(self, name, log, *, concurrent, recorded=None):
        self.name, self.log, self.concurrent = name, log, concurrent
        self.entered = {start: threading.Event() for start in range(9)}
        self.released = {start: threading.Event() for start in range(9)}
        self.recorded = recorded or {}
        self.fails = False

    def generate(self, requests, decoding):
        start = int(requests[0].sample_ids[0])
        self.log.append(f"begin {self.name}{start}")
        self.entered[start].set()
        assert self.released[start].wait(MUCH)
        self.log.append(f"end {self.name}{start}")
        if self.fails:
            raise RuntimeError("lost")
        row = dict.fromkeys(SAMPLES.names) | {"problem_id": "a", "sample_id": start}
        row |= {"completion": "", "finish_reason": "stop", "prompt_tokens": 3}
        return pa.Table.from_pylist(
            [row | {"completion_tokens": 1} | self.recorded], schema=SAMPLES
        )

    def likelihood(self, prompts, completions, decoding=None):
        return np.zeros(len(prompts))

    def unique_tokens(self):
        return True

    def facts(self):
        return {"engine": self.name}

    def close(self):
        self.log.append(f"close {self.name}")


class Bench:
    """Loads engines that are held, and runs calls in threads."""

    def __init__(self, worker, threads, monkeypatch):
        self.worker, self.threads = worker, threads
        self.log, self.engines, self.concurrent, self.now = [], {}, True, 0.0
        monkeypatch.setattr(engines, "load", self.load)
        clock = SimpleNamespace(perf_counter=lambda: self.now)
        monkeypatch.setattr(workers, "time", clock)

    def load(self, model):
        self.log.append(f"load {model.name}")
        self.engines[model.name] = Held(model.name, self.log, concurrent=self.concurrent)
        return self.engines[model.name]

    def start(self, start, model="m", at=None):
        """Begin a unit, at a time; return its future once its engine draws it."""
        self.now = self.now if at is None else at
        future = self.threads.submit(self.worker.generate, unit(start, model))
        self.worker.load(model)
        assert self.engines[model].entered[start].wait(MUCH)
        return future

    def finish(self, future, start, at=None, model="m"):
        self.now = self.now if at is None else at
        self.engines[model].released[start].set()
        return future.result(MUCH)[0]


@pytest.fixture
def bench(worker, monkeypatch):
    with ThreadPoolExecutor(8) as threads:
        made = Bench(worker, threads, monkeypatch)
        yield made
        for engine in made.engines.values():
            for event in engine.released.values():
                event.set()


class TestOverlap:
    def test_calls_overlap_where_the_engine_can(self, bench):
        first, second = bench.start(0), bench.start(1)
        assert bench.log == ["load m", "begin m0", "begin m1"]
        bench.finish(second, 1)
        bench.finish(first, 0)

    def test_calls_take_turns_where_it_cannot(self, bench):
        bench.concurrent = False
        bench.worker.load("m")
        first = bench.threads.submit(bench.worker.generate, unit(0))
        assert bench.engines["m"].entered[0].wait(MUCH)
        second = bench.threads.submit(bench.worker.generate, unit(1))
        assert not bench.engines["m"].entered[1].wait(LITTLE)
        bench.finish(first, 0)
        bench.finish(second, 1)
        assert bench.log == ["load m", "begin m0", "end m0", "begin m1", "end m1"]

    def test_a_model_is_not_taken_away_from_a_call(self, bench):
        first = bench.start(0)
        switch = bench.threads.submit(bench.worker.load, "other")
        with pytest.raises(TimeoutError):
            switch.result(LITTLE)
        bench.finish(first, 0)
        assert switch.result(MUCH)
        assert bench.log == ["load m", "begin m0", "end m0", "close m", "load other"]

    def test_one_model_is_gone_before_the_next_is_loaded(self, bench, monkeypatch):
        bench.worker.load("m")
        first = weakref.ref(bench.engines.pop("m"))
        alive = []

        def load(model):
            gc.collect()
            alive.append(first() is not None)
            return Held(model.name, [], concurrent=True)

        monkeypatch.setattr(engines, "load", load)
        bench.worker.load("other")
        assert alive == [False]

    def test_a_model_that_does_not_load_stops_no_other(self, bench, monkeypatch):
        good = engines.load

        def load(model):
            if model.name == "other":
                raise UserError("no such model")
            return good(model)

        monkeypatch.setattr(engines, "load", load)
        bench.worker.load("m")
        with pytest.raises(UserError, match="no such model"):
            bench.worker.load("other")
        bench.finish(bench.start(0), 0)
        assert bench.log.count("load m") == 2

    def test_an_engine_that_failed_to_close_is_not_used_again(self, bench, monkeypatch):
        def close(engine):
            raise OSError("stuck")

        bench.worker.load("m")
        monkeypatch.setattr(Held, "close", close)
        with pytest.raises(OSError, match="stuck"):
            bench.worker.load("other")
        bench.worker.load("m")
        assert bench.log == ["load m", "load m"]


class TestSeconds:
    def test_those_of_units_side_by_side_add_up_to_the_time_that_passed(self, bench):
        """The one that began first ends last."""
        outer, inner = bench.start(0, at=100.0), bench.start(1, at=102.0)
        spent = [bench.finish(inner, 1, at=105.0), bench.finish(outer, 0, at=110.0)]
        assert sum(facts["engine_seconds"] for facts in spent) == 10.0
        assert all(facts["engine_seconds"] > 0 for facts in spent)

    def test_idle_time_is_nobodys(self, bench):
        first = bench.finish(bench.start(0, at=100.0), 0, at=101.0)
        second = bench.finish(bench.start(1, at=150.0), 1, at=152.0)
        assert (first["engine_seconds"], second["engine_seconds"]) == (1.0, 2.0)

    def test_a_unit_that_failed_leaves_its_time_to_those_beside_it(self, bench):
        lost, kept = bench.start(0, at=100.0), bench.start(1, at=101.0)
        bench.engines["m"].fails = True
        with pytest.raises(RuntimeError, match="lost"):
            bench.finish(lost, 0, at=103.0)
        bench.engines["m"].fails = False
        assert bench.finish(kept, 1, at=104.0)["engine_seconds"] == 4.0

    def test_computing_exact_probabilities_is_no_drawing(self, bench):
        bench.now = 100.0
        bench.worker.exact(Cell("m", "plain"))
        assert bench.finish(bench.start(0, at=107.0), 0, at=108.0)["engine_seconds"] == 1.0


class TestNotFinite:
    def draw(self, bench, **recorded):
        bench.worker.load("m")
        bench.engines["m"].recorded = recorded
        future = bench.start(0)
        bench.finish(future, 0)
        return future.result()

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_is_no_number_becomes_null_and_is_counted(self, bench, value):
        facts, table = self.draw(bench, sum_logprob=value, min_logprob=value, self_certainty=-1.5)
        assert facts["not_finite"] == 2
        assert table["sum_logprob"].to_pylist() == table["min_logprob"].to_pylist() == [None]
        assert table["self_certainty"].to_pylist() == [-1.5]
        assert table["mean_confidence"].to_pylist() == [None]
        assert table.schema.equals(SAMPLES)

    def test_where_all_is_well_nothing_is_said(self, bench):
        facts, table = self.draw(bench, sum_logprob=-2.5)
        assert "not_finite" not in facts
        assert table["sum_logprob"].to_pylist() == [-2.5]
