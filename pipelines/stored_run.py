"""What a run holds of a model: how it was drawn, of which prompts, and how many samples.

Reads only: a damaged file is left where it is, and its samples are not there. Knows the run
directory and sweeps; not engines.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import pyarrow as pa

from pipelines.errors import UserError
from pipelines.store import Store
from pipelines.sweeps.config import Decoding, Sweep, decoding_of
from pipelines.sweeps.engine_sections import ReplayEngine
from pipelines.unit_files import Committed
from pipelines.units import Cell, contiguous, covered


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A model of a run that was sampled before."""

    section: ReplayEngine
    """What asks for it."""
    store: Store
    sweep: Sweep
    """The one that drew the samples."""
    parameters: int | None
    """None: the samples were imported without."""
    fingerprint: str

    @classmethod
    def open(cls, section: ReplayEngine) -> Self:
        """Open the run of a section.

        Raises:
            UserError: there is no such run, or it never sampled the model.
        """
        store = Store.at(section.run)
        try:
            sweep, recorded = store.read_sweep()
        except UserError as error:
            raise UserError(f"model {section.name}: run {error}") from None
        models = recorded.get("models", {})
        name = section.model or section.name
        if name not in models:
            raise UserError(
                f"model {section.name}: model {name!r} was never sampled in {store.root}; it has "
                + (", ".join(models) or "no models")
            )
        return cls(section=section, store=store, sweep=sweep, **models[name])

    @property
    def name(self) -> str:
        """What its run calls it."""
        return self.section.model or self.section.name

    def task(self, name: str) -> "StoredTask":
        """Return what is stored of one task; UserError where there is none of that name."""
        tasks = [task.name for task in self.sweep.tasks]
        if name not in tasks:
            raise UserError(
                f"model {self.section.name}: {self.store.root} has no task {name}; it has "
                + ", ".join(tasks)
            )
        return StoredTask(model=self, name=name)


@dataclass(frozen=True, kw_only=True)
class StoredTask:
    """The samples of one model on one task."""

    model: StoredModel
    name: str
    """Of the task, in that run and in the sweep that asks for it."""

    @cached_property
    def decoding(self) -> Decoding:
        """How they were drawn."""
        return decoding_of(self.model.sweep, self.name)

    @cached_property
    def problems(self) -> Mapping[str, Mapping[str, Any]]:
        """What was asked, schema PROBLEMS, by problem id."""
        rows = self.model.store.read_problems(self.name).to_pylist()
        return {row["problem_id"]: row for row in rows}

    @cached_property
    def units(self) -> Sequence[Committed]:
        """Every unit that can be read."""
        return self.model.store.listed("samples", self._cell)[0]

    @property
    def _cell(self) -> Cell:
        return Cell(self.model.name, self.name)

    @property
    def _where(self) -> str:
        return f"model {self.model.section.name}: task {self.name}"

    def check(self, decoding: Decoding, problems: pa.Table, least: int) -> None:
        """See that the task can be asked again.

        Args:
            decoding: how its completions are to be drawn.
            problems: what is asked, schema PROBLEMS.
            least: samples that are certainly asked of each problem.

        Raises:
            UserError: the decoding or a prompt differs, or there are fewer samples.
        """
        self.check_decoding(decoding)
        for row in problems.to_pylist():
            messages = None if row["messages"] is None else json.loads(row["messages"])
            self.check_prompt(row["problem_id"], row["prompt"], messages)
        held = covered(committed.unit for committed in self.units)
        for name in problems["problem_id"].to_pylist():
            stored = contiguous(held.get(name, ()))
            if stored < least:
                raise self.too_few(name, stored, f"at least {least} are asked for")

    def check_decoding(self, decoding: Decoding) -> None:
        """Raise UserError where samples are to be drawn otherwise than these were."""
        for field, was in self.decoding.model_dump(mode="json").items():
            now = decoding.model_dump(mode="json")[field]
            if now != was:
                raise self._differs(f"decoding.{field}", was, now)

    def check_prompt(
        self, problem: str, prompt: str, messages: Sequence[Mapping[str, str]] | None
    ) -> None:
        """Raise UserError where a problem was not asked, or asked in other words."""
        row = self.problems.get(problem)
        if row is None:
            raise UserError(
                f"{self._where}: problem {problem} was never asked in {self.model.store.root}; "
                "give the task the same problems"
            )
        asked = None if row["messages"] is None else json.loads(row["messages"])
        given = None if messages is None else [dict(message) for message in messages]
        if row["prompt"] != prompt:
            raise self._differs(f"the prompt of problem {problem}", row["prompt"], prompt)
        if asked != given:
            raise self._differs(f"the messages of problem {problem}", asked, given)

    def _differs(self, field: str, was: object, now: object) -> UserError:
        return UserError(
            f"{self._where}: {field} is {now!r}, but the samples in {self.model.store.root} were "
            f"drawn with {was!r}; give it that value, or another engine"
        )

    def too_few(self, problem: str, stored: int, asked: str) -> UserError:
        """Return the error that a problem has fewer samples than are `asked`, in words."""
        _, bad = self.model.store.listed("samples", self._cell)
        damaged = f" ({len(bad)} files cannot be read, the first is {bad[0][0]})" if bad else ""
        return UserError(
            f"{self._where}: {asked}, but {self.model.store.root} holds {stored} samples of "
            f"problem {problem}{damaged}; lower the allocation, or draw more in that run"
        )
