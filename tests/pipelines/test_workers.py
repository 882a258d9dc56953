"""What an engine is asked for: each task's own decoding, conversations, and a passing answer."""

import json

import numpy as np
import pytest

from operators.schemas import SAMPLES
from pipelines import engines
from pipelines.config import parse
from pipelines.engines.protocol import Engine
from pipelines.run import opened
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
    model = {"engine": "simulated", "name": "m", "parameters": 1, "rate": 0.1}
    values = {"name": "s", "run": str(tmp_path / "run"), "models": [model], "tasks": tasks}
    sweep = parse(values, source="test")
    with opened(sweep) as run:
        plan = Plan(
            store=run.store,
            token=run.token,
            models={model.name: model for model in run.models},
            decodings={task: run.decoding(task) for task in TASKS},
            verification=sweep.verification,
            run_seed=0,
            cell_keys={cell: run.cell_key(cell) for cell in run.cells},
            asked=run.asked,
            r=0,
        )
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
