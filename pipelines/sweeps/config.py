"""The sweep: a YAML file, checked at birth by typed models; its errors name place, field and value.

Knows what a sweep says; not where a run lives, nor whether a model's files are there.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Field, StringConstraints, ValidationError, model_validator

from pipelines.errors import UserError
from pipelines.sweeps import grid, kinds, wildcards
from pipelines.sweeps.engine_sections import (
    ImportedEngine,
    Model,
    TransformersEngine,
    VLLMEngine,
)
from pipelines.sweeps.includes import read_file
from pipelines.sweeps.overrides import read_override
from pipelines.sweeps.places import Node, Place, Source
from pipelines.sweeps.refusal import Complaint, MisfitError, Problem, SweepError
from pipelines.sweeps.run_sections import (
    Allocation,
    CoverageFamily,
    Decoding,
    Fit,
    FixedAllocation,
    ImportedAllocation,
    Resources,
    Tracking,
    UntilAllocation,
    Verification,
)
from pipelines.sweeps.section import Section
from pipelines.sweeps.task_sections import ArithmeticTask, ImportedTask, ReadTask, Task

__all__ = [
    "OBJECT_STORE_BYTES",
    "Allocation",
    "CoverageFamily",
    "Decoding",
    "Fit",
    "FixedAllocation",
    "ImportedAllocation",
    "Resources",
    "Sweep",
    "Tracking",
    "UntilAllocation",
    "Verification",
    "decoding_of",
    "digest",
    "load",
    "load_all",
    "parse",
]

OBJECT_STORE_BYTES = 512 * 2**20
"""Memory that Ray may use for samples on their way from an engine to its keeper."""


_LATER: Mapping[str, Mapping[str, Any]] = {
    "tracking": {"seconds": 60.0, "register_models": False},
}
"""Fields that came when runs were recorded already, with the defaults that runs then had."""


class Sweep(Section):
    """Models x tasks under one decoding and one allocation."""

    name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._=-]*$", max_length=100)
    ]
    """Of the run, and part of its path; letters, digits, dot, underscore, hyphen, =."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """What every sample's own seed is made of; another one draws other samples."""
    run: str | None = None
    """The run directory, relative to the working directory; None: runs/NAME."""
    models: tuple[Model, ...] = Field(min_length=1, strict=False)
    """What is sampled, each on every task."""
    tasks: tuple[Task, ...] = Field(min_length=1, strict=False)
    """What is asked."""
    decoding: Decoding = Decoding()
    """How completions are drawn, of all models."""
    allocation: Allocation = UntilAllocation()
    """How many samples a problem gets: {n: ...} for a fixed number, {r: ..., cap: ...} until r
    have passed."""
    fit: Fit = Fit()
    """What is estimated from the counts."""
    verification: Verification = Verification()
    """Limits on the processes that judge answers."""
    resources: Resources = Resources()
    """How the run uses the machine."""
    tracking: Tracking = Tracking()
    """Where results are sent beside the run directory."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [
            *_same_names("models", self.models),
            *_same_names("tasks", self.tasks),
            *self._half_imported(),
            *self._impossible_fit(),
        ]
        if problems:
            raise MisfitError(*problems)
        return self

    def _half_imported(self) -> Iterator[Problem]:
        """Yield the part of a sweep that is not imported, where another part is."""
        imported = {
            "models": [isinstance(model, ImportedEngine) for model in self.models],
            "tasks": [isinstance(task, ImportedTask) for task in self.tasks],
            "allocation": [isinstance(self.allocation, ImportedAllocation)],
        }
        each = [is_imported for flags in imported.values() for is_imported in flags]
        if any(each) and not all(each):
            field = next(field for field, flags in imported.items() if not all(flags))
            yield (
                (field,),
                "not all imported, but other parts of the sweep are; what is imported has a run "
                "of its own, which `passlaw import` makes",
            )

    def _impossible_fit(self) -> Iterator[Problem]:
        """Yield what cannot be fitted to what the rest of the sweep asks for."""
        if isinstance(self.allocation, FixedAllocation) and self.fit.k:
            largest = max(self.fit.k)
            if largest > self.allocation.n:
                yield (
                    ("fit", "k"),
                    f"{largest} is larger than allocation.n = {self.allocation.n}; raise n, or "
                    "read coverage beyond n from the fitted law",
                )
        held_out = self.fit.hold_out
        names = [model.name for model in self.models]
        # A wildcard's models have no names yet; it is there only until paths are resolved.
        unnamed = any(wildcards.is_pattern(getattr(model, "path", "")) for model in self.models)
        if held_out not in (None, "largest", *names) and not unnamed:
            allowed = ", ".join(names)
            yield (
                ("fit", "hold_out"),
                f"{held_out!r} is not a model; allowed are null, largest, {allowed}",
            )

    @property
    def run_path(self) -> str:
        """The run directory as it was asked for."""
        return self.run if self.run is not None else f"runs/{self.name}"

    def to_yaml(self) -> str:
        """Return the resolved sweep, every default spelled out."""
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))

    def digest(self) -> str:
        """Return a hash of everything that the sweep says.

        It stays the same when passlaw learns more: what a sweep could not say when the first runs
        were recorded counts only where it is said.
        """
        values = self.model_dump(mode="json")
        for section, fields in _LATER.items():
            for field, default in fields.items():
                if values[section].get(field) == default:
                    del values[section][field]
        return digest(values)


def _same_names(field: str, sections: Sequence[Model | Task]) -> Iterator[Problem]:
    """Yield each name that an earlier section has too."""
    names = [section.name for section in sections]
    for at, name in enumerate(names):
        if name in names[:at]:
            yield (field, at, "name"), f"{name!r} is used twice; names must differ"


def decoding_of(sweep: Sweep, task: str) -> Decoding:
    """Return how the completions of a task are drawn.

    Its stop strings are those of the task where it names any, else those of `decoding` where it
    names any, else the ones that are published with the task.
    """
    section = next(section for section in sweep.tasks if section.name == task)
    stop = section.stop
    if stop is None:
        stop = sweep.decoding.stop or section.published_stop
    return sweep.decoding.model_copy(update={"stop": stop})


def digest(value: Any, size: int = 8) -> str:
    """Return the hash, in hex, of a JSON value: the same for the same meaning."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def load(path: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file that is one run; as `load_all`.

    Raises:
        UserError: as `load_all`, or its grid has several points.
    """
    return _alone(load_all(path, overrides), str(path))


def load_all(
    path: Path, overrides: Sequence[str] = (), *, resolve: bool = True
) -> tuple[Sweep, ...]:
    """Read a sweep file and what it includes, apply `key.sub=value` overrides, and check it.

    Paths are made absolute, relative to the folder of the file that says them. A model whose path
    has a wildcard becomes one model for each folder that matches, called NAME-FOLDER. Overrides
    come before the grid; of a key of the grid, it then has this value alone.

    Args:
        path: the sweep file.
        overrides: as `decoding.temperature=0.5`; items of a list by position or by their name.
        resolve: without it, paths and wildcards are left as they are.

    Returns:
        One sweep for each point of its grid; one alone, where there is no grid.

    Raises:
        UserError: a file is missing or no YAML, or a value is wrong; gives the place, field and
            value of everything that is wrong, and what is allowed.
    """
    return _checked(read_file(path), overrides, path.absolute().parent, resolve=resolve)


def parse(
    values: Any, *, source: str, folder: Path | None = None, overrides: Sequence[str] = ()
) -> Sweep:
    """Check plain values (as YAML gives them) and return the sweep; errors as in `load`.

    Without a folder, paths are left as they are.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{source}: must hold a mapping with name, models and tasks")
    root = Node.of(values, Place(source=Source(name=source, folder=folder)))
    return _alone(_checked(root, overrides, folder, resolve=folder is not None), source)


def _alone(sweeps: Sequence[Sweep], source: str) -> Sweep:
    if len(sweeps) == 1:
        return sweeps[0]
    raise UserError(
        f"{source}: its grid has {len(sweeps)} points, each a run; run, sample, score, fit, report "
        f"and status take them all; give the run directory of one, as in {sweeps[0].run_path}"
    )


def _checked(
    root: Node, overrides: Sequence[str], folder: Path | None, *, resolve: bool
) -> tuple[Sweep, ...]:
    """Return the sweeps that values stand for, or raise everything that is wrong with them."""
    root = root.without("passlaw")  # what a run records of itself
    for override in overrides:
        root = grid.overridden(root, read_override(override, folder))
    sweeps: list[Sweep] = []
    wrong: list[Complaint] = []
    for point in grid.expand(root):
        filled = kinds.fill(point)
        if resolve:
            filled, unmatched = wildcards.expand(filled)
            wrong += unmatched
        try:
            sweep = Sweep.model_validate(filled.plain())
        except ValidationError as error:
            from pipelines.sweeps.diagnosis import complaints

            wrong += complaints(error, filled, Sweep, also=("engine", "include", "grid"))
        else:
            sweeps.append(_absolute(sweep, filled) if resolve else sweep)
    if wrong:
        raise SweepError(wrong)
    return tuple(sweeps)


def _absolute(sweep: Sweep, root: Node) -> Sweep:
    """Resolve the paths of inputs against the folders of the files that say them."""

    def folder(*parts: str | int) -> Path:
        return root.place_of(parts).source.folder or Path()

    models = tuple(
        _found_from(model, folder("models", at, "path")) for at, model in enumerate(sweep.models)
    )
    tasks = tuple(
        task
        if isinstance(task, ArithmeticTask | ImportedTask)
        else _read_from(task, folder("tasks", at, "path" if task.path else "dataset"))
        for at, task in enumerate(sweep.tasks)
    )
    return sweep.model_copy(update={"models": models, "tasks": tasks})


def _read_from(task: ReadTask, folder: Path) -> ReadTask:
    """Resolve where a task is read; a data set is a folder where it begins with a dot."""
    if task.path is not None and "://" not in task.path:
        return task.model_copy(update={"path": str(folder / task.path)})
    if task.dataset is not None and task.dataset.startswith("."):
        return task.model_copy(update={"dataset": str(folder / task.dataset)})
    return task


def _found_from(model: Model, folder: Path) -> Model:
    """Resolve where a model's files are."""
    if isinstance(model, TransformersEngine) and _is_local(model.path, folder):
        return model.model_copy(update={"path": str(folder / model.path)})
    if isinstance(model, VLLMEngine):
        # Of vLLM's, what is not there may be the name of one that the hub has without a slash.
        near = {name: getattr(model, name) for name in ("path", "lora")}
        found = {
            name: str(folder / path)
            for name, path in near.items()
            if path is not None and (path.startswith((".", "/")) or (folder / path).exists())
        }
        return model.model_copy(update=found)
    return model


def _is_local(path: str, folder: Path) -> bool:
    """Whether a model's path is a folder rather than a ladder rung or a name on the hub."""
    if path.startswith("ladder:"):
        return False
    return path.startswith((".", "/", "~")) or path.count("/") != 1 or (folder / path).exists()
