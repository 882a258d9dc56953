"""What the processes of a run do: draw the samples of a unit; commit and score them.

Two kinds, so that an engine never waits for a disk or a verifier. Knows engines, the store and
verifiers; nothing of Ray, in whose actors they run.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from operators.isolation.sandbox import IsolationError
from operators.schemas import RECORDED, SAMPLES
from pipelines import engines
from pipelines.engines.protocol import Engine, Request
from pipelines.errors import UserError
from pipelines.run import Run
from pipelines.scheduler import Tally, tally
from pipelines.store import Store
from pipelines.sweeps.config import Decoding, Verification
from pipelines.sweeps.engine_sections import Model
from pipelines.units import Cell, Unit, seeds, stream
from pipelines.verification import scoring_key, verifier_of


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that an actor has to know of a run."""

    store: Store
    token: str
    """The lease under which units may be committed."""
    models: Mapping[str, Model]
    decodings: Mapping[str, Decoding]
    """For each task."""
    verification: Verification
    run_seed: int
    cell_keys: Mapping[Cell, str]
    asked: Mapping[str, int]
    """For each task, how many of its problems are asked; only those have exact probabilities."""
    r: int
    """Passes whose sample ids a tally must carry; 0 for none."""

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return what the actors of a run have to know of it."""
        sweep = run.sweep
        return cls(
            store=run.store,
            token=run.token,
            models={model.name: model for model in run.models},
            decodings={task.name: run.decoding(task.name) for task in sweep.tasks},
            verification=sweep.verification,
            run_seed=sweep.seed,
            cell_keys={cell: run.cell_key(cell) for cell in run.cells},
            asked=run.asked,
            r=run.allocation.r or 0,
        )


class EngineWorker:
    """Draws samples; holds one loaded model at a time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._loaded: tuple[str, Engine] | None = None
        self._problems: dict[str, dict[str, dict[str, Any]]] = {}
        self._turn = threading.Condition()
        self._active = 0
        """Calls that use the loaded engine now."""
        self._drawing = 0
        """Those of them that draw."""
        self._counted_until = 0.0
        """Up to when the time that was spent drawing is in some unit's facts."""

    def load(self, name: str) -> bool:
        """Load a model unless it is, and return whether its engine draws units side by side."""
        with self._engine(name) as engine:
            return engine.concurrent

    def generate(self, unit: Unit) -> tuple[dict[str, Any], pa.Table]:
        """Return facts about the work, and the samples."""
        requests = self._requests(unit)
        with self._engine(unit.cell.model) as engine, self._clocked():
            table = engine.generate(requests, self._plan.decodings[unit.cell.task])
            with self._turn:
                seconds, facts = self._seconds(), dict(engine.facts())
        table, not_finite = _finite(table)
        if not_finite:
            facts["not_finite"] = not_finite
        # An engine prefills each prompt once in a unit, however many samples it draws.
        prompts = pl.DataFrame(pl.from_arrow(table.select(["problem_id", "prompt_tokens"])))
        prompt_tokens = prompts.group_by("problem_id").agg(pl.col("prompt_tokens").max())
        return facts | {
            "engine_seconds": seconds,
            "prompt_tokens": int(prompt_tokens["prompt_tokens"].sum()),
        }, table

    def _requests(self, unit: Unit) -> list[Request]:
        plan, problems = self._plan, self._task(unit.cell.task)
        key = plan.cell_keys[unit.cell]
        return [
            Request(
                task=unit.cell.task,
                problem_id=name,
                prompt=problems[name]["prompt"],
                sample_ids=_ids(unit),
                seeds=seeds(plan.run_seed, key, name, unit.start, unit.stop),
                stream=stream(plan.run_seed, key, name),
                messages=_messages(problems[name]),
                answer=_passing(problems[name]),
            )
            for name in unit.problems
        ]

    def exact(self, cell: Cell) -> NDArray[Any] | None:
        """Return the true pass probability of each problem, None where that cannot be known."""
        problems = list(self._task(cell.task).values())[: self._plan.asked[cell.task]]
        decoding = self._plan.decodings[cell.task]
        known = all(_has_one_answer(problem) for problem in problems)
        if decoding.stop or not known:
            return None
        prompts = [problem["prompt"] for problem in problems]
        answers = [problem["answer"] for problem in problems]
        with self._engine(cell.model) as engine:
            if not engine.unique_tokens():
                return None
            return np.exp(engine.likelihood(prompts, answers, decoding))

    @contextmanager
    def _engine(self, name: str) -> Iterator[Engine]:
        """Give the engine of a model, loaded if it is not, when no other call is in its way."""
        with self._turn:
            self._turn.wait_for(lambda: self._active == 0 or self._may_join(name))
            if self._loaded is None or self._loaded[0] != name:
                self._unload()  # free the old model before the new one is loaded
                self._loaded = (name, engines.load(self._plan.models[name]))
            engine = self._loaded[1]
            self._active += 1
        try:
            yield engine
        finally:
            with self._turn:
                self._active -= 1
                self._turn.notify_all()

    def _unload(self) -> None:
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded[1].close()

    @contextmanager
    def _clocked(self) -> Iterator[None]:
        """Start the clock of drawing, unless another call draws already."""
        with self._turn:
            if not self._drawing:
                self._counted_until = time.perf_counter()
            self._drawing += 1
        try:
            yield
        finally:
            with self._turn:
                self._drawing -= 1

    def _seconds(self) -> float:
        """Return the seconds since a unit was drawn last, or since drawing began.

        Units that are drawn side by side share the time, so that their seconds add up.
        """
        before, self._counted_until = self._counted_until, time.perf_counter()
        return self._counted_until - before

    def _may_join(self, name: str) -> bool:
        return self._loaded is not None and self._loaded[0] == name and self._loaded[1].concurrent

    def _task(self, task: str) -> dict[str, dict[str, Any]]:
        if task not in self._problems:
            rows = self._plan.store.read_problems(task).to_pylist()
            self._problems[task] = {row["problem_id"]: row for row in rows}
        return self._problems[task]


def _finite(table: pa.Table) -> tuple[pa.Table, int]:
    """Return samples with null for what was recorded as NaN or infinite, and how many that were."""
    found = 0
    for name in RECORDED:
        column = table[name]
        wrong = pc.invert(pc.is_finite(column))
        count = pc.sum(wrong).as_py() or 0
        if count:
            found += count
            nothing = pa.scalar(None, column.type)
            where = table.column_names.index(name)
            table = table.set_column(where, name, pc.if_else(wrong, nothing, column))
    return table, found


def _messages(problem: Mapping[str, Any]) -> tuple[Mapping[str, str], ...] | None:
    """Return a problem's conversation, None where its prompt is given as it is."""
    return None if problem["messages"] is None else tuple(json.loads(problem["messages"]))


def _passing(problem: Mapping[str, Any]) -> str | None:
    """Return a completion from which the verifier reads the right answer."""
    if problem["verifier"] == "math" and problem["answer"] is not None:
        return f"\\boxed{{{problem['answer']}}}"
    answer: str | None = problem["answer"]
    return answer


def _has_one_answer(problem: Mapping[str, Any]) -> bool:
    """Whether a completion passes only if it is the answer, and the prompt is all that is read."""
    exact = problem["verifier"] == "exact" and problem["verifier_options"] is None
    return exact and problem["messages"] is None


class KeeperWorker:
    """Commits samples, scores them, commits the scores, and says what passed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._verifier = verifier_of(plan.verification)
        self._problems: dict[str, tuple[pa.Table, dict[str, dict[str, Any]]]] = {}

    def keep(self, unit: Unit, facts: dict[str, Any], samples: pa.Table) -> Tally:
        """Make the unit's samples and scores appear, and return their tally.

        Raises:
            UserError: another process has taken the run over, it is not seen from here, or the
                answers are programs and this machine cannot isolate them.
            ValueError: the rows are not the unit's samples.
        """
        plan = self._plan
        plan.store.demand(plan.token)
        if not plan.store.commit("samples", unit, samples, facts):
            samples = plan.store.read_unit("samples", unit)
        problems, rows = self._task(unit.cell.task)
        try:
            scores = self._verifier.verify(samples, problems)
        except IsolationError as error:
            raise UserError(f"task {unit.cell.task}: {error}") from None
        kept = tally(unit, scores, plan.r)
        key = scoring_key(unit, rows, plan.verification)
        how = {"scoring": key, "passed": kept.passed}
        plan.store.commit("scores", unit, scores, how)
        return kept

    def _task(self, task: str) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
        if task not in self._problems:
            table = self._plan.store.read_problems(task)
            rows = {row["problem_id"]: row for row in table.to_pylist()}
            self._problems[task] = (table, rows)
        return self._problems[task]


def failed_samples(unit: Unit, run_seed: int, cell_key: str, reason: str) -> pa.Table:
    """Return rows that record a unit's samples as failed, with the reason."""
    rows = [
        pa.table(
            {
                "problem_id": [name] * (unit.stop - unit.start),
                "sample_id": _ids(unit),
                "completion": [""] * (unit.stop - unit.start),
                "finish_reason": ["error"] * (unit.stop - unit.start),
                "prompt_tokens": pa.array([0] * (unit.stop - unit.start), pa.int32()),
                "completion_tokens": pa.array([0] * (unit.stop - unit.start), pa.int32()),
                **{name: pa.nulls(unit.stop - unit.start, pa.float32()) for name in RECORDED},
                "seed": seeds(run_seed, cell_key, name, unit.start, unit.stop),
                "error": [reason] * (unit.stop - unit.start),
                "reasoning": pa.nulls(unit.stop - unit.start, pa.string()),
            },
            schema=SAMPLES,
        )
        for name in unit.problems
    ]
    return pa.concat_tables(rows)


def _ids(unit: Unit) -> NDArray[Any]:
    return np.arange(unit.start, unit.stop, dtype=np.int64)
