"""The replay engine: samples that another run stored, word for word.

A sample is found by task, problem and sample id, so a policy that is replayed sees what it would
have seen. Knows stored runs; not models.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from operators.schemas import SAMPLES, check
from pipelines.engines.protocol import Engine, Request
from pipelines.errors import UserError
from pipelines.stored_run import StoredModel, StoredTask
from pipelines.sweeps.config import Decoding
from pipelines.sweeps.engine_sections import ReplayEngine
from pipelines.unit_files import Committed
from pipelines.units import contiguous, covered


class ReplayModel(Engine):
    """The samples of one model of a run."""

    def __init__(self, model: ReplayEngine) -> None:
        self._model = StoredModel.open(model)
        self._tasks: dict[str, _Index] = {}
        self._drawn: list[Committed] = []

    def generate(self, requests: Sequence[Request], decoding: Decoding) -> pa.Table:
        """Return the stored samples, with everything that was recorded of them.

        Raises:
            UserError: the samples were drawn otherwise, or of another prompt; one of them is not
                stored; or its file is damaged.
        """
        for task in {request.task for request in requests}:
            self._index(task).task.check_decoding(decoding)
        # Each file is read once, whatever order its samples are wanted in.
        wanted: dict[tuple[str, int], list[tuple[int, _Range]]] = {}
        pieces = 0
        for request in requests:
            index = self._index(request.task)
            index.task.check_prompt(request.problem_id, request.prompt, request.messages)
            for number, piece in index.find(request.problem_id, request.sample_ids):
                wanted.setdefault((request.task, number), []).append((pieces, piece))
                pieces += 1
        self._drawn = [self._index(task).units[number] for task, number in wanted]
        parts: dict[int, pa.Table] = {}
        for (task, number), places in wanted.items():
            rows = self._index(task).read(number, [piece for _, piece in places])
            for place, (_, start, stop) in places:
                parts[place], rows = rows[: stop - start], rows[stop - start :]
        table = pa.concat_tables(parts[at] for at in range(pieces)) if parts else _NOTHING
        return check(table, SAMPLES, "stored samples").combine_chunks()

    def likelihood(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        decoding: Decoding | None = None,
    ) -> NDArray[np.float64]:
        """Raise UserError: samples are stored, and no model."""
        raise UserError(
            f"model {self._model.section.name}: engine replay knows no likelihood, because it has "
            "samples and no model; use the engine that drew them"
        )

    def unique_tokens(self) -> bool:
        """Nothing is known of tokens."""
        return False

    def facts(self) -> dict[str, Any]:
        """Return what drew the samples that were last given, and how it was seeded."""
        engines = {committed.facts.get("engine") for committed in self._drawn} - {None}
        seedings = {committed.facts.get("seeding", "sample") for committed in self._drawn}
        return {
            "engine": "replay",
            "replayed": sorted(engines),
            # One that is not "sample" holds for all.
            "seeding": min(seedings - {"sample"}, default="sample"),
        }

    def _index(self, task: str) -> "_Index":
        if task not in self._tasks:
            self._tasks[task] = _Index(self._model.task(task))
        return self._tasks[task]


_NOTHING = SAMPLES.empty_table()


_Range: TypeAlias = tuple[str, int, int]
"""A problem, and its sample ids from the first to before the last."""


class _Index:
    """Where each sample of a task is."""

    def __init__(self, task: StoredTask) -> None:
        self.task = task
        # Known by their number: to hash a unit takes as long as it has problems.
        self.units = sorted(task.units, key=lambda committed: committed.unit.start)
        self._holders: dict[str, list[int]] = {}
        for number, committed in enumerate(self.units):
            for problem in committed.unit.problems:
                self._holders.setdefault(problem, []).append(number)

    def find(self, problem: str, ids: NDArray[np.int64]) -> Iterator[tuple[int, _Range]]:
        """Yield the units that hold samples of a problem, by number, and which of them each holds.

        Raises:
            UserError: one of them is not stored.
        """
        for run in np.split(ids, np.flatnonzero(np.diff(ids) != 1) + 1):
            at, stop = int(run[0]), int(run[-1]) + 1
            for number in self._holders.get(problem, ()):
                unit = self.units[number].unit
                if unit.start <= at < min(unit.stop, stop):
                    yield number, (problem, at, min(unit.stop, stop))
                    at = min(unit.stop, stop)
            if at < stop:
                held = covered(self.units[number].unit for number in self._holders.get(problem, ()))
                stored = contiguous(held.get(problem, ()))
                raise self.task.too_few(problem, stored, f"sample {at} is asked for")

    def read(self, number: int, pieces: Sequence[_Range]) -> pa.Table:
        """Return the samples of some pieces of a unit, one after the other."""
        committed, store = self.units[number], self.task.model.store
        try:
            return store.read_samples(committed, pieces)
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(
                f"model {self.task.model.section.name}: {store.root}: {committed.key} "
                f"cannot be read ({error}); resume that run first"
            ) from None
